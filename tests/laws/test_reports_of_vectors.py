"""Laws of reports and bills, over every vector: each form obeys its format, whatever a file says (spec 10.8, 10.14)."""

from __future__ import annotations

import json
from pathlib import Path

import junitparser
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from markdown_it import MarkdownIt

import llamafile_format as lf
from llamafile_format.examining import Bill, bill_of
from llamafile_format.reports import FORMS, Batch, cyclonedx_text, read_report, report_json
from spec.vectors.generate.load import Vector, read_vector
from tests.unit.test_report_forms import sarif_schema
from tests.unit.test_sbom import graph

FOLDER = Path(__file__).resolve().parents[2] / "spec" / "vectors"
VECTORS = [read_vector(path) for path in sorted(FOLDER.glob("*/*.vector"))]
MANY = 1000  # members, of which the judges need minutes; their kinds are in the other vectors
STRICT = JsonStrictValidator(SchemaVersion.V1_7)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def batch() -> Batch:
    return Batch([lf.validate_upload(vector.payload) for vector in VECTORS], listed=True)


def test_sarif(batch: Batch) -> None:
    log = json.loads(FORMS["sarif"](batch))
    assert [error.message for error in sarif_schema().iter_errors(log)] == []
    (run,) = log["runs"]
    assert len(run["results"]) == min(sum(len(report.findings) for report in batch.reports), 5000)
    marks = [result["partialFingerprints"]["llamafileFormat/v1"] for result in run["results"]]
    assert len(set(marks)) == len(marks)


def test_a_report_comes_back_from_its_json(batch: Batch) -> None:
    for report in batch.reports:
        assert read_report(json.loads(report_json(report))) == report


def test_junit_fails_where_the_command_does(batch: Batch) -> None:
    suites = junitparser.JUnitXml.fromstring(FORMS["junit"](batch).encode())
    for report, suite in zip(batch.reports, suites, strict=True):
        assert bool(suite.failures + suite.errors) == bool(report.exit_code())


def test_annotations_and_markdown_stay_in_line(batch: Batch) -> None:
    lines = FORMS["github"](batch).split("\n")
    commands = [line for line in lines if line.startswith("::")]
    assert len(lines) == len(commands) + len(VECTORS)
    kinds = {
        child.type
        for token in MarkdownIt("commonmark").enable("table").parse(FORMS["markdown"](batch))
        for child in (token, *(token.children or ()))
    }
    assert not kinds & {"link_open", "image", "html_block"}


def test_safe_is_what_strict_lets_pass(batch: Batch) -> None:
    for report in batch.reports:
        status, message = lf.hub_status(report)
        assert message
        assert (status is lf.HubStatus.SAFE) == (report.exit_code(strict=True) == 0)


def _bill(vector: Vector) -> Bill | None:
    try:
        return bill_of(vector.payload)
    except lf.LlamafileError:
        return None


@pytest.mark.parametrize("chapter", sorted({vector.name.split("/")[0] for vector in VECTORS}))
def test_bills(chapter: str) -> None:
    """Every file that has a bill has one that the strict judges accept; a good container has one."""
    for vector in VECTORS:
        if not vector.name.startswith(f"{chapter}/"):
            continue
        bill = _bill(vector)
        good = lf.validate_upload(vector.payload, level="quick").exit_code() == 0
        assert (bill is not None) >= good, vector.name
        if bill is not None and len(bill.members) < MANY:
            assert STRICT.validate_str(cyclonedx_text(bill, "1.7")) is None, vector.name
            assert graph(bill), vector.name
