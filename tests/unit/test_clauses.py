"""The specification on the screen: every rule leads to its clause, and every clause, section and chapter is found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llamafile_format.clauses import clause
from llamafile_format.reports import clause_lines
from llamafile_format.rules import all_rules
from tests.conftest import CliRunner

SPEC = Path(__file__).resolve().parents[2] / "spec/1"


def test_every_rule_leads_to_its_clause() -> None:
    for row in all_rules().values():
        assert clause(row.clause).text, row.id


def test_every_clause_is_found_whole() -> None:
    for path in SPEC.glob("[0-9]*.md"):
        text = path.read_text("utf-8")
        numbers = re.findall(r"^\*\*([0-9]+\.[0-9]+\.[0-9]+)\*\* ", text, re.MULTILINE)
        for number in numbers:
            found = clause(number).text
            assert found.startswith(f"**{number}** ")
            assert found in text
            assert len(re.findall(r"^\*\*[0-9]+\.[0-9]+\.[0-9]+\*\* ", found, re.MULTILINE)) == 1, number
        for section in re.findall(r"^## ([0-9]+\.[0-9]+) ", text, re.MULTILINE):
            assert clause(section).text in text
        assert clause(str(int(path.name[:2]))).text in text


@pytest.mark.parametrize("number", ["0", "19", "1.99", "14.3.99", "../1", "14.3.3.1", ""])
def test_what_is_no_clause(number: str) -> None:
    with pytest.raises(KeyError):
        clause(number)


def test_prose_keeps_within_78_columns_and_loses_nothing() -> None:
    found = clause("8.1")
    lines = list(clause_lines(found))
    assert all(len(line) <= 78 for line in lines if not line.startswith("|"))
    assert " ".join(" ".join(lines[1:]).split()) == " ".join(found.text.split())


def test_on_the_command_line(run_cli: CliRunner) -> None:
    assert "**14.3.3** *Choice.*" in run_cli("rule", "14.3.3").stdout
    shown = run_cli("rule", "LF1010", "--clause").stdout
    assert "read      llamafile-format rule 3.7.6" in shown
    assert "**3.7.6** Cut off" in shown
    refused = run_cli("rule", "99.9")
    assert refused.returncode == 2
    assert f"chapters are 1 to {len(list(SPEC.glob('[0-9]*.md')))}:" in refused.stderr
    assert run_cli("rule", "--json", "14.3.3").stdout.startswith("{")


def test_no_hint_sends_a_user_to_a_file_that_is_not_installed() -> None:
    package = SPEC.parents[1] / "llamafile_format"
    for path in package.rglob("*.py"):
        for text in re.findall(r'hint="[^"]*"', path.read_text("utf-8")):
            assert "spec/1" not in text, (path, text)
