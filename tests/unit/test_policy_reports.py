"""What a policy of version 2 says of scanners' reports, tensors, age, prefixes and templates (16.7.13 to 16.12)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

import llamafile_format as lf
from llamafile_format.checks.verdict import Report, Verdict
from llamafile_format.errors import FormatError
from llamafile_format.reports import report_json
from llamafile_format.rules import Layer, Severity
from llamafile_format.signing.trust.policy import APPROVING, Role, Tensors, key_policy
from llamafile_format.signing.trust.policy_reader import read_policy
from llamafile_format.specdata import spec_dir
from llamafile_format.vouching import attest, sign
from tests.signing_samples import TIME, container, keys

NOW = datetime.fromisoformat(TIME) + timedelta(days=3)
SCANNERS = "- {{id: scanner, roles: [{roles}], public_key: {key}}}\n"


def pem(name: str) -> str:
    return json.dumps(keys(name)[0].public.pem)


def own(folder: Path, text: str, *, version: int = 2) -> Path:
    path = folder / "own.yaml"
    path.write_text(f"policy: {version}\nname: own\n{text}", encoding="utf-8")
    return path


def demanding(folder: Path, more: str = "max_age_days: 7", roles: str = "scanner") -> Path:
    signers = SCANNERS.format(roles=roles, key=pem("p256"))
    return own(folder, f"unsigned: allow\nsigners:\n{signers}scanned: {{{more}}}\n")


def checked(file: Path, policy: Path, as_of: datetime = NOW) -> Report:
    return lf.verify(file, policy=read_policy(policy), as_of=as_of)


def reason(report: Report) -> str:
    return " ".join(str(finding.args["reason"]) for finding in report.findings if finding.rule == "LF8421")


@pytest.fixture
def scanned(tmp_path: Path) -> Path:
    """A container with a report by these very rules."""
    file = container(tmp_path / "a.llamafile")
    attest(file, report_json(lf.verify(file)).encode(), keys("p256"), declared_time=TIME)
    return file


def test_a_report_by_the_verifiers_own_rules_is_enough_and_approves_nothing(scanned: Path, tmp_path: Path) -> None:
    report = checked(scanned, demanding(tmp_path))
    assert report.verdicts[Layer.POLICY] is Verdict.YES
    assert Layer.AUTHENTIC not in report.verdicts, "unsigned files are let pass, and this still is one"
    refusing = demanding(tmp_path, roles="scanner, archive")
    refusing.write_text(refusing.read_text().replace("unsigned: allow\n", ""))
    report = checked(scanned, refusing)
    assert (report.verdicts[Layer.POLICY], report.verdicts[Layer.AUTHENTIC]) == (Verdict.YES, Verdict.NO)


@pytest.mark.parametrize(
    ("more", "as_of", "words"),
    [
        ("max_age_days: 2", NOW, "2 days are the most"),
        ("max_age_days: 7", NOW - timedelta(days=5), "7 days are the most"),
        (f"max_age_days: 7, rulesets: ['{'ab' * 32}']", NOW, "other rules"),
    ],
)
def test_a_report_that_is_old_or_of_the_future_or_of_other_rules(
    scanned: Path, tmp_path: Path, more: str, as_of: datetime, words: str
) -> None:
    report = checked(scanned, demanding(tmp_path, more), as_of)
    assert report.verdicts[Layer.POLICY] is Verdict.NO
    assert words in reason(report)


def test_a_report_by_a_signer_in_another_role(tmp_path: Path) -> None:
    file = container(tmp_path / "a.llamafile")
    attest(file, report_json(lf.verify(file)).encode(), keys("p256"), declared_time=TIME)
    other = SCANNERS.replace("id: scanner", "id: other").format(roles="scanner", key=pem("p384"))
    policy = own(
        tmp_path,
        f"unsigned: allow\nsigners:\n{SCANNERS.format(roles='archive', key=pem('p256'))}{other}"
        "scanned: {max_age_days: 7}\n",
    )
    assert "not believed about reports" in reason(checked(file, policy))


def test_a_scanner_that_signs_signs_nothing(tmp_path: Path) -> None:
    file = container(tmp_path / "a.llamafile")
    sign(file, keys("p256"), declared_time=TIME)
    report = checked(
        file, own(tmp_path, f"unsigned: allow\nsigners:\n{SCANNERS.format(roles='scanner', key=pem('p256'))}")
    )
    assert Layer.AUTHENTIC not in report.verdicts
    assert [fact.standing.value for fact in report.signatures] == ["refused"]
    assert "about reports alone" in report.signatures[0].because


def test_keys_that_options_name_are_scanners_of_nothing() -> None:
    (signer,) = key_policy({"me": ()}).signers
    assert signer.roles == APPROVING == frozenset(Role) - {Role.SCANNER}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("unsigned: allow\nscanned: {threshold: 1}\n", "max_age_days"),
        ("unsigned: allow\nscanned: {max_age_days: 7}\n", "0 may count"),
        ("unsigned: allow\nscanned: {max_age_days: 7, signers: [nobody]}\n", "no signer nobody"),
        ("unsigned: allow\nscanned: {max_age_days: 7, rulesets: [any]}\n", "64 lower-case"),
        ("unsigned: allow\ncreated: {}\n", "bounds nothing"),
        ("unsigned: allow\ntensors: some\n", "all"),
        ("unsigned: allow\ntemplate_risk: low\n", "none"),
        ("unsigned: allow\nallow: {prefix_digests: [ape]}\n", "hexadecimal"),
        ("signers:\n" + SCANNERS.format(roles="scanner", key=pem("p256")), "nobody is trusted"),
        (
            "signers:\n" + SCANNERS.format(roles="scanner", key=pem("p256")) + "require: [{role: scanner}]\n",
            "publisher",
        ),
    ],
)
def test_faults(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        read_policy(own(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        "tensors: all\n",
        "template_risk: none\n",
        "created: {max_age_days: 7}\n",
        "allow: {prefix_digests: [registered]}\n",
        "signers:\n" + SCANNERS.format(roles="scanner", key=pem("p256")),
    ],
)
def test_nothing_of_it_is_in_version_1(tmp_path: Path, text: str) -> None:
    schema = Draft202012Validator(json.loads((spec_dir() / "schemas" / "policy.schema.json").read_text("utf-8")))
    second, first = (own(tmp_path, f"unsigned: allow\n{text}", version=version).read_text() for version in (2, 1))
    assert schema.is_valid(yaml.safe_load(second))
    assert not schema.is_valid(yaml.safe_load(first))
    with pytest.raises(FormatError):
        read_policy(tmp_path / "own.yaml")


def test_no_risk_of_templates_makes_warnings_errors_and_the_policys_own_word_counts(tmp_path: Path) -> None:
    policy = read_policy(own(tmp_path, "unsigned: allow\ntemplate_risk: none\nrules: {LF6025: info}\n"))
    assert policy.severities["LF6022"] is policy.severities["LF6036"] is Severity.ERROR
    assert policy.severities["LF6025"] is Severity.INFO
    assert "LF6033" not in policy.severities, "what was not judged stays undetermined"


def test_hub_has_all_tensors_looked_at() -> None:
    assert read_policy("hub").tensors is Tensors.ALL
    assert read_policy("lenient").tensors is Tensors.SAMPLED


def test_the_moment_of_verification_bounds_the_age(tmp_path: Path) -> None:
    file = container(tmp_path / "a.llamafile")
    policy = own(tmp_path, "unsigned: allow\ncreated: {max_age_days: 7}\n")
    with lf.open(file) as found:
        said = found.manifest.created if found.manifest else ""
    found_rules = {finding.rule for finding in checked(file, policy, datetime(2400, 1, 1, tzinfo=UTC)).findings}
    assert "LF8422" in found_rules
    if said:
        made = datetime.fromisoformat(said)
        assert "LF8422" not in {finding.rule for finding in checked(file, policy, made).findings}
