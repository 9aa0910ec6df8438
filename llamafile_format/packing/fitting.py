"""Refusing, before anything is written, a model that the chosen runtime does not know (spec/1.0, 14.1.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from llamafile_format.checks.fitting import LOADED, check_fit, check_shards, foreign
from llamafile_format.checks.together import Piece, check_taken, check_template_taken, check_together
from llamafile_format.engines.pin import Pin
from llamafile_format.errors import FormatError
from llamafile_format.findings import Finding
from llamafile_format.manifest.roles import MODEL_ROLES
from llamafile_format.packing.assemble import Content
from llamafile_format.rules import Severity, rule

MAX_FORCED = 64  # findings that the history keeps


def misfits(pins: Sequence[Pin], contents: Sequence[Content], default: str) -> list[Finding]:
    """What none of ``pins`` knows of the models among ``contents``. Reads their headers.

    A model in another format than GGUF counts if it is the ``default`` one: others may be for other software.
    """
    from llamafile_format.weights.gguf import read_gguf

    found: list[Finding] = []
    shards = {}
    pieces: list[Piece] = []
    for content in contents:
        if content.role not in MODEL_ROLES:
            continue
        if content.source.read_at(0, min(4, content.source.size)) != b"GGUF":
            if content.path == default:
                found.append(foreign(content.path, content.media_type, pins))
            continue
        gguf = read_gguf(content.source, member=content.path)
        found += check_fit(gguf, pins, path=content.path, role=content.role)
        pieces.append(Piece(content.path, content.role, gguf))
        found += check_taken(pieces[-1], [pin.key for pin in pins])
        if content.path == default:
            found += check_template_taken(pieces[-1], [pin.key for pin in pins])
        if content.role in LOADED:
            shards[content.path] = gguf
    apart = check_together(pieces, default=default, runs=True)
    return [*found, *(item for item in apart if rule(item.rule).severity is Severity.ERROR), *check_shards(shards, {})]


def refuse(found: Sequence[Finding], runtime: str) -> NoReturn:
    """Raise FormatError with the first finding, its rule, and what can be done."""
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise FormatError(
        f"{runtime} could not run this: {rule(first.rule).render(first)}{more}",
        clause=first.rule,
        hint="choose a runtime that knows it, pack without one (--prefix none), or insist with --force",
    )


def forced(found: Sequence[Finding]) -> list[dict[str, Any]]:
    """What was overridden, for the history (clause 8.4.4)."""
    return [{"rule": item.rule, "message": rule(item.rule).render(item)} for item in found[:MAX_FORCED]]
