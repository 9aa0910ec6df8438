"""Profiles (16.11): by bare name, extended by a file, together with signers that options name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import llamafile_format as lf
from llamafile_format.checks.verdict import Verdict
from llamafile_format.errors import FormatError
from llamafile_format.rules import Layer, Severity, all_rules
from llamafile_format.signing.trust.policy import Starting, Unsigned
from llamafile_format.signing.trust.policy_reader import read_policy
from llamafile_format.signing.trust.profiles import is_bare, profile_bytes, profile_names
from llamafile_format.specdata import load_yaml, spec_dir
from tests.conftest import CliRunner
from tests.laws.containers import small_container


def own(folder: Path, text: str) -> Path:
    path = folder / "own.yaml"
    path.write_text(f"policy: 2\nname: own\n{text}", encoding="utf-8")
    return path


def test_the_three_are_there_and_obey_the_schema() -> None:
    assert profile_names() == ("archive", "hub", "lenient")
    schema = json.loads((spec_dir() / "schemas" / "policy.schema.json").read_text("utf-8"))
    assert tuple(schema["properties"]["extends"]["enum"]) == profile_names()
    for name in profile_names():
        Draft202012Validator(schema).validate(load_yaml(profile_bytes(name)))
        policy = read_policy(name)
        assert (policy.name, policy.signers, policy.unsigned) == (name, (), Unsigned.ALLOW)
        assert policy.sha256 == hashlib.sha256(profile_bytes(name)).hexdigest()
        assert policy.severities.keys() == policy.reasons.keys(), "each rule that weighs otherwise has a reason"
        assert all(policy.severities[rule] is not all_rules()[rule].severity for rule in policy.severities)


@pytest.mark.parametrize(
    ("name", "bare"),
    [("hub", True), ("", True), ("hub.yaml", False), ("./hub", False), ("a\\b", False), ("hub.yml", False)],
)
def test_what_is_a_name_and_what_a_file(name: str, bare: bool) -> None:
    assert is_bare(name) is bare
    assert not is_bare(Path("hub"))


def test_a_file_of_the_same_name_is_not_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hub").write_text("policy: 2\nname: a stranger's\nunsigned: allow\n")
    assert read_policy("hub").name == "hub"
    assert read_policy("./hub").name == "a stranger's"
    (tmp_path / "mine").write_text("policy: 2\nname: mine\nunsigned: allow\n")
    with pytest.raises(FormatError, match="there is no policy mine") as caught:
        read_policy("mine")
    assert "./mine" in caught.value.hint


def test_what_extends_says_only_what_is_different(tmp_path: Path) -> None:
    path = own(
        tmp_path, "extends: hub\nrun: allow\nallow: {roles: [weights]}\nrules: {LF6023: warning, LF6025: error}\n"
    )
    policy, hub = read_policy(path), read_policy("hub")
    assert (policy.name, policy.run, policy.unsigned) == ("own", Starting.ALLOW, Unsigned.ALLOW)
    assert (policy.prefixes, policy.roles) == (hub.prefixes, ("weights",))
    assert policy.severities == hub.severities | {"LF6023": Severity.WARNING, "LF6025": Severity.ERROR}
    assert "LF6023" not in policy.reasons
    assert policy.sha256 == hashlib.sha256(profile_bytes("hub") + path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("extends: hubb\n", "extends is wrong"),
        ("extends: [hub]\n", "extends is wrong"),
        ("extends: hub\nallow: [x]\n", "allow is wrong"),
        ("extends: hub\nunsigned: refuse\n", "nobody is trusted"),
        ("extends: hub\nsigner: []\n", "signer is no field"),
    ],
)
def test_faults_of_what_extends(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(FormatError, match=told):
        read_policy(own(tmp_path, text))


def test_a_policy_of_version_1_extends_nothing(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("policy: 1\nname: x\nextends: hub\nunsigned: allow\n")
    with pytest.raises(FormatError, match="extends is no field"):
        read_policy(path)
    path.write_text("policy: 2\nextends: hub\n")
    with pytest.raises(FormatError, match="name is wrong"):  # never the profile's
        read_policy(path)


def test_a_name_alone_and_with_a_key(tmp_path: Path, run_cli: CliRunner) -> None:
    path = small_container(tmp_path)
    report = lf.verify(path, policy=read_policy("hub"))
    assert (report.verdicts[Layer.POLICY], report.policy) == (Verdict.YES, "hub")
    assert lf.validate_upload(path, policy="hub").verdicts == report.verdicts
    assert run_cli("keygen", "-o", "k", "--no-passphrase", cwd=tmp_path).returncode == 0
    plain = run_cli("verify", path.name, "--policy", "hub", cwd=tmp_path)
    assert plain.returncode == 0, plain.stdout
    words = ("--policy", "hub", "--key", next(tmp_path.glob("k*.pub")).name)
    unsigned = run_cli("verify", path.name, *words, cwd=tmp_path)
    assert unsigned.returncode == 5, unsigned.stdout  # a key asks for a signature
    assert "hub and --key" in unsigned.stdout
    assert "policy" in unsigned.stdout
    unknown = run_cli("verify", path.name, "--policy", "hbu", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "there is no policy hbu" in unknown.stderr
    both = run_cli("verify", path.name, "--policy", "./p.yaml", *words[2:], cwd=tmp_path)
    assert both.returncode == 2
    assert "goes with neither" in both.stderr


def test_quick_never_deepens(tmp_path: Path) -> None:
    path = small_container(tmp_path)
    rested = own(tmp_path, f"extends: hub\ndeny: {{digests: [{{sha256: {'ab' * 32}}}]}}\n")
    assert lf.verify(path, level="quick", policy=read_policy(rested)).verdicts[Layer.POLICY] is Verdict.UNDETERMINED
    assert lf.verify(path, level="full", policy=read_policy(rested)).verdicts[Layer.POLICY] is Verdict.YES
