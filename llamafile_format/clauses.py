"""The specification that comes with the package, clause by clause.

clause("14.3.3").text
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from llamafile_format.specdata import spec_dir

_NUMBER = re.compile(r"[0-9]{1,2}(\.[0-9]{1,2}){0,2}")
_CLAUSE = re.compile(r"^\*\*(?P<number>[0-9]+\.[0-9]+\.[0-9]+)\*\* ", re.MULTILINE)
_HEADING = re.compile(r"^#{1,2} (?P<number>[0-9]+(\.[0-9]+)?)\.? (?P<title>.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause, section or chapter: its number, the title it stands under, and its text in Markdown."""

    number: str
    title: str
    text: str


def clause(number: str) -> Clause:
    """The clause (``14.3.3``), section (``14.3``) or chapter (``14``) ``number``; KeyError if there is none."""
    if not _NUMBER.fullmatch(number):
        raise KeyError(number)
    chapter, *rest = number.split(".")
    source = _chapter(chapter)
    section = ".".join([chapter, *rest[:1]])
    heading = next((found for found in _HEADING.finditer(source) if found["number"] == section), None)
    if heading is None:
        raise KeyError(number)
    body = source[heading.end() : _end(_HEADING, source, heading.end())] if rest else source[heading.end() :]
    if len(rest) == 2:
        start = next((found for found in _CLAUSE.finditer(body) if found["number"] == number), None)
        if start is None:
            raise KeyError(number)
        body = body[start.start() : _end(_CLAUSE, body, start.end())]
    return Clause(number, f"{section} {heading['title']}", body.strip())


def is_clause(text: str) -> bool:
    """Does ``text`` look like the number of a clause?"""
    return bool(_NUMBER.fullmatch(text))


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.search(text, at)
    return found.start() if found else len(text)


def chapters() -> int:
    """How many chapters there are; they are numbered from 1 on."""
    return len(list((spec_dir() / "1").glob("[0-9][0-9]-*.md")))


@cache
def _chapter(number: str) -> str:
    paths = list((spec_dir() / "1").glob(f"{int(number):02}-*.md"))
    if len(paths) != 1:
        raise KeyError(number)
    return paths[0].read_text("utf-8")
