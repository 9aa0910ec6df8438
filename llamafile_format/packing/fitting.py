"""Refusing, before anything is written, a model that the chosen runtime does not know (spec/1, 14.1.6)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from llamafile_format.checks.fitting import LOADED, check_fit, check_shards, other_format
from llamafile_format.checks.loading import Model, check_loading
from llamafile_format.checks.together import Piece, check_taken, check_template_taken, check_together
from llamafile_format.engines.pin import Kind, Pin
from llamafile_format.engines.wheels import BESIDE
from llamafile_format.errors import FormatError
from llamafile_format.findings import Finding, Where
from llamafile_format.manifest.roles import MODEL_ROLES
from llamafile_format.packing.assemble import Content
from llamafile_format.packing.judging import INSIST, TOLD
from llamafile_format.rules import Severity, rule
from llamafile_format.source import FileSource
from llamafile_format.weights.formats import GGUF, MEDIA_TYPES, recognise_format


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
        form = recognise_format(content.source)
        if form is not GGUF:
            found += other_format(form, content, default, pins, Where(member=content.path))
            continue
        gguf = read_gguf(content.source, member=content.path)
        found += check_fit(gguf, pins, path=content.path, role=content.role)
        found += check_loading(Model(gguf, content.path, 0, whole=content.role in LOADED), pins)
        pieces.append(Piece(content.path, content.role, gguf))
        found += check_taken(pieces[-1], [pin.key for pin in pins])
        if content.path == default:
            found += check_template_taken(pieces[-1], [pin.key for pin in pins])
        if content.role in LOADED:
            shards[content.path] = gguf
    apart = check_together(pieces, default=default, runs=True)
    return [*found, *(item for item in apart if rule(item.rule).severity is Severity.ERROR), *check_shards(shards, {})]


def refuse_lacking(pins: Sequence[Pin], contents: Sequence[Content], default: str) -> None:
    """FormatError if what ``pins`` start is Python code of others, and a text that it opens is not beside the model.

    ``default`` is the path of that model. No rule of ``verify`` speaks of it: such a file is in order, and starts
    nothing.
    """
    model = next((content for content in contents if content.path == default), None)
    taking = [pin for pin in pins if model is not None and model.media_type in pin.formats]
    if model is None or not taking or any(pin.kind is not Kind.PYTHON_WHEELS for pin in taking):
        return
    folder, there = default.rpartition("/")[0], {content.path for content in contents}
    wanted = {name: f"{folder}/{name}" if folder else name for name in BESIDE}
    if missing := [path for path in wanted.values() if path not in there]:
        beside = Path(model.source.name).parent if isinstance(model.source, FileSource) else "DIR"
        options = {path: f"--include {beside}/{name}" + (f"={path}" if folder else "") for name, path in wanted.items()}
        raise FormatError(
            f"{taking[0].key} could not run this: {missing[0]} is not in the file",
            clause="14.10",
            hint=f"put it in: {' '.join(options[path] for path in missing)}{INSIST}",
        )


def _readers(found: Finding) -> str:
    """The engines of this installation that read the format which ``found`` (LF3303) says is unknown."""
    from llamafile_format.engines.store import pins

    media = MEDIA_TYPES.get(str(found.args["format"])) if found.rule == "LF3303" else None
    return " or ".join(sorted({f"--runtime {pin.name}" for pin in pins() if media in pin.formats}))


def refuse(found: Sequence[Finding], runtime: str) -> NoReturn:
    """Raise FormatError with the first finding, its rule, and what can be done."""
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise FormatError(
        f"{runtime} could not run this: {rule(first.rule).render(first)}{more}",
        clause=first.rule,
        hint=f"choose {_readers(first) or 'a runtime that knows it'}, or pack without one (--runtime none)" + TOLD,
    )
