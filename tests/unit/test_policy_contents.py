"""What a trust policy says of contents: licences, denied digests, pins, engines, rules raised and lowered (spec 16)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llamafile_format.checks.policy import check_policy
from llamafile_format.checks.verdict import Verdict, judge
from llamafile_format.container import open_container
from llamafile_format.findings import Finding
from llamafile_format.rules import Layer, Severity, all_rules
from llamafile_format.signing.trust.licenses import MAX_DEPTH, is_license, license_allowed
from llamafile_format.signing.trust.policy import (
    Denied,
    Pin,
    Policy,
)
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
