"""Journals that somebody else put beside a file: none is believed, none stops a command, none is waited for."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.changing.journal import HEADER, RECORD, SHIFTED
from llamafile_format.errors import SourceError
from llamafile_format.source.pending import MAGIC, journal_path, pending
from tests.laws.containers import small_container

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="changes in place are for systems with flock")

OLD = b"0123456789" * 10
PROBE, REMOVED, PATCH = 1, 2, 3


def run(*words: str | Path) -> tuple[int, str]:
    """Exit code and messages of a command; it has a minute."""
    command = [sys.executable, "-m", "llamafile_format", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def record(kind: int, offset: int, old: bytes = b"", new: bytes = b"", size: int | None = None) -> bytes:
    """A record's bytes."""
    return RECORD.pack(kind, 0, offset, len(old) if size is None else size, len(new)) + old + new


def journal(
    beside: Path,
    records: Sequence[bytes] = (),
    *,
    old: int = 100,
    new: int = 100,
    kind: int = 0,
    shift: tuple[int, int] = (0, 0),
    inode: int | None = None,
) -> bytes:
    """A whole journal, both digests right, made for the file ``beside`` unless ``inode`` is another."""
    info, body = beside.stat(), b"".join(records)
    head = struct.pack("<8sIIQQQQQ", MAGIC, 2, kind, old, new, *shift, len(body))
    head += struct.pack("<QQ", info.st_ino if inode is None else inode, info.st_dev)
    head += bytes(64) + hashlib.sha256(body).digest()
    assert len(head) == HEADER.size - 32
    return head + hashlib.sha256(head).digest() + body


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "notes.txt"
    path.write_bytes(OLD)
    return path


def plant(victim: Path, data: bytes) -> None:
    """Put ``data`` beside ``victim`` as its journal, as a private file."""
    where = journal_path(victim)
    where.write_bytes(data)
    where.chmod(0o600)


UNBOUND = {
    "patch without the old bytes": ([record(PATCH, 3, b"XX", b"aa")], {}),
    "patch that names no old bytes": ([record(PATCH, 3, b"", b"aa")], {}),
    "offset 2^64 - 1": ([record(PATCH, (1 << 64) - 1, b"0", b"a")], {}),
    "offset 2^62": ([record(PATCH, 1 << 62, b"0", b"a")], {}),
    "offset behind the end": ([record(PATCH, 100, b"0", b"a")], {}),
    "probe that wraps": ([record(PROBE, (1 << 64) - 5, bytes(32), size=4)], {}),
    "probe of other bytes": ([record(PROBE, 0, bytes(32), size=100)], {}),
    "cut to nothing": ([], {"new": 0}),
    "cut, other bytes": ([record(PATCH, 0, b"X" * 100)], {"new": 0}),
    "grown to 2^61": ([], {"new": 1 << 61}),
    "grown to 8 TiB": ([], {"new": 1 << 43}),
    "another size": ([], {"old": 90, "new": 90}),
    "unknown kind": ([record(9, 0)], {}),
    "two patches of one place": ([record(PATCH, 0, b"01", b"01"), record(PATCH, 1, b"1", b"1")], {}),
    "inserts behind the end": ([], {"kind": 1, "shift": (65536, 65536), "new": 100 + 65536}),
    "takes out what it does not hold": ([], {"kind": 2, "shift": (0, 65536), "old": 65636, "new": 100}),
}


@pytest.mark.parametrize("what", UNBOUND)
@pytest.mark.parametrize("back", [False, True])
def test_a_journal_that_does_not_know_the_file_changes_nothing(victim: Path, what: str, back: bool) -> None:
    records, sizes = UNBOUND[what]
    plant(victim, journal(victim, records, **sizes))  # type: ignore[arg-type]
    with pytest.raises(SourceError) as caught:
        lf.recover(victim, back=back)
    assert caught.value.exit_code == 4
    assert victim.read_bytes() == OLD


def test_a_journal_that_knows_the_file_is_carried_out(victim: Path) -> None:
    """The neighbour of all of the above: the same journal with the right bytes."""
    plant(victim, journal(victim, [record(PATCH, 3, OLD[3:5], b"aa")]))
    assert pending(victim)
    assert lf.recover(victim).outcome == "finished"
    assert victim.read_bytes() == OLD[:3] + b"aa" + OLD[5:]


def test_a_half_done_change_is_finished_or_undone(victim: Path) -> None:
    data = journal(victim, [record(PATCH, 0, OLD, b"#" * 110)], new=110)
    for back, outcome in ((False, b"#" * 110), (True, OLD)):
        for done in range(0, 111, 11):
            victim.write_bytes((b"#" * done + OLD[done:]).ljust(110 if done > 100 else 100, b"\0")[:110])
            plant(victim, data)
            lf.recover(victim, back=back)
            assert victim.read_bytes() == outcome


def test_a_journal_of_another_inode_is_not_believed(victim: Path) -> None:
    plant(victim, journal(victim, [record(PATCH, 3, OLD[3:5], b"aa")], inode=7))
    assert not pending(victim)
    with pytest.raises(SourceError, match="made for another file"):
        lf.recover(victim)
    assert lf.recover(victim, moved=True).outcome == "finished"  # the user says so, and all bytes fit


def odd(where: Path, kind: str) -> None:
    """Something at ``where`` that is no journal."""
    if kind == "pipe":
        os.mkfifo(where)
    elif kind == "folder":
        where.mkdir()
    elif kind == "link to itself":
        where.symlink_to(where.name)
    else:
        genuine = where.with_name("elsewhere")
        genuine.write_bytes(journal(where.with_suffix(""), [record(PATCH, 3, OLD[3:5], b"aa")]))
        where.symlink_to(genuine.name)


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to itself", "link to a journal"])
def test_what_is_no_file_stops_nobody(tmp_path: Path, kind: str) -> None:
    """Each command comes to an end (a pipe that is opened would wait for ever) and does its work."""
    path = small_container(tmp_path)
    odd(journal_path(path), kind)
    for command in (["inspect"], ["verify"], ["extract", "-C", tmp_path / "out"]):
        assert run(*command, path)[0] == 0
    before = path.read_bytes()
    code, said = run("recover", path)
    assert code == 4
    assert "not believed" in said
    assert path.read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_a_journal_of_another_user_is_not_believed(victim: Path) -> None:
    plant(victim, journal(victim, [record(PATCH, 3, OLD[3:5], b"aa")]))
    os.chown(journal_path(victim), 4711, 4711)
    assert not pending(victim)
    with pytest.raises(SourceError, match="user 4711"):
        lf.recover(victim)
    os.chown(victim, 4711, 4711)  # who owns the file may change it anyway
    assert pending(victim)


def test_a_journal_that_others_may_write_is_not_believed(victim: Path) -> None:
    plant(victim, journal(victim, [record(PATCH, 3, OLD[3:5], b"aa")]))
    journal_path(victim).chmod(0o666)
    assert not pending(victim)
    with pytest.raises(SourceError, match="may write"):
        lf.recover(victim)


def test_another_file_of_that_name_is_no_journal(victim: Path) -> None:
    plant(victim, b"dear diary")
    assert lf.recover(victim).outcome == "nothing to do"
    plant(victim, MAGIC)
    assert lf.recover(victim).outcome == "nothing to do"
    plant(victim, journal(victim, [record(PATCH, 3, OLD[3:5], b"aa")]) + SHIFTED + b"x")
    with pytest.raises(SourceError, match="its length is not"):
        lf.recover(victim)


def test_a_name_that_leaves_no_room_for_a_journal(tmp_path: Path) -> None:
    path = small_container(tmp_path).rename(tmp_path / ("n" * 250))
    assert not pending(path)
    assert run("verify", path)[0] == 0
    with pytest.raises(SourceError, match="too long"):
        lf.repack(path, in_place=True, name="another")
