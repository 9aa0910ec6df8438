"""What a template takes out of messages, and puts into their place (7.11.12)."""

from __future__ import annotations

import time

import pytest

from llamafile_format.checks.template_edits import is_wording
from llamafile_format.checks.templates import check_template

CHANGED = {
    "{{ m.content|replace('bank', 'casino') }}": "'bank' in it is replaced by 'casino'",
    "{{ m.content.replace('bank', '') }}": "'bank' in it is replaced by ''",
    "{{ m.content|replace(old='bank', new='casino') }}": "'bank' in it is replaced by 'casino'",
    "{{ m['content'].split('however')[0] }}": "it is cut at 'however'",
    "{{ m.content.partition('银')[0] }}": "it is cut at '银'",
    "{% set w = 'ba' ~ 'nk' %}{{ m.content.split(w)|join('casino') }}": "it is cut at 'bank'",
    "{% set w = '<x>' %}{% set w = 'bank' %}{{ m.content|replace(w, '') }}": "'bank' in it is replaced by ''",
    "{% filter replace('bank', 'x') %}{{ m.content }}{% endfilter %}": "'bank' in it is replaced by 'x'",
    "{% set x | upper | replace('BANK', 'x') %}{{ m.content }}{% endset %}{{ x }}": "'BANK' in it is replaced by 'x'",
    "{{ messages|map(attribute='content')|map('replace', 'bank', 'x')|join }}": "'bank' in it is replaced by 'x'",
    "{% macro r(x, y) %}{{ x.replace(y, 'z') }}{% endmacro %}{{ r(m.content, 'bank') }}": (
        "'bank' in it is replaced by 'z'"
    ),
    "{% for w in ['<x>', 'bank'] %}{{ m.content.replace(w, 'z') }}{% endfor %}": "'bank' in it is replaced by 'z'",
    "{% set ns = namespace(c='') %}{% set ns.c = m.content %}{{ ns.c|truncate(9) }}": "it is cut to a length",
    "{% set w %}bank{% endset %}{{ m.content|replace(w, '') }}": "'bank' in it is replaced by ''",
    "{% set ns = namespace(w='bank') %}{{ m.content|replace(ns.w, '') }}": "'bank' in it is replaced by ''",
    "{% set ns = namespace(w='') %}{% set ns.w = 'bank' %}{{ m.content|replace(ns.w, '') }}": (
        "'bank' in it is replaced by ''"
    ),
    "{{ m.content[:65] }}": "it is cut 65 characters on",
    "{{ m.content[-65:] }}": "it is cut 65 characters on",
}

KEPT = (
    "{{ m.content.split('</think>')[-1].strip() }}",
    "{{ m.content|replace('/no_think', '') }}",
    "{{ m.content|replace('\\n', ' ') }}",
    "{{ m.content.split('[BEGIN FINAL RESPONSE]')[0] }}",
    "{{ m.role|replace('assistant', 'model') }}",
    "{{ m.content[1:] }}{{ m.content[:64] }}{{ m.content[:n] }}",
    "{% set w = '<x>' %}{{ m.content|replace(w, 'bank') }}",
    "{{ 'some bank'|replace('bank', 'x') }}",
)


@pytest.mark.parametrize("text", CHANGED)
def test_words_that_are_changed(text: str) -> None:
    found = [each for each in check_template(text.encode()) if each.rule == "LF6038"]
    assert [each.args["what"] for each in found] == [CHANGED[text]]


@pytest.mark.parametrize("text", KEPT)
def test_marks_and_commands_are_taken_out(text: str) -> None:
    assert "LF6038" not in {each.rule for each in check_template(text.encode())}


def test_what_a_word_is() -> None:
    assert [is_wording(text) for text in ("ab", "a b", "б", "▁", "<a b>", "/think", "/a b", "<ab> cd", "12")] == [
        *(True, False, True, False, False, False, False, True, False)
    ]


def test_bindings_that_lead_in_circles_end() -> None:
    rings = "".join(f"{{% set a{i} = a{(i + 1) % 50} %}}" for i in range(50))
    assert "LF6038" not in {each.rule for each in check_template((rings + "{{ m.content|replace(a0, '') }}").encode())}


@pytest.mark.parametrize(
    "text",
    [
        "{% set w = " + " ~ ".join(["'a '"] * 9_000) + " %}" + "{{ m.content|replace(w ~ '', '') }}" * 1_500,
        "{% set w = '1' %}" * 4_000 + "{{ m.content|replace(w, '') }}" * 1_500,
        "".join(f"{{% set a{i} = a{i + 1} ~ a{i + 2} %}}" for i in range(1_500))
        + "{{ m.content|replace(a0, '') }}" * 900,
    ],
    ids=["a long text", "many texts", "many variables"],
)
def test_what_is_asked_again_and_again_is_bounded(text: str) -> None:
    before = time.process_time()
    assert {each.rule for each in check_template(text.encode())} <= {"LF6033", "LF6011"}
    assert time.process_time() - before < 30
