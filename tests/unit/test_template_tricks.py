"""Templates that leave their engine: plain Jinja proves that they do, the check refuses each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from llamafile_format.checks.templates import check_template
from llamafile_format.rules import Severity, rule

FILE = Path(__file__).resolve().parents[1] / "data" / "templates" / "tricks.yaml"
TRICKS: dict[str, str] = yaml.safe_load(FILE.read_text(encoding="utf-8"))

ENGINE = """
import json, sys
from jinja2 import Environment

SECRET = "left the engine"

def raise_exception(message):
    raise ValueError(message)

def answer(template):
    given = {
        "messages": [{"role": "user", "content": "__globals__", "name": "__globals__"}],
        "bos_token": "__globals__",
        "raise_exception": raise_exception,
        "strftime_now": lambda form: form,
    }
    try:
        return Environment(extensions=["jinja2.ext.do"]).from_string(template).render(**given)
    except Exception as error:
        return f"{type(error).__name__}: {error}"

print(json.dumps({name: answer(template) for name, template in json.load(sys.stdin).items()}))
"""


@pytest.fixture(scope="module")
def answers() -> dict[str, str]:
    """What plain Jinja makes of every trick."""
    done = subprocess.run(
        [sys.executable, "-c", ENGINE],
        input=json.dumps(TRICKS),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", TRICKS)
def test_the_trick_works_and_is_refused(name: str, answers: dict[str, str]) -> None:
    assert "left the engine" in answers[name]
    found = check_template(TRICKS[name].encode())
    assert any(rule(finding.rule).severity is Severity.ERROR for finding in found), found


WORK = [
    "{{ 9 ** 9 ** 9 }}",
    "{{ 'a' * 1000000000 }}",
    "{% set n = 1000000000 %}{{ 'a' * n }}",
    "{% for i in range(99999) %}{% endfor %}",
    "{{ x|center(1000000) }}",
    "{{ 'a'.ljust(1000000) }}",
    "{{ [x]|map('center', 1000000)|list }}",
    "{{ '%1000000d' % 1 }}",
    "{{ '%.*f' % (1000000, 1.0) }}",
    "{{ '{:>1000000}'.format(1) }}",
    "{% set n = 9999999 %}{% for i in range(n) %}{% endfor %}",
    "{% set n = 100 * 100 * 100 %}{{ 'a' * n }}",
    "{% set ns = namespace(w=9999) %}{% if x %}{% set ns.w = ns.w + 1 %}{% endif %}{{ 'a'|center(9999 + 1) }}",
    "{% for i in range(0, messages|length * 99999) %}{% endfor %}",
    "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
    "{% for a in 'xxxxxxxxxx' %}" * 8 + "{% endfor %}" * 8,
    "{% set x = 'ab' %}" + "{% set x = x + x %}" * 30,
    "{% set y = x ~ x %}{% set x = y ~ y %}",
    "".join(f"{{% set a{i + 1} = a{i} ~ a{i} %}}" for i in range(20)),
    "{% set ns = namespace(x='a') %}{% for m in messages %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x='a') %}{% set ns.x = [ns.x, ns.x]|join %}",
    "{% set ns = namespace(x='a') %}{% set ns.x = ns.x|replace('a', ns.x) %}",
    "{% set ns = namespace(x='a') %}{% set ns.x = '%s%s' % (ns.x, ns.x) %}",
    "{% set x %}{{ x }}{{ x }}{% endset %}",
    "{% macro d(x) %}{{ x }}{{ x }}{% endmacro %}{% set ns = namespace(x='a') %}{% set ns.x = d(ns.x) %}",
    "{% macro d(o) %}{% set q = o %}{{ q.x }}{{ q.x }}{% endmacro %}{% set ns.x = d(ns) %}",
]


@pytest.mark.parametrize("template", WORK)
def test_work_without_measure_is_refused(template: str) -> None:
    assert "LF6035" in {finding.rule for finding in check_template(template.encode())}


@pytest.mark.parametrize(
    "template",
    [
        "{% set ns = namespace(x='') %}{% for m in messages %}{% set ns.x = ns.x ~ m.content %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(i=0) %}{% for m in messages %}{% set ns.i = ns.i + 1 %}{% endfor %}{{ range(ns.i) }}",
        "{% macro m() %}{% set ns = namespace(x='') %}{{ ns.x }}{{ ns.x }}{% endmacro %}{% set ns.x = ns.x ~ m() %}",
        "{% set x = x.split('a')[0] if 'a' in x else x %}{% set x = x|trim ~ 'b' %}",
        "{% for a in range(100) %}{% for b in range(100) %}x{% endfor %}{% endfor %}",
        "{{ '_____________' }}",
        "{{ '__bold__' }}",
        "{{ 'a__b'.split('__')[0] }}",
        "prose with __name__",
        "{{ tools|map(attribute='name')|join('__') }}",
        "{% for _ in range(3) %}{{ loop.index }}{% endfor %}",
        "{% set map = {'user': 'Q', 'assistant': 'A'} %}{{ map[messages[0].role] }}",
        "{% set i = messages|length - 1 %}{{ messages[i].content }}{{ messages[i - 1]['content'] }}",
        "{% for k in tools[0].parameters %}{{ tools[0].parameters[k]['format'] }}{% endfor %}",
        "{% set l = [] %}{% do l.append('_x_') %}{% for i in range(3) %}{{ messages[i] }}{% endfor %}",
        "{% for m in messages %}{% set o = loop %}{% for x in m %}{{ messages[o.index0] }}{% endfor %}{% endfor %}",
        "{% set s = {'items': {'type': 'string'}} %}{% for k, v in tools[0].items() %}{{ s[k] }}{% endfor %}",
        "{% set ns = namespace(items=[]) %}{% macro m(keys) %}{% endmacro %}{{ m(keys=x.keys()) }}{{ x.items() }}",
        "{% if a %}{% generation %}{% if b %}x{% endif %}{% endif %}{% endgeneration %}",
    ],
)
def test_what_only_looks_alike_is_no_error(template: str) -> None:
    assert [finding for finding in check_template(template.encode()) if finding.rule != "LF6020"] == []


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{% macro a() %}{{ a() }}{% endmacro %}", {"a"}),
        ("{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}", {"a", "b"}),
        # c calls into a circle, and d is called from one: neither is in it
        (
            "{% macro c() %}{{ a() }}{% endmacro %}{%macro a()%}{{ a(d()) }}{% endmacro %}{%macro d()%}{% endmacro %}",
            {"a"},
        ),
        ("{% macro a() %}{{ b() }}{{ b() }}{% endmacro %}{% macro b() %}x{% endmacro %}", set()),
    ],
)
def test_macros_in_a_circle_are_told_and_no_others(template: str, told: set[str]) -> None:
    found = check_template(template.encode())
    assert {finding.args["macro"] for finding in found if finding.rule == "LF6013"} == told
