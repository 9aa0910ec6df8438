"""Every vector, however broken, can be looked at: no exception, no dangerous character, one screen, whole map."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from llamafile_format.errors import NotALlamafile, SourceError
from llamafile_format.examining.inspect import inspect
from llamafile_format.examining.inspection import Inspection
from llamafile_format.reports.columns import width
from llamafile_format.reports.html import page
from llamafile_format.reports.inspect_json import inspection_json
from llamafile_format.reports.inspect_lists import entry_lines, key_lines, map_lines, tensor_lines
from llamafile_format.reports.inspect_screen import screen_text
from llamafile_format.spans import covers
from spec.vectors.generate.load import read_vector, vector_files
from tests.conftest import ROOT
from tests.unit.inspect_samples import EVIL, container, legacy, many_members, model_gguf
from tests.unit.test_inspect import check

VECTORS = vector_files(ROOT / "spec" / "vectors")
SLICES = 16


class Balance(HTMLParser):
    """Fails on a tag that is not closed, and on anything that could run or fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed", "base", "form", "a"}
        assert not any(name.startswith("on") or name in {"href", "src", "style"} for name, _ in attrs)
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def look(found: Inspection) -> None:
    """All reports of ``found``, each with what must hold for it."""
    assert covers(found.map, found.file.size)
    check(json.loads(inspection_json(found)))
    lines = screen_text(found).split("\n")
    assert len(lines) <= 39
    assert max(map(width, lines)) < 80
    for listed in (entry_lines, map_lines, tensor_lines, key_lines):
        lines += listed(found)
    assert all(line.isprintable() for line in lines)
    text = page(found)
    assert all(character == "\n" or character.isprintable() for character in text)
    parser = Balance()
    parser.feed(text)
    parser.close()
    assert parser.open == []


@pytest.mark.parametrize("part", range(SLICES))
def test_every_vector(part: int) -> None:
    for path in VECTORS[part::SLICES]:
        vector = read_vector(path)
        if len(vector.payload) > 16 << 20:
            continue
        try:
            look(inspect(vector.payload, tensors=True, kv=True))
        except (NotALlamafile, SourceError):
            continue
        except AssertionError:
            raise AssertionError(vector.name) from None


def test_hostile_texts(tmp_path: Path) -> None:
    found = inspect(container(tmp_path, evil=EVIL, name="x\x1b[31m\u202e<b>.llamafile"), tensors=True, kv=True)
    look(found)
    assert "<script>" not in page(found)
    assert "\\x1b[2J\\u202eevil" in screen_text(found)


def test_other_files(tmp_path: Path) -> None:
    for what in (legacy(), model_gguf(), model_gguf(evil=EVIL), model_gguf(layers=200), many_members(tmp_path, 120)):
        look(inspect(what, tensors=True, kv=True))


@pytest.mark.parametrize("cut", range(0, 3000, 41))
def test_truncated_headers(cut: int) -> None:
    data = model_gguf()[:cut]
    try:
        look(inspect(data, tensors=True, kv=True))
    except (NotALlamafile, SourceError):
        return
