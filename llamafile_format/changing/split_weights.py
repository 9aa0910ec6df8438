"""Weights beside the executable (spec/1, 8.8): for Windows, which starts no program of 4 GiB or more."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from llamafile_format.changing.changes import Plan
from llamafile_format.changing.migrate_arguments import ARGUMENTS, engine_dialect, named_model
from llamafile_format.errors import UsageError
from llamafile_format.manifest.hashing import digest_range
from llamafile_format.manifest.roles import MODEL_ROLES
from llamafile_format.output.publish import output
from llamafile_format.output.room import require_room
from llamafile_format.output.transfer import clone, file_range, sink_beyond, write_at
from llamafile_format.packing import LAUNCHER, Carried, CarriedEngine, Content, launcher_prefix, text_content
from llamafile_format.prefix.arguments import Dialect, Token, encode, parse, with_bundled_names
from llamafile_format.prefix.arguments_token import literal
from llamafile_format.progress import Advance

NOTE = (
    "the weights lie beside the executable and are found by their names: keep the files in one folder and start the "
    "program from there (on Windows rename it to end in .exe)"
)


def loose_weights(plan: Plan) -> list[Content]:
    """The models of ``plan``, to lie beside the executable. UsageError if that would not make a running pair."""
    loose = sorted((content for content in plan.contents if content.role in MODEL_ROLES), key=lambda c: c.path)
    if not plan.prefix.engine.size:
        raise UsageError(
            "this file has no engine that could run beside its weights", hint="add one with --prefix ENGINE"
        )
    if not loose:
        raise UsageError("there are no weights to take out")
    names = [_name(content) for content in loose]
    if len({name.lower() for name in names}) < len(names):
        raise UsageError("two models would get one file name", hint="rename one: --rename OLD=NEW")
    return loose


def split_plan(carried: Carried, plan: Plan, loose: Sequence[Content], digests: Sequence[str]) -> Plan:
    """``plan`` without ``loose``, whose SHA-256 are ``digests``, and with arguments that name them as files."""
    arguments = _arguments(carried, plan, loose)
    rest = [content for content in plan.contents if content.role not in MODEL_ROLES and content.path != ARGUMENTS]
    change = {
        "what": "split-weights",
        "paths": [content.path for content in loose],
        "sha256": list(digests),
    }
    prefix = plan.prefix
    if prefix.kind == LAUNCHER:
        prefix = launcher_prefix((*rest, arguments), "")
    split = replace(
        plan,
        prefix=prefix,
        contents=(*rest, arguments),
        labels=replace(plan.labels, default=""),
        changes=(*plan.changes, change),
        notes=(*plan.notes, NOTE),
    )
    return _with_old_signatures(carried, split)


def _with_old_signatures(carried: Carried, plan: Plan) -> Plan:
    """Taking weights out is a change even if nothing else is: the old signatures become history."""
    from llamafile_format.changing.history import kept_signatures

    there = {content.path for content in plan.contents}
    added = [content for content in kept_signatures(carried) if content.path not in there]
    return replace(plan, contents=(*plan.contents, *added))


def _arguments(carried: Carried, plan: Plan, loose: Sequence[Content]) -> Content:
    """Arguments that name the weights as files beside the program; ``-m`` is added where nothing names a model."""
    kept = plan.prefix.engine is carried.engine.source
    dialect = engine_dialect(carried.engine if kept else CarriedEngine(plan.prefix.engine, plan.prefix.kind))
    old = next((content for content in plan.contents if content.path == ARGUMENTS), None)
    data = old.source.read_at(0, old.source.size) if old is not None else b""
    parsed = parse(data, dialect)
    # Bare names, in whatever dialect: an engine opens a file of that name before it looks into itself.
    tokens = with_bundled_names(parsed.tokens, Dialect.QUOTED, [content.path for content in loose])
    tokens = [_flat(token, loose) for token in tokens]
    rest = parsed.rest
    if not named_model([token.text for token in tokens]) and plan.labels.default:
        default = plan.labels.default.rpartition("/")[2]
        tokens = [literal("-m"), literal(default), *tokens]
        rest = None if rest is None else rest + 2
    return text_content(ARGUMENTS, "arguments", encode(tokens, dialect, rest=rest))


def _flat(token: Token, loose: Sequence[Content]) -> Token:
    """``token`` without the folder of the member that it names: all weights lie in one folder."""
    folders = {content.path: _name(content) for content in loose if "/" in content.path}
    if token.variables or not folders:
        return token
    option, equals, value = token.text.rpartition("=")
    return literal(f"{option}{equals}{folders[value]}") if value in folders else token


def _name(content: Content) -> str:
    return content.path.rpartition("/")[2]


def write_loose(
    target: Path, loose: Sequence[Content], crc32: Mapping[str, int], *, force: bool, progress: Advance
) -> tuple[list[Path], list[str]]:
    """Write the weights into the folder of ``target``; their paths and SHA-256.

    Digests are compared wherever bytes are read; ``crc32`` are checksums of members that have no digest yet.
    """
    paths: list[Path] = []
    digests: list[str] = []
    require_room(target.parent, [content.source for content in loose])
    try:
        for content in loose:
            path = target.parent / _name(content)
            if path.name == target.name:
                raise UsageError(f"{path} is both the executable and its weights", hint="choose another name with -o")
            _spare_input(path, content)
            with output(path, force=force, mode=0o666) as out:
                digests.append(_copy(content, out, crc32.get(content.path), progress))
            paths.append(path)
    except BaseException:
        for path in paths:
            path.unlink(missing_ok=True)
        raise
    return paths, digests


def _spare_input(path: Path, content: Content) -> None:
    """Not even ``--force`` may put weights in the place of the file that they are taken from."""
    origin = file_range(content.source, 0, content.source.size)
    if origin is not None and path.exists() and os.path.samestat(os.fstat(origin[0].fd), path.stat()):
        raise UsageError(f"{path} is the input itself", hint="write into another folder with -o")


def _copy(content: Content, out: int, crc32: int | None, progress: Advance) -> str:
    size = content.source.size
    shared = clone(content.source, 0, size, out, 0)
    if shared and content.known is not None:  # blocks of the same disk: nothing was read that could differ
        write_at(out, shared, content.source.read_at(shared, size - shared))
        progress(size)
        return content.known.sha256.hex()
    found = digest_range(content.source, 0, size, sink=sink_beyond(shared, content.source, out, 0), progress=progress)
    os.ftruncate(out, size)
    known = content.known.sha256 if content.known is not None else found.sha256
    if known != found.sha256 or crc32 not in (None, found.crc32):
        raise UsageError(
            f"{content.path} is damaged: its bytes do not match their checksum", hint="find an intact copy"
        )
    return found.sha256.hex()
