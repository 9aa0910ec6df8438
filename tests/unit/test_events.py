"""The log of events: lines that cannot be changed unseen, and that PREMIS tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.caring import Event, add_event, export_premis, log_of, read_log
from llamafile_format.errors import FormatError, SourceError, UsageError
from llamafile_format.output.orders import ExportOrder
from tests.conftest import CliRunner
from tests.laws.containers import small_container, tiny_gguf

MOMENT = "2026-11-29T14:00:00Z"


def event(number: int) -> Event:
    return Event("virus check", MOMENT, f"number {number} \u202e\n", "pass", "a scanner 1.0")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = small_container(tmp_path)
    for number in range(4):
        add_event(path, event(number))
    return path


def test_events_are_listed_as_written(made: Path) -> None:
    assert [each.event for each in read_log(made)] == [event(number) for number in range(4)]
    assert log_of(made).read_bytes().isascii()
    assert read_log(made.parent / "other") == ()


@pytest.mark.parametrize("line", range(3))
def test_no_line_is_changed_dropped_or_moved_unseen(made: Path, line: int) -> None:
    """The last line has none behind it that would tell: of that a copy tells, as of any end of a log."""
    lines = log_of(made).read_bytes().splitlines(keepends=True)
    changed = [*lines[:line], lines[line].replace(b'"pass"', b'"fail"'), *lines[line + 1 :]]
    dropped = [*lines[:line], *lines[line + 1 :]]
    moved = [*lines[:line], lines[line + 1], lines[line], *lines[line + 2 :]]
    spaced = [*lines[:line], lines[line].replace(b'","', b'", "', 1), *lines[line + 1 :]]
    for each in (changed, dropped, moved, spaced):
        log_of(made).write_bytes(b"".join(each))
        with pytest.raises(FormatError, match="line"):
            read_log(made)
        with pytest.raises(FormatError):
            add_event(made, event(9))


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_line_that_was_cut_is_written_anew(made: Path, cut: int) -> None:
    data = log_of(made).read_bytes()
    log_of(made).write_bytes(data[:-cut])
    assert len(read_log(made)) == 3
    add_event(made, event(3))
    assert log_of(made).read_bytes() == data


@pytest.mark.parametrize("line", [b"hello", b"[]", b"{}", b"\xff", b"[" * 999, b'{"kind": 1}', b"null"])
def test_what_is_no_event_is_refused(made: Path, line: bytes) -> None:
    log_of(made).write_bytes(line + b"\n")
    with pytest.raises(FormatError):
        read_log(made)


def test_a_link_or_a_folder_is_no_log(made: Path, tmp_path: Path) -> None:
    away = log_of(made).rename(tmp_path / "away")
    log_of(made).symlink_to(away)
    with pytest.raises(SourceError):
        read_log(made)
    with pytest.raises(SourceError):
        add_event(made, event(1))
    log_of(made).unlink()
    log_of(made).mkdir()
    with pytest.raises(SourceError):
        read_log(made)


def test_events_need_a_manifest_and_are_short(made: Path, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(tiny_gguf())
    with pytest.raises((UsageError, lf.NotALlamafile)):
        add_event(tmp_path / "m.gguf", event(1))
    with pytest.raises(UsageError, match="characters"):
        add_event(made, Event("ingestion", MOMENT, "x" * 5000, "", ""))
    assert not log_of(tmp_path / "m.gguf").exists()


def test_premis_tells_those_of_this_manifest(made: Path, tmp_path: Path) -> None:
    export_premis(ExportOrder(str(made), tmp_path / "p.xml"))
    assert (tmp_path / "p.xml").read_text("utf-8").count(">virus check<") == 4
    lf.repack(made, tmp_path / "new.llamafile", name="another")
    (tmp_path / "new.llamafile").replace(made)
    export_premis(ExportOrder(str(made), tmp_path / "p.xml", force=True))
    assert ">virus check<" not in (tmp_path / "p.xml").read_text("utf-8")


def test_the_command(run_cli: CliRunner, made: Path) -> None:
    done = run_cli("events", made, "--add", "ingestion", "--detail", "given", "--date", "2026-11-29")
    assert (done.returncode, done.stdout) == (0, "2026-11-29T00:00:00Z  ingestion  given\n")
    done = run_cli("events", made)
    assert len(done.stdout.splitlines()) == 5
    assert "\u202e" not in done.stdout
    rows = json.loads(run_cli("events", made, "--json").stdout)
    assert rows[-1]["kind"] == "ingestion"
    assert all(row["of_this_file"] for row in rows)
    assert run_cli("events", made, "--add", "party").returncode == 2
    assert run_cli("events", made, "--detail", "x").returncode == 2
    log_of(made).write_bytes(b"x\n")
    assert run_cli("events", made).returncode == 1
