"""``verify`` with somebody to trust: options, exit codes, and reports that keep three questions apart."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click.testing
import pytest
from jsonschema import Draft202012Validator

from llamafile_format.checks.verdict import Level, Report, Verdict
from llamafile_format.cli.main import cli
from llamafile_format.container import Kind
from llamafile_format.errors import LlamafileError
from llamafile_format.findings import Finding
from llamafile_format.reports.verify_json import report_value
from llamafile_format.reports.verify_text import report_text
from llamafile_format.rules import Layer, Severity
from llamafile_format.signing.keys.key import PrivateKey
from llamafile_format.signing.records.record import RecordKind
from llamafile_format.signing.trust.evidence import SignatureFact, Standing
from llamafile_format.specdata import spec_dir
from llamafile_format.vouching.sign import sign
from tests import authorities, signing_samples
from tests.laws.containers import small_container
from tests.unit.test_policy_examples import FOLDER, material, records, signed


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and standard output of ``verify``; an error's own code and its text."""
    result = click.testing.CliRunner().invoke(cli, ["verify", *map(str, arguments)])
    if isinstance(result.exception, LlamafileError):
        return result.exception.exit_code, f"{result.exception} / {result.exception.hint}"
    return result.exit_code, result.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``small.llamafile``, which the friend signed, and public keys."""
    signed(small_container(tmp_path, name="exhibit", license="CC0-1.0"), material().FRIEND)
    for name in ("ALICE", "FRIEND", "STRANGER"):
        (tmp_path / f"{name.lower()}.pub").write_text(material().pem(*getattr(material(), name)))
    (tmp_path / "clock.pem").write_text(material().CLOCK_ROOT.pem)
    return tmp_path


# Options and exit codes


def test_a_trusted_key_makes_it_authentic(folder: Path) -> None:
    path = folder / "small.llamafile"
    code, text = run(path, "--key", folder / "friend.pub")
    assert code == 0
    assert re.search(r"^  authentic +yes", text, re.MULTILINE)
    assert "policy " not in text
    assert run(path, "--key", FOLDER / "keys" / "friend.pub")[0] == 0  # the same key, as ssh-keygen writes it
    assert run(path, "--key", folder / "stranger.pub", "--key", folder / "friend.pub")[0] == 0
    assert run(path, "--key", folder / "stranger.pub")[0] == 5
    assert run(path)[0] == 0


def test_an_unsigned_file_is_5_only_if_somebody_asks(tmp_path: Path) -> None:
    path = small_container(tmp_path, license="MIT")
    (tmp_path / "alice.pub").write_text(material().pem(*material().ALICE))
    assert run(path)[0] == 0
    code, text = run(path, "--key", tmp_path / "alice.pub")
    assert code == 5
    assert "LF8101" in text
    assert run(path, "--policy", FOLDER / "hub.yaml")[0] == 0
    assert run(path, "--policy", FOLDER / "hub.yaml", "--require-signature")[0] == 5


def test_a_signature_is_required_and_nobody_is_named(folder: Path) -> None:
    code, text = run(folder / "small.llamafile", "--require-signature")
    assert code == 5
    assert re.search(r"^  authentic +undetermined", text, re.MULTILINE)
    assert "LF8115" in text


def test_damage_is_worse_than_doubt(folder: Path) -> None:
    path = folder / "small.llamafile"
    data = bytearray(path.read_bytes())
    at = data.index(b"CC0-1.0\n")
    data[at] ^= 1
    path.write_bytes(data)
    code, text = run(path, "--key", folder / "friend.pub")
    assert code == 1
    assert re.search(r"^  authentic +no", text, re.MULTILINE)
    assert "LF8116" in text
    assert "    intact           no" in text


def test_several_files_and_the_worst_code(folder: Path, tmp_path: Path) -> None:
    good = folder / "small.llamafile"
    (tmp_path / "b").mkdir()
    unsigned = small_container(tmp_path / "b")
    code, text = run(good, unsigned, "--key", folder / "friend.pub", "--format", "jsonl")
    assert code == 5
    assert [json.loads(line)["verdicts"]["authentic"] for line in text.splitlines()] == ["yes", "no"]
    assert run(good, unsigned, folder / "nothing", "--key", folder / "friend.pub")[0] == 4


def test_the_moment_of_verification(folder: Path) -> None:
    path, policy = folder / "small.llamafile", folder / "p.yaml"
    policy.write_text(
        "policy: 1\nname: short\nsigners:\n- id: friend\n  roles: [assembler]\n  keys: [friend.pub]\n"
        "  valid_from: 2026-01-01\n  valid_until: 2027-01-01\n"
    )
    assert run(path, "--policy", policy, "--as-of", "2026-12-31")[0] == 0
    assert run(path, "--policy", policy, "--as-of", "2026-12-31T23:59:59Z")[0] == 0
    code, text = run(path, "--policy", policy, "--as-of", "2027-01-01")
    assert code == 5
    assert "LF8107" in text
    for wrong in ("yesterday", "2026-13-01", "2026-12-31T23:59:59", "2026-12-31 10:00:00"):
        code, text = run(path, "--policy", policy, "--as-of", wrong)
        assert code == 2, wrong
        assert "--as-of" in text


def test_a_stamp_proves_the_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    path = signed(small_container(folder), material().FRIEND, stamped=True)
    code, text = run(path, "--key", "friend.pub", "--tsa", "clock.pem", "--as-of", "2027-01-01")
    assert code == 0
    assert text.count("time             2026-11-22T00:00:00Z, proven by clock.pem") == 2  # of the record, of the stamp
    code, text = run(path, "--key", folder / "friend.pub", "--as-of", "2027-01-01")
    assert code == 0
    assert "not proven; the record itself says 2026-11-21T12:00:00Z" in text
    assert "an unknown authority" in text


def test_detached_records_count_only_when_named(folder: Path) -> None:
    path = small_container(folder)
    beside = folder / "small.llamafile.0001.oms.json"
    other = signed(small_container(folder, name="x"), material().FRIEND)
    beside.write_bytes(records(other)[0])
    assert run(small_container(folder), "--key", folder / "friend.pub")[0] == 5
    small_container(folder, name="x")
    assert run(path, "--key", folder / "friend.pub")[0] == 5
    code, text = run(path, "--key", folder / "friend.pub", "--signature", beside)
    assert code == 0, text
    assert run(path, path, "--key", folder / "friend.pub", "--signature", beside)[0] == 2
    beside.rename(folder / "nonsense")
    assert run(path, "--key", folder / "friend.pub", "--signature", folder / "nonsense")[0] == 2


@pytest.mark.parametrize(
    "options",
    [
        ("--policy", "nothing.yaml"),
        ("--policy", "small.llamafile"),
        ("--key", "nothing.pub"),
        ("--key", "clock.pem"),
        ("--tsa", "clock.pem"),
        ("--key", "friend.pub", "--tsa", "friend.pub"),
        ("--trusted-root", "root.json"),
        ("--trusted-root", "root.json", "--identity", "a@b"),
        ("--identity", "a@b", "--issuer", "https://c"),
        ("--policy", FOLDER / "hub.yaml", "--key", "friend.pub"),
        ("--policy", FOLDER / "hub.yaml", "--tsa", "clock.pem"),
        ("--policy", FOLDER / "hub.yaml", "--trusted-root", "r", "--identity", "a@b", "--issuer", "https://c"),
    ],
)
def test_what_makes_no_sense_is_found_before_anything_is_read(
    options: tuple[object, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    code, text = run("no-such-file.llamafile", *options)
    assert code == 2
    assert "no-such-file" not in text


def test_a_sigstore_identity_is_pinned_and_a_key_beside_it_counts(folder: Path) -> None:
    root = FOLDER / "roots" / "sigstore.json"
    named = ("--trusted-root", root, "--identity", "me@example.org", "--issuer", "https://issuer.example")
    assert run(folder / "small.llamafile", *named)[0] == 5
    assert run(folder / "small.llamafile", *named, "--key", folder / "friend.pub")[0] == 0


def test_a_certificate_below_named_roots_and_nobody_else(tmp_path: Path) -> None:
    root, other = authorities.Authority.create("Root"), authorities.Authority.create("Other")
    leaf = root.leaf("Press", key="p256", email="models@press.example")
    key = PrivateKey(leaf.key)
    file = signing_samples.container(tmp_path / "tiny.llamafile")
    sign(file, [key], certificates=[leaf.der, root.der])
    (tmp_path / "root.pem").write_bytes(root.pem)
    (tmp_path / "other.pem").write_bytes(other.pem)

    def code(name: str, identity: str, *more: str) -> int:
        return run(file, "--trusted-root", tmp_path / name, "--identity", identity, *more)[0]

    assert code("root.pem", "models@press.example") == 0
    assert code("root.pem", "somebody@press.example") == 5
    assert code("other.pem", "models@press.example") == 5
    assert code("root.pem", "models@press.example", "--issuer", "https://issuer.example") == 2


# Reports


PRAISE = re.compile(r"\b(valid|trusted|good|authentic|genuine|verified|ok)\b", re.IGNORECASE)


def test_a_stranger_gets_no_word_of_praise(folder: Path) -> None:
    for arguments in ((), ("--key", folder / "stranger.pub"), ("--require-signature",)):
        _, text = run(folder / "small.llamafile", *arguments)
        block = text[text.index("  META-LLAMAFILE") : text.index("  LF")]
        assert "an unknown key" in block
        assert not PRAISE.search(block.replace("not trusted  ", "").replace("nobody here trusts", "")), block


def test_three_answers_in_three_lines(folder: Path) -> None:
    _, text = run(folder / "small.llamafile", "--key", folder / "friend.pub")
    labels = re.findall(r"^    (intact|signed by|trusted because|not trusted|time)  ", text, re.MULTILINE)
    assert labels == ["intact", "signed by", "trusted because", "time"]
    assert material().FRIEND[0].id in text
    assert "\x1b" not in text
    lines = text.replace(str(folder), "").splitlines()
    assert all(len(line) <= 80 for line in lines), [line for line in lines if len(line) > 80]


def test_the_verdict_of_a_policy_names_it(folder: Path) -> None:
    code, text = run(folder / "small.llamafile", "--policy", FOLDER / "personal.yaml", "--as-of", "2026-12-01")
    assert code == 0
    assert re.search(r"^  policy +yes  mine$", text, re.MULTILINE)
    value = report_of(folder / "small.llamafile", "--policy", FOLDER / "personal.yaml")
    assert value["policy"]["name"] == "mine"
    assert re.fullmatch("[0-9a-f]{64}", value["policy"]["sha256"])
    (fact,) = value["signatures"]
    assert (fact["standing"], fact["signer"], fact["roles"]) == ("trusted", "a friend", ["assembler"])
    assert fact["key_id"] == material().FRIEND[0].id


def report_of(*arguments: object) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(run(*arguments, "--format", "json")[1])
    schema().validate(value)
    return value


def schema() -> Draft202012Validator:
    return Draft202012Validator(json.loads((spec_dir() / "schemas" / "report.schema.json").read_text("utf-8")))


def test_a_report_without_signatures_keeps_its_keys(tmp_path: Path) -> None:
    value = report_of(small_container(tmp_path))
    assert value["signatures"] == value["publishers"] == []
    assert value["policy"] == {"name": "", "sha256": "", "severities": {}, "reasons": {}}


def test_rules_raised_by_a_policy(folder: Path) -> None:
    path, policy = folder / "small.llamafile", folder / "p.yaml"
    policy.write_text("policy: 1\nname: p\nunsigned: allow\nrules: {LF8103: error}\n")
    code, text = run(path, "--policy", policy)
    assert "LF8103 error (raised by the policy)" in text
    assert code == 0  # nobody asked for authenticity
    value = report_of(path, "--policy", policy)
    (finding,) = [each for each in value["findings"] if each["rule"] == "LF8103"]
    assert (finding["severity"], finding["severity_of_rule"]) == ("error", "info")
    assert value["policy"]["severities"] == {"LF8103": "error"}


def made_up(**fields: Any) -> Report:
    verdicts = {Layer.WELL_FORMED: Verdict.YES, Layer.VALID: Verdict.YES, **fields.pop("verdicts", {})}
    return Report("x.llamafile", 9, Kind.CONTAINER, Level.FULL, verdicts, fields.pop("findings", ()), **fields)


def test_words_of_a_record_are_escaped_and_its_own(folder: Path) -> None:
    evil = "curator\x1b[2J\u202e\nwell-formed  yes"
    fact = SignatureFact(
        "META-LLAMAFILE/signatures/0001.oms.json",
        RecordKind.OMS,
        Standing.UNKNOWN,
        method="certificate",
        because=evil,
        claims=evil,
        declared_time="2026-01-01T00:00:00Z",
    )
    text = report_text(made_up(signatures=(fact,)))
    assert text.replace("\n", "").isprintable()
    assert "an unknown certificate; it calls itself" in text
    assert text.count("well-formed  yes") == 3  # once as a verdict, twice within the escaped words
    assert len(re.findall(r"^  well-formed", text, re.MULTILINE)) == 1
    schema().validate(report_value(made_up(signatures=(fact,))))


@pytest.mark.parametrize("standing", list(Standing))
@pytest.mark.parametrize("kind", list(RecordKind))
def test_only_trust_reads_like_trust(standing: Standing, kind: RecordKind) -> None:
    trusted = standing is Standing.TRUSTED
    fact = SignatureFact("r", kind, standing, signer="s" if trusted else "", because="of this")
    text = report_text(made_up(signatures=(fact,)))
    assert ("trusted because" in text) is trusted
    if standing is not Standing.MATERIAL:
        assert ("not trusted" in text) is not trusted
    schema().validate(report_value(made_up(signatures=(fact,))))


def test_many_records_are_cut_on_the_screen_only() -> None:
    fact = SignatureFact("r", RecordKind.VM, Standing.MATERIAL, because="it helps")
    report = made_up(signatures=(fact,) * 500)
    assert "and 468 more records" in report_text(report)
    assert len(report_value(report)["signatures"]) == 500


@pytest.mark.parametrize(
    ("authentic", "policy", "other", "strict", "code"),
    [
        (Verdict.YES, Verdict.YES, Verdict.YES, False, 0),
        (Verdict.NO, None, Verdict.YES, False, 5),
        (Verdict.UNDETERMINED, None, Verdict.YES, False, 5),
        (Verdict.NO, Verdict.NO, Verdict.YES, False, 1),
        (Verdict.YES, Verdict.NO, Verdict.YES, False, 1),
        (Verdict.YES, Verdict.UNDETERMINED, Verdict.YES, False, 0),
        (Verdict.YES, Verdict.UNDETERMINED, Verdict.YES, True, 1),
        (None, Verdict.YES, Verdict.YES, False, 0),
        (Verdict.NO, Verdict.YES, Verdict.NO, False, 1),
        (Verdict.UNDETERMINED, Verdict.YES, Verdict.UNDETERMINED, True, 1),
    ],
)
def test_exit_codes(authentic: Verdict | None, policy: Verdict | None, other: Verdict, strict: bool, code: int) -> None:
    asked = {Layer.WELL_FORMED: other, Layer.AUTHENTIC: authentic, Layer.POLICY: policy}
    report = made_up(verdicts={layer: verdict for layer, verdict in asked.items() if verdict is not None})
    assert report.exit_code(strict=strict) == code


def test_authentic_comes_before_behaviour_and_a_policys_severity_before_the_tables() -> None:
    verdicts = {Layer.AUTHENTIC: Verdict.NO, Layer.BEHAVIOUR: Verdict.NO}
    assert made_up(verdicts=verdicts).exit_code() == 5
    assert made_up(verdicts={Layer.BEHAVIOUR: Verdict.NO}).exit_code() == 6
    warned = made_up(findings=(Finding("LF6022"),))
    assert warned.exit_code(strict=True) == 1
    quiet = made_up(findings=(Finding("LF6022"),), severities={"LF6022": Severity.INFO})
    assert quiet.exit_code(strict=True) == 0
