"""The static check of chat templates: attacks are flagged, real templates are clean, the spec lists the same names."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from llamafile_format.checks import template_names as names
from llamafile_format.checks.template_lexer import BlockKind, TemplateSyntaxError, split_template
from llamafile_format.checks.templates import LITERAL_MAX, check_template
from llamafile_format.rules import Severity, rule

CHAPTER = (Path(__file__).resolve().parents[2] / "spec" / "1.0" / "07-weights.md").read_text()

ATTACKS = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ x.__init__.__globals__['os'].popen('id').read() }}",
    "{% for c in [].__class__.__base__.__subclasses__() %}{{ c }}{% endfor %}",
    "{{ self._TemplateReference__context.cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ joiner.next }}",
    "{{ request.application }}",
    "{{ config.items() }}",
    "{{ messages|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ messages|attr(x) }}",
    "{{ messages|map('attr', x)|first }}",
    "{{ messages|map(attribute='__class__')|first }}",
    "{{ messages[('_' ~ '_class_' ~ '_')] }}",
    "{{ messages['\\137\\137class\\137\\137'] }}",
    "{{ '%s'|format(messages) }}",
    "{{ '{0.__class__}'.format(messages) }}",
    "{{ '{0[x]}'.format(messages) }}",
    "{{ bos_token.format(messages) }}",
    "{{ '{x}'.format_map(messages) }}",
    "{% set f = '{}'.format %}",
    "{{ messages[0]['run']('id') }}",
    "{{ (messages or tools)('id') }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% extends x %}",
    "{{ messages.mro() }}",
    "{{ f.func_globals }}",
    "{{ gen.gi_frame.f_back.f_globals }}",
    "{{ '}}' }}{{ ''.__class__ }}",
    '{{ "{#" }}{{ \'\'.__class__ }}{{ "#}" }}',
    "{% macro a() %}{{ a() }}{% endmacro %}",
    "{{ " + "[" * 100 + "]" * 100 + " }}",
    "a\u202eb",
    "{{ eval('1') }}",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_errors(attack: str) -> None:
    assert any(rule(f.rule).severity is Severity.ERROR for f in check_template(attack.encode()))


def test_findings_point_at_the_byte() -> None:
    text = "Grüße {{ x|attr('y') }}"
    (finding,) = check_template(text.encode(), base=1000, member="chat.jinja", field="t")
    assert finding.where.offset == 1000 + text.encode().index(b"attr")
    assert (finding.where.member, finding.where.field, finding.args) == ("chat.jinja", "t", {"filter": "attr"})


def test_blocks_and_strings() -> None:
    blocks = split_template("a{{- 'b}}' + {'k': {'l': 1}} -}}{# {{ #}{% raw %}{{ x }}{% endraw %}{%+ if y %}")
    kinds = [block.kind for block in blocks]
    text, expression, statement = BlockKind.TEXT, BlockKind.EXPRESSION, BlockKind.STATEMENT
    assert kinds == [text, expression, statement, text, statement]
    assert blocks[1].tokens[0].value == "b}}"
    assert blocks[3].text == "{{ x }}"
    assert [token.value for token in blocks[4].tokens] == ["if", "y"]


@pytest.mark.parametrize(
    "text", ["{{ x", "{% x", "{# x", "{{ 'x }}", "{{ (] }}", "{{ ) }}", "{% raw %}", "{{ ! }}", "{{"]
)
def test_unfinished_templates(text: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        split_template(text)
    assert [finding.rule for finding in check_template(text.encode())] == ["LF6014"]


@pytest.mark.parametrize(
    "piece", ["{{ a }}", "{{ 'x", "{% if a %}", "(", "{{ (", "'", "{#", "\\", "{% raw %}", "{% macro a() %}"]
)
def test_time_is_linear(piece: str) -> None:
    data = (piece * (250_000 // len(piece))).encode()
    start = time.perf_counter()
    check_template(data)
    assert time.perf_counter() - start < 10


def spec_words(rule_id: str) -> frozenset[str]:
    """The first list of words in the row of the table that ends with ``rule_id``."""
    row = next(line for line in CHAPTER.splitlines() if line.startswith("|") and line.endswith(f"| {rule_id} |"))
    return frozenset(re.findall(r"`([^`]* [^`]*)`", row)[0].split())


@pytest.mark.parametrize(
    ("rule_id", "words"),
    [
        ("LF6005", names.INTROSPECTION),
        ("LF6006", names.FORBIDDEN_TAGS),
        ("LF6008", names.FORBIDDEN_NAMES),
        ("LF6016", names.FILTERS),
        ("LF6017", names.TESTS),
        ("LF6018", names.METHODS),
        ("LF6019", names.FUNCTIONS),
        ("LF6020", names.TAGS),
    ],
)
def test_spec_lists_the_same_names(rule_id: str, words: frozenset[str]) -> None:
    assert spec_words(rule_id) == words


def test_spec_states_the_longest_literal() -> None:
    assert f"more than {LITERAL_MAX} characters" in " ".join(CHAPTER.split())
