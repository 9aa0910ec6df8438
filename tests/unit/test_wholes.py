"""Level full ends in yes or no, and recomputes the whole digests that something rests on (spec/1, 10.4.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

import llamafile_format as lf
from llamafile_format.checks.verdict import Kind, Verdict
from llamafile_format.manifest.merkle import CHUNK_SIZE
from llamafile_format.reports.verify_json import report_value
from llamafile_format.reports.verify_text import report_text
from llamafile_format.rules import Layer, Severity, rule
from llamafile_format.signing.trust.policy import Policy, Unsigned
from spec.vectors.generate import ROOT
from spec.vectors.generate.chunks import LABELS
from spec.vectors.generate.forge import Part, Spec, container, parts
from spec.vectors.generate.load import Vector, read_vector, vector_files
from spec.vectors.generate.runtimes import PIN, build, pin, with_runtime

LARGE = bytes(CHUNK_SIZE + 5)
LIE = "ab" * 32
VECTORS = [vector for vector in map(read_vector, vector_files(ROOT)) if vector.kind == "container"]


def _document(**manifest: str) -> bytes:
    part = Part("long.txt", LARGE, "document", "text/plain", manifest=manifest)
    return container(Spec(parts(part), labels=LABELS))


def _program(**manifest: str) -> bytes:
    """A build of two chunks, and a pin that names it by the digest that the manifest claims."""
    part = replace(build(LARGE), manifest=manifest)
    claimed = manifest.get("sha256", "")
    row = PIN.partition("builds:")[2].partition("licences:")[0]
    sha256, size = row.partition("sha256: ")[2][1:65], row.partition("size: ")[2].partition(",")[0]
    text = row.replace(sha256, claimed).replace(f"size: {size}", f"size: {len(LARGE)}")
    return with_runtime(pin(PIN.replace(row, text)), part)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])
def test_full_is_never_undecided_about_the_bytes_of_a_container(vector: Vector) -> None:
    report = lf.verify(vector.payload)
    if report.kind is Kind.CONTAINER:
        beyond_a_cap = any(rule(finding.rule).clause == "12.4" for finding in report.findings)
        assert beyond_a_cap or report.verdicts[Layer.WELL_FORMED] is not Verdict.UNDETERMINED


def test_a_good_file_with_a_large_member_is_yes_under_strict() -> None:
    report = lf.verify(_document())
    assert [finding.rule for finding in report.findings] == ["LF9002"]
    assert set(report.verdicts.values()) == {Verdict.YES}
    assert report.exit_code(strict=True) == 0
    assert "LF9002" not in report_text(report)
    assert "no findings" in report_text(report)
    assert [finding["rule"] for finding in report_value(report)["findings"]] == ["LF9002"]


def test_what_nothing_rests_on_is_taken_from_the_manifest() -> None:
    assert lf.verify(_document(sha256=LIE)).exit_code() == 0
    exhaustive = lf.verify(_document(sha256=LIE), level="exhaustive")
    assert [finding.rule for finding in exhaustive.findings] == ["LF4004"]


def test_a_program_is_hashed_whole_because_its_pin_names_that_digest() -> None:
    """The manifest claims the digest of the pinned build; chunks and chunk list agree with the bytes of another."""
    report = lf.verify(_program(sha256=LIE))
    assert [finding.rule for finding in report.findings] == ["LF4004", "LF3330", "LF3326"]
    assert report.verdicts[Layer.WELL_FORMED] is Verdict.NO


@pytest.mark.parametrize("severity", [Severity.WARNING, Severity.ERROR])
def test_a_policy_that_raises_the_rule_has_them_recomputed(severity: Severity) -> None:
    policy = Policy("strict", unsigned=Unsigned.ALLOW, severities={"LF9002": severity})
    assert not [f for f in lf.verify(_document(), policy=policy).findings if f.rule == "LF9002"]
    assert "LF4004" in {f.rule for f in lf.verify(_document(sha256=LIE), policy=policy).findings}
