"""Sigstore signatures in a container: as a record, as a publisher's, and without the software to check them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.checks.verdict import Report, Verdict
from llamafile_format.packing.inputs import Include
from llamafile_format.rules import Layer
from llamafile_format.signing.records.statement import Annotations, covered_resources, oms_statement
from llamafile_format.signing.trust.policy import Policy, Requirement, Role, SignerRule, SigstoreRule, root_policy
from llamafile_format.vouching.oms import import_oms
from tests.conftest import ROOT, CliRunner
from tests.signing_samples import container

pytest.importorskip("sigstore", reason="the extra sigstore is not installed")

from tests.sigstore_world import IDENTITY, ISSUER, SIGNED, Instance
from tests.unit.test_sigstore import public_rule

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@cache
def instance() -> Instance:
    return Instance()


def signed(folder: Path) -> Path:
    """A container with a Sigstore signature of all its members, made elsewhere and brought in."""
    file = container(folder / "a.llamafile")
    with lf.open(file) as opened:
        assert opened.manifest is not None
        assert opened.claims is not None
        digest = lf.verify(file, level="quick").manifest_sha256
        end = opened.claims.layout.manifest(len(opened.manifest_bytes)).end
        statement = oms_statement(covered_resources(opened.manifest, opened.manifest_bytes), Annotations(digest, end))
    (folder / "a.sig").write_text(json.dumps(instance().sign(statement)))
    import_oms(file, folder / "a.sig")
    return file


def judged(file: Path, policy: Policy | None = None, at: datetime = NOW) -> Report:
    wanted = policy or root_policy(instance().trusted_root(), IDENTITY, ISSUER)
    return lf.verify(file, policy=wanted, as_of=at)


def test_a_record(tmp_path: Path) -> None:
    report = judged(signed(tmp_path))
    assert report.verdicts[Layer.AUTHENTIC] is Verdict.YES
    assert report.exit_code() == 0
    (fact,) = report.signatures
    assert (fact.method, fact.signer, fact.time) == ("sigstore", IDENTITY, f"{SIGNED:%Y-%m-%dT%H:%M:%SZ}")


def test_somebody_else(tmp_path: Path) -> None:
    file = signed(tmp_path)
    for policy in (
        root_policy(instance().trusted_root(), "other@example.org", ISSUER),
        root_policy(instance().trusted_root(), IDENTITY, "https://accounts.example.com"),
        root_policy(Instance().trusted_root(), IDENTITY, ISSUER),
    ):
        report = judged(file, policy)
        assert report.verdicts[Layer.AUTHENTIC] is Verdict.NO
        assert "LF8113" in {finding.rule for finding in report.findings}
        assert report.exit_code() == 5


def test_before_it_was_made(tmp_path: Path) -> None:
    assert judged(signed(tmp_path), at=datetime(2026, 1, 1, tzinfo=UTC)).verdicts[Layer.AUTHENTIC] is Verdict.NO


def test_when_its_algorithms_are_broken(tmp_path: Path) -> None:
    """The log's word on the time is signed by the same algorithm: by then it proves nothing."""
    policy = root_policy(instance().trusted_root(), IDENTITY, ISSUER)
    policy = replace(policy, algorithms={"ecdsa-p256-sha256": date(2035, 1, 1)})
    file = signed(tmp_path)
    assert judged(file, policy, datetime(2034, 1, 1, tzinfo=UTC)).verdicts[Layer.AUTHENTIC] is Verdict.YES
    assert judged(file, policy, datetime(2055, 1, 1, tzinfo=UTC)).verdicts[Layer.AUTHENTIC] is Verdict.NO


def test_without_the_extra_it_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = signed(tmp_path)
    monkeypatch.setitem(sys.modules, "sigstore.models", None)
    report = judged(file)
    assert report.verdicts[Layer.AUTHENTIC] is Verdict.UNDETERMINED
    assert "LF8112" in {finding.rule for finding in report.findings}
    assert report.exit_code() == 5


def test_without_the_extra_from_the_command_line(tmp_path: Path, run_cli: CliRunner) -> None:
    file = signed(tmp_path)
    (tmp_path / "root.json").write_bytes(instance().trusted_root())
    words = ["verify", file, "--trusted-root", "root.json", "--identity", IDENTITY, "--issuer", ISSUER]
    done = run_cli(*words, "--as-of", "2026-11-21")
    assert done.returncode == 0, done.stdout + done.stderr
    hidden = tmp_path / "hidden" / "sigstore"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('hidden by a test')\n")
    path = f"{hidden.parent}:{ROOT}"
    done = run_cli(*words, "--as-of", "2026-11-21", env={"PYTHONPATH": path})
    assert done.returncode == 5, done.stdout + done.stderr
    assert "LF8112" in done.stdout


def test_a_real_publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The upstream bundle names two files; one of them is packed, under a name of ours."""
    data = ROOT / "tests" / "data" / "sigstore"
    out = tmp_path / "a.llamafile"
    include = [
        Include(data / "signme-1", "documents/first.txt", "document"),
        Include(data / "model.sig", "signatures/publisher/model.sig", "publisher-signature"),
    ]
    lf.pack([], out, prefix="none", include=include)
    rule = public_rule()
    signers = (SignerRule("Stefan", frozenset({Role.PUBLISHER}), sigstore=rule),)
    policy = Policy("test", signers, requirements=(Requirement(Role.PUBLISHER),))
    report = lf.verify(out, policy=policy, as_of=NOW, level="exhaustive")
    (fact,) = report.publishers
    assert fact.established
    assert (fact.matched, fact.total) == ((("signme-1", "documents/first.txt"),), 2)
    assert fact.time == "2025-10-10T02:12:20Z"
    assert isinstance(rule, SigstoreRule)
    monkeypatch.setitem(sys.modules, "sigstore.models", None)
    report = lf.verify(out, policy=policy, as_of=NOW, level="exhaustive")
    assert not report.publishers[0].established
    assert "LF8112" in {finding.rule for finding in report.findings}
