"""Models as folders: out of a container and in again with the same digests, and nothing from a hostile folder."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.errors import FormatError, LlamafileError, SourceError, UsageError
from llamafile_format.exchanging import export_folder, export_lm_studio, import_folder
from llamafile_format.exchanging.folders import lm_studio_models
from llamafile_format.output import folder as folders
from llamafile_format.output.orders import ExportOrder, Imported, ImportOrder
from llamafile_format.packing import Include
from llamafile_format.source import RestingFile, put_down
from tests.conftest import ROOT, CliRunner
from tests.exchange_samples import KINDS, all_below, damaged, digests, model, plain, small_disk
from tests.repack_samples import gguf, legacy


def took(place: Path, out: Path, **settings: str) -> Imported:
    return import_folder(ImportOrder(str(place), out, settings={"runtime": "none", **settings}))


@pytest.mark.parametrize("kind", KINDS)
def test_members_come_back_with_their_digests(kind: str, tmp_path: Path) -> None:
    file = KINDS[kind](tmp_path / "a.llamafile")
    done = export_folder(ExportOrder(str(file), tmp_path / "folder"))
    took(tmp_path / "folder", tmp_path / "out")
    assert digests(tmp_path / "out") == digests(file)
    assert lf.verify(tmp_path / "out", level="exhaustive").exit_code() == 0
    said = " ".join(done.notes)
    assert ("the program in front" in said) is (kind in ("converted", "engine"))
    assert ("signature records" in said) is (kind in ("signed by three", "converted", "recovery"))
    assert ("recovery data" in said) is (kind == "recovery")
    assert "stand in the manifest alone" in said


def test_what_pack_makes_of_files_is_what_import_makes(tmp_path: Path) -> None:
    """Bit for bit: there is one way to make a container of files."""
    export_folder(ExportOrder(str(plain(tmp_path / "a")), tmp_path / "folder"))
    took(tmp_path / "folder", tmp_path / "out")
    files = [path for path in (tmp_path / "folder").rglob("*") if path.is_file()]
    include = [Include(path, path.relative_to(tmp_path / "folder").as_posix()) for path in files]
    lf.pack((), tmp_path / "packed", include=include, runtime="none")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "packed").read_bytes()


def test_the_engine_stays_and_another_one_comes(tmp_path: Path) -> None:
    """All of it: builds, licences, pin."""
    (tmp_path / "m.gguf").write_bytes(gguf("x"))
    lf.pack([tmp_path / "m.gguf"], tmp_path / "a", runtime="llama.cpp:linux-x86_64")
    done = export_folder(ExportOrder(str(tmp_path / "a"), tmp_path / "folder"))
    assert all_below(tmp_path / "folder") == ["m.gguf"]
    assert done.notes[0] == "left out: the program in front, the engine"
    took(tmp_path / "folder", tmp_path / "out", runtime="llama.cpp:linux-x86_64")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "a").read_bytes()


def test_lm_studio_finds_it_two_folders_deep(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(model())
    (tmp_path / "LICENSE").write_bytes(b"MIT\n")
    include = [Include(tmp_path / "m.gguf", "deep/in/m.gguf"), Include(tmp_path / "LICENSE")]
    lf.pack((), tmp_path / "a", include=include, runtime="none", args="--temp 0.5")
    store = tmp_path / "models"
    done = export_lm_studio(ExportOrder(str(tmp_path / "a"), Path("acme/tiny"), settings={"store": str(store)}))
    assert all_below(store) == ["acme", "acme/tiny", "acme/tiny/LICENSE", "acme/tiny/m.gguf"]
    assert (store / "acme/tiny/m.gguf").read_bytes() == model()
    assert done.notes[:2] == ("left out: .args", "deep/in/m.gguf is called m.gguf there")
    took(store / "acme" / "tiny", tmp_path / "out")
    assert set(digests(tmp_path / "out").values()) == set(digests(tmp_path / "a").values()) - {
        digests(tmp_path / "a")[".args"]
    }


def test_where_lm_studio_keeps_models(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert lm_studio_models(home) == tmp_path / ".lmstudio" / "models"
    (tmp_path / ".cache" / "lm-studio").mkdir(parents=True)
    assert lm_studio_models(home) == tmp_path / ".cache" / "lm-studio" / "models"
    (tmp_path / "other").mkdir()
    (tmp_path / ".lmstudio-home-pointer").write_text(f"{tmp_path / 'other'}\n")
    assert lm_studio_models(home) == tmp_path / "other" / "models"
    (tmp_path / "other" / "settings.json").write_text(json.dumps({"downloadsFolder": str(tmp_path / "big")}))
    assert lm_studio_models(home) == tmp_path / "big"
    (tmp_path / "other" / "settings.json").write_text("{")
    with pytest.raises(FormatError, match=r"settings\.json cannot be read"):
        lm_studio_models(home)


@pytest.mark.parametrize("name", ["tiny", "a/b/c", "../b", "a/..", "a/.hidden", "con/x", "a/b:c", "/a"])
def test_names_that_lm_studio_would_not_find(name: str, tmp_path: Path) -> None:
    order = ExportOrder(str(plain(tmp_path / "a")), Path(name), settings={"store": str(tmp_path / "models")})
    with pytest.raises(UsageError, match="no PUBLISHER/MODEL"):
        export_lm_studio(order)
    assert all_below(tmp_path) == ["a"]


def test_what_verify_refuses_does_not_go_out(tmp_path: Path) -> None:
    file = damaged(plain(tmp_path / "a"))
    for name, export in (("one", export_folder), ("two/three", export_lm_studio)):
        order = ExportOrder(str(file), tmp_path / name if export is export_folder else Path(name))
        with pytest.raises(FormatError, match="was not exported"):
            export(ExportOrder(order.file, order.target, settings={"store": str(tmp_path / "models")}))
    (tmp_path / "old").write_bytes(legacy(b"#!/bin/sh\n" + bytes(4096), [("m.gguf", model())]))
    with pytest.raises(UsageError, match="legacy"):
        export_folder(ExportOrder(str(tmp_path / "old"), tmp_path / "one"))
    with pytest.raises(UsageError, match="no place for a moment"):
        export_folder(ExportOrder(str(file), tmp_path / "one", moment="2026-11-29T00:00:00Z"))
    assert all_below(tmp_path) == ["a", "old"]


def test_what_verify_refuses_does_not_come_in_whatever_is_forced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "m.gguf").write_bytes(model()[:-8])
    (tmp_path / "out").write_bytes(b"what was there")
    order = ImportOrder(str(tmp_path / "folder"), tmp_path / "out", True, {"runtime": "none"})
    with pytest.raises(FormatError):
        import_folder(order)
    assert (tmp_path / "out").read_bytes() == b"what was there"
    (tmp_path / "folder" / "m.gguf").write_bytes(model())
    import_folder(order)
    assert lf.verify(tmp_path / "out").exit_code() == 0
    assert all_below(tmp_path) == ["folder", "folder/m.gguf", "out"]


def _write(path: Path, data: bytes = b"x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link out of it": (lambda at: (at / "x.txt").symlink_to("/etc/passwd"), "is a link"),
    "a link inside it": (lambda at: (at / "x.gguf").symlink_to("m.gguf"), "is a link"),
    "a folder that is a link": (lambda at: (at / "deep").symlink_to("/etc"), "is a link"),
    "a pipe": (lambda at: os.mkfifo(at / "x.txt"), "neither a file nor a folder"),
    "a reserved folder": (lambda at: _write(at / "META-LLAMAFILE" / "x"), "reserved folder"),
    "a reserved folder in small": (lambda at: _write(at / "meta-llamafile" / "x"), "reserved folder"),
    "two that fold to one": (lambda at: (_write(at / "a.txt"), _write(at / "A.TXT")), "one file"),
    "two that compose to one": (lambda at: (_write(at / "\u00e9.txt"), _write(at / "\u00c9.txt")), "one file"),
    "another normal form": (lambda at: _write(at / "e\u0301.txt"), "normal form"),
    "a backslash": (lambda at: _write(at / "a\\b"), "backslash"),
    "a control": (lambda at: _write(at / "a\x1bb"), "control"),
    "a device of Windows": (lambda at: _write(at / "con.txt"), "Windows"),
    "no UTF-8": (lambda at: _write(Path(os.fsdecode(os.fsencode(at) + b"/\xff"))), "UTF-8"),
    "a state of ours": (lambda at: _write(at / "m.gguf.journal"), "journal"),
    "arguments that open the network": (lambda at: _write(at / ".args", b"--host\n0.0.0.0\n"), "cannot be written"),
    "a page for a model": (lambda at: _write(at / "n.gguf", b"<!doctype html><html>"), "LF1003"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_folder_is_refused(kind: str, tmp_path: Path) -> None:
    change, words = HOSTILE[kind]
    place = tmp_path / "folder"
    _write(place / "m.gguf", model())
    change(place)
    with pytest.raises(LlamafileError, match=words) as caught:
        took(place, tmp_path / "out", default="m.gguf")
    assert "No such file" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder"]


def test_what_tools_leave_behind_is_left_out_and_said(tmp_path: Path) -> None:
    place = tmp_path / "folder"
    _write(place / "m.gguf", model())
    _write(place / ".git" / "HEAD", b"ref: x\n")
    _write(place / ".cache" / "huggingface" / "download" / "m.gguf.metadata")
    (place / ".git" / "link").symlink_to("/etc")
    assert took(place, tmp_path / "out").notes[0] == "left out: .cache, .git"
    assert list(digests(tmp_path / "out")) == ["m.gguf"]


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    place = tmp_path / "folder"
    _write(place / "m.gguf", gguf(size=9 << 20))

    def write(_done: int, _total: int) -> None:
        os.utime(place / "m.gguf")

    with pytest.raises(SourceError, match="changed while it was read"):
        import_folder(ImportOrder(str(place), tmp_path / "out", settings={"runtime": "none"}, progress=write))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder"]


def test_a_folder_of_more_files_than_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    place = tmp_path / "folder"
    _write(place / "m.gguf", model())
    for number in range(300):
        _write(place / f"{number:03}.txt", b"%d\n" % number)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/dev/fd").iterdir())) + 100, before[1]))
    try:
        took(place, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert len(digests(tmp_path / "out")) == 301
    monkeypatch.setattr("llamafile_format.limits.DIRECTORY_ENTRIES", 300)
    with pytest.raises(LlamafileError, match="too many files"):
        took(place, tmp_path / "other")


def test_a_file_at_rest_is_the_same_one_again_or_none(tmp_path: Path) -> None:
    for name, change in (("written", lambda path: path.write_bytes(b"y")), ("gone", Path.unlink)):
        _write(tmp_path / name, b"x")
        with RestingFile(tmp_path / name) as file:
            put_down(file)
            assert file.read_at(0, 1) == b"x"
            put_down(file)
            change(tmp_path / name)
            with pytest.raises(SourceError, match=rf"{name} (changed|again)"):
                file.read_at(0, 1)
        with pytest.raises(SourceError):
            file.read_at(0, 1)  # closed


@pytest.mark.parametrize("force", [False, True])
def test_what_verify_refuses_does_not_come_in_and_no_hint_says_that_it_could(force: bool, tmp_path: Path) -> None:
    """``--force`` of ``import`` replaces a file, and overrides nothing as that of ``pack`` does."""
    _write(tmp_path / "folder" / "m.gguf", model() + b"\0" * 64)
    (tmp_path / "out").write_bytes(b"before")
    with pytest.raises(FormatError) as refused:
        lf.pack([tmp_path / "folder" / "m.gguf"], tmp_path / "packed", runtime="none")
    assert "insist with --force" in refused.value.hint
    out = tmp_path / "out" if force else tmp_path / "new"
    with pytest.raises(FormatError) as taken:
        import_folder(ImportOrder(str(tmp_path / "folder"), out, force=force, settings={"runtime": "none"}))
    assert taken.value.hint == refused.value.hint.partition("; or insist")[0]
    assert (tmp_path / "out").read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "out"]


def test_an_existing_target_stays(tmp_path: Path) -> None:
    file = plain(tmp_path / "a")
    store = tmp_path / "models"
    _write(store / "acme" / "tiny" / "other.gguf")
    with pytest.raises(UsageError, match="not empty") as caught:
        export_lm_studio(ExportOrder(str(file), Path("acme/tiny"), force=True, settings={"store": str(store)}))
    assert "--force" not in caught.value.hint
    assert all_below(store) == ["acme", "acme/tiny", "acme/tiny/other.gguf"]


def test_two_exports_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one is done while ours writes its last file."""
    file, put = plain(tmp_path / "a"), folders.checked_copy

    def slow(*args: object, **kwargs: object) -> object:
        monkeypatch.setattr(folders, "checked_copy", put)
        export_folder(ExportOrder(str(file), tmp_path / "folder"))
        return put(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(folders, "checked_copy", slow)
    with pytest.raises(UsageError, match="appeared while it was being written") as caught:
        export_folder(ExportOrder(str(file), tmp_path / "folder"))
    assert caught.value.hint == "name a folder that is not there yet"
    took(tmp_path / "folder", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "folder", "out"]


@pytest.mark.parametrize("form", [["--hf-folder", "x/y/folder"], ["--lm-studio", "acme/tiny", "--store", "x/y"]])
def test_a_full_disk_leaves_nothing_not_even_folders(form: list[str], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    file = KINDS["odd members"](tmp_path / "in" / "a")
    done = subprocess.run(
        [sys.executable, "-m", "llamafile_format", "export", str(file), *form],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        preexec_fn=small_disk,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "nothing was left" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_commands(tmp_path: Path, run_cli: CliRunner) -> None:
    plain(tmp_path / "a.llamafile")
    env = {"HOME": str(tmp_path)}
    done = run_cli("export", "a.llamafile", "--lm-studio", "acme/tiny", env=env)
    assert done.returncode == 0, done.stderr
    assert "stays behind" in done.stderr
    assert (tmp_path / ".lmstudio" / "models" / "acme" / "tiny" / "tiny.gguf").is_file()
    assert run_cli("export", "a.llamafile", "--hf-folder", "folder", env=env).returncode == 0
    (tmp_path / "folder" / "second.gguf").write_bytes(model())
    done = run_cli("import", "folder", "--runtime", "none", "-o", "b.llamafile")
    assert (done.returncode, "--default" in done.stderr) == (2, True)
    done = run_cli("import", "folder", "--runtime", "none", "--default", "tiny.gguf", "-o", "b.llamafile", "--json")
    assert done.returncode == 0, done.stderr
    with lf.open(tmp_path / "b.llamafile") as found:
        assert json.loads(done.stdout)["sha256"] == hashlib.sha256(found.manifest_bytes).hexdigest()
    assert run_cli("import", "nothing", "-o", "c").returncode == 2
