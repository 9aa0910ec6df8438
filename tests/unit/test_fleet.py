"""Many objects: lists of them, ledgers, what a run comes to, reports (spec/1, 10.15)."""

from __future__ import annotations

import html
import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llamafile_format.checks.verdict import Level
from llamafile_format.errors import FormatError, SourceError, UsageError
from llamafile_format.fleet import (
    ANSWERS,
    CODES,
    EXPORTS,
    Bounds,
    Change,
    End,
    Executor,
    Item,
    Job,
    Ledger,
    Local,
    Outcome,
    Row,
    Tally,
    Terms,
    compared,
    inventory,
    look,
    newest,
    run_fleet,
)
from llamafile_format.fleet.ledger import Basis, lines
from llamafile_format.fleet.row import read_row, row_of
from llamafile_format.fleet.shard import judge_shard
from llamafile_format.reports import report_value
from llamafile_format.signing.trust.policy_reader import read_policy
from llamafile_format.source.remote import RemoteSource
from tests.conftest import CliRunner
from tests.laws.containers import small_container

BASIS = Basis("0" * 64, "quick", "1" * 64)
QUICK = Job(Terms(level=Level.QUICK), Bounds())


def row(name: str, answer: str = "yes", version: str = "v1", **others: Any) -> Row:
    """A row as a run would write it."""
    return Row(name, version, 100, answer, "done", 0.01, **others)


def written(folder: Path, *shards: Sequence[Row], basis: Basis = BASIS) -> Path:
    """A ledger with these shards."""
    with Ledger(folder, basis) as ledger:
        for shard in shards:
            ledger.append(shard)
    return folder


# Inventories


def test_a_folder_is_all_that_is_below_it(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    good = small_container(tmp_path / "below")
    (tmp_path / "readme").write_text("hello")
    items = list(inventory(str(tmp_path), {}))
    assert {Path(item.name).name for item in items} >= {good.name, "readme"}
    found = next(item for item in items if item.name == str(good))
    assert (found.size, found.named) == (good.stat().st_size, False)
    assert f"{good.stat().st_mtime_ns:x}" in found.version


def test_a_version_is_that_of_one_state_of_one_file(tmp_path: Path) -> None:
    file = small_container(tmp_path)
    (tmp_path / "list").write_text(f"{file}\n")

    def version() -> str:
        (item,) = inventory(str(tmp_path / "list"), {})
        return item.version

    first = version()
    assert version() == first
    os.utime(file, ns=(1, 1))
    second = version()
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    os.utime(file, ns=(1, 1))  # who owns a file may say that it is as old as before
    third = version()
    file.write_bytes(file.read_bytes() + b"x")
    assert len({first, second, third, version()}) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"size": "7"},
        {"size": -1},
        {"size": 1 << 70},
        {"size": True},
        {"seconds": "1"},
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"verdicts": ["valid"]},
        {"verdicts": {"valid": 1}},
        {"rules": {"LF1001": "<b>"}},
        {"told": "one text"},
        {"told": [7]},
        {"errors": [{}]},
        {"why": 7},
        {"policy": {}},
        {"answer": []},
        {"learned": "yes"},
        {"name": None},
    ],
)
def test_what_is_no_row_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    """Whoever wrote a ledger: it has one fault and one exit code, and no report is made of it."""
    ledger = written(tmp_path / "ledger", [row("a")])
    (file,) = ledger.glob("*.jsonl")
    value = json.loads(file.read_text())
    value["rows"][0].update(change)
    file.write_text(json.dumps(value) + "\n")
    with pytest.raises(FormatError, match="no row of a ledger"):
        list(newest(ledger))
    for rows in (7, {}, [7], ["a"], [None]):
        file.write_text(json.dumps({**value, "rows": rows}) + "\n")
        with pytest.raises(FormatError):
            list(newest(ledger))


@pytest.mark.parametrize(
    "line",
    [
        r'{"name": "a\u0000b"}',
        r'{"name": "a\ud800b"}',
        r'{"name": "s3://b/k", "version": "\ud800"}',
        '{"name": "s3://b/k", "size": -1}',
        '{"name": "s3://b/k", "size": 99999999999999999999}',
    ],
)
def test_names_that_nothing_can_have_are_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f"{line}\n")
    with pytest.raises(UsageError, match="line 1"):
        list(inventory(str(tmp_path / "list"), {}))


def test_lists_hold_names_or_objects(tmp_path: Path) -> None:
    text = tmp_path / "list"
    text.write_text(
        "# a remark\n\nabsent.llamafile\r\nhttps://host.example/a.llamafile\n"
        '{"name": "s3://bucket/b.llamafile", "etag": "\\"17\\"", "size": 5, "owner": "somebody"}\n'
        '{"name": "hf://org/name/c.llamafile", "version": "abc"}\n'
    )
    absent, plain, store, hub = inventory(str(text), {})
    assert (absent.name, absent.version) == (str(Path.cwd() / "absent.llamafile"), "")
    assert (plain.name, plain.version) == ("https://host.example/a.llamafile", "")
    assert (store.version, store.size, hub.version) == ('"17"', 5, "abc")
    assert all(item.named for item in (absent, plain, store, hub))


@pytest.mark.parametrize(
    "line",
    [
        "https://host.example/a?X-Amz-Signature=hunter2",
        "https://user:hunter2@host.example/a",
        "ftp://host.example/a",
        '{"name": 7}',
        '{"version": "1"}',
        '{"name": "a", "size": "5"}',
        '{"name": "a"',
        "{" * 5000,
        "a\0b",
        "a" * 70_000,
    ],
)
def test_lists_that_are_none_are_refused_before_anything_is_read(tmp_path: Path, line: str) -> None:
    (tmp_path / "list").write_text(f"# fine\n{line}\n")
    with pytest.raises(UsageError) as error:
        list(inventory(str(tmp_path / "list"), {}))
    assert "hunter2" not in str(error.value)


def test_what_cannot_be_listed_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be listed"):
        list(inventory("https://host.example/folder/", {}))
    with pytest.raises(SourceError):
        list(inventory(str(tmp_path / "absent"), {}))


# Rows


def test_a_row_comes_back_from_its_json() -> None:
    full = row("a", "no", rules={"LF4001": 2}, errors=("LF4001",), told=("LF4001 damaged",), verdicts={"valid": "no"})
    for each in (row("a"), full, row("\udcff", "quarantined", why="x", learned=True)):
        assert read_row(json.loads(json.dumps(each.value()))) == each
    assert read_row({**full.value(), "of a later version": 1}) == full
    for bad in ({}, {**full.value(), "answer": "maybe"}, {**full.value(), "name": 7}):
        with pytest.raises(FormatError):
            read_row(bad)


def test_a_row_says_what_verify_says(tmp_path: Path) -> None:
    file = small_container(tmp_path)
    broken = bytearray(file.read_bytes())
    broken[len(broken) // 3] ^= 1
    (tmp_path / "broken.llamafile").write_bytes(broken)
    (tmp_path / "other").write_text("hello")

    def judged(name: Path, **others: Any) -> Row:
        outcome = Outcome(End.DONE, json.loads(json.dumps(report_value(look(str(name), Terms())))))
        return row_of(Item(str(name), "v", **others), outcome)

    good, bad = judged(file), judged(tmp_path / "broken.llamafile")
    assert (good.answer, good.rules, good.final) == ("yes", {}, True)
    assert (bad.answer, bad.verdicts["well-formed"], bad.errors) == ("no", "no", ("LF4001",))
    assert bad.told[0].startswith("LF4001 ")
    assert judged(tmp_path / "other").answer == "other format"
    assert judged(tmp_path / "other", named=False).answer == "passed over"
    absent = judged(tmp_path / "absent")
    assert (absent.answer, absent.final) == ("incomplete", False)
    assert "cannot open" in absent.why


def test_what_ended_without_a_report_is_quarantined() -> None:
    found = row_of(Item("a", "v"), Outcome(End.CRASHED, None, "it crashed: SIGSEGV"))
    assert (found.answer, found.end, found.why, found.final) == ("quarantined", "crashed", "it crashed: SIGSEGV", True)
    assert row_of(Item("a", "v"), Outcome(End.DONE, {})).answer == "quarantined"


def test_a_row_is_about_the_state_that_was_read(tmp_path: Path) -> None:
    value = report_value(look(str(small_container(tmp_path)), Terms(level=Level.QUICK)))

    def version(listed: str, read: str) -> str:
        value["file"]["revision"] = read
        return row_of(Item("s3://b/k", listed), Outcome(End.DONE, value)).version

    assert version('"a"', "") == '"a"'
    assert version('"a"', 'id "a"') == '"a"'
    assert version("a", '"a"') == "a"
    assert version('"a"', '"b"') == '"b"'
    assert version("", '"b"') == '"b"'


# Ledgers


def test_a_ledger_knows_objects_by_state_rules_and_demands(tmp_path: Path) -> None:
    written(tmp_path / "l", [row("a"), row("b", "no")], [row("c", "incomplete"), row("d", version="")])
    with Ledger(tmp_path / "l", BASIS) as ledger:
        assert ledger.known.answer("a", "v1") == "yes"
        assert ledger.known.answer("b", "v1") == "no"
        assert ledger.known.answer("a", "v2") == ""
        assert ledger.known.answer("c", "v1") == ""  # it could not be read: the next time it may
        assert ledger.known.answer("d", "") == ""
    for other in (replace(BASIS, rules="2" * 64), replace(BASIS, level="full"), replace(BASIS, demands="2" * 64)):
        with Ledger(tmp_path / "l", other) as ledger:
            assert ledger.known.answer("a", "v1") == ""


def test_what_an_object_says_of_its_state_is_remembered(tmp_path: Path) -> None:
    written(tmp_path / "l", [row("https://h/a", version="e1", learned=True)])
    with Ledger(tmp_path / "l", BASIS) as ledger:
        assert ledger.known.learned("https://h/a") == "e1"
        assert ledger.known.learned("https://h/b") == ""


def test_a_line_that_was_not_finished_is_none(tmp_path: Path) -> None:
    written(tmp_path / "l", [row("a")], [row("b")])
    (file,) = (tmp_path / "l").glob("*.jsonl")
    file.write_bytes(file.read_bytes()[:-5])
    written(tmp_path / "l", [row("b", "no")])
    assert [(each.name, each.answer) for _, each in newest(tmp_path / "l")] == [("a", "yes"), ("b", "no")]


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "l", [row("a")])
    (file,) = (tmp_path / "l").glob("*.jsonl")
    good = file.read_bytes()
    for bad in (
        b"{}\n",
        b"[]\n",
        b"7\n",
        b"x\n",
        good.replace(b'"ledger":1', b'"ledger":2'),
        good.replace(b"yes", b"hm"),
    ):
        file.write_bytes(bad)
        with pytest.raises(FormatError, match="line 1"):
            list(lines(tmp_path / "l"))
    with pytest.raises(SourceError):
        list(lines(tmp_path / "absent"))


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l", BASIS), pytest.raises(UsageError, match="another run"):
        Ledger(tmp_path / "l", BASIS)
    Ledger(tmp_path / "l", BASIS).close()


def test_runs_are_told_in_their_order(tmp_path: Path) -> None:
    for answer in ("yes", "no", "undetermined", "yes", "no"):
        written(tmp_path / "l", [row("a", answer)])
    assert [each.answer for line in lines(tmp_path / "l") for each in line.rows][-2:] == ["yes", "no"]
    assert [each.answer for _, each in newest(tmp_path / "l")] == ["no"]


# Jobs, shards, tallies


def test_what_was_demanded_has_one_digest() -> None:
    """The same wherever it is computed, and another one for every other demand; no key and no digest is left out."""
    hub, archive = read_policy("hub"), read_policy("archive")
    jobs = [QUICK, Job(Terms(policy=hub), Bounds()), Job(Terms(policy=archive), Bounds())]
    jobs.append(Job(Terms(policy=hub, require_signature=True), Bounds()))
    assert len({job.basis.demands for job in jobs}) == 4
    assert jobs[1].basis == Job(Terms(policy=read_policy("hub")), Bounds(seconds=5)).basis


def test_a_shard_is_judged_here_as_by_a_worker(tmp_path: Path) -> None:
    file = small_container(tmp_path)
    (found,) = judge_shard(QUICK, [(Item(str(file), "v"), "")])
    assert found is not None
    assert (found.answer, found.level) == ("undetermined", "quick")


def test_a_worker_with_other_rules_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere(Job):
        basis = BASIS  # type: ignore[assignment]

    with pytest.raises(FormatError, match="other rules"):
        judge_shard(Elsewhere(Terms(), Bounds()), [])


def test_an_object_that_has_not_changed_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import contextmanager

    from llamafile_format.fleet.look import Unchanged

    class Remote(RemoteSource):
        revision = "e1"  # type: ignore[assignment]

        def __init__(self) -> None:
            self._closed = True

    class Reach(Local):
        @contextmanager
        def opened(self, name: str, *, whole: bool) -> Any:
            yield Remote()

    with pytest.raises(Unchanged):
        look("https://h/a", Terms(reach=Reach()), unless="e1")


def test_the_worst_answer_decides() -> None:
    def code(*answers: str) -> int:
        tally = Tally()
        for answer in answers:
            tally.add(row("a", answer))
        return tally.code

    assert code("yes", "undetermined", "passed over") == 0
    assert code("yes", "no") == 1
    assert code("no", "quarantined") == 4
    assert code("passed over") == 3
    assert code() == 3
    assert set(CODES) <= set(ANSWERS)


def test_a_list_may_name_an_object_twice(tmp_path: Path) -> None:
    """It is verified once; and what the ledger has costs no worker, so that no engine is needed for it."""
    items = [Item("a", "v1"), Item("a", "v1"), Item("b", "v1")]
    written(tmp_path / "l", [row("a"), row("b", "no")], basis=QUICK.basis)
    with Ledger(tmp_path / "l", QUICK.basis) as ledger:
        tally = run_fleet(items, ledger, QUICK, Executor("tls://nobody:1"))
    assert (tally.total, tally.before, tally.code) == (0, 2, 1)


# Executors


@pytest.mark.parametrize("place", ["dask://10.1.2.3:8786", "dask://scheduler:8786", "dask://[2001:db8::1]:8786"])
def test_a_scheduler_without_tls_is_for_this_machine(place: str) -> None:
    with pytest.raises(UsageError, match="runs code"):
        Executor(place).judge()
    Executor(place, insecure=True).judge()
    Executor(place.replace("dask", "tls")).judge()


@pytest.mark.parametrize("place", ["dask://127.0.0.1:8786", "dask://[::1]:8786", "dask://localhost:1", "local"])
def test_this_machine_needs_no_leave(place: str) -> None:
    Executor(place).judge()


@pytest.mark.parametrize("place", ["tcp://h:1", "dask://h", "dask://user@h:1", "tls://h:1/path", "here", "dask://h:x"])
def test_places_that_are_none(place: str) -> None:
    with pytest.raises(UsageError, match="no executor"):
        Executor(place).judge()


def test_options_that_do_not_go_together(tmp_path: Path, run_cli: CliRunner) -> None:
    (tmp_path / "list").write_text("")
    base = ("fleet", "verify", tmp_path / "list", "--ledger", tmp_path / "l")
    assert run_cli(*base, "--executor", "tls://h:1", "--workers", "2").returncode == 2
    assert run_cli(*base, "--executor", "dask://10.0.0.1:1").returncode == 2
    assert run_cli(*base, "--memory", "1MiB").returncode == 2
    nothing = run_cli(*base)
    assert (nothing.returncode, nothing.stdout) == (3, "0 objects: none; nothing to do; exit code 3\n")


# Reports


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Good, bad and hostile names; a run, and another that knows better."""
    rows = [
        row("/a/good.llamafile", kind="llamafile 1", level="quick"),
        row("/a/<script>alert(1)</script>", "no", rules={"LF4001": 1}, errors=("LF4001",), told=("LF4001 <b>bad</b>",)),
        row("/a/\x1b[2J\u202egnp.llamafile", "quarantined", why="to verify it crashed: SIGSEGV"),
        row("/a/readme", "passed over"),
        row("/a/\udcff", "undetermined"),
    ]
    return written(written(tmp_path / "ledger", rows), [row("/a/late", "incomplete", version="", why="cut off")])


def test_jsonl_is_one_object_a_line(ledger: Path) -> None:
    out = io.BytesIO()
    EXPORTS["jsonl"](ledger, out)
    values = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [value["answer"] for value in values] == [
        "yes",
        "no",
        "quarantined",
        "passed over",
        "undetermined",
        "incomplete",
    ]
    assert all(value["ruleset_sha256"] == BASIS.rules for value in values)


def test_a_table(ledger: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with (tmp_path / "t.parquet").open("wb") as out:
        EXPORTS["parquet"](ledger, out)
    table = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert [value["answer"] for value in table][:3] == ["yes", "no", "quarantined"]
    assert table[1]["rules"] == [("LF4001", 1)]


def test_the_page_shows_no_markup_of_others_and_fetches_nothing(ledger: Path) -> None:
    out = io.BytesIO()
    EXPORTS["html"](ledger, out)
    page = html.unescape(out.getvalue().decode())
    assert b"<script>alert" not in out.getvalue()
    assert b"<b>bad" not in out.getvalue()
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert out.getvalue().count(b"<script>") == 1
    assert not re.search(r"""(?:src|href)=|https?://|url\(""", page)
    assert "script-src 'sha256-" in page
    assert "default-src 'none'" in page
    assert page.index("quarantined</td>") < page.index("no</td>")  # the worst first
    assert "/a/good.llamafile" not in page  # nothing to look at


def test_a_page_about_nothing_wrong_needs_no_script(tmp_path: Path) -> None:
    out = io.BytesIO()
    EXPORTS["html"](written(tmp_path / "l", [row("a")]), out)
    assert b"<script" not in out.getvalue()
    assert b"nothing to say" in out.getvalue()


def test_diff_tells_what_got_worse(tmp_path: Path, run_cli: CliRunner) -> None:
    before = written(
        tmp_path / "1",
        [
            row("same"),
            row("fell"),
            row("rose", "no", errors=("LF4001",)),
            row("gone"),
            row("more", "no", errors=("LF4001",)),
        ],
    )
    after = written(
        tmp_path / "2",
        [
            row("same"),
            row("fell", "no", errors=("LF4001",)),
            row("rose", version="v2"),
            row("new", "quarantined"),
            row("more", "no", errors=("LF4001", "LF5001")),
        ],
    )
    found = {change.name: change for change in compared(before, after)}
    assert found["fell"] == Change(found["fell"].kind, "fell", "yes", "no", ("LF4001",), moved=False)
    kinds = {name: change.kind.value for name, change in found.items()}
    assert kinds == {"fell": "worse", "rose": "better", "new": "new", "more": "worse", "gone": "gone"}
    assert found["rose"].moved
    told = run_cli("fleet", "diff", before, after)
    assert told.returncode == 1
    assert "worse   fell  yes -> no (LF4001); the object is the same" in told.stdout
    assert "rose" not in told.stdout
    assert run_cli("fleet", "diff", before, before).returncode == 0
    values = run_cli("fleet", "diff", before, after, "--all", "--format", "jsonl").stdout.splitlines()
    assert len([json.loads(value) for value in values]) == 5


def test_report_writes_where_it_is_told(ledger: Path, tmp_path: Path, run_cli: CliRunner) -> None:
    assert run_cli("fleet", "report", ledger, "--format", "jsonl").stdout.count("\n") == 6
    assert run_cli("fleet", "report", ledger, "-o", tmp_path / "r.html").returncode == 0
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")
    assert run_cli("fleet", "report", ledger, "-o", tmp_path / "r.html").returncode != 0
    assert run_cli("fleet", "report", tmp_path / "absent").returncode == 4
