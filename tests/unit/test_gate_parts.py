"""The parts of the gate: keys, the queue, uploads, numbers, pictures, forms (spec/1, 10.16)."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import time
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

import llamafile_format as lf
from llamafile_format.fleet import End, Guard, Outcome, Terms
from llamafile_format.reports import report_value
from llamafile_format.service import judging, read_gate
from llamafile_format.service.app import make_app
from llamafile_format.service.badge import badge_svg
from llamafile_format.service.config import Gate, Key
from llamafile_format.service.documents import MEDIA, Form, document, report_of, summary
from llamafile_format.service.jobs import Busy, Job, Jobs, State, new_id
from llamafile_format.service.judging import Brought, by_its_name, terms_of
from llamafile_format.service.keys import holder
from llamafile_format.service.metrics import Metrics
from llamafile_format.service.uploads import CutOff, TooLarge, Uploads
from tests.gate_service import KEY, OTHER, configure
from tests.laws.containers import small_container


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    found = read_gate(configure(tmp_path))
    found.state.mkdir()
    return found


@pytest.fixture
def jobs(gate: Gate) -> Jobs:
    return Jobs(gate.state, gate.caps)


def job(key: Key, address: str = "", size: int = 0, name: str = "m.llamafile") -> Job:
    return Job(new_id(), key.name, address, name, size, "full")


# Keys


def test_a_key_is_whose_it_is(gate: Gate) -> None:
    first, second = gate.keys
    assert holder(gate.keys, [(b"authorization", b"Bearer " + KEY.encode())]) is first
    assert holder(gate.keys, [(b"Authorization", b"bearer " + OTHER.encode())]) is second
    for wrong in (
        [],
        [(b"authorization", b"")],
        [(b"authorization", KEY.encode())],
        [(b"authorization", b"Basic " + KEY.encode())],
        [(b"authorization", b"Bearer " + KEY.encode() + b" ")],
        [(b"authorization", b"Bearer " + KEY.encode()[:-1])],
        [(b"authorization", b"Bearer \xff\xfe\x00")],
        [(b"authorization", b"Bearer " + KEY.encode())] * 2,
        [(b"authorization", b"Bearer " + first.digest.hex().encode())],
        [(b"authorization", b"Bearer " + b"x" * 100_000)],
    ):
        assert holder(gate.keys, wrong) is None


@given(st.binary(max_size=80))
def test_nobody_guesses_one(given: bytes) -> None:
    keys = [Key("a", b"\0" * 32, 1, 1)]
    assert holder(keys, [(b"authorization", given)]) is None
    assert holder(keys, [(b"authorization", b"Bearer " + given)]) is None


# The queue


def test_jobs_are_worked_off_in_turn_and_fairly(gate: Gate, jobs: Jobs) -> None:
    first, second = gate.keys
    added = [jobs.add(job(key), key) for key in (first, first, first, second)]
    taken = [jobs.take(0) for _ in range(4)]
    assert [each and each.id for each in taken] == [added[i].id for i in (0, 3, 1, 2)]
    assert jobs.take(0.01) is None
    assert jobs.counts() == {"queued": 0, "running": 4, "done": 0, "failed": 0}
    jobs.finish(added[0], {"report": 1})
    jobs.finish(added[1], None, "it crashed")
    assert jobs.report(added[0].id) == {"report": 1}
    assert jobs.report(added[1].id) is None
    failed = jobs.get(added[1].id)
    assert failed is not None
    assert (failed.state, failed.why) == (State.FAILED, "it crashed")
    assert jobs.get("0" * 32) is None


def test_what_was_accepted_outlives_whoever_accepted_it(gate: Gate, jobs: Jobs) -> None:
    key = gate.keys[0]
    added = [jobs.add(job(key), key) for _ in range(3)]
    jobs.take(0)
    for tries in range(1, gate.caps.tries + 1):
        later = Jobs(gate.state, gate.caps)  # the other one is as good as killed: it closes nothing
        over = later.recover()
        assert [each.id for each in over] == ([added[0].id] if tries == gate.caps.tries else [])
        assert later.counts()["running"] == 0
        if not over:
            again = later.take(0)
            assert again is not None
            assert (again.id, again.tries) == (added[0].id, tries + 1)
    given_up = later.get(added[0].id)
    assert given_up is not None
    assert given_up.state is State.FAILED
    assert "3 times" in given_up.why
    assert later.counts()["queued"] == 2


def test_there_is_a_limit_to_what_waits(gate: Gate, jobs: Jobs) -> None:
    second = gate.keys[1]
    for _ in range(second.waiting):
        jobs.add(job(second), second)
    for refuse in (lambda: jobs.room(second), lambda: jobs.add(job(second), second)):
        with pytest.raises(Busy) as busy:
            refuse()
        assert busy.value.seconds > 0
    jobs.room(gate.keys[0])
    taken = jobs.take(0)
    assert taken is not None
    jobs.finish(taken, None, "")
    jobs.room(second)


def test_an_address_is_cut_when_it_is_of_no_more_use(gate: Gate, jobs: Jobs) -> None:
    key = gate.keys[0]
    added = jobs.add(job(key, "https://models.test/m?sig=s3cret", name="https://models.test/m"), key)
    assert "s3cret" not in repr(added)
    jobs.finish(added, {})
    done = jobs.get(added.id)
    assert done is not None
    assert done.address == "https://models.test/m"
    for path in gate.state.glob("jobs.sqlite*"):
        assert b"s3cret" not in path.read_bytes()


def test_old_reports_are_forgotten(gate: Gate, jobs: Jobs) -> None:
    key = gate.keys[0]
    old, new, waits = (jobs.add(job(key), key) for _ in range(3))
    jobs.finish(old, {})
    jobs.finish(new, {})
    with sqlite3.connect(gate.state / "jobs.sqlite") as base:
        base.execute("UPDATE jobs SET ended = 1, created = 1 WHERE id = ?", [old.id])
    assert jobs.prune() == 1
    assert jobs.get(old.id) is None
    assert jobs.get(new.id)
    assert jobs.get(waits.id)


def test_a_report_that_is_too_large_is_not_kept(gate: Gate, jobs: Jobs) -> None:
    key = gate.keys[0]
    added = jobs.add(job(key), key)
    jobs.finish(added, {"x": "y" * (1 << 24)})
    failed = jobs.get(added.id)
    assert failed is not None
    assert "too large" in failed.why


# Uploads


async def pieces(*data: bytes, silent: bool = False) -> AsyncIterator[bytes]:
    for each in data:
        yield each
    if silent:
        await asyncio.sleep(60)


def test_an_upload_is_there_whole_or_not_at_all(gate: Gate, jobs: Jobs) -> None:
    uploads = Uploads(gate, jobs)
    data = b"x" * (3 << 20)
    asyncio.run(uploads.receive("a", pieces(data[:5], data[5:], b""), len(data)))
    assert uploads.path("a").read_bytes() == data
    assert uploads.path("a").stat().st_mode & 0o777 == 0o600
    for wrong in (pieces(b"12"), pieces(b"12345")):
        with pytest.raises((CutOff, TooLarge)):
            asyncio.run(uploads.receive("b", wrong, 4))
    assert [path.name for path in uploads.folder.iterdir()] == ["a"]
    uploads.tidy()
    assert not uploads.path("a").exists(), "no job waits for it"


def test_who_falls_silent_is_given_up(tmp_path: Path) -> None:
    gate = read_gate(configure(tmp_path, limits={"idle_seconds": 1}))
    gate.state.mkdir()
    uploads = Uploads(gate, Jobs(gate.state, gate.caps))
    with pytest.raises(CutOff, match="nothing came"):
        asyncio.run(uploads.receive("a", pieces(b"1", silent=True), 4))
    assert not list(uploads.folder.iterdir())


def test_room_is_promised_once(gate: Gate, jobs: Jobs) -> None:
    uploads, (first, second) = Uploads(gate, jobs), gate.keys
    with pytest.raises(TooLarge), uploads.promise(first, (8 << 20) + 1):
        pass
    with pytest.raises(TooLarge), uploads.promise(second, (4 << 20) + 1):
        pass
    with uploads.promise(second, 3 << 20):
        with pytest.raises(Busy), uploads.promise(second, 2 << 20):
            pass
        with uploads.promise(first, 8 << 20):
            pass
    with uploads.promise(second, 2 << 20):
        added = jobs.add(job(second, size=3 << 20), second)
    jobs.finish(added, {})
    with pytest.raises(Busy) as busy, uploads.promise(second, 2 << 20):
        pass
    assert 86000 < busy.value.seconds <= 86400, "until the day is over"


def test_no_key_has_all_of_the_disk(tmp_path: Path) -> None:
    gate = read_gate(configure(tmp_path, limits={"storage_mib": 8, "upload_mib": 8}))
    gate.state.mkdir()
    jobs = Jobs(gate.state, gate.caps)
    uploads, (first, second) = Uploads(gate, jobs), gate.keys
    with pytest.raises(TooLarge), uploads.promise(first, 5 << 20):
        pass
    jobs.add(job(first, size=3 << 20), first)
    with pytest.raises(Busy, match="too many bytes waiting"), uploads.promise(first, 2 << 20):
        pass
    (uploads.folder / "x").write_bytes(bytes(6 << 20))
    with pytest.raises(Busy, match="no room"), uploads.promise(second, 2 << 20):
        pass


def test_a_worker_outlives_a_disk_that_is_full(
    gate: Gate, jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, finish, calls = gate.keys[0], jobs.finish, []

    def full(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 1:
            raise sqlite3.OperationalError("database or disk is full")
        finish(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(jobs, "finish", full)
    monkeypatch.setattr(judging, "_PAUSE", 0.01)
    uploads = Uploads(gate, jobs)
    added = jobs.add(job(key, size=1), key)
    uploads.path(added.id).write_bytes(b"x")
    workers = judging.Workers(gate, jobs, uploads, Metrics())
    workers.start()
    for _ in range(1000):
        found = jobs.get(added.id)
        if found and found.state is State.DONE:
            break
        time.sleep(0.1)
    assert workers.alive
    workers.close()
    assert found is not None
    assert (found.state, found.tries, len(calls)) == (State.DONE, 2, 2)


def test_what_cannot_be_written_down_is_not_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Job:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Jobs, "add", full)
    references = {"hosts": [{"host": "models.test"}]}
    gate = read_gate(configure(tmp_path, names=["testserver"], references=references))
    key = {"Authorization": f"Bearer {KEY}"}
    with TestClient(make_app(gate), headers=key) as client:
        for answer in (
            client.post("/v1/jobs", json={"url": "https://models.test/m"}),
            client.post("/v1/uploads", content=b"x"),
        ):
            assert answer.status_code == 429, answer.text
            assert answer.headers["retry-after"] == "60"
    assert list((gate.state / "uploads").iterdir()) == []


def test_what_no_report_can_be_made_of_comes_to_an_end(gate: Gate, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever took a child over does not keep the gate at one job for ever."""
    forged = Outcome(End.DONE, {"file": 7, "findings": "none"})
    monkeypatch.setattr(Guard, "judge", lambda *_, **__: forged)
    monkeypatch.setattr(judging, "_PAUSE", 0.01)
    taken, broken = (jobs.add(job(gate.keys[0], size=1), gate.keys[0]) for _ in range(2))
    uploads = Uploads(gate, jobs)
    uploads.path(broken.id).write_bytes(b"x")
    told = judging.by_its_name

    def fault(outcome: Outcome, what: Job, where: str) -> object:
        if what.id == broken.id:
            raise LookupError("nobody foresaw this")
        return told(outcome, what, where)

    monkeypatch.setattr(judging, "by_its_name", fault)
    workers = judging.Workers(gate, jobs, uploads, Metrics())
    workers.start()
    for _ in range(600):
        ends = [jobs.get(each.id) for each in (taken, broken)]
        if all(each and each.state is State.FAILED for each in ends):
            break
        time.sleep(0.1)
    workers.close()
    first, second = ends
    assert first is not None
    assert second is not None
    assert (first.state, first.tries) == (State.FAILED, 1)
    assert "cannot be read" in first.why
    assert (second.state, second.tries) == (State.FAILED, gate.caps.tries)
    assert not uploads.path(broken.id).exists()


def test_reports_have_no_more_room_than_there_is_and_give_it_back(tmp_path: Path) -> None:
    gate = read_gate(configure(tmp_path, limits={"storage_mib": 2, "upload_mib": 1}))
    gate.state.mkdir()
    jobs = Jobs(gate.state, gate.caps)
    uploads, key = Uploads(gate, jobs), gate.keys[0]
    for _ in range(5):
        jobs.finish(jobs.add(job(key, "https://h.example/x"), key), {"noise": os.urandom(500_000).hex()})
    with pytest.raises(Busy, match="no room"):
        uploads.room()
    jobs._base.execute("UPDATE jobs SET ended = 1")
    assert jobs.prune() > 0
    jobs._base.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    uploads.room(1 << 20)
    assert uploads.stored() < 1 << 20, "what was freed serves again"


# What is said


def test_numbers_are_as_prometheus_reads_them() -> None:
    metrics = Metrics()
    metrics.answered(200)
    metrics.judged("out of memory", 1.5)
    metrics.received(7)
    text = metrics.text({"queued": 2}, 9)
    sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"\\\n]*"\})? [0-9.e+]+')
    lines = text.splitlines()
    assert text.endswith("\n")
    assert all(line.startswith(("# HELP ", "# TYPE ")) or sample.fullmatch(line) for line in lines)
    assert 'llamafile_gate_judged_total{end="out of memory"} 1' in lines
    assert 'llamafile_gate_jobs{state="queued"} 2' in lines


@pytest.mark.parametrize("verdicts", [{}, {"well-formed": "yes", "valid": "no", "policy": "undetermined"}])
def test_a_badge_is_read_without_colours(verdicts: dict[str, str]) -> None:
    root = ET.fromstring(badge_svg(verdicts))
    words = "".join(root.itertext())
    for layer in ("well-formed", "valid", "authentic", "policy"):
        assert f"{layer} {verdicts.get(layer, 'not asked')}" in words
    assert root.get("aria-label") in words
    assert "<script" not in badge_svg({"valid": "<script>"}, "<script>")


def test_every_form_of_a_report(gate: Gate, tmp_path: Path) -> None:
    folder = tmp_path / "sample"
    folder.mkdir()
    path = small_container(folder)
    brought = Job(new_id(), "first", "", "theirs.llamafile", 1, "full")
    with Guard(gate.bounds) as guard:
        outcome = guard.judge(str(path), terms_of(brought, gate, gate.policy))
        where = str(tmp_path / "absent")
        gone = by_its_name(guard.judge(where, Terms(reach=Brought("theirs.llamafile"))), brought, where)
    assert outcome.report is not None, outcome.why
    assert str(tmp_path) not in str(outcome.report), "nobody learns where it lies here"
    assert str(tmp_path) not in str(gone)
    report = report_of(brought, outcome.report)
    assert summary(report)[0] == "safe"
    for form in Form:
        text = document(form, report)
        assert "theirs.llamafile" in text, form
        assert MEDIA[form]
    failed = report_of(Job(new_id(), "first", "", "m", 1, "full", State.FAILED, why="it crashed"), None)
    assert not failed.complete
    assert [form for form in Form if "it crashed" not in document(form, failed)] == []
    with pytest.raises(lf.FormatError):
        report_of(brought, report_value(report) | {"ruleset_sha256": "0" * 64})
