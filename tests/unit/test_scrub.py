"""``scrub``: what is kept is read again, a share at a time, and repaired only into what was recorded."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llamafile_format as lf
from llamafile_format.caring import log_of, outdated_set, protect, read_log, sidecar_of
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.keeping import Budget, Everything, Part, Scrubbed, schedule, scrub
from llamafile_format.keeping import scrub as scrub_function
from llamafile_format.keeping.spans import NEVER, Read, Share, cut, oldest, share_of, tiled, with_read
from llamafile_format.keeping.state import NAME, State
from llamafile_format.vouching import sign
from tests.conftest import CliRunner
from tests.laws.containers import tiny_gguf
from tests.signing_samples import keys

ROOT = Path(__file__).resolve().parents[2]
DAY = datetime(2026, 11, 29, 14, tzinfo=UTC)
SIZE = 6 << 20  # bytes of the large model: two chunks


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``a`` with a sidecar set, ``b`` with recovery data inside, ``c`` with nothing and two chunks."""
    folder = tmp_path_factory.mktemp("samples")
    model = folder / "model.gguf"
    model.write_bytes(tiny_gguf(values=50_000))
    lf.pack([model], folder / "a.llamafile", prefix="none")
    sign(folder / "a.llamafile", keys())
    protect(folder / "a.llamafile", percent=20)
    lf.pack([model], folder / "b.llamafile", prefix="none", recovery=20)
    model.write_bytes(tiny_gguf(values=SIZE // 4))
    lf.pack([model], folder / "c.llamafile", prefix="none")
    model.unlink()
    return folder


@pytest.fixture
def kept(samples: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(samples, tmp_path / "kept"))


def run(kept: Path, share: Share = Everything(), **more: bool) -> Scrubbed:  # noqa: B008
    return scrub([kept], kept.parent / "state", share=share, clock=lambda: DAY, **more)


def words(result: Scrubbed) -> dict[str, str]:
    return {Path(each.path).name: each.word for each in result.outcomes}


def rot(path: Path, at: int, length: int = 16) -> bytes:
    """Noise at ``at``; the bytes as they were."""
    right = path.read_bytes()
    data = bytearray(right)
    data[at : at + length] = random.Random(at).randbytes(length)
    path.write_bytes(data)
    return right


def test_a_first_run_takes_in_and_proves(kept: Path) -> None:
    result = run(kept)
    assert words(result) == {f"{name}.llamafile": "added" for name in "abc"}
    assert result.exit_code == 0
    assert len(result.whole) == 3
    assert result.read == result.size == sum(path.stat().st_size for path in kept.glob("*.llamafile"))
    assert result.others == len(list(kept.iterdir())) - 3
    again = run(kept)
    assert not again.outcomes
    assert again.success
    assert [json.loads(line)["outcome"] for line in (kept.parent / "state" / "scrub.jsonl").open()] == ["pass"] * 2


def test_damage_is_changed_and_told_where(kept: Path) -> None:
    run(kept)
    rot(kept / "c.llamafile", 5 << 20)
    result = run(kept)
    (found,) = result.of("changed")
    assert found.damaged
    assert [(each.member, each.offset <= 5 << 20 < each.offset + each.length) for each in found.faults] == [
        ("model.gguf", True)
    ]
    assert result.exit_code == 1
    assert result.value()["failures"] == {"files": {"changed": [found.path], "missing": [], "untracked": []}}
    later = run(kept, Part(1, 1000))
    assert words(later)["c.llamafile"] == "changed", "what is known to be damaged stays so until it is proven again"


def test_recovery_data_are_not_out_of_date_for_what_they_have_made(kept: Path) -> None:
    """Damage that a program does gives the file a new time."""
    run(kept)
    path = kept / "a.llamafile"
    rot(path, 100_000)
    later = path.stat().st_mtime_ns + 10**12
    os.utime(path, ns=(later, later))
    result = run(kept, repair=True)
    assert words(result) == {path.name: "repaired"}
    assert result.of("repaired")[0].proof == "the digest that was recorded"
    assert sidecar_of(path) is not None
    assert outdated_set(path) is None


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("at", [0, 100_000, -3000, -100])
def test_damage_is_repaired_into_what_was_recorded(kept: Path, name: str, at: int) -> None:
    run(kept)
    path = kept / f"{name}.llamafile"
    before = path.stat()
    right = rot(path, at % path.stat().st_size)
    damaged = path.read_bytes()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    result = run(kept, repair=True)
    assert words(result) == {path.name: "repaired"}, result.outcomes
    assert result.exit_code == 0
    assert path.read_bytes() == right
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    (aside,) = kept.glob("*.damaged-*")
    assert aside.name == f"{path.name}.damaged-2026-11-29"
    assert aside.read_bytes() == damaged
    assert not [each for each in kept.iterdir() if each.name.startswith(".")]
    assert not run(kept).outcomes, "the damaged copy is nothing to watch over"


def test_nothing_is_repaired_without_being_asked_or_without_a_way(kept: Path) -> None:
    run(kept)
    for name in "ac":
        rot(kept / f"{name}.llamafile", 100_000)
    assert set(words(run(kept)).values()) == {"changed"}
    result = run(kept, repair=True)
    assert words(result) == {"a.llamafile": "repaired", "c.llamafile": "changed"}
    assert "not repaired" in result.of("changed")[0].detail


@pytest.mark.parametrize("damage", [False, True])
def test_another_valid_manifest_is_changed_and_never_repaired(kept: Path, damage: bool) -> None:
    """Also where the new file has rotted, and the old set beside it could bring back the old one."""
    run(kept)
    path = kept / "a.llamafile"
    lf.repack(path, in_place=True, name="Another", force=True)
    if damage:
        rot(path, 100_000)
    now = path.read_bytes()
    result = run(kept, repair=True)
    assert words(result) == {"a.llamafile": "changed"}
    assert not result.of("changed")[0].damaged
    assert path.read_bytes() == now
    assert not list(kept.glob("*.damaged-*"))


def test_another_manifest_whose_directory_is_gone_is_changed(kept: Path) -> None:
    run(kept)
    path = kept / "a.llamafile"
    lf.repack(path, in_place=True, name="Another", force=True)
    path.write_bytes(path.read_bytes()[:-200])
    result = run(kept, repair=True)
    assert not result.of("changed")[0].damaged
    assert not list(kept.glob("*.damaged-*"))


def test_another_signature_is_changed_until_it_is_accepted(kept: Path) -> None:
    run(kept)
    sign(kept / "a.llamafile", keys("p256"))
    result = run(kept, repair=True)
    assert words(result) == {"a.llamafile": "changed"}
    assert "signature" in result.of("changed")[0].detail
    accepted = run(kept, accept=True)
    assert words(accepted) == {"a.llamafile": "accepted"}
    assert str(kept / "a.llamafile") in accepted.whole
    assert not run(kept).outcomes


def test_a_repair_that_loses_a_signature_is_none(kept: Path) -> None:
    """Recovery data inside do not cover the records: what they give is not what was recorded."""
    path = kept / "b.llamafile"
    sign(path, keys())
    run(kept)
    rot(path, path.read_bytes().rindex(b"META-LLAMAFILE/signatures", 0, -1000) + 300, 40)
    result = run(kept, repair=True)
    assert words(result) == {"b.llamafile": "changed"}
    assert "signature records" in result.of("changed")[0].detail
    assert not list(kept.glob("*.damaged-*"))


def test_missing_untracked_and_back(kept: Path) -> None:
    run(kept)
    (kept / "c.llamafile").rename(kept.parent / "c")
    data = (kept / "b.llamafile").read_bytes()
    (kept / "d.llamafile").write_bytes(data[: len(data) // 2] + bytes(len(data) // 2) + data[-60:])
    result = run(kept)
    assert words(result)["c.llamafile"] == "missing"
    assert result.exit_code == 1
    (kept.parent / "c").rename(kept / "c.llamafile")
    (kept / "d.llamafile").unlink()
    assert "c.llamafile" not in words(run(kept))
    (kept / "c.llamafile").unlink()
    assert words(run(kept, accept=True))["c.llamafile"] == "forgotten"
    assert "c.llamafile" not in words(run(kept))


def test_a_file_that_is_not_in_order_is_untracked(kept: Path) -> None:
    data = bytearray((kept / "c.llamafile").read_bytes())
    data[:4] = b"PK\3\5"
    (kept / "d.llamafile").write_bytes(data)
    result = run(kept)
    assert words(result)["d.llamafile"] == "untracked"
    assert "LF" in result.of("untracked")[0].detail
    assert words(run(kept)) == {"d.llamafile": "untracked"}


def test_what_is_not_named_is_left_alone(kept: Path) -> None:
    run(kept)
    rot(kept / "c.llamafile", 100_000)
    state = kept.parent / "state"
    only = scrub([kept / "a.llamafile"], state)
    assert (only.files, only.outcomes) == (1, ())
    named = scrub([kept / "never.llamafile", kept / "a.llamafile"], state)
    assert words(named) == {"never.llamafile": "missing"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_does_not_hide_the_others(kept: Path) -> None:
    (kept / "lost").mkdir(mode=0)
    result = run(kept)
    assert words(result)["lost"] == "unreadable"
    assert result.exit_code == 4
    assert len(result.whole) == 3


def test_a_journal_that_is_pending_is_unreadable(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(kept)
    (kept / "a.llamafile").chmod(0o644)
    from llamafile_format.errors import SourceError
    from llamafile_format.keeping import compare

    def refuse(path: str) -> None:
        raise SourceError("a change was not finished")

    monkeypatch.setattr(compare, "refuse_pending", refuse)
    assert run(kept).exit_code == 4


# Shares


def test_parts_are_all_of_it(kept: Path) -> None:
    results = [run(kept, Part(number, 5)) for number in range(1, 6)]
    assert sum(result.read for result in results) == results[0].size
    assert len({path for result in results for path in result.whole}) == 3


def test_a_budget_reads_the_oldest_first(kept: Path) -> None:
    size = run(kept, Budget(percent=1)).size
    read = 0
    for _ in range(30):
        result = run(kept, Budget(size=size // 10))
        assert result.read <= size // 10
        read += result.read
        if read >= size:
            break
    with State(kept.parent / "state", write=False) as state:
        assert all(file.proven for file in state.files())


sizes = st.integers(0, 60)


@given(st.integers(1, 60), st.lists(st.tuples(sizes, sizes, st.integers(1, 5)), max_size=8))
def test_spans_always_tile(size: int, reads: list[tuple[int, int, int]]) -> None:
    tiles = tiled((), size)
    last = [NEVER] * size
    for start, length, run_ in reads:
        stop = min(start + length, size)
        if start < stop:
            tiles = with_read(tiles, Read(start, stop, run_))
            last[start:stop] = [run_] * (stop - start)
    assert [each.run for each in tiles for _ in range(each.length)] == last
    assert oldest(tiles) == min(last)
    assert tiled([each for each in tiles if each.run], size) == tiles
    assert next(piece.start for read in tiles for piece in cut(read, 7)) == 0


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 40), min_size=1), st.integers(1, 9))
def test_every_part_once(files: dict[str, int], total: int) -> None:
    tiles = tuple((name, tiled((), size)) for name, size in sorted(files.items()))
    seen = [
        (name, byte)
        for n in range(1, total + 1)
        for name, r in share_of(tiles, Part(n, total), 1)
        for byte in range(r.start, r.stop)
    ]
    assert sorted(seen) == [(name, byte) for name, size in sorted(files.items()) for byte in range(size)]


# Killed, two at once, and a state that is none


@pytest.mark.parametrize("step", range(5))
def test_a_killed_run_goes_on(kept: Path, step: int) -> None:
    """Killed at the ``step``-th write to the state, in the middle of its transaction: only that is read twice."""
    code = (
        "import os, sys, signal\n"
        "from llamafile_format.keeping import scrub\n"
        "from llamafile_format.keeping import state as room\n"
        "sys.modules['llamafile_format.keeping.scrub']._STEP = 1 << 20\n"
        "class Base:\n"
        "    left = int(sys.argv[3])\n"
        "put = room.State.put\n"
        "def dying(self, *files, run=None, done=0):\n"
        "    if run is not None:\n"
        "        if not Base.left:\n"
        "            self._base.execute('BEGIN IMMEDIATE')\n"
        "            self._base.execute('UPDATE runs SET done = 999999')\n"
        "            self._base.execute('PRAGMA cache_size = 1')\n"
        "            rows = [(os.urandom(3000),) for _ in range(50)]\n"
        "            self._base.executemany('INSERT INTO kept VALUES (?)', rows)\n"
        "            assert os.path.getsize(os.path.join(sys.argv[2], 'state.sqlite-journal'))\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        Base.left -= 1\n"
        "    put(self, *files, run=run, done=done)\n"
        "room.State.put = dying\n"
        "scrub([sys.argv[1]], sys.argv[2])\n"
    )
    words_ = [sys.executable, "-c", code, str(kept), str(kept.parent / "state"), str(step)]
    assert subprocess.run(words_, cwd=ROOT, check=False, timeout=300).returncode == -signal.SIGKILL
    with State(kept.parent / "state", write=False) as state:
        (begun,) = state.runs()
        assert not begun.ended
        assert begun.done < 999999 or step
        before = begun.done
        assert not state.kept()
    result = scrub([kept], kept.parent / "state")
    assert result.run == begun.number
    assert result.read == result.size, "what was proven before is not read again"
    assert before <= result.size
    assert not (kept.parent / "state" / f"{NAME}-journal").exists()


def test_two_at_once(kept: Path, run_cli: CliRunner) -> None:
    with State(kept.parent / "state", write=True):
        done = run_cli("scrub", kept, "--state", kept.parent / "state")
    assert done.returncode == 2
    assert "another run writes to the state" in done.stderr
    assert run_cli("scrub", kept, "--state", kept.parent / "state").returncode == 0


@pytest.mark.parametrize("data", [b"no database at all, only some text" * 40, b"SQLite format 3\0" + bytes(4096)])
def test_a_state_that_is_none(kept: Path, data: bytes, run_cli: CliRunner) -> None:
    state = kept.parent / "state"
    state.mkdir()
    (state / NAME).write_bytes(data)
    assert run_cli("scrub", kept, "--state", state).returncode == 1
    assert (state / NAME).read_bytes() == data


def test_a_database_of_another_program(kept: Path) -> None:
    state = kept.parent / "state"
    state.mkdir()
    base = sqlite3.connect(state / NAME)
    base.execute("CREATE TABLE music (title TEXT)")
    base.close()
    with pytest.raises(FormatError, match="no state"):
        run(kept)
    with pytest.raises(UsageError, match="holds no state"):
        State(kept, write=False)


def test_a_log_that_a_crash_has_cut(kept: Path) -> None:
    run(kept)
    log = kept.parent / "state" / "scrub.jsonl"
    log.write_bytes(log.read_bytes() + b'{"half')
    run(kept)
    assert len(log.read_bytes().splitlines()) == 3
    assert json.loads(log.read_bytes().splitlines()[-1])["run"] == 2


# The command


def test_events_of_each_file(kept: Path) -> None:
    run(kept, events=True)
    rot(kept / "a.llamafile", 100_000)
    run(kept, events=True, repair=True)
    assert [(each.event.kind, each.event.outcome) for each in read_log(kept / "a.llamafile")] == [
        ("fixity check", "pass"),
        ("recovery", "pass"),
    ]
    assert not log_of(kept / "a.llamafile.par2").exists()


HOSTILE = "a b%c $HOME 'q' \"d\" \\n `id` ü;rm"


def test_hostile_names(samples: Path, tmp_path: Path, run_cli: CliRunner) -> None:
    folder = tmp_path / HOSTILE
    folder.mkdir()
    path = folder / "\u202e\x1b[31m.llamafile"
    shutil.copy(samples / "b.llamafile", path)
    odd = os.fsencode(folder) + b"/\xff.llamafile"
    shutil.copy(samples / "b.llamafile", odd)
    done = run_cli("scrub", folder, "--state", folder / "state")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert json.loads((folder / "state" / "scrub.jsonl").read_text("ascii"))["files"] == 2


def test_the_cron_line_runs_as_printed(kept: Path, run_cli: CliRunner) -> None:
    """cron hands what is left of a bare percent sign to sh, and makes ``\\%`` one of the command."""
    folder = kept.rename(kept.with_name(HOSTILE))
    state = folder.parent / f"state {HOSTILE}"
    done = run_cli("scrub", folder, "--state", state, "--percent", "5", "--repair", "--schedule")
    assert done.returncode == 0, done.stderr
    assert not state.exists()
    line = next(line for line in done.stdout.splitlines() if line.startswith("17 3 * * * "))
    command = line.removeprefix("17 3 * * * ").replace("\\%", "\0")
    assert "%" not in command
    words_ = shlex.split(command.replace("\0", "%"))
    assert words_[-1] == str(folder)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        ["sh", "-c", command.replace("\0", "%")], capture_output=True, text=True, env=env, check=False, timeout=300
    )
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
    assert (state / "scrub.jsonl").exists()


@pytest.mark.interop
def test_systemd_reads_the_units(tmp_path: Path) -> None:
    verifier = shutil.which("systemd-analyze")
    if verifier is None:
        pytest.skip("systemd-analyze is not installed")
    text = schedule([sys.executable, "-m", "llamafile_format", "scrub", f"/{HOSTILE}"], daily=True)
    _, service, timer, _ = text.split("# ", 3)[0], *text.split("# ")[1:4]
    for kind, part in (("service", service), ("timer", timer)):
        (tmp_path / f"llamafile-scrub.{kind}").write_text(part.split("\n", 1)[1])
    done = subprocess.run(
        [verifier, "verify", "--man=no", tmp_path / "llamafile-scrub.service"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "llamafile-scrub" not in done.stderr, done.stderr


def test_where_nothing_is_watched_nothing_is_well(tmp_path: Path, run_cli: CliRunner) -> None:
    """A path that was mistyped is told by both, not called healthy."""
    (tmp_path / "notes.txt").write_text("no container")
    for command in ("scrub", "status"):
        (tmp_path / "state").mkdir(exist_ok=True)
        done = run_cli(command, tmp_path, "--state", tmp_path / "state")
        assert (done.returncode, done.stderr) == (3, "")
        assert "nothing here is a container, or was recorded as one" in done.stdout


def test_refusals(kept: Path, run_cli: CliRunner) -> None:
    base = ("scrub", kept, "--state", kept.parent / "state")
    for more, word in (
        (("--subset", "3/2"), "no part"),
        (("--subset", "0/2"), "no part"),
        (("--subset", "1/2", "--percent", "5"), "three ways"),
        (("--bytes", "0"), "nothing"),
        (("--subset", "1/2", "--schedule"), "for ever"),
    ):
        done = run_cli(*base, *more)
        assert (done.returncode, word in done.stderr) == (2, True), (more, done.stderr)
    with pytest.raises(UsageError, match="control character"):
        schedule(["a\nb"], daily=False)
    assert run_cli(*base, "--bytes", "50G", "--json").returncode == 0
    assert scrub_function is scrub
