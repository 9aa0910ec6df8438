"""Launchers of both versions: old ones stay valid, a repack raises them, and both start the same builds."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import llamafile_format as lf
from llamafile_format.checks.what_will_run import Entry, builds_of, choose_build
from llamafile_format.engines.versions import version_key
from llamafile_format.manifest.roles import file_order
from llamafile_format.prefix.launcher import LauncherBuild, build_launcher, read_index
from llamafile_format.prefix.launcher_templates import VERSIONS
from tests.repack_samples import gguf, sound, write
from tests.runtime_samples import use, write_pin

UNIT = 1 << 16


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file as it was packed when launcher 1 was the newest."""
    write_pin(tmp_path / "pins")
    use(tmp_path / "pins", monkeypatch)
    model = write(tmp_path / "model.gguf", gguf("m", 100_000))
    with monkeypatch.context() as then:
        then.setattr("llamafile_format.engines.implied.LAUNCHER_VERSION", 1)
        lf.pack([model], tmp_path / "old.llamafile")
    assert version_of(tmp_path / "old.llamafile") == 1
    return tmp_path / "old.llamafile"


def version_of(path: Path) -> int:
    with sound(path) as container:
        index = read_index(container.source.read_at(0, 4096))
        assert index is not None
        return index.version


def test_a_repack_that_changes_nothing_keeps_the_launcher(old: Path, tmp_path: Path) -> None:
    done = lf.repack(old, tmp_path / "same.llamafile")
    assert not done.changed
    assert (tmp_path / "same.llamafile").read_bytes() == old.read_bytes()


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    "order_of_work", [{"name": "another"}, {"prefix": "launcher"}, {"flavour": "both", "runtime": "llama.cpp"}]
)
def test_a_repack_that_changes_something_raises_it(
    order_of_work: dict[str, Any], in_place: bool, old: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new.llamafile"
    if in_place:
        out.write_bytes(old.read_bytes())
    done = lf.repack(out, in_place=True, **order_of_work) if in_place else lf.repack(old, out, **order_of_work)
    assert done.changed
    assert version_of(out) == 2
    with lf.open(out) as container:
        assert container.manifest is not None
        (entry,) = container.manifest.history
        assert [change["what"] for change in entry["changes"]].count("prefix") == 1
    again = lf.repack(out, tmp_path / "again.llamafile", **order_of_work)
    assert not again.changed
    assert (tmp_path / "again.llamafile").read_bytes() == out.read_bytes()


@pytest.mark.parametrize("form", ["elf-x86_64", "elf-aarch64"])
def test_both_versions_are_converted_and_back(form: str, old: Path, tmp_path: Path) -> None:
    lf.repack(old, tmp_path / "new.llamafile", name="another")
    for path in (old, tmp_path / "new.llamafile"):
        before = path.read_bytes()
        lf.convert(path, form)
        assert path.read_bytes()[:4] == b"\x7fELF"
        with sound(path) as container:
            assert container.form.value == form
        base = {"elf-x86_64": 0x10000, "elf-aarch64": 0x20000}[form]
        assert path.read_bytes()[:64] == before[base : base + 64]  # what anybody can do with dd
        lf.convert(path, "polyglot")
        assert path.read_bytes() == before


@pytest.mark.parametrize("version", VERSIONS)
def test_of_two_pins_in_one_file_the_newer_starts_everywhere(version: int) -> None:
    """The order of members puts 0.3.36+1 in front of 0.3.36; launcher and library take the first of the file."""
    paths = [
        f"runtimes/llama.cpp/{pin}/{flavour}/linux-x86_64"
        for pin in ("0.3.36", "0.3.36+1")
        for flavour in ("native", "reference")
    ]
    paths.sort(key=lambda path: file_order("runtime", path))
    entries = [Entry(path, "runtime", 4 * UNIT + row * UNIT) for row, path in enumerate(paths)]
    chosen = choose_build(builds_of(entries), "linux-x86_64")
    assert chosen is not None
    assert chosen.member == "runtimes/llama.cpp/0.3.36+1/native/linux-x86_64"
    assert version_key(chosen.name.version) > version_key("0.3.36")
    builds = [
        LauncherBuild("linux-x86_64", entry.path.split("/")[3], entry.offset, 512, f"{row:02x}" * 32)
        for row, entry in enumerate(entries)
    ]
    launcher = build_launcher(builds[::-1], None, version)
    index = read_index(launcher)
    assert index is not None
    assert all(one.offset < other.offset for one, other in pairwise(index.builds))
    first = next(build for build in index.builds if build.flavour == "native")
    assert first.offset == chosen.offset
    lines = [line for line in launcher[0x1000:0x3000].decode().split("\n") if line.startswith("linux-x86_64-native)")]
    assert f"a={chosen.offset // UNIT} " in lines[0]
