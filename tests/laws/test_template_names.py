"""Whatever expression Jinja evaluates to a text that begins with an underscore is refused as a subscript."""

from __future__ import annotations

import warnings

from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment

from llamafile_format.checks.templates import check_template
from llamafile_format.rules import Severity, rule


def steps(text: str) -> list[str]:
    """The steps of ``text``, one a word."""
    return text.split()


FILTERS = steps("""
    abs batch(2,'_') capitalize center(3) default('_') dictsort e first float('_') groupby(0,default='_') indent
    int('_') items join join('_') last length list lower map('upper') map(attribute=0,default='_') max min
    reject('none') replace('a','_') reverse round safe select slice(2,'_') sort string striptags sum(start=[])
    title tojson trim truncate(3) unique upper wordcount xmlattr pprint urlize wordwrap(1) escape
""")
METHODS = steps("""
    append(?) capitalize() copy() count(?) extend(?) find(?) get(1,?) insert(0,?) items() join(?) keys() lower()
    lstrip(?) pop(0) removeprefix(?) replace('a',?) rsplit(?) split(?) strip(?) title() update(?) upper() values()
    partition(?) swapcase() casefold() zfill(2) rjust(3,'_') setdefault(1,?) ljust(3) expandtabs() splitlines()
""")
LEAVES = (
    "'_'",
    "'__a'",
    "'a'",
    "'b_c'",
    "'a,_'",
    "' _a'",
    "'A_'",
    "95",
    "1",
    "0",
    "none",
    "[]",
    "{}",
    "'%c'",
    "'%s_'",
    "n",
    "given",
)


def deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """An expression of one more step."""
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["~", "+", "*", "%", "-", "and", "or"]), inner),
        st.builds("({}|{})".format, inner, st.sampled_from(FILTERS)),
        st.builds("({} if {} else {})".format, inner, st.sampled_from(["true", "false"]), inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{{}: {}}}".format, inner, inner),
        st.builds("({})[{}]".format, inner, st.sampled_from(["0", "1", "-1", "1:", ":1", "::-1"])),
        st.builds(
            lambda receiver, method, given: f"({receiver}).{method.replace('?', given)}",
            inner,
            st.sampled_from(METHODS),
            inner,
        ),
    )


EXPRESSIONS = st.recursive(st.sampled_from(LEAVES), deeper, max_leaves=8)
EVALUATE = "{{% set l = [1] %}}{{% set n = {} %}}{{% do l.append({}) %}}{{% do keep({}) %}}"
SUBSCRIPT = "{{% set l = [1] %}}{{% set n = {} %}}{{% do l.append({}) %}}{{{{ x[{}] }}}}"


@settings(max_examples=1500)
@given(
    EXPRESSIONS, EXPRESSIONS, st.one_of(EXPRESSIONS, st.sampled_from(["l[1]", "l|last", "(l|map('string')|list)[1]"]))
)
def test_a_name_that_is_made_is_refused(first: str, second: str, key: str) -> None:
    kept: list[object] = []
    environment = Environment(extensions=["jinja2.ext.do"])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            environment.from_string(EVALUATE.format(first, second, key)).render(
                keep=kept.append, given=["b", {"b": "c"}]
            )
    except Exception:
        return  # an expression that means nothing reaches nothing
    if isinstance(kept[0], str) and kept[0].startswith("_"):
        found = check_template(SUBSCRIPT.format(first, second, key).encode())
        assert any(rule(finding.rule).severity is Severity.ERROR for finding in found), kept
