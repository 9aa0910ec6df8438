"""Arguments that a writer refuses to write, and options that it takes out (spec/1, 3.10.8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llamafile_format.engines.members import parse_runtime_path
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.findings import Finding
from llamafile_format.manifest.model import ARGUMENTS_PATH
from llamafile_format.packing.assemble import Content
from llamafile_format.prefix.argument_options import read_options
from llamafile_format.prefix.argument_tables import choose_table, normal
from llamafile_format.prefix.arguments import MAX_SIZE, Dialect, encode, parse
from llamafile_format.rules import Severity, rule

MAX_TEXT = 1 << 20
_SHOWN = 6


def refuse_arguments(contents: Sequence[Content], dialect: Dialect, *, written: bool) -> None:
    """FormatError if the arguments among ``contents`` ask for what a file may not ask for.

    ``written`` tells arguments that are new from those of a classic engine, which are taken over as they are.
    """
    from llamafile_format.checks.arguments import OBJECTIONS, check_arguments

    given = next((content for content in contents if content.path == ARGUMENTS_PATH), None)
    if given is None or (dialect is not Dialect.NATIVE and not written):
        return
    by_path = {content.path: content for content in contents}

    def read(path: str) -> tuple[int, bytes] | None:
        """The text of a member to be; its place is not known yet."""
        content = by_path.get(path)
        return (0, bytes_of(content, MAX_TEXT)) if content is not None and content.source.size <= MAX_TEXT else None

    found = check_arguments(
        bytes_of(given, MAX_SIZE + 1),
        dialect,
        members={path: content.role for path, content in by_path.items()},
        engines=_engines(contents),
        read=read,
    )
    bad = [each for each in found if rule(each.rule).severity is Severity.ERROR or each.rule in OBJECTIONS]
    if bad:
        told = _told(bad)
        raise FormatError(told, clause=bad[0].rule, hint=_hint(written=written, misspelt="did you mean" in told))


def _told(bad: Sequence[Finding]) -> str:
    lines = [rule(each.rule).render(each) for each in bad[:_SHOWN]]
    more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    return "the arguments cannot be written: " + "; ".join(dict.fromkeys(lines)) + more


def _hint(*, written: bool, misspelt: bool) -> str:
    if written and misspelt:
        return "write the option that was meant, or leave it out: whoever starts the file gives it on the command line"
    if written:
        return "leave it out: whoever starts the file gives it on the command line"
    return "`repack --drop-args NAME` takes it out and leaves the rest as it is"


def _engines(contents: Iterable[Content]) -> list[tuple[str, str]]:
    names = (parse_runtime_path(content.path) for content in contents if content.role == "runtime")
    return [(name.engine, name.version) for name in names if name is not None]


def drop_options(data: bytes, dialect: Dialect, names: Sequence[str]) -> bytes:
    """``data`` without the options ``names``, in whatever spelling, and without their values; the rest as it is.

    UsageError for a name that does not occur, since it is probably misspelt.
    """
    table = choose_table(dialect).table
    parsed = parse(data, dialect)
    options = read_options(parsed, table)
    tokens, rest = list(parsed.tokens), parsed.rest
    left = set(names)
    for option in reversed(options):
        spellings = {option.name, normal(option.written), option.written, *(option.row.names if option.row else ())}
        asked = {name for name in names if {name, normal(name)} & spellings}
        left -= asked
        if asked:
            del tokens[option.first : option.end]
            if rest is not None and rest > option.first:
                rest = max(option.first, rest - (option.end - option.first))
    if left:
        raise UsageError(f"the arguments have no option {', '.join(sorted(left))}", hint="inspect shows them")
    return encode(tokens, dialect, rest=rest)


def bytes_of(content: Content, limit: int) -> bytes:
    """The beginning of a content, at most ``limit`` bytes."""
    return content.source.read_at(0, min(content.source.size, limit))
