"""``status``: what is protected, when it was proven, what is due, and the NDSA level for integrity."""

from __future__ import annotations

import html
import json
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.caring import Event, add_event, protect
from llamafile_format.keeping import FileStatus, scrub, status
from llamafile_format.keeping import status as status_function
from llamafile_format.keeping.integrity import Seen, level_of
from llamafile_format.reports import status_page, status_text
from llamafile_format.vouching import sign
from llamafile_format.vouching.renew import renew
from llamafile_format.vouching.timestamp import Trusting, attach, request
from tests.authorities import Authority
from tests.conftest import CliRunner
from tests.signing_samples import container, keys
from tests.unit.test_timestamp_commands import answer

DAY = datetime(2026, 11, 29, 14, tzinfo=UTC)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    return container(tmp_path / "kept" / "a.llamafile")


def look(path: Path, *, days: int = 0, state: bool = True) -> FileStatus:
    place = path.parent.parent / "state" if state else None
    (file,) = status([path.parent], place, now=DAY + timedelta(days=days)).files
    return file


def proven(path: Path, *, days: int = 0) -> None:
    scrub([path.parent], path.parent.parent / "state", clock=lambda: DAY + timedelta(days=days))


def dues(file: FileStatus) -> list[tuple[str, str]]:
    return [(due.day, due.what) for due in file.due]


def test_without_a_state(kept: Path) -> None:
    file = look(kept, state=False)
    assert (file.word, file.proven, file.protected, file.level.reached) == ("", "", False, 0)
    assert dues(file) == [("", "protect")]


def test_proven_and_due_again(kept: Path) -> None:
    with pytest.raises(lf.UsageError, match="holds no state"):
        look(kept)
    proven(kept)
    file = look(kept)
    assert (file.word, file.proven, file.first) == ("", "2026-11-29T14:00:00Z", "2026-11-29T14:00:00Z")
    assert ("2027-11-29", "scrub") in dues(file)
    assert file.read == file.size


def test_recovery_data_inside_beside_and_out_of_date(kept: Path) -> None:
    protect(kept, percent=7)
    file = look(kept, state=False)
    assert (file.beside, file.outdated, file.protected) == (7, False, True)
    os.utime(kept, ns=(0, kept.stat().st_mtime_ns + 10**9 * 60))
    file = look(kept, state=False)
    assert (file.outdated, file.protected) == (True, False)
    assert dues(file) == [("", "protect --update")]
    lf.repack(kept, in_place=True, recovery=9)
    file = look(kept, state=False)
    assert (file.inside, file.protected, file.due) == (9, True, ())


def test_levels_one_after_the_other(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from llamafile_format.keeping import status as room

    del room
    proven(kept)
    assert [text[:20] for text in look(kept).level.lacking] == ["no virus check is wr"]
    add_event(kept, Event("virus check", "2026-11-29T14:00:00Z", "", "fail", "scanner"))
    assert look(kept).level.reached == 0
    add_event(kept, Event("virus check", "2026-11-29T14:00:00Z", "", "pass", "scanner"))
    file = look(kept)
    assert (file.level.reached, "another medium" in file.level.lacking[0]) == (1, True)


def test_each_demand_is_one() -> None:
    """With all met it is level 4; whichever is missing keeps it at the level below its own."""
    full = Seen(
        tracked=True, whole=True, again=True, overdue=False, apart=True, scanned=True, protected=True, wrong=False
    )
    assert (level_of(full).reached, level_of(full).lacking) == (4, ())
    below = {"tracked": 0, "whole": 0, "scanned": 0, "wrong": 0, "apart": 1, "again": 2, "overdue": 2, "protected": 3}
    for name, level in below.items():
        less = replace(full, **{name: not getattr(full, name)})
        assert level_of(less).reached == level
        assert len(level_of(less).lacking) == 1


def test_what_is_wrong_is_said(kept: Path, run_cli: CliRunner) -> None:
    proven(kept)
    right = kept.read_bytes()
    data = bytearray(right)
    data[65_636] ^= 1
    kept.write_bytes(data)
    proven(kept, days=1)
    assert look(kept).word == "damaged"
    kept.unlink()
    assert look(kept).word == "missing"
    container(kept, name="Another")
    assert look(kept).word in ("damaged", "changed")
    done = run_cli("status", kept.parent, "--state", kept.parent.parent / "state")
    assert done.returncode == 1
    kept.write_bytes(right)
    proven(kept, days=2)
    assert look(kept).word == ""


def test_a_signature_wants_a_stamp_and_a_stamp_is_renewed_in_time(kept: Path) -> None:
    sign(kept, keys("p256"))
    assert dues(look(kept, state=False)) == [("", "protect"), ("", "timestamp")]
    short = Authority.create("Short Root", "p384", datetime(2025, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC))
    clock = short.tsa("Short Stamps", "p384", datetime(2025, 1, 1, tzinfo=UTC), datetime(2030, 5, 6, tzinfo=UTC))
    now = datetime.now(UTC).replace(microsecond=0)
    attach(kept, answer(request(kept).query.data, authority=clock, time=now), trusting=Trusting(roots=(short.der,)))
    file = look(kept, state=False)
    assert dues(file) == [("", "protect"), ("2030-05-06", "renew")]
    assert "certificate" in file.due[-1].why
    root = Authority.create("Long Root")
    renew(
        kept,
        lambda query: answer(query, authority=root.tsa("Long Stamps"), time=now),
        trusting=Trusting(roots=(root.der,)),
    )
    file = look(kept, state=False)
    assert dues(file) == [("", "protect"), ("2036-01-01", "renew")]
    assert "algorithm" in file.due[-1].why


def test_text_json_and_page(kept: Path, run_cli: CliRunner) -> None:
    hostile = kept.with_name("<script>alert(1)\x1b[31m\u202e.llamafile")
    shutil.copy(kept, hostile)
    proven(kept)
    result = status([kept.parent], kept.parent.parent / "state")
    assert "\x1b" not in status_text(result)
    page = status_page(result)
    assert "<script" not in page
    assert "default-src 'none'" in html.unescape(page)
    out = kept.parent.parent / "status.html"
    base = ("status", kept.parent, "--state", kept.parent.parent / "state")
    assert run_cli(*base, "--html", out).returncode == 0
    assert run_cli(*base, "--html", out).returncode == 2
    assert run_cli(*base, "--html", out, "--force").returncode == 0
    value = json.loads(run_cli(*base, "--json").stdout)
    assert [Path(file["path"]).name for file in value["files"]] == sorted([hostile.name, kept.name])
    assert value["level"] == 0
    assert status_function is status
