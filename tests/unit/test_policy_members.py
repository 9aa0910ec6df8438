"""Policy version 2 on licences, engines of the registry, weights, options and records (16.7.7 to 16.7.11)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

import llamafile_format as lf
from llamafile_format.checks.policy_members import check_policy_members
from llamafile_format.checks.verdict import Verdict
from llamafile_format.container import open_container
from llamafile_format.engines.known import is_registered
from llamafile_format.errors import FormatError
from llamafile_format.rules import Layer
from llamafile_format.signing.trust.licenses import MAX_DEPTH, license_allowed, unknown_names
from llamafile_format.signing.trust.policy import Policy
from llamafile_format.signing.trust.policy_reader import read_policy
from llamafile_format.specdata import spec_dir, spec_yaml
from tests.laws.containers import small_container


def read(folder: Path, text: str, version: int = 2) -> Policy:
    path = folder / "policy.yaml"
    path.write_text(f"policy: {version}\nname: x\nunsigned: allow\n{text}")
    return read_policy(path)


@pytest.mark.parametrize(
    ("expression", "allowed", "denied", "result"),
    [
        ("GPL-2.0", ["GPL-2.0-only"], [], True),
        ("GPL-2.0-only", ["GPL-2.0"], [], True),
        ("GPL-2.0+", ["GPL-2.0-or-later"], [], True),
        ("gpl-2.0", None, ["GPL-2.0-only"], False),
        ("GPL-2.0 OR MIT", None, ["GPL-2.0-only"], True),
        ("GPL-2.0 AND MIT", None, ["GPL-2.0-only"], False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", None, ["GPL-2.0-only"], False),
        ("(GPL-2.0-only WITH Classpath-exception-2.0) OR MIT", None, ["GPL-2.0-only"], True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", None, ["GPL-2.0-only WITH Classpath-exception-2.0"], False),
        ("GPL-2.0-only", None, ["GPL-2.0-only WITH Classpath-exception-2.0"], True),
        ("Apache-2.0+", None, ["Apache-2.0"], False),
        ("MIT", ["MIT"], ["MIT"], False),
        ("LicenseRef-Apache", ["Apache-2.0"], [], False),  # a file's own word, whatever the library takes it for
        ("", None, ["MIT"], None),
        ("MIT OR", None, ["ISC"], None),
        ("(" * (MAX_DEPTH + 1) + "MIT" + ")" * (MAX_DEPTH + 1), None, ["ISC"], None),
    ],
)
def test_licences_by_meaning(
    expression: str, allowed: list[str] | None, denied: list[str], result: bool | None
) -> None:
    assert license_allowed(expression, allowed, denied, by_meaning=True) is result


def test_names_that_nobody_has(tmp_path: Path) -> None:
    assert not unknown_names("GPL-2.0-only WITH Classpath-exception-2.0")
    assert not unknown_names("LicenseRef-mine")
    assert unknown_names("Apache2") == ("APACHE2",)
    assert read(tmp_path, "allow: {licenses: [Apache2]}", version=1).licenses == ("Apache2",)  # as it always was
    for where in ("allow", "deny"):
        with pytest.raises(FormatError, match=r"licenses\[0\]"):
            read(tmp_path, f"{where}: {{licenses: [Apache2]}}")


MORE = (
    "allow: {architectures: [llama]}\n",
    "allow: {tensor_types: [Q4_K]}\n",
    "allow: {numberings: [ggml]}\n",
    "deny: {licenses: [MIT]}\n",
    "deny: {options: [--temp]}\n",
    "records: [card, license, behaviour, publisher]\n",
)


@pytest.mark.parametrize("more", MORE)
def test_version_1_has_none_of_it(tmp_path: Path, more: str) -> None:
    schema = Draft202012Validator(json.loads((spec_dir() / "schemas" / "policy.schema.json").read_text("utf-8")))
    for version, good in ((1, False), (2, True)):
        assert schema.is_valid(yaml.safe_load(f"policy: {version}\nname: x\nunsigned: allow\n{more}")) is good
    assert read(tmp_path, more).version == 2
    with pytest.raises(FormatError, match="is no field"):
        read(tmp_path, more, version=1)


@pytest.mark.parametrize(
    "more",
    [
        "allow: {architectures: [A b]}",
        "allow: {tensor_types: [Q4K]}",
        "allow: {numberings: [mine]}",
        "deny: {options: [--tmep]}",
        "deny: {licenses: [MIT OR ISC]}",
        "records: [licence]",
    ],
)
def test_what_is_misspelt_is_a_fault(tmp_path: Path, more: str) -> None:
    with pytest.raises(FormatError):
        read(tmp_path, more)


def found(path: Path, *, deep: bool = True, **fields: Any) -> list[str]:
    with open_container(path) as container:
        return [each.rule for each in check_policy_members(container, Policy("test", version=2, **fields), deep=deep)]


@pytest.mark.parametrize("deep", [True, False])
def test_weights(tmp_path: Path, deep: bool) -> None:
    path = small_container(tmp_path)
    assert found(path, deep=deep, architectures=("llama",), tensor_types=("F32",), numberings=("ggml",)) == []
    assert found(path, deep=deep, architectures=("qwen2",)) == ["LF8413"]
    assert found(path, deep=deep, architectures=()) == ["LF8413"]
    assert found(path, deep=deep, tensor_types=("F16",)) == ["LF8414"]
    assert found(path, deep=deep, numberings=()) == ["LF8414"]


def test_records(tmp_path: Path) -> None:
    path = small_container(tmp_path)
    assert found(path, records=("license",)) == []
    assert found(path, records=("card", "license", "behaviour", "publisher")) == ["LF8416"] * 3


def test_registered_engines(tmp_path: Path) -> None:
    registry = spec_yaml("registry/engines.yaml")
    for row in registry["digests"]:
        assert is_registered(row["sha256"])
    for row in registry["builds"]:
        assert is_registered(row["sha256"]) is (row["status"] != "refused")
    assert not is_registered("ab" * 32)
    engine = tmp_path / "engine"
    engine.write_bytes(b"#!/bin/sh\n# llamafile v0.9.3\nexit 0\n")
    path = small_container(tmp_path, prefix=engine)
    policy = read(tmp_path, "allow: {engines: [registered]}")
    report = lf.verify(path, policy=policy)
    assert [each.rule for each in report.findings if each.rule == "LF8404"] == ["LF8404"]
    assert lf.verify(small_container(tmp_path), policy=policy).verdicts[Layer.POLICY] is Verdict.YES
    quick = lf.verify(small_container(tmp_path), level="quick", policy=policy)
    assert quick.verdicts[Layer.POLICY] is Verdict.UNDETERMINED
    assert not read(tmp_path, "allow: {engines: [registered]}", version=1).takes_registered
