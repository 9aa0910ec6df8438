"""One verification in a child process: whatever it does there, it is named, and the others go on (spec/1, 10.15)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from llamafile_format.checks.verdict import Level
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.fleet import Bounds, End, Guard, Local, Terms, look
from llamafile_format.reports import read_report, report_value
from llamafile_format.rules import ruleset_digest
from tests.conftest import ROOT, CliRunner
from tests.laws.containers import small_container
from tests.poison import Poisoned

POISONED = Terms(reach=Poisoned())
TIGHT = Bounds(memory=1 << 30, seconds=120, silence=120)
BRIEF = Bounds(memory=1 << 30, seconds=2, silence=0)


@pytest.fixture
def good(tmp_path: Path) -> str:
    """A container without a fault."""
    return str(small_container(tmp_path))


def _poison(good: str, word: str) -> str:
    path = Path(good).with_name(f"{word}.llamafile")
    path.write_bytes(Path(good).read_bytes())
    return str(path)


def test_a_report_is_the_one_that_this_process_would_make(good: str) -> None:
    terms = Terms(level=Level.EXHAUSTIVE)
    with Guard() as guard:
        outcome = guard.judge(good, terms)
        report = guard.report(good, terms)
    here = look(good, terms)
    assert outcome.end is End.DONE
    assert outcome.report == json.loads(json.dumps(report_value(here)))
    assert report == here


@pytest.mark.parametrize(
    ("word", "end", "why"),
    [
        ("crash", End.CRASHED, "SIGSEGV"),
        ("abort", End.CRASHED, "SIGABRT"),
        ("leave", End.CRASHED, "exit code 7"),
        ("hog", End.OUT_OF_MEMORY, str(1 << 30)),
        ("raise", End.FAILED, "LookupError: nobody foresaw this"),
    ],
)
def test_each_bad_end_has_its_name_and_harms_nobody(good: str, word: str, end: End, why: str) -> None:
    with Guard(TIGHT) as guard:
        assert guard.judge(good, POISONED).end is End.DONE
        outcome = guard.judge(_poison(good, word), POISONED)
        assert (outcome.end, outcome.report) == (end, None)
        assert why in outcome.why
        assert guard.judge(good, POISONED).end is End.DONE
        assert guard.starts == 2  # a fresh child after the bad end, and only then


@pytest.mark.parametrize("word", ["hang", "deaf"])
def test_what_takes_too_long_is_ended(good: str, word: str) -> None:
    with Guard(BRIEF) as guard:
        outcome = guard.judge(_poison(good, word), POISONED)
        assert outcome.end is End.OUT_OF_TIME
        assert "2 seconds" in outcome.why
    with Guard(Bounds(silence=1)) as guard:
        outcome = guard.judge(_poison(good, word), POISONED)
        assert outcome.end is End.OUT_OF_TIME
        assert "no progress for 1 seconds" in outcome.why


def test_a_bad_end_is_a_report_that_is_not_complete(good: str) -> None:
    with Guard(TIGHT) as guard:
        report = guard.report(_poison(good, "abort"), POISONED)
    assert (report.complete, report.exit_code(), report.verdicts) == (False, 4, {})
    assert "SIGABRT" in report.error


def test_what_is_printed_meanwhile_goes_nowhere(good: str, capfd: pytest.CaptureFixture[str]) -> None:
    with Guard(TIGHT) as guard:
        assert guard.judge(_poison(good, "chatter"), POISONED).end is End.DONE
    assert capfd.readouterr() == ("", "")


def test_a_child_is_replaced_after_so_many_files(good: str) -> None:
    with Guard(uses=2) as guard:
        assert {guard.judge(good, Terms(level=Level.QUICK)).end for _ in range(5)} == {End.DONE}
        assert guard.starts == 3


def test_a_child_that_somebody_ends_between_two_files_is_nobody_s_fault(good: str) -> None:
    with Guard() as guard:
        guard.judge(good, Terms(level=Level.QUICK))
        child = guard._child
        assert child is not None
        os.kill(child._process.pid, signal.SIGKILL)
        child._process.wait()
        assert guard.judge(good, Terms(level=Level.QUICK)).end is End.DONE


def test_terms_may_change_from_file_to_file(good: str) -> None:
    with Guard() as guard:
        levels = [Level.QUICK, Level.FULL, Level.QUICK]
        reports = [guard.report(good, Terms(level=level)) for level in levels]
    assert [report.level for report in reports] == levels


def test_progress_is_told(tmp_path: Path) -> None:
    with Guard() as guard:
        told: list[tuple[int, int]] = []
        guard.judge(str(small_container(tmp_path)), Terms(), progress=lambda *each: told.append(each))
    assert told
    assert all(0 <= done <= total for done, total in told)


def test_threads_take_turns(good: str) -> None:
    ends = []
    with Guard() as guard:
        threads = [
            threading.Thread(target=lambda: ends.append(guard.judge(good, Terms(level=Level.QUICK)).end))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert ends == [End.DONE] * 4


def test_a_child_ends_with_its_guard(good: str) -> None:
    """Also where the guard is killed, and the child hangs."""
    script = (
        "import sys, threading, time\n"
        "from llamafile_format.fleet import Bounds, Guard, Terms\n"
        "from tests.poison import Poisoned\n"
        "guard = Guard(Bounds())\n"
        "threading.Thread(target=guard.judge, args=(sys.argv[1], Terms(reach=Poisoned())), daemon=True).start()\n"
        "while guard._child is None or not guard._child._terms: time.sleep(0.05)\n"
        "print(guard._child._process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, _poison(good, "hang")], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as guard:
        assert guard.stdout is not None
        child = int(guard.stdout.readline())
        os.kill(child, 0)
        guard.kill()
    for _ in range(600):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{child}/stat").read_text().split(")")[1].split()[0] == "Z":
            return  # ended, and whoever adopted it has not asked how
        time.sleep(0.1)
    pytest.fail("the child lives on")


def test_nothing_is_imported_from_the_folder_that_one_works_in(
    good: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    with Guard() as guard:
        assert guard.judge(good, Terms(level=Level.QUICK)).end is End.DONE


def test_addresses_are_refused_unless_somebody_decides(good: str) -> None:
    with Guard() as guard:
        report = guard.report("https://127.0.0.1:1/x?secret=1", Terms(reach=Local()))
    assert not report.complete
    assert "is an address" in report.error
    assert "secret" not in repr(report)


def test_who_answers_unasked_is_not_heard(good: str) -> None:
    """A child that was taken over fills nobody's memory, and its stock of answers is about no other file."""
    with Guard(TIGHT) as guard:
        assert guard.report(_poison(good, "flood"), POISONED).complete is False
        time.sleep(1)
        child = guard._child
        assert child is not None
        assert child._heard.qsize() <= 4
        assert guard.report(good, POISONED) == look(good, POISONED)
        assert guard.starts == 2
    assert not child._listener.is_alive()


def test_bounds_that_nothing_fits_into_are_refused() -> None:
    with pytest.raises(UsageError):
        Bounds(memory=1 << 20)
    with pytest.raises(UsageError):
        Bounds(seconds=-1)
    assert Bounds(seconds=5, silence=3).left(1, 1) == 2
    assert Bounds(seconds=0, silence=0).left(1, 1) is None


def test_a_report_that_is_none_is_refused(good: str) -> None:
    """What comes from a child that a file has taken over is looked at before it is believed to be a report."""
    value = report_value(look(good, Terms(level=Level.QUICK)))
    assert report_value(read_report(value)) == value
    for change in (
        {"ruleset_sha256": "0" * 64},
        {"verdicts": {"well-formed": "maybe"}},
        {"file": {**value["file"], "size": "7"}},
        {"file": {**value["file"], "size": 1 << 70}},
        {"file": {**value["file"], "name": "\ud800"}},
        {"findings": [{"rule": "LF1009", "where": {}, "args": {}}]},  # what its words are about is missing
        {"findings": [{"rule": "LF0000", "where": {}, "args": {}}]},
        {"findings": [{"rule": "LF1001", "where": {"offset": "7"}, "args": {}}]},
        {"signatures": [{"record": 7}]},
        {"policy": None},
    ):
        with pytest.raises(FormatError):
            read_report({**value, **change})
    with pytest.raises(FormatError):
        read_report({})
    assert value["ruleset_sha256"] == ruleset_digest()


def test_several_files_are_judged_in_a_child(tmp_path: Path, run_cli: CliRunner) -> None:
    """One that is unreadable costs its own line; whatever has a report has the one it would have alone."""
    good = small_container(tmp_path)
    none = tmp_path / "none.llamafile"
    none.mkfifo() if hasattr(none, "mkfifo") else os.mkfifo(none)
    alone = json.loads(run_cli("verify", "--format", "json", good).stdout)
    both = run_cli("verify", "--format", "jsonl", good, none)
    assert both.returncode == 4
    first, second = map(json.loads, both.stdout.splitlines())
    assert first == alone
    assert second["complete"] is False
