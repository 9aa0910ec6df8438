"""Changes in place: the same bytes as a new file, and exactly the old or the new ones after a crash at any step."""

from __future__ import annotations

import errno
import os
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import llamafile_format as lf
from llamafile_format.changing import surgery
from llamafile_format.changing.journal import HEADER, Journal, journal_path, pending
from llamafile_format.changing.shift import Shift, can_shift
from llamafile_format.errors import FormatError, SourceError
from tests.repack_samples import engine, gguf, kill_at, sound, steps_of, write

MODEL = gguf("m", 1 << 21)
CHANGES: dict[str, Mapping[str, Any]] = {
    "longer": {"prefix": "long"},
    "shorter": {"prefix": "short"},
    "none": {"prefix": "none"},
    "tail": {"name": "Another name"},
    "rename": {"rename": {"model.gguf": "folder/of/another/name.gguf"}},
    "archive": {"profile": "archive"},
    "more": {"prefix": "long", "include": [lf.Include(Path("card.md"))], "args": "--temp 1"},
    "launcher": {"prefix": "launcher", "runtime": "llama.cpp", "flavour": "both"},
}
pytestmark = pytest.mark.usefixtures("tiny_runtimes")


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A container whose weights are worth keeping where they are, in a folder where blocks can be moved."""
    if not can_shift(tmp_path):
        pytest.skip("this file system cannot insert or remove blocks inside a file")
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "model.gguf", MODEL)
    write(tmp_path / "card.md", b"# card")
    write(tmp_path / "old", engine("old", 200_000))
    write(tmp_path / "long", engine("long", 400_000))
    write(tmp_path / "short", engine("short", 10_000))
    lf.pack(["model.gguf"], "a", prefix="old", args="-m model.gguf", name="Name")
    return tmp_path / "a"


@pytest.mark.parametrize("change", CHANGES)
def test_in_place_gives_the_bytes_of_a_new_file(sample: Path, change: str) -> None:
    options = CHANGES[change]
    lf.repack(sample, "new", **options)
    os.link(sample, "link")
    result = lf.repack(sample, in_place=True, **options)
    assert result.method == ("in place" if change != "archive" else result.method)
    assert sample.read_bytes() == Path("new").read_bytes()
    if result.method == "in place":
        assert Path("link").read_bytes() == Path("new").read_bytes()
    assert sorted(path.name for path in Path().iterdir()) == [
        "a",
        "card.md",
        "link",
        "long",
        "model.gguf",
        "new",
        "old",
        "short",
    ]
    sound(sample).close()


def test_weights_keep_their_blocks(sample: Path) -> None:
    assert lf.repack(sample, in_place=True, prefix="long").shared >= len(MODEL)


def test_a_launcher_is_fitted_in_place(sample: Path) -> None:
    """Builds come and go, the weights move by whole blocks, and the launcher follows them."""
    lf.repack(sample, in_place=True, prefix="launcher")
    for options in ({"runtime": "llama.cpp:linux-x86_64"}, {"include": [lf.Include(Path("card.md"))]}):
        lf.repack(sample, "new", force=True, **options)  # type: ignore[arg-type]
        result = lf.repack(sample, in_place=True, **options)  # type: ignore[arg-type]
        assert result.method == "in place"
        assert result.shared >= len(MODEL)
        assert sample.read_bytes() == Path("new").read_bytes()
        sound(sample).close()


def test_nothing_to_do(sample: Path) -> None:
    before, inode = sample.read_bytes(), sample.stat().st_ino
    assert lf.repack(sample, in_place=True, prefix="old").method == "nothing to do"
    assert (sample.read_bytes(), sample.stat().st_ino) == (before, inode)


def test_an_engine_makes_the_file_executable(sample: Path) -> None:
    lf.repack(sample, in_place=True, prefix="none")
    sample.chmod(0o640)
    lf.repack(sample, in_place=True, prefix="old")
    assert sample.stat().st_mode & 0o777 == 0o750


@pytest.mark.slow
@pytest.mark.parametrize("change", ["longer", "shorter", "none", "tail", "rename", "more", "launcher"])
def test_killed_at_every_step(sample: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = CHANGES[change]
    old = sample.read_bytes()
    shutil.copy(sample, "copy")
    steps = steps_of(lambda: lf.repack("copy", in_place=True, **options), monkeypatch)
    new = Path("copy").read_bytes()
    assert steps[0] == "journal"
    assert steps[-1] == "removed"
    for number, step in enumerate(steps):
        for back in (False, True):
            write(sample, old)
            kill_at(number, lambda: lf.repack(sample, in_place=True, **options))
            assert pending(sample) == (step != "removed")
            if step != "removed":
                for call in (lf.repack, lambda path, **_: lf.repack(path, in_place=True)):
                    with pytest.raises(SourceError, match="journal") as caught:
                        call(sample, out="x")
                    assert caught.value.exit_code == 4
            outcome = lf.recover(sample, back=back).outcome
            assert outcome == ("nothing to do" if step == "removed" else "rolled back" if back else "finished")
            assert sample.read_bytes() == (old if back and step != "removed" else new), (step, number, back)
            assert not pending(sample)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["longer", "shorter", "tail"])
@pytest.mark.parametrize("back", [False, True])
def test_killed_while_recovering(sample: Path, change: str, back: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    options = CHANGES[change]
    old = sample.read_bytes()
    lf.repack(sample, "new", **options)
    new = Path("new").read_bytes()
    steps = steps_of(lambda: lf.repack(sample, in_place=True, **options), monkeypatch)
    middles = {0, steps.index("noted"), steps.index("patch") + 1, steps.index("truncated")}
    for first in sorted(middles):
        write(sample, old)
        kill_at(first, lambda: lf.repack(sample, in_place=True, **options))
        half, journal = sample.read_bytes(), journal_path(sample).read_bytes()
        count = len(steps_of(lambda: lf.recover(sample, back=back), monkeypatch))
        for second in range(count):
            for finally_back in (back, not back):
                write(sample, half)
                write(journal_path(sample), journal)
                kill_at(second, lambda: lf.recover(sample, back=back))
                lf.recover(sample, back=finally_back)
                assert sample.read_bytes() == (old if finally_back else new), (first, second, finally_back)


def test_no_room_for_the_change_undoes_it(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = sample.read_bytes()
    fail_at(monkeypatch, "patch", errno.ENOSPC)
    for name in ("long", "short"):
        with pytest.raises(SourceError, match="as it was"):
            lf.repack(sample, in_place=True, prefix=name)
        assert sample.read_bytes() == old
        assert not pending(sample)


def test_no_room_for_undoing_either_leaves_the_journal(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = sample.read_bytes()
    with monkeypatch.context() as patch:
        fail_at(patch, "truncated", errno.EIO, also="unpatch")
        with pytest.raises(SourceError, match="half changed") as caught:
            lf.repack(sample, in_place=True, prefix="long")
    assert "recover" in caught.value.hint
    assert lf.recover(sample, back=True).outcome == "rolled back"
    assert sample.read_bytes() == old


def test_recover_undoes_what_it_cannot_finish(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = sample.read_bytes()
    kill_at(4, lambda: lf.repack(sample, in_place=True, prefix="long"))
    fail_at(monkeypatch, "patch", errno.ENOSPC)
    assert lf.recover(sample).outcome == "rolled back"
    assert sample.read_bytes() == old


def test_a_file_system_that_cannot_gets_a_new_file(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Shift, fd: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "no")

    lf.repack(sample, "new", prefix="long")
    monkeypatch.setattr(Shift, "apply", refuse)
    result = lf.repack(sample, in_place=True, prefix="long")
    assert result.method == "replaced"
    assert "cannot insert" in result.notes[0]
    assert sample.read_bytes() == Path("new").read_bytes()
    monkeypatch.setattr(surgery, "can_shift", lambda folder: True)  # the folder says yes, the file itself says no
    result = lf.repack(sample, in_place=True, prefix="old")
    assert (result.method, pending(sample)) == ("replaced", False)
    assert "refused" in result.notes[0]


def test_a_file_in_use_is_not_shifted(sample: Path) -> None:
    with open(sample, "rb") as reader:
        before = reader.read(100)
        result = lf.repack(sample, in_place=True, prefix="long")
        assert result.method == "replaced"
        assert "another program" in result.notes[0]
        reader.seek(0)
        assert reader.read(100) == before


def test_a_locked_file_is_left_alone(sample: Path) -> None:
    import fcntl

    with open(sample, "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(SourceError, match="locked"):
            lf.repack(sample, in_place=True, prefix="long")


def test_recover_waits_for_nobody(sample: Path) -> None:
    import fcntl

    kill_at(2, lambda: lf.repack(sample, in_place=True, prefix="long"))
    with open(sample, "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(SourceError, match="being changed"):
            lf.recover(sample)
    assert lf.recover(sample).outcome == "finished"


def test_a_journal_of_another_file_is_refused(sample: Path) -> None:
    other = sample.read_bytes()
    kill_at(2, lambda: lf.repack(sample, in_place=True, prefix="long"))
    write(sample, other[:300_000] + bytes(len(other) - 300_000))
    with pytest.raises(SourceError, match="cannot be those of the file"):
        lf.recover(sample)
    write(sample, other[:-1])
    with pytest.raises(SourceError, match="does not fit"):
        lf.recover(sample)
    assert pending(sample)


@pytest.mark.parametrize("at", [0, 8, 12, 20, 68, 130, 170, HEADER.size + 5, HEADER.size + 400, -1])
def test_a_damaged_journal_is_refused(sample: Path, at: int) -> None:
    kill_at(1, lambda: lf.repack(sample, in_place=True, prefix="long"))
    where, half = journal_path(sample), sample.read_bytes()
    data = bytearray(where.read_bytes())
    data[at] ^= 1
    write(where, data)
    with pytest.raises(FormatError, match="damaged"):
        Journal(where)
    if at:  # with another magic it is somebody else's file
        with pytest.raises(SourceError, match="damaged"):
            lf.recover(sample)
        assert pending(sample)
    assert sample.read_bytes() == half


def test_a_truncated_journal_is_refused_at_every_length(sample: Path) -> None:
    kill_at(1, lambda: lf.repack(sample, in_place=True, name="B"))
    where = journal_path(sample)
    data = where.read_bytes()
    for length in [*range(0, 400, 7), len(data) - 1]:
        write(where, data[:length])
        with pytest.raises(FormatError, match="damaged"):
            Journal(where)


def test_a_journal_of_another_version_is_refused(sample: Path) -> None:
    import hashlib

    kill_at(1, lambda: lf.repack(sample, in_place=True, name="B"))
    where = journal_path(sample)
    data = bytearray(where.read_bytes())
    struct.pack_into("<I", data, 8, 3)
    summed = HEADER.size - 32
    data[summed : HEADER.size] = hashlib.sha256(data[:summed]).digest()
    write(where, data)
    with pytest.raises(SourceError, match="version 3"):
        lf.recover(sample)


def test_a_foreign_file_named_journal_is_not_ours(sample: Path) -> None:
    write(journal_path(sample), b"somebody's diary")
    assert not pending(sample)
    assert lf.recover(sample).outcome == "nothing to do"
    with pytest.raises(SourceError, match="in the way"):
        lf.repack(sample, in_place=True, prefix="long")
    assert journal_path(sample).read_bytes() == b"somebody's diary"


def fail_at(patch: pytest.MonkeyPatch, step: str, code: int, also: str = "") -> None:
    """Let the work fail with an I/O error at ``step``, and at ``also`` too."""

    def checkpoint(passed: str) -> None:
        if passed in (step, also):
            raise OSError(code, os.strerror(code))

    patch.setattr(surgery, "checkpoint", checkpoint)
