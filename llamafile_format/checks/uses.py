"""Which members the default arguments open as weights: a use that asks for the check of weights (spec/1.0, 10.5.1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from llamafile_format.checks.arguments import MODEL_OPTIONS
from llamafile_format.errors import FormatError
from llamafile_format.prefix.arguments import BUNDLE, Dialect, parse

if TYPE_CHECKING:
    from llamafile_format.container import Container

ARGUMENTS = ".args"
_MAX = 1 << 20


def uses_of(container: Container) -> dict[str, tuple[str, ...]]:
    """Path of a member to the reasons to take it for weights: options of ``.args`` that name it."""
    names = {member.path for member in container.members}
    found: dict[str, list[str]] = defaultdict(list)
    for member in container.members:
        if member.role != "arguments" and member.path != ARGUMENTS:
            continue
        if member.offset < 0 or member.size > _MAX:
            continue
        try:
            data = container.read(member.path)
        except FormatError:
            continue
        for dialect in (Dialect.NATIVE, Dialect.LINES):  # whichever engine reads them: a use more is a check more
            for option, name in _named(data, dialect):
                reason = f"{option} in {member.path}"
                if name in names and reason not in found[name]:
                    found[name].append(reason)
    return {path: tuple(reasons) for path, reasons in found.items()}


def _named(data: bytes, dialect: Dialect) -> Iterator[tuple[str, str]]:
    """(option, name) of every option that opens weights; ``_`` is ``-``, as the engine's own parser has it."""
    words = [token.text for token in parse(data, dialect).tokens]
    pairs = [
        *pairwise(words),
        *((word.partition("=")[0], word.partition("=")[2]) for word in words),
    ]
    for option, value in pairs:
        known = option.replace("_", "-") if option.startswith("--") else option
        if value and known in MODEL_OPTIONS:
            yield known, value.removeprefix(BUNDLE)
