"""One argument of ``.args``: text with environment variables in it, unread (spec/1, 3.8.1)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variable:
    """``$NAME`` or ``${NAME}``; its value is the business of the machine that runs the engine."""

    name: str


Piece = str | Variable


@dataclass(frozen=True, slots=True)
class Token:
    """``parts`` make up the argument; ``offset`` and ``length`` are bytes within the member."""

    parts: tuple[Piece, ...]
    offset: int = 0
    length: int = 0

    @property
    def text(self) -> str:
        """The argument; a variable is shown as ``${NAME}``."""
        return "".join(piece if isinstance(piece, str) else "${" + piece.name + "}" for piece in self.parts)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the environment variables that the argument reads."""
        return tuple(piece.name for piece in self.parts if isinstance(piece, Variable))


def literal(text: str, offset: int = 0, length: int = 0) -> Token:
    """A token without variables; no parts at all for the empty argument, so that equal tokens compare equal."""
    return Token((text,) if text else (), offset, length)
