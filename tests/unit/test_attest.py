"""``attest``: a report about this very file, signed, as an in-toto attestation (spec/1, 13.12)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage

import llamafile_format as lf
from llamafile_format.checks.signatures import read_records
from llamafile_format.manifest.canonical_json import decode
from llamafile_format.reports import report_json, reports_json
from llamafile_format.signing.keys.key_files import write_keys
from llamafile_format.signing.records.envelope import read_bundle
from llamafile_format.signing.records.statement import REPORT
from llamafile_format.vouching import attest
from tests.conftest import CliRunner
from tests.signing_samples import TIME, container, keys


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return container(tmp_path / "a.llamafile")


def told(file: Path, **changes: Any) -> bytes:
    """The report about ``file``, with fields exchanged."""
    return json.dumps(json.loads(report_json(lf.verify(file))) | changes).encode()


def statement(record: bytes) -> dict[str, Any]:
    found = decode(read_bundle(record).payload)
    assert isinstance(found, dict)
    return found


def record_of(file: Path) -> bytes:
    with lf.open(file) as found:
        (record,) = read_records(found.source, found.archive)
    return record.data


def test_the_report_is_the_predicate(file: Path) -> None:
    report = told(file)
    result = attest(file, report, keys("p256"), declared_time=TIME)
    assert result.records == ("META-LLAMAFILE/signatures/0001.att.json",)
    said = statement(record_of(file))
    assert said["predicateType"] == REPORT == "urn:llamafile-format:report:1.0"
    assert said["subject"][0]["digest"]["sha256"] == result.manifest_sha256
    predicate = said["predicate"]
    given = json.loads(report)
    assert predicate["file"].pop("name") == "a.llamafile"
    given["file"].pop("name")
    assert given.pop("trial") is None
    assert predicate == given
    assert predicate["manifest_sha256"] == result.manifest_sha256
    after = lf.verify(file)
    assert after.exit_code() == 0
    assert attest(file, report, keys("p256"), declared_time=TIME).already  # it says the very same


def test_in_toto_reads_it(file: Path) -> None:
    """The library of in-toto takes the payload for a statement of its own, and finds nothing wrong with it."""
    attest(file, told(file), keys("p256"))
    read = Statement.copy_from_pb(json_format.Parse(read_bundle(record_of(file)).payload, StatementMessage()))
    read.validate()
    assert read.pb.predicate_type == REPORT
    assert read.pb.predicate["verdicts"]["valid"] == "yes"


def test_it_vouches_for_no_file(file: Path) -> None:
    (key,) = keys("ed25519")
    attest(file, told(file), [key])
    policy = lf.key_policy({"scanner": [key.public]})
    report = lf.verify(file, policy=policy)
    assert report.verdicts[lf.Layer.AUTHENTIC] is lf.Verdict.NO


def test_detached_and_of_a_list(file: Path, tmp_path: Path) -> None:
    other = container(tmp_path / "b.llamafile", name="another")
    both = reports_json([lf.verify(other), lf.verify(file)], several=True).encode()
    before = file.read_bytes()
    result = attest(file, both, keys("p256"), detached=True)
    assert file.read_bytes() == before
    assert result.records == (f"{file}.0001.att.json",)
    assert statement(Path(result.records[0]).read_bytes())["predicate"]["file"]["name"] == "a.llamafile"


@pytest.mark.parametrize(
    "changes",
    [
        {"manifest_sha256": "0" * 64},
        {"manifest_sha256": ""},
        {"complete": False},
        {"complete": 1},
        {"$schema": "urn:another"},
        {"ruleset_sha256": "x"},
        {"verdicts": None},
        {"findings": {}},
    ],
)
def test_what_is_not_about_this_file_is_refused(changes: dict[str, Any], file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(lf.FormatError):
        attest(file, told(file, **changes), keys("p256"))
    assert file.read_bytes() == before


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"null", b"[1]", b'{"a": 1, "a": 2}', b"\xff", b"[" * 100_000])
def test_what_is_no_report_is_refused(text: bytes, file: Path) -> None:
    with pytest.raises(lf.LlamafileError):
        attest(file, text, keys("p256"))


def test_a_repack_leaves_the_report_behind(file: Path, tmp_path: Path) -> None:
    report = told(file)
    changed = container(tmp_path / "c.llamafile", name="changed since")
    with pytest.raises(lf.FormatError, match="0 of 1 reports"):
        attest(changed, report, keys("p256"))


def test_the_command(file: Path, tmp_path: Path, run_cli: CliRunner) -> None:
    key, report = tmp_path / "KEY", tmp_path / "report.json"
    write_keys(key, keys("p256"), passphrase=None)
    report.write_text(run_cli("verify", file, "--format", "json").stdout)
    options = ("--report", report, "--key", key)
    done = run_cli("attest", file, *options, "--detached", "--json")
    assert (done.returncode, json.loads(done.stdout)["method"]) == (0, "detached")
    signed = run_cli("attest", file, *options)
    assert signed.returncode == 0
    assert "0001.att.json" in signed.stdout
    assert run_cli("attest", file, "--key", key).returncode == 2
    assert run_cli("attest", file, "--report", tmp_path / "absent", "--key", key).returncode == 4
    report.write_text("{}")
    assert run_cli("attest", file, *options, "--force").returncode == 1
