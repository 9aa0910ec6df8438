"""What a trust policy says of contents: licences, denied digests, pins, engines, rules raised and lowered (spec 16)."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

import llamafile_format as lf
from llamafile_format.checks.policy import check_policy
from llamafile_format.checks.verdict import Verdict, judge
from llamafile_format.container import open_container
from llamafile_format.errors import FormatError
from llamafile_format.findings import Finding
from llamafile_format.reports import report_json, report_text
from llamafile_format.rules import Layer, Severity, all_rules
from llamafile_format.signing.trust.licenses import MAX_DEPTH, is_license, license_allowed
from llamafile_format.signing.trust.policy import (
    Denied,
    Pin,
    Policy,
    Sizes,
)
from llamafile_format.signing.trust.policy_reader import read_policy
from llamafile_format.specdata import spec_dir
from tests.laws.containers import small_container

HEX = "ab" * 32
AT = datetime(2026, 12, 1, tzinfo=UTC)


# Licences


@pytest.mark.parametrize(
    ("expression", "allowed", "result"),
    [
        ("MIT", ["MIT"], True),
        ("mit", ["MIT"], True),
        ("MIT", ["ISC"], False),
        ("MIT", [], False),
        ("MIT OR GPL-3.0-only", ["MIT"], True),
        ("MIT AND GPL-3.0-only", ["MIT"], False),
        ("MIT AND (ISC OR GPL-3.0-only)", ["MIT", "ISC"], True),
        ("GPL-3.0-only OR MIT AND ISC", ["MIT"], False),
        ("(GPL-3.0-only OR MIT) AND ISC", ["MIT", "ISC"], True),
        ("GPL-2.0+", ["GPL-2.0"], True),
        ("GPL-2.0", ["GPL-2.0+"], False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", ["GPL-2.0-only"], False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", ["gpl-2.0-only with Classpath-exception-2.0"], True),
        ("LicenseRef-mine", ["LicenseRef-mine"], True),
        ("DocumentRef-x:LicenseRef-mine", ["LicenseRef-mine"], False),
        ("MIT OR", ["MIT"], None),
        ("MIT ISC", ["MIT", "ISC"], None),
        ("OR", ["OR"], None),
        ("(MIT", ["MIT"], None),
        ("MIT)", ["MIT"], None),
        ("", ["MIT"], None),
        ("see LICENSE.txt, please", ["MIT"], None),
        ("(" * MAX_DEPTH + "MIT" + ")" * MAX_DEPTH, ["MIT"], True),
        ("(" * 4000 + "MIT" + ")" * 4000, ["MIT"], None),
    ],
)
def test_licence_expressions(expression: str, allowed: list[str], result: bool | None) -> None:
    assert license_allowed(expression, allowed) is result


def test_entries_of_the_list_are_single_licences() -> None:
    assert is_license("MIT")
    assert is_license("GPL-2.0-only WITH Classpath-exception-2.0")
    for text in ("", "MIT OR ISC", "(MIT)", "WITH", "MIT WITH", "MIT WITH AND", " MIT"):
        assert not is_license(text), text


# What a policy says of contents


def found(path: Path, revisions: tuple[int, ...] = (), **fields: Any) -> list[Finding]:
    with open_container(path) as container:
        return check_policy(container, Policy("test", **fields), at=AT, revisions=revisions)


def rules(findings: list[Finding]) -> list[str]:
    return [finding.rule for finding in findings]


def test_denied_digests_are_found_wherever_they_stand(tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    engine.write_bytes(b"#!/bin/sh\nexit 0\n")
    path = small_container(tmp_path, prefix=engine)
    with open_container(path) as container:
        manifest = container.manifest
        assert manifest is not None
        digests = {
            "the manifest": hashlib.sha256(container.manifest_bytes).hexdigest(),
            "the prefix": manifest.prefix.engine_sha256,
            "tiny.gguf": manifest.members[-2].chunk_root,
            "LICENSE.txt": next(m.sha256 for m in manifest.members if m.path == "LICENSE.txt"),
        }
        assert manifest.members[-2].path == "tiny.gguf"
    for what, digest in digests.items():
        (finding,) = found(path, denied_digests=(Denied(digest, None, "a reason"),))
        assert finding.rule == "LF8401"
        assert finding.args["what"] == what
        assert "a reason" in all_rules()["LF8401"].render(finding)
        assert not found(path, denied_digests=(Denied(digest, datetime(2026, 12, 2, tzinfo=UTC), ""),))
        assert found(path, denied_digests=(Denied(digest, AT, ""),))


def test_a_pin_counts_only_what_trusted_statements_say(tmp_path: Path) -> None:
    path = small_container(tmp_path, name="tiny")
    with open_container(path) as container:
        own = hashlib.sha256(container.manifest_bytes).hexdigest()
    pinned = (Pin("tiny", 2),)
    assert rules(found(path, pins=pinned)) == ["LF8402"]
    assert rules(found(path, (1,), pins=pinned)) == ["LF8402"]
    assert not found(path, (1, 2), pins=pinned)
    assert not found(path, pins=(Pin("other", 2),))
    assert rules(found(path, (9,), pins=(Pin("tiny", 0, (HEX,)),))) == ["LF8402"]
    assert not found(path, pins=(Pin("tiny", 0, (HEX, own)),))
    assert rules(found(path, pins=(Pin("tiny", 1, (own,)),))) == ["LF8402"]


def test_licences_of_files(tmp_path: Path) -> None:
    assert not found(small_container(tmp_path, license="MIT OR ISC"), licenses=("MIT",))
    assert rules(found(small_container(tmp_path, license="MIT"), licenses=())) == ["LF8403"]
    assert rules(found(small_container(tmp_path), licenses=("MIT",))) == ["LF8403"]


def test_engines_and_prefixes_of_files(tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    engine.write_bytes(b"#!/bin/sh\n# llamafile v0.9.3\nexit 0\n")
    named = small_container(tmp_path, prefix=engine)
    digest = hashlib.sha256(engine.read_bytes()).hexdigest()
    for entry in ("llamafile", "llamafile@0.9.3", "llamafile@0.9.*", f"sha256:{digest}"):
        assert not found(named, engines=(entry,)), entry
    for entry in ("llamafiler", "llamafile@0.9", "llamafile@0.10.*", f"sha256:{HEX}"):
        assert rules(found(named, engines=(entry,))) == ["LF8404"], entry
    assert rules(found(named, prefixes=("launcher",))) == ["LF8405"]
    assert not found(named, prefixes=("script",))
    engine.write_bytes(b"#!/bin/sh\nexit 0\n")
    nameless = small_container(tmp_path, prefix=engine)
    assert rules(found(nameless, engines=("llamafile",))) == ["LF8404"]
    bare = small_container(tmp_path)
    assert not found(bare, engines=(), prefixes=("none",))
    assert rules(found(bare, prefixes=())) == ["LF8405"]


@pytest.mark.usefixtures("tiny_runtimes")
def test_runtime_members_are_engines_too(tmp_path: Path) -> None:
    path = small_container(tmp_path, prefix="launcher", runtime="llama.cpp")
    with open_container(path) as container:
        assert container.manifest is not None
        builds = container.manifest.with_role("runtime")
    assert builds
    version = builds[0].path.split("/")[2]
    assert not found(path, engines=(f"llama.cpp@{version}",))
    assert not found(path, engines=tuple(f"sha256:{build.sha256}" for build in builds))
    assert rules(found(path, engines=("llamafile",))) == ["LF8404"] * len(builds)


# Rules raised and lowered


def test_severities_decide_the_verdict() -> None:
    warning, error = Finding("LF6022"), Finding("LF6001")
    assert judge([warning], Layer.VALID) is Verdict.YES
    assert judge([warning], Layer.VALID, severities={"LF6022": Severity.ERROR}) is Verdict.NO
    assert judge([error], Layer.VALID) is Verdict.NO
    assert judge([error], Layer.VALID, severities={"LF6001": Severity.WARNING}) is Verdict.YES
    assert judge([error], Layer.WELL_FORMED, severities={"LF6001": Severity.WARNING}) is Verdict.YES


# Version 2


def read(tmp_path: Path, text: str) -> Policy:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    return read_policy(path)


TWO = """policy: 2
name: two
unsigned: allow
allow: {roles: [weights, license], targets: [linux-*], flavours: [native]}
sizes: {file: 1000000, member: 9000, members: 3}
rules:
  LF6022: {severity: error, reason: somebody was fooled}
  LF6012: error
exceptions:
- {manifest: "%s", rules: [LF8408, LF6022], reason: they asked, until: 2027-01-01}
"""


def test_version_2_is_read_and_version_1_has_none_of_it(tmp_path: Path) -> None:
    policy = read(tmp_path, TWO % HEX)
    assert (policy.roles, policy.targets, policy.flavours) == (("weights", "license"), ("linux-*",), ("native",))
    assert policy.sizes == Sizes(1000000, 9000, 3)
    assert policy.reasons == {"LF6022": "somebody was fooled"}
    assert policy.severities == {"LF6022": Severity.ERROR, "LF6012": Severity.ERROR}
    schema = Draft202012Validator(json.loads((spec_dir() / "schemas" / "policy.schema.json").read_text("utf-8")))
    one = "policy: 1\nname: one\nunsigned: allow\n"
    for more in (
        "sizes: {file: 3}\n",
        f'exceptions:\n- {{manifest: "{HEX}", rules: [LF8408], reason: x, until: "2027-01-01"}}\n',
        "allow: {roles: [weights]}\n",
        "allow: {targets: [linux-*]}\n",
        "allow: {flavours: [native]}\n",
        "rules: {LF6022: {severity: error, reason: x}}\n",
    ):
        with pytest.raises(FormatError):
            read(tmp_path, one + more)
        assert not schema.is_valid(yaml.safe_load(one + more)), more
        two = one.replace("policy: 1", "policy: 2") + more
        assert read(tmp_path, two)
        assert schema.is_valid(yaml.safe_load(two)), more


@pytest.mark.parametrize(
    "more",
    [
        "sizes: {}",
        "sizes: {file: 0}",
        "sizes: {files: 3}",
        "allow: {roles: [Weights]}",
        "allow: {targets: ['linux x']}",
        "rules: {LF6022: {severity: error}}",
        "rules: {LF6022: {severity: grave, reason: x}}",
        "rules: {LF9001: {severity: error, reason: x}}",
        'exceptions: [{manifest: "0", rules: [LF8408], reason: x, until: 2027-01-01}]',
        'exceptions: [{manifest: "%s", rules: [], reason: x, until: 2027-01-01}]',
        'exceptions: [{manifest: "%s", rules: [LF8408], reason: x}]',
        'exceptions: [{manifest: "%s", rules: [LF8408], until: 2027-01-01}]',
        'exceptions: [{manifest: "%s", rules: [LF8401], reason: x, until: 2027-01-01}]',
        'exceptions: [{manifest: "%s", rules: [LF3101], reason: x, until: 2027-01-01}]',
        'exceptions: [{manifest: "%s", rules: [LF9003], reason: x, until: 2027-01-01}]',
        'exceptions: [{manifest: "%s", rules: [LF0000], reason: x, until: 2027-01-01}]',
    ],
)
def test_what_version_2_refuses(tmp_path: Path, more: str) -> None:
    with pytest.raises(FormatError):
        read(tmp_path, "policy: 2\nname: two\nunsigned: allow\n" + more.replace("%s", HEX) + "\n")


def test_roles_builds_and_sizes_of_files(tmp_path: Path) -> None:
    path = small_container(tmp_path)
    assert not found(path, roles=("weights", "license"))
    assert rules(found(path, roles=("license",))) == ["LF8408"]
    assert not found(path, targets=(), flavours=(), sizes=Sizes(path.stat().st_size, 100_000, 9))
    assert rules(found(path, sizes=Sizes(file=path.stat().st_size - 1))) == ["LF8410"]
    assert rules(found(path, sizes=Sizes(member=8))) == ["LF8410"]
    assert rules(found(path, sizes=Sizes(members=1))) == ["LF8410"]


@pytest.mark.usefixtures("tiny_runtimes")
def test_targets_and_flavours_of_builds(tmp_path: Path) -> None:
    path = small_container(tmp_path, prefix="launcher", runtime="llama.cpp")
    with open_container(path) as container:
        assert container.manifest is not None
        builds = len(container.manifest.with_role("runtime"))
    assert not found(path, targets=("*",), flavours=("native", "reference"))
    assert rules(found(path, targets=("plan9-*",))) == ["LF8409"] * builds
    assert rules(found(path, flavours=("reference",))) == ["LF8409"] * builds


def test_an_exception_holds_for_one_file_until_its_day(tmp_path: Path) -> None:
    path = small_container(tmp_path)
    with open_container(path) as container:
        own = hashlib.sha256(container.manifest_bytes).hexdigest()
    text = "policy: 2\nname: two\nunsigned: allow\nallow: {roles: []}\nexceptions:\n"
    row = '- {manifest: "%s", rules: [LF8408], reason: they asked, until: 2027-01-01}\n'

    def judged(digest: str, day: datetime) -> tuple[set[str], Verdict, lf.Report]:
        report = lf.verify(path, policy=read(tmp_path, text + row % digest), as_of=day)
        return {each.rule for each in report.findings if each.rule[:4] == "LF84"}, report.verdicts[Layer.POLICY], report

    told, verdict, report = judged(own, AT)
    assert (told, verdict) == ({"LF8408", "LF8411"}, Verdict.YES)
    assert "LF8408 info (lowered by the policy: they asked)" in " ".join(report_text(report).split())
    assert json.loads(report_json(report))["policy"]["reasons"] == {"LF8408": "they asked"}
    assert judged(own, datetime(2027, 1, 1, tzinfo=UTC))[:2] == ({"LF8408", "LF8412"}, Verdict.NO)
    assert judged(HEX, AT)[:2] == ({"LF8408"}, Verdict.NO)
