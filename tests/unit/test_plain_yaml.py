"""The fast reader of our own tables and the YAML library read the same; what is not plain is left to the library."""

from __future__ import annotations

import pytest
import yaml

from llamafile_format.plain_yaml import read_plain
from tests.conftest import ROOT

FILES = sorted((ROOT / "spec").rglob("*.yaml"))
FAST = {"arguments.yaml", "rules.yaml", "tensor-types.yaml", "gguf-file-types.yaml"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_both_read_the_same(path) -> None:  # type: ignore[no-untyped-def]
    text = path.read_text(encoding="utf-8")
    plain = read_plain(text)
    assert plain is not None or path.name not in FAST, "this table is read at every start: keep it plain"
    if plain is not None:
        assert plain == yaml.safe_load(text)


@pytest.mark.parametrize(
    "text",
    [
        "a:\n- b: c # comment\n",
        "a:\n- {b: c}\n",
        "a:\n- b: 'c'\n",
        "a:\n- b: yes\n",
        "a:\n- b: 1.5\n",
        "a:\n- b: 010\n",
        "a:\n- b: |\n    text\n",
        "a:\n- b: [c\n",
        'a:\n- b: "c\n',
        "a:\n  b:\n    c: d\n",
        "a:\n- b: *c\n",
        "a:\n- b: c: d\n",
        "- a: b\n",
        "a: b\n- c: d\n",
        "a:\n-b: c\n",
        "a:\n- b: ~\n",
        "a:\n- b: 2026-11-20\n",
    ],
)
def test_more_than_plain_is_refused(text: str) -> None:
    assert read_plain(text) is None


@pytest.mark.parametrize(
    "text", ['a:\n- b: "x\\ny"\n  c: -3\n- b: d e\n', "a:\n  0: F32\n  1: null\n", "a: [1, b, null]\n", "a:\n"]
)
def test_plain(text: str) -> None:
    assert read_plain(text) == yaml.safe_load(text)
