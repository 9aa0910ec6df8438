"""From a legacy llamafile to 1.0 and back (spec/1, 8.7)."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.zip.records import EOCD
from llamafile_format.zip.views import weights_reader_views, zipos_view
from tests.repack_samples import contents, engine, gguf, legacy, sound, write

MODEL, PROJECTOR = gguf("m", 150_000), gguf("p", 70_000, "clip")
ENGINE = engine("old", 90_000, [("usr/share/help.txt", b"help " * 500)], "0.8.0")
ARGS = b"-m\nmodel.gguf\n...\n"


def test_a_legacy_file_becomes_a_container(tmp_path: Path) -> None:
    members = [("model.gguf", MODEL), ("notes/about.md", b"# about" * 90), (".args", ARGS)]
    old = write(tmp_path / "old", legacy(ENGINE, members, deflate=["notes/about.md"]))
    result = lf.repack(old, tmp_path / "new")
    with sound(tmp_path / "new") as container:
        assert container.manifest is not None
        assert container.manifest.prefix.engine_sha256 == hashlib.sha256(ENGINE).hexdigest()
        assert container.read("usr/share/help.txt") == b"help " * 500
        assert container.read("notes/about.md") == b"# about" * 90
        history = container.manifest.history
        assert history[0]["action"] == "from-legacy"
        assert history[0]["order"] == ["model.gguf", "notes/about.md", ".args"]
        assert history[0]["first_computed"] == [".args", "model.gguf", "notes/about.md"]
        assert {finding["rule"] for finding in history[0]["findings"]} >= {"LF7006", "LF7008"}
        assert "changes" not in history[0]
    assert contents(tmp_path / "new").items() >= dict(members).items()
    assert result.changed


def test_back_to_legacy_keeps_weights_names_and_order(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    members = [("z.gguf", MODEL), (".args", b"-m\nz.gguf\n...\n"), ("a.gguf", PROJECTOR), ("L.txt", b"licence")]
    old = write(tmp_path / "old", legacy(ENGINE, members))
    lf.repack(old, tmp_path / "new")
    result = lf.repack(tmp_path / "new", tmp_path / "back", to="legacy")
    data = (tmp_path / "back").read_bytes()
    assert result.manifest_sha256 == ""
    assert data.startswith(ENGINE)
    assert data[-EOCD.size :][16:20] == b"\xff" * 4
    with lf.open(tmp_path / "back") as container:
        assert container.kind is lf.Kind.LEGACY
        names = [entry.path for entry in container.archive.entries]
        assert names == ["usr/share/help.txt", *(name for name, _ in members)]
        assert all(container.entry(name).data_offset % 65536 == 0 for name, _ in members)
        engine_view = zipos_view(container.source)
        for name, body in members:
            (weights_view,) = weights_reader_views(container.source, [name])
            for view in (engine_view, weights_view):
                found = view.opened[name]
                assert data[found.offset : found.offset + found.size] == body
    with zipfile.ZipFile(tmp_path / "back") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == names
    done = subprocess.run([tool("unzip"), "-tq", tmp_path / "back"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_way_there_and_back_is_stable(tmp_path: Path) -> None:
    old = write(tmp_path / "old", legacy(ENGINE, [("z.gguf", MODEL), (".args", ARGS)]))
    lf.repack(old, tmp_path / "1")
    lf.repack(tmp_path / "1", tmp_path / "2", to="legacy")
    lf.repack(tmp_path / "2", tmp_path / "3")
    lf.repack(tmp_path / "3", tmp_path / "4", to="legacy")
    assert (tmp_path / "2").read_bytes() == (tmp_path / "4").read_bytes()
    with lf.open(tmp_path / "1") as first, lf.open(tmp_path / "3") as second:
        assert first.manifest is not None
        assert second.manifest is not None
        assert first.manifest.prefix == second.manifest.prefix
        assert first.manifest.members[:-1] == second.manifest.members[:-1]


def test_legacy_to_legacy_with_another_engine(tmp_path: Path) -> None:
    old = write(tmp_path / "old", legacy(ENGINE, [("z.gguf", MODEL), (".args", b"-m\nz.gguf\n-p\n# $x\n...\n")]))
    write(tmp_path / "engine", engine("new", 200_000, version="0.9.3"))
    lf.repack(old, tmp_path / "new", prefix=tmp_path / "engine", to="legacy")
    found = contents(tmp_path / "new")
    assert found == {"z.gguf": MODEL, ".args": b"-m\nz.gguf\n-p\n'# $x'\n...\n"}


def test_no_engine_at_all(tmp_path: Path) -> None:
    old = write(tmp_path / "old", legacy(b"", [("z.gguf", MODEL)]))
    lf.repack(old, tmp_path / "new")
    with sound(tmp_path / "new") as container:
        assert container.manifest is not None
        assert container.manifest.prefix.kind == "none"
    lf.repack(tmp_path / "new", tmp_path / "back", to="legacy")
    assert contents(tmp_path / "back") == {"z.gguf": MODEL}


def test_crc_is_checked_in_the_same_pass(tmp_path: Path) -> None:
    for name in ("z.gguf", "L.txt"):
        members = [("z.gguf", MODEL), ("L.txt", b"licence" * 50)]
        old = write(tmp_path / "old", legacy(ENGINE, members, deflate=["L.txt"], wrong_crc=name))
        with pytest.raises((UsageError, FormatError), match="damaged"):
            lf.repack(old, tmp_path / "new")
        with pytest.raises((UsageError, FormatError), match="damaged"):
            lf.repack(old, tmp_path / "new", to="legacy")
        assert list(tmp_path.iterdir()) == [old]


@pytest.mark.parametrize("name", ["./.args", "../x.md", "a\\b.md", "META-LLAMAFILE/x.md"])
def test_unsafe_names_need_a_new_one(tmp_path: Path, name: str) -> None:
    old = write(tmp_path / "old", legacy(ENGINE, [("z.gguf", MODEL), (name, ARGS)]))
    with pytest.raises(UsageError) as caught:
        lf.repack(old, tmp_path / "new")
    assert "--rename" in caught.value.hint
    lf.repack(old, tmp_path / "new", rename={name: "safe.md"})
    lf.repack(old, tmp_path / "without", remove=[name])
    with sound(tmp_path / "new") as container:
        assert container.read("safe.md") == ARGS
        assert container.manifest is not None
        assert container.manifest.history[0]["order"] == ["z.gguf", name]
        assert container.manifest.history[0]["changes"] == [{"what": "rename", "from": name, "to": "safe.md"}]
    lf.repack(tmp_path / "new", tmp_path / "back", to="legacy")
    assert list(contents(tmp_path / "back")) == ["usr/share/help.txt", "z.gguf", "safe.md"]
    assert contents(tmp_path / "without").keys() == {"usr/share/help.txt", "z.gguf"}


def test_twice_the_same_name_is_refused(tmp_path: Path) -> None:
    old = write(tmp_path / "old", legacy(ENGINE, [("z.gguf", MODEL), ("z.gguf", PROJECTOR)]))
    with pytest.raises(FormatError, match=r"2 times|different readers"):
        lf.repack(old, tmp_path / "new")


def test_a_file_with_two_faces_is_refused(tmp_path: Path) -> None:
    data = bytearray(legacy(ENGINE, [("z.gguf", MODEL)]))
    struct.pack_into("<I", data, len(data) - 6, 5)  # the plain end record names another directory
    with pytest.raises(FormatError, match="different readers"):
        lf.repack(write(tmp_path / "old", bytes(data)), tmp_path / "new")


def test_folder_entries_are_left_out(tmp_path: Path) -> None:
    old = write(tmp_path / "old", legacy(ENGINE, [("d/", b""), ("d/z.gguf", MODEL)]))
    lf.repack(old, tmp_path / "new")
    with sound(tmp_path / "new") as container:
        assert container.manifest is not None
        assert container.manifest.history[0]["changes"] == [{"what": "remove", "path": "d/"}]


def test_the_default_model_is_the_one_that_the_arguments_name(tmp_path: Path) -> None:
    members = [("a.gguf", gguf("a")), ("b.gguf", gguf("b"))]
    old = write(tmp_path / "old", legacy(ENGINE, [*members, (".args", b"-m\nb.gguf\n...\n")]))
    lf.repack(old, tmp_path / "new")
    with sound(tmp_path / "new") as container:
        assert container.manifest is not None
        assert container.manifest.default == "b.gguf"
    bare = write(tmp_path / "bare", legacy(ENGINE, members))
    with pytest.raises(UsageError, match="2 models"):
        lf.repack(bare, tmp_path / "x")


def test_in_place_replaces_the_file_as_a_whole(tmp_path: Path) -> None:
    data = legacy(ENGINE, [("z.gguf", MODEL), (".args", ARGS)])
    old = write(tmp_path / "old", data)
    old.chmod(0o750)
    result = lf.repack(old, in_place=True)
    assert result.method == "replaced"
    assert old.stat().st_mode & 0o777 == 0o750
    lf.repack(write(tmp_path / "other", data), tmp_path / "new")
    assert old.read_bytes() == (tmp_path / "new").read_bytes()
