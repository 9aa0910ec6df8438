"""Trust policies (chapter 16): read strictly, or refused with the name of the field."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from llamafile_format.errors import FormatError, SourceError
from llamafile_format.rules import Layer, Severity, all_rules
from llamafile_format.signing.trust.policy import (
    APPROVING,
    Denied,
    Pin,
    Policy,
    PostQuantum,
    Role,
    StampLevel,
    Unsigned,
    key_policy,
    root_policy,
)
from llamafile_format.signing.trust.policy_reader import read_policy
from llamafile_format.specdata import load_yaml, spec_dir
from tests.unit.test_policy_examples import material, plain

HEX = "ab" * 32
AT = datetime(2026, 12, 1, tzinfo=UTC)
ALICE = """
signers:
- id: alice
  roles: [assembler]
  keys: [keys/alice.pub]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the keys and roots of the examples."""
    for name, text in material().files().items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "p.yaml"
    path.write_text(f"policy: 1\nname: test\n{text}", encoding="utf-8")
    return path


# What can be said


EVERYTHING = f"""
signers:
- id: alice
  roles: [assembler, archive]
  keys: [keys/alice.pub]
  valid_from: 2026-01-01
  valid_until: "2031-01-01T12:30:00Z"
  models: ["exhibit*", tiny]
- {{id: hub, roles: [publisher], certificate: {{roots: [roots/hub.pem], identity: "*@hub.example"}}}}
- id: service
  roles: [runtime]
  sigstore: {{trusted_root: roots/sigstore.json, identity: me@example.org, issuer: "https://accounts.example"}}
require:
- {{role: assembler, threshold: 1, signers: [alice]}}
- {{role: publisher}}
unsigned: allow
cosigners: false
post_quantum: always
time:
  minimum_level: LTA
  max_age_days: 400
  authorities:
  - {{id: clock, roots: [roots/clock.pem], valid_until: 2040-06-01T00:00:00Z}}
algorithms: {{sha256: 2050-01-01, ecdsa-p384-sha384: 2035-01-01}}
deny:
  digests: [{{sha256: {HEX}, since: 2026-05-01, reason: bad}}]
  keys: [{{key_id: {HEX}}}]
pins:
- {{model: tiny, minimum_revision: 4, manifests: [{HEX}]}}
allow:
  licenses: [MIT, GPL-2.0-only WITH Classpath-exception-2.0]
  engines: [llama.cpp, "llamafile@0.10.*", "sha256:{HEX}"]
  prefixes: []
rules: {{LF6022: error, LF7016: info, LF8117: error}}
"""


def test_every_field_arrives(folder: Path) -> None:
    path = write(folder, EVERYTHING)
    policy = read_policy(path)
    alice, hub, service = policy.signers
    assert policy.name == "test"
    assert policy.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert alice.roles == {Role.ASSEMBLER, Role.ARCHIVE}
    assert [key.key_id for key in alice.keys] == [key.id for key in material().ALICE]
    assert alice.valid_from == datetime(2026, 1, 1, tzinfo=UTC)
    assert alice.valid_until == datetime(2031, 1, 1, 12, 30, tzinfo=UTC)
    assert alice.models == ("exhibit*", "tiny")
    assert hub.certificate is not None
    assert hub.certificate.roots == (material().HUB_ROOT.der,)
    assert hub.certificate.identity == "*@hub.example"
    assert service.sigstore is not None
    assert service.sigstore.trusted_root == material().trusted_root().encode()
    assert service.sigstore.issuer == "https://accounts.example"
    first, second = policy.requirements
    assert (first.role, first.threshold, first.signers) == (Role.ASSEMBLER, 1, ("alice",))
    assert (second.role, second.threshold, second.signers) == (Role.PUBLISHER, 1, ())
    assert policy.unsigned is Unsigned.ALLOW
    assert policy.cosigners is False
    assert policy.post_quantum is PostQuantum.ALWAYS
    assert policy.minimum_level is StampLevel.LTA
    assert policy.max_age_days == 400
    assert policy.authorities[0].roots == (material().CLOCK_ROOT.der,)
    assert policy.authorities[0].valid_until == datetime(2040, 6, 1, tzinfo=UTC)
    assert policy.algorithms == {"sha256": date(2050, 1, 1), "ecdsa-p384-sha384": date(2035, 1, 1)}
    assert policy.denied_digests == (Denied(HEX, datetime(2026, 5, 1, tzinfo=UTC), "bad"),)
    assert policy.denied_keys == (Denied(HEX, None, ""),)
    assert policy.pins == (Pin("tiny", 4, (HEX,)),)
    assert policy.licenses == ("MIT", "GPL-2.0-only WITH Classpath-exception-2.0")
    assert policy.engines == ("llama.cpp", "llamafile@0.10.*", f"sha256:{HEX}")
    assert policy.prefixes == ()
    assert policy.severities["LF7016"] is Severity.INFO


def test_what_is_not_said_has_the_defaults_of_the_chapter(folder: Path) -> None:
    policy = read_policy(write(folder, ALICE))
    usual = Policy("test", policy.signers, sha256=policy.sha256)
    assert policy == usual
    assert policy.unsigned is Unsigned.REFUSE
    assert policy.licenses is None
    assert key_policy(policy.signers[0].keys).signers[0].roles == APPROVING
    assert len(key_policy({"alice.pub": policy.signers[0].keys}).signers) == 1
    named = root_policy(b"{}", "a@b", "https://c").signers[0].sigstore
    assert named is not None
    assert named.identity == "a@b"


def test_a_key_may_stand_in_the_policy_and_in_the_form_of_openssh(folder: Path) -> None:
    pem = "\n".join(f"    {line}" for line in material().pem(*material().ME).splitlines())
    text = f"signers:\n- id: me\n  roles: [assembler]\n  keys: [keys/friend.pub]\n  public_key: |\n{pem}\n"
    keys = read_policy(write(folder, text)).signers[0].keys
    assert {key.key_id for key in keys} == {material().FRIEND[0].id, material().ME[0].id}


# What cannot


SIGSTORE = "{trusted_root: roots/sigstore.json, identity: '*@b', issuer: 'https://c'}"
WRONG = {
    "unknown field": (f"{ALICE}trust: all\n", "trust"),
    "unknown field below": (ALICE.replace("keys:", "key_files:"), "signers[0]"),
    "key twice": (f"{ALICE}unsigned: allow\nunsigned: refuse\n", "twice"),
    "anchor": ("signers: &a []\nunsigned: allow\npins: *a\n", "anchor"),
    "merge key": (f"{ALICE}<<: {{unsigned: allow}}\n", "merge"),
    "tag": (f"{ALICE}unsigned: !!str allow\n", "tag"),
    "second document": (f"{ALICE}---\npolicy: 1\n", "documents"),
    "nobody": ("", "unsigned: allow"),
    "empty signer": ("signers:\n- {id: a, roles: [assembler]}\n", "signers[0]"),
    "no role": (ALICE.replace("[assembler]", "[]"), "roles"),
    "other role": (ALICE.replace("[assembler]", "[owner]"), "publisher or assembler"),
    "roles as a word": (ALICE.replace("[assembler]", "assembler"), "signers[0].roles"),
    "missing file": (ALICE.replace("alice.pub", "nobody.pub"), "signers[0].keys[0]"),
    "absolute path": (ALICE.replace("keys/alice.pub", "/etc/hostname"), "relative"),
    "no key": (ALICE.replace("keys/alice.pub", "roots/hub.pem"), "signers[0].keys[0]"),
    "same id": (ALICE + ALICE.partition("\n- ")[2].join(["- ", ""]), "twice"),
    "same key": (ALICE + ALICE.partition("\n- ")[2].join(["- ", ""]).replace("id: alice", "id: b"), "same key"),
    "identity missing": ("signers:\n- {id: a, roles: [archive], certificate: {roots: [roots/hub.pem]}}\n", "identity"),
    "no certificate": (
        "signers:\n- {id: a, roles: [archive], certificate: {roots: [keys/alice.pub], identity: x}}\n",
        "certificate.roots[0]",
    ),
    "issuer missing": (
        "signers:\n- {id: a, roles: [archive], sigstore: {trusted_root: roots/sigstore.json, identity: x}}\n",
        "sigstore.issuer",
    ),
    "identity of many": (
        f"signers:\n- {{id: a, roles: [archive], sigstore: {SIGSTORE}}}\n",
        "signers[0].sigstore.identity",
    ),
    "threshold nobody can reach": (f"{ALICE}require:\n- {{role: assembler, threshold: 2}}\n", "2 signers"),
    "role nobody has": (f"{ALICE}require:\n- {{role: archive}}\n", "0 may count"),
    "signer nobody knows": (f"{ALICE}require:\n- {{role: assembler, signers: [eve]}}\n", "no signer eve"),
    "signer without the role": (f"{ALICE}require:\n- {{role: archive, signers: [alice]}}\n", "has not the role"),
    "signer named twice": (f"{ALICE}require:\n- {{role: assembler, signers: [alice, alice]}}\n", "twice"),
    "threshold nought": (f"{ALICE}require:\n- {{role: assembler, threshold: 0}}\n", "require[0].threshold"),
    "threshold true": (f"{ALICE}require:\n- {{role: assembler, threshold: true}}\n", "require[0].threshold"),
    "unsigned no": (f"{ALICE}unsigned: no\n", "unsigned: 'no' is not the same"),
    "level without authority": (f"{ALICE}time: {{minimum_level: T}}\n", "authority"),
    "level unknown": (f"{ALICE}time: {{minimum_level: A}}\n", "time.minimum_level"),
    "age nought": (f"{ALICE}time: {{max_age_days: 0}}\n", "time.max_age_days"),
    "no such day": (ALICE + '  valid_from: "2026-02-30"\n', "valid_from"),
    "time without a zone": (ALICE + "  valid_from: 2026-02-03 10:00:00\n", "valid_from"),
    "time of another zone": (ALICE + "  valid_from: 2026-02-03T10:00:00+02:00\n", "valid_from"),
    "a year": (ALICE + "  valid_from: 2026\n", "valid_from"),
    "window the wrong way": (ALICE + "  valid_from: 2026-02-03\n  valid_until: 2026-02-03\n", "valid_until"),
    "algorithm unknown": (f"{ALICE}algorithms: {{rot13: 2026-01-01}}\n", "algorithms.rot13"),
    "algorithm at noon": (f"{ALICE}algorithms: {{sha256: 2026-01-01T12:00:00Z}}\n", "algorithms.sha256"),
    "digest in capitals": (f"{ALICE}deny: {{digests: [{{sha256: {HEX.upper()}}}]}}\n", "deny.digests[0].sha256"),
    "digest as a number": (f"{ALICE}deny: {{digests: [{{sha256: {'1' * 64}}}]}}\n", "deny.digests[0].sha256"),
    "pin of nothing": (f"{ALICE}pins: [{{model: tiny}}]\n", "pins nothing"),
    "pin twice": (f"{ALICE}pins: [{{model: t, minimum_revision: 1}}, {{model: t, minimum_revision: 2}}]\n", "twice"),
    "pin of no digest": (f"{ALICE}pins: [{{model: tiny, manifests: [abc]}}]\n", "pins[0].manifests[0]"),
    "engine": (f"{ALICE}allow: {{engines: ['a b']}}\n", "allow.engines[0]"),
    "licence": (f"{ALICE}allow: {{licenses: [MIT OR ISC]}}\n", "allow.licenses[0]"),
    "prefix": (f"{ALICE}allow: {{prefixes: [exe]}}\n", "allow.prefixes[0]"),
    "rule unknown": (f"{ALICE}rules: {{LF0000: error}}\n", "rules.LF0000"),
    "severity unknown": (f"{ALICE}rules: {{LF6022: fatal}}\n", "rules.LF6022"),
    "rule of well-formedness lowered": (f"{ALICE}rules: {{LF3106: warning}}\n", "never lowered"),
    "rule of signatures lowered": (f"{ALICE}rules: {{LF8102: info}}\n", "never lowered"),
    "warning of signatures lowered": (f"{ALICE}rules: {{LF8108: info}}\n", "never lowered"),
    "rule of the policy lowered": (f"{ALICE}rules: {{LF8402: info}}\n", "never lowered"),
    "rule of behaviour lowered": (f"{ALICE}rules: {{LF9110: info}}\n", "never lowered"),
    "rule about a limit": (f"{ALICE}rules: {{LF9001: error}}\n", "not looked at"),
    "not YAML": (f"{ALICE}rules: {{\n", "not YAML"),
    "a list": ("- a\n", "not YAML"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_fault_is_named_and_nothing_is_half_applied(what: str, folder: Path) -> None:
    text, words = WRONG[what]
    with pytest.raises(FormatError) as caught:
        read_policy(write(folder, text))
    assert words in str(caught.value)
    assert "p.yaml" in str(caught.value)


@pytest.mark.parametrize("head", ["", "policy: 3\nname: x\n", "policy: true\nname: x\n", "policy: '1'\nname: x\n"])
def test_another_version_is_refused(folder: Path, head: str) -> None:
    path = folder / "p.yaml"
    path.write_text(head + ALICE, encoding="utf-8")
    with pytest.raises(FormatError, match="policy"):
        read_policy(path)


def test_the_policy_itself_is_bounded_and_must_be_there(folder: Path) -> None:
    with pytest.raises(SourceError):
        read_policy(folder / "nothing.yaml")
    with pytest.raises(FormatError, match="too long"):
        read_policy(write(folder, ALICE + "#" * (1 << 20)))
    path = folder / "p.yaml"
    path.write_bytes(b"policy: 1\nname: \xff\n")
    with pytest.raises(FormatError, match="UTF-8"):
        read_policy(path)


def test_only_rules_about_contents_and_legacy_habits_are_lowered() -> None:
    """Every rule of the table: either it may be lowered, or clause 16.8.3 says why not."""
    from llamafile_format.signing.trust.policy_contents import may_be_lowered

    for row in all_rules().values():
        if may_be_lowered(row):
            assert row.layer is Layer.VALID or row.id.startswith("LF7"), row.id
            assert not row.id.startswith("LF8"), row.id


# The schema says the same


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    value = json.loads((spec_dir() / "schemas" / "policy.schema.json").read_text("utf-8"))
    return Draft202012Validator(value)


def test_the_schema_takes_what_the_reader_takes(schema: Draft202012Validator) -> None:
    for text in (ALICE, EVERYTHING):
        schema.validate(plain(load_yaml(f"policy: 1\nname: test\n{text}")))


def test_the_schema_refuses_what_has_a_wrong_field(schema: Draft202012Validator) -> None:
    """All faults but those that only the words of another field show."""
    beyond = {
        "same id",
        "same key",
        "pin twice",
        "key twice",
        "merge key",
        "anchor",
        "tag",
        "second document",
        "not YAML",
    }
    beyond |= {"missing file", "no key", "no certificate", "a list", "window the wrong way", "no such day", "licence"}
    beyond |= {what for what in WRONG if "nobody can" in what or "lowered" in what or what.startswith("role nobody")}
    beyond |= {
        "signer nobody knows",
        "signer without the role",
        "rule about a limit",
        "algorithm unknown",
        "identity of many",
    }
    beyond |= {"time without a zone", "time of another zone"}  # YAML has read them by then
    for what in WRONG.keys() - beyond:
        value: Any = plain(load_yaml(f"policy: 1\nname: test\n{WRONG[what][0]}"))
        assert not schema.is_valid(value) or what == "rule unknown", what


MISSPELT = {
    "policy: 1\nnme: test\n": "line 2, column 1: nme is no field here: did you mean name?",
    f"{{}}{ALICE.replace('keys:', 'key:')}": "line 6, column 3: signers[0].key is no field here",
    f"{{}}{ALICE.replace('roles:', 'rols:')}": "line 5, column 3: signers[0].rols",
    f"{{}}{ALICE}  until: 2020-01-01\n": "line 7, column 3: signers[0].until",
    f"{{}}{ALICE}  valid_from: soon\n": "line 7, column 15: signers[0].valid_from is wrong",
    f"{{}}{ALICE}require:\n- {{role: assembler, threshhold: 2}}\n": "line 8, column 21: require[0].threshhold",
    f"{{}}{ALICE}require:\n- {{role: assembler, threshold: 2}}\n": "line 8, column 3: require[0]",
    f"{{}}{ALICE}unsigned: yess\n": "line 7, column 11: unsigned is wrong",
}
MEANT = ("name", "keys", "roles", "valid_until", "", "threshold", "", "")


@pytest.mark.parametrize(
    ("text", "place", "meant"), [(*item, meant) for item, meant in zip(MISSPELT.items(), MEANT, strict=True)]
)
def test_a_fault_is_told_with_its_place_and_the_field_that_was_meant(
    folder: Path, text: str, place: str, meant: str
) -> None:
    path = folder / "p.yaml"
    path.write_text(text.replace("{}", "policy: 1\nname: test", 1), encoding="utf-8")
    with pytest.raises(FormatError) as caught:
        read_policy(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: line")
    assert place in said
    assert f"did you mean {meant}?" in said or not meant
    assert "datetime" not in said
