"""The rule table: one row read alone is the row of the whole table."""

from __future__ import annotations

import pytest

from llamafile_format.findings import Finding
from llamafile_format.rules import all_rules, rule


def test_one_row_is_the_row_of_the_table() -> None:
    for rule_id, row in all_rules().items():
        assert rule(rule_id) == row


@pytest.mark.parametrize("rule_id", ["", "LF", "LF0000", "LF40011", "id: LF4001"])
def test_unknown_rule(rule_id: str) -> None:
    with pytest.raises(KeyError):
        rule(rule_id)


def test_render_fills_placeholders() -> None:
    finding = Finding("LF4003", args={"found": "a", "expected": "b"})
    assert rule("LF4003").render(finding) == "the chunk list has SHA-256 a; the manifest says b"
