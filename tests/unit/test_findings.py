"""What a finding repeats of a file is short, however long the file says it (spec/1, 10.2.4)."""

from __future__ import annotations

import json

import pytest

import llamafile_format as lf
from llamafile_format.findings import QUOTED, Composed, Finding, Where, quoted
from llamafile_format.reports.verify_json import report_json
from llamafile_format.source import BytesSource
from llamafile_format.weights.safetensors import read_safetensors
from spec.vectors.generate.contents import named
from spec.vectors.generate.safetensors import file, raw, row

LONG = "n" * 1_000_000
SAFETENSORS = {
    "a row": file({LONG: "F32"}, b""),
    "a type": file({"a": row(0, 16, (4,), LONG)}),
    "a field": file({"a": row(0, 16, **{LONG: 1})}),
    "a key of the metadata": file({"__metadata__": {LONG: 1}, "a": row(0, 16)}),
    "a name twice": raw(('{"' + LONG + '":1,"' + LONG + '":2}').encode(), b""),
    "an overlap": file({LONG: row(0, 16), "b": row(0, 16)}),
}


@pytest.mark.parametrize("what", SAFETENSORS)
def test_a_name_of_a_megabyte_in_safetensors_is_not_repeated(what: str) -> None:
    findings = read_safetensors(BytesSource(SAFETENSORS[what])).findings
    assert findings
    for finding in findings:
        assert len(finding.where.field) <= QUOTED
        assert all(len(str(value)) <= QUOTED for value in finding.args.values())


def test_a_report_about_long_names_is_short() -> None:
    report = lf.verify(BytesSource(named(SAFETENSORS["a row"], "tiny.safetensors")))
    assert any(finding.rule == "LF5104" for finding in report.findings)
    assert len(report_json(report)) < 20_000


def test_our_own_words_around_a_name_stay() -> None:
    finding = Finding("LF5116", Where(field=LONG), {"path": "x", "reason": f"it names {LONG}, which is not here"})
    reason = str(finding.args["reason"])
    assert reason.startswith("it names nnn")
    assert reason.endswith("nnn, which is not here")
    assert str(len(LONG) + 28) in reason
    assert json.dumps(finding.where.to_json()).count("n") < QUOTED + 20


def test_what_is_short_stays_as_it_is() -> None:
    text = "n" * QUOTED
    assert quoted(text) == text
    assert Finding("LF5105", Where(field=text), {"name": text, "found": 1 << 80}).args == {
        "name": text,
        "found": 1 << 80,
    }
    assert len(quoted(text + "n")) <= QUOTED


def test_what_is_composed_of_short_texts_stands_in_full() -> None:
    args = {"path": LONG, "what": Composed("it runs on linux; " * 40)}
    finding = Finding("LF3360", Where(), args)
    assert finding.args["what"] == args["what"]
    assert len(str(finding.args["path"])) <= QUOTED
