"""What became of objects between two ledgers, and which became worse (spec/1, 10.15.6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from llamafile_format.fleet.ledger import newest
from llamafile_format.fleet.row import ANSWERS, Row


class Kind(StrEnum):
    """What became of an object."""

    WORSE = "worse"
    BETTER = "better"
    OTHER = "other"  # as good as before, for other reasons
    NEW = "new"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Change:
    """One object that is judged otherwise. ``rules`` are errors that it had not; ``moved``: its bytes are others."""

    kind: Kind
    name: str
    before: str = ""
    after: str = ""
    rules: tuple[str, ...] = ()
    moved: bool = False


@dataclass(frozen=True, slots=True)
class _Stand:
    answer: str
    errors: tuple[str, ...]
    version: str


def compared(before: Path, after: Path) -> Iterator[Change]:
    """What is different in the ledger ``after``, in its order, and then what is gone. What stayed is left out."""
    held = {row.name: _Stand(row.answer, row.errors, row.version) for _, row in newest(before)}
    for _, row in newest(after):
        old = held.pop(row.name, None)
        if old is None:
            yield Change(Kind.NEW, row.name, after=row.answer, rules=row.errors)
        elif (old.answer, old.errors) != (row.answer, row.errors):
            yield _change(old, row)
    for name, old in held.items():
        yield Change(Kind.GONE, name, before=old.answer)


def _change(old: _Stand, row: Row) -> Change:
    was, now = ANSWERS.index(old.answer), ANSWERS.index(row.answer)
    fresh = tuple(rule for rule in row.errors if rule not in old.errors)
    if now > was or (now == was and fresh):
        kind = Kind.WORSE
    elif now < was or len(row.errors) < len(old.errors):
        kind = Kind.BETTER
    else:
        kind = Kind.OTHER
    return Change(kind, row.name, old.answer, row.answer, fresh, old.version != row.version)
