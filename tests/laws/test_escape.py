"""Whatever a text holds, what is shown of it is visible, steers nothing, and is markup nowhere."""

from __future__ import annotations

import unicodedata
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from llamafile_format.reports.columns import clip, clip_middle, pad, width, wrap
from llamafile_format.reports.escape import printable
from llamafile_format.reports.markup import el

EVIL = st.text(st.characters(codec=None, categories=None)) | st.text(
    "\x1b[31m\u202e\u200b\x00\x7f\x9b\ud800\U000e0041<&>'\""
)
RISKY = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(EVIL)
def test_nothing_invisible_is_left(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert not [character for character in shown if unicodedata.category(character) in RISKY]
    shown.encode("utf-8")


@given(EVIL)
def test_escaping_twice_is_escaping_once(text: str) -> None:
    assert printable(printable(text)) == printable(text)


@given(EVIL, EVIL)
def test_each_character_by_itself(left: str, right: str) -> None:
    """No character can change how its neighbours are shown."""
    assert printable(left + right) == printable(left) + printable(right)


@given(st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126)))
def test_plain_text_stays(text: str) -> None:
    assert printable(text) == text


@given(st.binary())
def test_bytes_that_are_no_text(data: bytes) -> None:
    shown = printable(data.decode("utf-8", "surrogateescape"))
    assert shown.isprintable()


@given(EVIL, st.integers(1, 100))
def test_columns(text: str, cells: int) -> None:
    shown = printable(text)
    assert width(clip(shown, cells)) <= cells
    assert width(clip_middle(shown, cells)) <= cells
    assert width(pad(shown, cells)) == cells


@given(st.lists(EVIL), st.integers(10, 80), st.integers(1, 4))
def test_wrapping(texts: list[str], cells: int, lines: int) -> None:
    rows = wrap(map(printable, texts), cells, lines=lines)
    assert len(rows) <= lines
    assert all(width(row) <= cells for row in rows)


class _Texts(HTMLParser):
    """Collects tags and texts of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.values: list[str | None] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.values += [value for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@given(EVIL)
def test_no_text_becomes_markup(text: str) -> None:
    parser = _Texts()
    parser.feed(el("p", text, title=text))
    parser.close()
    assert parser.tags == ["p"]
    assert parser.text == printable(text)
    assert parser.values == [printable(text)]
