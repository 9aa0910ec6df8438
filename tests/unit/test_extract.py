"""Extraction from a stranger's file: nothing leaves the folder, nothing damaged appears, nothing is clobbered."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

import llamafile_format as lf
from spec.vectors.generate.forge import Part, Spec, container, parts
from tests.laws.containers import small_container, tiny_gguf


def test_pack_then_extract_is_the_identity(tmp_path: Path) -> None:
    path = small_container(tmp_path)
    written = {item.member: item for item in lf.extract(path, tmp_path / "out")}
    assert (tmp_path / "out/tiny.gguf").read_bytes() == tiny_gguf()
    assert (tmp_path / "out/LICENSE.txt").read_bytes() == b"CC0-1.0\n"
    assert all(item.checked for item in written.values())
    assert "META-LLAMAFILE/manifest.json" not in written


def test_structure_can_be_had_by_name(tmp_path: Path) -> None:
    path = small_container(tmp_path)
    lf.extract(path, tmp_path / "out", ["META-LLAMAFILE/manifest.json", "META-LLAMAFILE/chunks.txt"])
    with lf.open(path) as opened:
        assert (tmp_path / "out/META-LLAMAFILE/manifest.json").read_bytes() == opened.manifest_bytes


def test_damaged_member_is_not_written(tmp_path: Path) -> None:
    path = small_container(tmp_path)
    data = bytearray(path.read_bytes())
    with lf.open(path) as opened:
        at = next(member.offset for member in opened.members if member.path == "tiny.gguf")
    data[at + 50] ^= 1
    path.write_bytes(data)
    with pytest.raises(lf.FormatError, match=r"tiny\.gguf is damaged"):
        lf.extract(path, tmp_path / "out", ["tiny.gguf"])
    assert not (tmp_path / "out/tiny.gguf").exists()
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:evil", "a\\b", "nul", "x\x1b[2J", "-"])
def test_names_that_leave_the_folder_or_lie_are_refused(tmp_path: Path, name: str) -> None:
    evil = Part(name, b"evil", "document", "text/plain")
    data = container(Spec(parts(evil), labels={"default": "tiny.gguf"}))
    with pytest.raises(lf.UsageError, match="cannot be written safely"):
        lf.extract(data, tmp_path / "out")
    assert not (tmp_path / "evil").exists()
    lf.extract(data, tmp_path / "good", ["LICENSE.txt"])


def test_links_on_the_way_are_not_followed(tmp_path: Path) -> None:
    deep = Part("docs/notes.txt", b"notes", "document", "text/plain")
    data = container(Spec(parts(deep), labels={"default": "tiny.gguf"}))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/docs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(lf.UsageError, match="link"):
        lf.extract(data, tmp_path / "out", ["docs/notes.txt"])
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_link_under_the_name_is_replaced_not_followed(tmp_path: Path) -> None:
    path = small_container(tmp_path)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/LICENSE.txt").symlink_to(victim)
    with pytest.raises(lf.UsageError):
        lf.extract(path, tmp_path / "out", ["LICENSE.txt"])
    lf.extract(path, tmp_path / "out", ["LICENSE.txt"], force=True)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "out/LICENSE.txt").is_symlink()


def test_legacy_members_are_checked_by_crc(tmp_path: Path) -> None:
    path = tmp_path / "old.llamafile"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m.gguf", tiny_gguf())
        archive.writestr("notes.txt", "hello " * 500, zipfile.ZIP_DEFLATED)
    written = lf.extract(path, tmp_path / "out")
    assert (tmp_path / "out/notes.txt").read_text() == "hello " * 500
    assert not any(item.checked for item in written)
    data = bytearray(path.read_bytes())
    data[data.index(b"GGUF") + 60] ^= 1
    with pytest.raises(lf.FormatError, match="CRC-32"):
        lf.extract(bytes(data), tmp_path / "out2", ["m.gguf"])


def test_a_bomb_is_cut_off(tmp_path: Path) -> None:
    """A deflated member that unpacks to more than its directory says ends there."""
    path = tmp_path / "bomb.llamafile"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m.gguf", tiny_gguf())
        archive.writestr("bomb.txt", b"\0" * (8 << 20), zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    size = (8 << 20).to_bytes(4, "little")
    assert data.count(size) == 2
    lie = data.replace(size, (1000).to_bytes(4, "little"))
    with pytest.raises(lf.FormatError, match="unpacks to"):
        lf.extract(lie, tmp_path / "out", ["bomb.txt"])
    assert not (tmp_path / "out/bomb.txt").exists()


def test_two_names_for_one_file_are_refused(tmp_path: Path) -> None:
    twin = Part("license.TXT", b"other", "license", "text/plain")
    data = container(Spec(parts(twin), labels={"default": "tiny.gguf"}))
    with pytest.raises(lf.UsageError, match="cannot both"):
        lf.extract(data, tmp_path / "out")
    lf.extract(data, tmp_path / "out", ["license.TXT"])


def test_a_source_that_changes_while_it_is_packed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digest and bytes must be of the same moment: a model that a download still writes to is no model."""
    import os
    import sys

    from llamafile_format.packing.assemble import digest_range

    model = tmp_path / "m.gguf"
    model.write_bytes(tiny_gguf(values=100_000))

    def meddle(*arguments: object, **options: object) -> object:
        found = digest_range(*arguments, **options)  # type: ignore[arg-type]
        os.utime(model, ns=(1, 1))
        return found

    monkeypatch.setattr(sys.modules["llamafile_format.packing.assemble"], "digest_range", meddle)
    with pytest.raises(lf.SourceError, match="changed while it was read"):
        lf.pack([model], tmp_path / "m.llamafile", prefix="none")
    assert not (tmp_path / "m.llamafile").exists()
