"""The static check of chat templates: attacks are flagged, real templates are clean, the spec lists the same names."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.checks import template_names as names
from llamafile_format.checks.arguments import MAX_OPENED, check_arguments
from llamafile_format.checks.template_lexer import BlockKind, TemplateSyntaxError, split_template
from llamafile_format.checks.templates import LITERAL_MAX, Texts, check_template
from llamafile_format.checks.verdict import Verdict
from llamafile_format.packing.inputs import Include
from llamafile_format.prefix.arguments import Dialect
from llamafile_format.rules import Layer, Severity, rule
from tests.laws.containers import tiny_gguf

CHAPTER = (Path(__file__).resolve().parents[2] / "spec" / "1" / "07-weights.md").read_text()

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


def test_the_templates_of_a_file_share_what_is_spent_on_them() -> None:
    texts = Texts()
    costly = ["{% macro f(a) %}{% endmacro %}" * 450 + "{{ f(b) }}" * 450 + f"{{# {index} #}}" for index in range(8)]
    found = [check_template(text.encode(), base=index, texts=texts) for index, text in enumerate(costly)]
    judged = sum(bool(each) for each in found)
    assert judged <= 3, "two take all steps, and the third is told to have none left"
    (last,) = found[judged - 1]
    assert (last.rule, last.where.offset) == ("LF6033", judged - 1)
    assert "others before it" in str(last.args["problem"])
    assert texts.exhausted
    assert all(each == [] for each in found[judged:]), "it is said once"


def test_the_same_text_costs_once() -> None:
    texts = Texts()
    text = ("x" * 200_000).encode()
    assert [check_template(text, texts=texts)[0].rule for _ in range(100)] == ["LF6024"] * 100


def test_members_and_arguments_share_the_cap_too(tmp_path: Path) -> None:
    names = [f"t{index}.jinja" for index in range(14)]
    for index, name in enumerate(names):
        (tmp_path / name).write_text("{{ messages }}" * 100 + "x" * 5000 + "\n" * 20_000 + f"{{# {index} #}}")
    (tmp_path / "m.gguf").write_bytes(tiny_gguf())
    out = tmp_path / "m.llamafile"
    lf.pack([tmp_path / "m.gguf"], out, prefix="none", name="m", include=[Include(tmp_path / name) for name in names])
    report = lf.verify(out)
    assert [finding.rule for finding in report.findings if finding.rule == "LF6033"] == ["LF6033"]
    assert report.verdicts[Layer.VALID] is Verdict.UNDETERMINED


def test_a_member_that_arguments_open_a_thousand_times_is_read_once() -> None:
    read: list[str] = []

    def text(path: str) -> tuple[int, bytes]:
        read.append(path)
        return 0, b"{{ messages }}"

    names = [f"t{index % 100}.jinja" for index in range(1000)]
    lines = "".join(f"--chat-template-file\n/zip/{name}\n" for name in names) + "...\n"
    found = check_arguments(lines.encode(), Dialect.NATIVE, members=dict.fromkeys(names, "template"), read=text)
    assert len(read) == len(set(read)) == MAX_OPENED
    assert [finding.rule for finding in found if finding.rule == "LF9003"] == ["LF9003"]
