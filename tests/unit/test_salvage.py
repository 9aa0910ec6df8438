"""``recover --salvage``: what is complete in a file that was cut off or has lost its end is saved, and nothing else."""

from __future__ import annotations

import json
import struct
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llamafile_format as lf
from llamafile_format.container import open_container
from llamafile_format.examining.salvage import MAX_HEADERS, State, salvage, scan
from llamafile_format.source import BytesSource
from tests.conftest import CliRunner
from tests.laws.containers import small_container, tiny_gguf
from tests.repack_samples import unfinished


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return small_container(tmp_path_factory.mktemp("whole")).read_bytes()


def put(folder: Path, data: bytes, name: str = "cut.llamafile") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_a_file_that_was_cut_off(whole: bytes, tmp_path: Path, run_cli: CliRunner) -> None:
    with open_container(whole) as container:
        members = container.members
        wanted = {member.path: container.read(member.path) for member in members}
        at = next(member for member in members if member.path == "tiny.gguf")
    path = put(tmp_path, whole[: at.offset + at.size - 1])
    result = run_cli("recover", path, "--salvage", "-C", tmp_path / "out")
    assert result.returncode == 1, result.stderr
    assert "cut off" in result.stdout
    assert f"{at.size - 1} of {at.size} bytes are there" in result.stdout
    saved = {str(p.relative_to(tmp_path / "out")): p for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert saved
    assert "tiny.gguf" not in saved
    for name, file in saved.items():
        assert file.read_bytes() == wanted[name]


def test_a_file_without_its_directory(whole: bytes, tmp_path: Path) -> None:
    """Everything is there but the end: every member is saved, and vouched for by the manifest that is among them."""
    with open_container(whole) as container:
        cut = container.archive.directory_offset
        names = [member.path for member in container.members]
    found = salvage(put(tmp_path, whole[:cut]), tmp_path / "out")
    assert [item.name for item in found] == names
    assert {item.state for item in found} == {State.SAVED}
    assert next(item for item in found if item.name == "tiny.gguf").checked == "SHA-256 of the manifest"
    assert (tmp_path / "out/tiny.gguf").read_bytes() == tiny_gguf()


@given(data=st.data())
@settings(max_examples=60)
def test_whatever_is_saved_is_what_was_packed(whole: bytes, data: st.DataObject) -> None:
    """Law: cut anywhere, flip any bit: what counts as complete has the bytes of its member."""
    cut = data.draw(st.integers(0, len(whole)))
    flip = data.draw(st.integers(0, len(whole) - 1))
    broken = bytearray(whole)
    broken[flip] ^= 1 << data.draw(st.integers(0, 7))
    with open_container(whole) as container:
        wanted = {member.path: (member.crc32, member.size) for member in container.members}
    for item in scan(BytesSource(bytes(broken[:cut]))):
        if item.there == item.stored and item.name in wanted and item.crc32 == wanted[item.name][0]:
            assert item.offset + item.stored <= cut


def test_damage_is_told_and_not_saved(whole: bytes, tmp_path: Path) -> None:
    with open_container(whole) as container:
        cut = container.archive.directory_offset
        at = next(member.offset for member in container.members if member.path == "tiny.gguf")
    broken = bytearray(whole[:cut])
    broken[at + 40] ^= 1
    found = {item.name: item for item in salvage(put(tmp_path, bytes(broken)), tmp_path / "out")}
    assert found["tiny.gguf"].state is State.DAMAGED
    assert not (tmp_path / "out/tiny.gguf").exists()
    assert (tmp_path / "out/LICENSE.txt").exists()


def test_deflated_members_of_legacy_files(tmp_path: Path) -> None:
    path = tmp_path / "old"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("page.html", "hello " * 5000, zipfile.ZIP_DEFLATED)
        archive.writestr("m.gguf", tiny_gguf())
    data = path.read_bytes()
    found = salvage(put(tmp_path, data[: data.rindex(b"PK\x01\x02") - 60]), tmp_path / "out")
    assert found[0].state is State.SAVED
    assert (tmp_path / "out/page.html").read_text() == "hello " * 5000


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bomb", b"\0" * (8 << 20), zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    lie = data.replace(struct.pack("<I", 8 << 20), struct.pack("<I", 1000))
    (item,) = salvage(put(tmp_path, lie), tmp_path / "out")
    assert (item.state, item.reason) == (State.DAMAGED, "it unpacks to more than its header says")
    vast = data.replace(struct.pack("<I", 8 << 20), struct.pack("<I", 0xFFFFFFFE))
    assert salvage(put(tmp_path, vast), tmp_path / "out")[0].state is State.REFUSED
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a\\b", "C:evil", "nul", "x\x1b[2J", "folder/"])
def test_names_obey_the_rules_of_extraction(tmp_path: Path, name: str) -> None:
    path = tmp_path / "z"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("placeholder"), b"" if name.endswith("/") else b"x")
    raw = name.encode()
    data = path.read_bytes()
    header = data[:26] + struct.pack("<HH", len(raw), 0) + raw + (b"" if name.endswith("/") else b"x")
    (item,) = salvage(put(tmp_path, header), tmp_path / "out")
    assert item.state is State.REFUSED
    assert not list((tmp_path / "out").iterdir())


def test_existing_files_stay(whole: bytes, tmp_path: Path, run_cli: CliRunner) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/LICENSE.txt").write_text("mine")
    path = put(tmp_path, whole[:-200])
    assert run_cli("recover", path, "--salvage", "-C", tmp_path / "out").returncode == 2
    assert (tmp_path / "out/LICENSE.txt").read_text() == "mine"
    assert run_cli("recover", path, "--salvage", "-C", tmp_path / "out", "--force", "LICENSE.txt").returncode == 0
    assert (tmp_path / "out/LICENSE.txt").read_text() == "CC0-1.0\n"


def test_without_a_folder_it_only_lists(whole: bytes, tmp_path: Path, run_cli: CliRunner) -> None:
    path = put(tmp_path, whole[:-200])
    before = sorted(tmp_path.iterdir())
    shown = run_cli("recover", path, "--salvage")
    assert "complete" in shown.stdout
    assert sorted(tmp_path.iterdir()) == before
    value = json.loads(run_cli("recover", path, "--salvage", "--json").stdout)
    assert {"member", "state", "size", "offset", "checked", "path", "reason"} <= set(value[0])


def test_nothing_to_find(tmp_path: Path, run_cli: CliRunner) -> None:
    path = put(tmp_path, tiny_gguf()[:200])
    result = run_cli("recover", path, "--salvage", "-C", tmp_path / "out")
    assert result.returncode == 3
    assert "no member" in result.stderr
    assert run_cli("recover", path, "-C", tmp_path / "out").returncode == 2
    assert run_cli("recover", path, "--salvage", "--back").returncode == 2


def test_the_last_of_one_name_counts(tmp_path: Path) -> None:
    path = tmp_path / "z"
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # of the name that comes twice
        for name, text in (("a", "old"), ("a", "new"), ("A", "twin")):
            archive.writestr(name, text)
    found = salvage(path, tmp_path / "out")
    assert [item.state for item in found] == [State.REPLACED, State.SAVED, State.REFUSED]
    assert (tmp_path / "out/a").read_text() == "new"


def test_bounds() -> None:
    """Headers are counted, and a file of nothing but beginnings of headers is read once."""
    empty = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    assert len(list(scan(BytesSource(empty * (MAX_HEADERS + 5))))) == MAX_HEADERS
    assert list(scan(BytesSource(b"PK\x03\x04" * 100_000))) == []


def test_an_unfinished_change_is_recovered_first(whole: bytes, tmp_path: Path) -> None:
    path = put(tmp_path, whole)
    unfinished(path)
    with pytest.raises(lf.SourceError, match="not finished"):
        salvage(path)
