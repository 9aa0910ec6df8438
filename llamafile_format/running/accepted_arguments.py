"""Arguments that a file brings and its user did not write: what is started with them, and what is not (14.3.11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llamafile_format.checks.allowed_arguments import Objection, Sort
from llamafile_format.checks.arguments import judge_arguments
from llamafile_format.checks.what_will_run import describe, engines_of
from llamafile_format.container import Container
from llamafile_format.errors import FormatError
from llamafile_format.prefix.argument_options import Option
from llamafile_format.prefix.argument_tables import normal
from llamafile_format.prefix.arguments import Arguments, Dialect, parse

_SHOWN = 4


def refuse_unaccepted(
    container: Container, accept: Sequence[str] = (), *, instead: tuple[str, str] | None = None
) -> None:
    """FormatError if the arguments of ``container`` ask for what a file may not ask for.

    ``accept`` are options that the user lets a classic engine's arguments set; in the native dialect nothing can be.
    ``instead`` names the engine and version that read them in the place of those in the file (14.3.13).
    """
    archive = describe(container)
    if archive.arguments is None:
        return
    members = {entry.path: entry.role for entry in archive.entries}
    engines = engines_of(archive.entries) if instead is None else (instead,)
    parsed = parse(archive.arguments, archive.dialect)
    found = list(judge_arguments(parsed, members, engines).objections)
    native = archive.dialect is Dialect.NATIVE and archive.manifest
    if not native:  # a build of ours reads them by its own grammar
        again = parse(archive.arguments, Dialect.NATIVE)
        objections = judge_arguments(again, members, engines).objections
        found = [each for each in (*found, *objections) if not _default_by_name(each, again, members)]
    left = [each for each in found if native or not _is_accepted(each.option, accept)]
    if left:
        hint = "`repack --drop-args NAME` takes an option out"
        hint += "" if native else "; `--accept-args NAME` lets the file set it"
        if instead is not None and engines_of(archive.entries):
            hint += "; `--embedded` starts the file's own build"
        raise FormatError(
            f"{container.name} was not started: its arguments hold {_told(left)}", clause="14.3.11", hint=hint
        )


def _default_by_name(objection: Objection, parsed: Arguments, members: Mapping[str, str]) -> bool:
    """True for ``-m NAME`` of a classic engine, if the model is named anew behind it (14.3.5)."""
    option = objection.option
    named = objection.sort is Sort.FILE and option.name == "--model" and members.get(option.values[0]) == "weights"
    return named and (parsed.rest is None or parsed.rest >= option.end)


def _is_accepted(option: Option, accept: Sequence[str]) -> bool:
    spellings = {option.name, normal(option.written), *(option.row.names if option.row else ())}
    return any(normal(name) in spellings for name in accept)


def _told(left: Sequence[Objection]) -> str:
    told = dict.fromkeys(f"{each.option.written[:80]} ({each.reason or 'no known option'})" for each in left)
    more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return ", ".join(list(told)[:_SHOWN]) + more
