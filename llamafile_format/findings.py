"""What a check says: a rule id, a place, and the values that the rule's message needs (spec/1, chapter 10).

A check creates a ``Finding`` at the spot where it sees the fault. Text, severity, clause and remedy come from the rule
table (:mod:`llamafile_format.rules`), so text, JSON and HTML render the same object and wording never decides identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from llamafile_format.plain_json import stated_fields

Value = str | int

QUOTED = 256
"""Characters of one text that a finding repeats at most (spec/1, 10.2.4): names in files can have megabytes."""

_BEGINNING, _ENDING = 160, 64


def quoted(text: str) -> str:
    """``text`` as a finding repeats it: a longer one without its middle, so that our own words around a name stay."""
    if len(text) <= QUOTED:
        return text
    return f"{text[:_BEGINNING]}[... {len(text)} in all ...]{text[-_ENDING:]}"


class Composed(str):
    """A text of a verifier's own words, around texts each of which is :func:`quoted`: a finding repeats all of it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a file. ``offset`` and ``length`` are bytes from byte 0; None where no byte range is meant.

    ``member`` is a member path, ``field`` a dotted field name such as ``members[3].sha256`` or ``eocd.count``.
    """

    offset: int | None = None
    length: int | None = None
    member: str = ""
    field: str = ""

    def __post_init__(self) -> None:
        if len(self.field) > QUOTED:
            object.__setattr__(self, "field", quoted(self.field))

    def within(self, size: int) -> Where:
        """This place in a file of ``size`` bytes: what a file says of itself can point to where it has none."""
        if self.offset is None or self.offset + (self.length or 0) <= size:
            return self
        if self.offset > size:
            return replace(self, offset=None, length=None)
        return replace(self, length=size - self.offset)

    def to_json(self) -> dict[str, Value]:
        """What is known of the place."""
        return stated_fields(self)


NOWHERE = Where()


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken (or noteworthy) rule at one place. ``args`` fill the placeholders of the rule's message."""

    rule: str
    where: Where = NOWHERE
    args: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if any(_is_long(value) for value in self.args.values()):
            short = {name: quoted(str(value)) if _is_long(value) else value for name, value in self.args.items()}
            object.__setattr__(self, "args", short)


def _is_long(value: Value) -> bool:
    return isinstance(value, str) and len(value) > QUOTED and not isinstance(value, Composed)
