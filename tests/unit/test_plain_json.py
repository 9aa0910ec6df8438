"""Records as JSON: every field once, what is absent left out, what is not known kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from llamafile_format.plain_json import plain, plain_fields, stated_fields
from llamafile_format.progress import counted


class Colour(Enum):
    """Colours."""

    RED = "red"


class Point(NamedTuple):
    """A point."""

    x: int
    y: float


@dataclass(frozen=True, slots=True)
class Thing:
    """A thing."""

    path: str
    at: Point
    colours: tuple[Colour, ...] = ()
    note: str = ""
    size: int = 0
    inner: Thing | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def test_plain_writes_every_field() -> None:
    thing = Thing("", Point(1, float("inf")), (Colour.RED,))
    assert plain([thing])[0] == {
        "path": "",
        "at": {"x": 1, "y": "inf"},
        "colours": ["red"],
        "note": "",
        "size": 0,
        "inner": None,
        "extra": {},
    }
    assert plain_fields(thing.at, "y") == {"x": 1}
    assert plain({Colour: None}) == {str(Colour): None}


def test_stated_leaves_out_what_says_nothing() -> None:
    """An empty text without which the object could not be made says something: it was given."""
    thing = Thing("", Point(1, 2.0), extra={"later": [1]})
    assert stated_fields(thing) == {"later": [1], "path": "", "at": {"x": 1, "y": 2.0}, "colours": [], "size": 0}
    assert stated_fields(Thing("p", Point(1, 2.0), note="n"), "at") == {
        "path": "p",
        "colours": [],
        "note": "n",
        "size": 0,
    }


def test_counted_adds_up_and_stays_within_the_total() -> None:
    told: list[tuple[int, int]] = []
    advance = counted(lambda done, total: told.append((done, total)), 10)
    for count in (4, 5, 6):
        advance(count)
    assert told == [(4, 10), (9, 10), (10, 10)]
    counted(None, 10)(3)
