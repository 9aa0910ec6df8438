"""``validate_upload``: whatever it is given, a report comes back; within limits, and nothing is run or fetched."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.source.pending import HEAD, MAGIC, journal_path, pending
from tests.laws.containers import small_container


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return small_container(tmp_path)


def test_it_says_what_verify_says(good: Path) -> None:
    for source in (good, str(good), good.read_bytes(), io.BytesIO(good.read_bytes()), lf.FileSource(good)):
        report = lf.validate_upload(source)
        assert lf.hub_status(report)[0] is lf.HubStatus.SAFE
        assert report.findings == lf.verify(good).findings
        assert report.manifest_sha256 == lf.verify(good).manifest_sha256


def test_every_upload_has_a_report(tmp_path: Path, good: Path) -> None:
    empty = tmp_path / "empty.llamafile"
    empty.touch()
    cut = tmp_path / "cut.llamafile"
    cut.write_bytes(good.read_bytes()[:-100])
    for source in (tmp_path / "absent", tmp_path, empty, cut, b"", b"<!DOCTYPE html>", b"\x7fELF"):
        report = lf.validate_upload(source)
        assert report.exit_code() in (3, 4)
        assert lf.hub_status(report)[0] is lf.HubStatus.ERROR


@pytest.mark.parametrize(
    "limits", [lf.Limits(bytes=1000), lf.Limits(requests=3), lf.Limits(rounds=3), lf.Limits(seconds=0)]
)
def test_limits_end_in_a_report(limits: lf.Limits, good: Path) -> None:
    for source in (good, good.read_bytes()):
        report = lf.validate_upload(source, limits=limits)
        assert not report.complete
        assert "reading stopped at its limit" in report.error
        assert lf.hub_status(report)[0] is lf.HubStatus.ERROR


def test_what_is_written_to_meanwhile_is_noticed(good: Path) -> None:
    class Writer(lf.FileSource):
        """Somebody writes to the file while it is read."""

        def read_into(self, offset: int, buffer: memoryview) -> None:
            """The read, and the write."""
            super().read_into(offset, buffer)
            with open(good, "ab") as stream:
                stream.write(b"more")

    report = lf.validate_upload(Writer(good))
    assert "changed while it was verified" in report.error
    assert not report.complete


def test_a_pending_change_is_no_upload(good: Path) -> None:
    inode = good.stat().st_ino
    journal_path(good).write_bytes(HEAD.pack(MAGIC, 1, 0, 0, 0, 0, 0, 0, inode, good.stat().st_dev))
    assert pending(good)
    report = lf.validate_upload(good)
    assert not report.complete
    assert lf.hub_status(report)[0] is lf.HubStatus.ERROR


def test_addresses_and_programs_are_refused(good: Path) -> None:
    with pytest.raises(lf.UsageError, match="not fetched"):
        lf.validate_upload("https://127.0.0.1:1/m.llamafile")
    with pytest.raises(lf.UsageError, match="not run"):
        lf.validate_upload(good, level="behaviour")


def test_a_policy_may_be_a_file(tmp_path: Path, good: Path) -> None:
    demand = tmp_path / "hub.yaml"
    demand.write_text("policy: 1\nname: hub\nunsigned: allow\nallow:\n  licenses: [MIT]\n")
    at = datetime(2026, 1, 1, tzinfo=UTC)
    by_name, by_value = (lf.validate_upload(good, policy=p, as_of=at) for p in (demand, lf.read_policy(demand)))
    assert by_name == by_value
    assert lf.Layer.POLICY in by_name.verdicts
    with pytest.raises(lf.SourceError):
        lf.validate_upload(good, policy=tmp_path / "absent.yaml")


def test_a_policy_may_be_a_profile(good: Path) -> None:
    report = lf.validate_upload(good, policy="hub")
    assert report.policy == "hub"
    assert lf.Layer.POLICY in report.verdicts
    with pytest.raises(lf.SourceError):
        lf.validate_upload(good, policy="./hub")  # a path is no name
