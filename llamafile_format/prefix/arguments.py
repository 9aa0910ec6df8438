"""The member ``.args``: default arguments, in the dialect of the engine that reads them (spec/1, 3.8).

Three dialects are in the field, and the same bytes mean different things in them; a fourth is that of our own runtime.
Parsing follows the engines' own state machines to the letter, oddities included, because a repack must preserve what
the old engine did, not what its author meant. Environment variables are kept as variables and never looked up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from llamafile_format.errors import FormatError, UsageError
from llamafile_format.findings import Finding, Where
from llamafile_format.prefix.arguments_lines import split_lines
from llamafile_format.prefix.arguments_quoted import QuotedReader
from llamafile_format.prefix.arguments_token import Piece, Token, Variable, literal
from llamafile_format.prefix.engine import Engine, Version
from llamafile_format.prefix.facts import PrefixKind

__all__ = [
    "Arguments",
    "Dialect",
    "Token",
    "Variable",
    "dialect_of",
    "encode",
    "migrate",
    "parse",
    "with_bundled_names",
]

MAX_SIZE = 1 << 16  # the longest command line that every system accepts is about half of this
MAX_TOKENS = 4096
REST = "..."
BUNDLE = "/zip/"

_FIRST_QUOTED: Version = (0, 8, 17)
_FIRST_BUNDLED: Version = (0, 10, 0)
_SAFE = re.compile(r"[A-Za-z0-9_/@%+=:,.^-]+")


class Dialect(Enum):
    """How an engine reads ``.args`` (3.8.2 to 3.8.5)."""

    LINES = "lines"  # llamafile up to 0.8.16
    QUOTED = "quoted"  # 0.8.17 up to 0.9.x
    ZIP_QUOTED = "zip-quoted"  # 0.10 and later: bundled weights are named /zip/NAME
    NATIVE = "native"  # no engine of upstream's: quoted, bundled weights named /zip/NAME, no environment

    @property
    def expands(self) -> bool:
        """True if ``$NAME`` is replaced from the environment."""
        return self in (Dialect.QUOTED, Dialect.ZIP_QUOTED)

    @property
    def bundles(self) -> bool:
        """True if bundled weights are named ``/zip/NAME``."""
        return self in (Dialect.ZIP_QUOTED, Dialect.NATIVE)


@dataclass(frozen=True, slots=True)
class Arguments:
    """Parsed arguments. The user's own arguments go in before ``tokens[rest]``; ``rest`` is None without ``...``.

    ``findings`` carry offsets relative to the data's ``base_offset``.
    """

    dialect: Dialect
    tokens: tuple[Token, ...]
    rest: int | None
    findings: tuple[Finding, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The tokens as text; variables shown as ``${NAME}``, undecodable bytes as lone surrogates."""
        return tuple(token.text for token in self.tokens)


def dialect_of(engine: Engine | None, kind: PrefixKind | None = None) -> Dialect:
    """The dialect that ``engine`` reads. Without prefix, or with our launcher, NATIVE; unknown engines get QUOTED."""
    if kind in (PrefixKind.NONE, PrefixKind.LAUNCHER):
        return Dialect.NATIVE
    if engine is None:
        return Dialect.QUOTED
    if engine.family == "localscore":
        return Dialect.LINES
    low = engine.version or engine.at_least
    high = engine.version or engine.at_most
    if low is not None and low >= _FIRST_BUNDLED:
        return Dialect.ZIP_QUOTED
    if high is not None and high < _FIRST_QUOTED:
        return Dialect.LINES
    return Dialect.QUOTED


def parse(data: bytes, dialect: Dialect, *, base_offset: int = 0, member: str = ".args") -> Arguments:
    """Read ``data`` as an engine of ``dialect`` does. Never raises; ``base_offset`` is where ``data`` lies in the file.

    Data over 64 KiB is not read at all and tokens behind the 4,096th are dropped, each with finding LF6112.
    """

    def finding(rule: str, at: int, length: int | None = None, **args: str | int) -> Finding:
        """A finding at byte ``at`` of the arguments."""
        return Finding(rule, Where(base_offset + at, length, member=member), args)

    if len(data) > MAX_SIZE:
        found = finding("LF6112", 0, len(data), what="bytes", count=len(data), limit=MAX_SIZE)
        return Arguments(dialect, (), None, (found,))
    findings: list[Finding] = []
    if 0 in data:
        findings.append(finding("LF6104", data.index(0), 1))
    tokens: Sequence[Token]
    if dialect is Dialect.LINES:
        tokens, rest, misplaced = split_lines(data)
        findings += [finding("LF6116", token.offset, token.length) for token in misplaced]
    else:
        reader = QuotedReader(data, expand=dialect.expands)
        reader.read()
        tokens, rest = reader.tokens, reader.rest
        findings += [finding("LF6116", at, 3) for at in reader.repeated_rest]
        if reader.unterminated is not None:
            findings.append(finding("LF6113", reader.unterminated))
        if reader.dropped_empty is not None:
            findings.append(finding("LF6114", reader.dropped_empty))
        findings += [
            finding("LF6104", token.offset, token.length) for token in tokens if "\0" in token.text and 0 not in data
        ]
    if len(tokens) > MAX_TOKENS:
        at = tokens[MAX_TOKENS].offset
        findings.append(finding("LF6112", at, what="arguments", count=len(tokens), limit=MAX_TOKENS))
        tokens = tokens[:MAX_TOKENS]
        rest = None if rest is None else min(rest, MAX_TOKENS)
    return Arguments(dialect, tuple(tokens), rest, tuple(findings))


def encode(tokens: Iterable[str | Token], dialect: Dialect, *, rest: int | None = None) -> bytes:
    """``tokens`` as the bytes of an ``.args`` member, one a line, so that simple ones read the same in every dialect.

    The user's own arguments (``...``) go in before ``tokens[rest]``, by default behind the last token. UsageError if a
    token cannot be written in ``dialect``.
    """
    items = [token if isinstance(token, Token) else literal(token) for token in tokens]
    place = len(items) if rest is None else rest
    if not 0 <= place <= len(items):
        raise UsageError(f"there is no place {place} among {len(items)} arguments")
    if dialect is Dialect.LINES and place != len(items):
        raise UsageError(
            "this engine takes the user's own arguments only at the end",
            hint="move `...` to the end, or use an engine from 0.8.17 on",
        )
    write = _write_line if dialect is Dialect.LINES else _write_quoted
    lines = [write(item, dialect) for item in items]
    lines.insert(place, REST)
    try:
        data = "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise UsageError("an argument holds half a character and cannot be written") from error
    if len(data) > MAX_SIZE or len(items) > MAX_TOKENS:
        raise UsageError(f"the arguments are too long: {len(items)} of them, {len(data)} bytes, limit {MAX_SIZE}")
    return data


def _write_line(token: Token, _: Dialect) -> str:
    problem = ""
    if token.variables:
        problem = "it names an environment variable"
    elif not token.text:
        problem = "it is empty"
    elif "\0" in token.text or "\r" in token.text:
        problem = "it holds a NUL or a carriage return"
    elif "\\n" in token.text:
        problem = "it holds a backslash before the letter n, which this engine takes for a line end"
    elif token.text == REST:
        problem = "it is `...` itself"
    if problem:
        raise UsageError(
            f"argument {token.text!r} cannot be written for an engine that reads one argument a line: {problem}",
            hint="use an engine from 0.8.17 on, or leave the argument out",
        )
    return token.text.replace("\n", "\\n")


def _write_quoted(token: Token, dialect: Dialect) -> str:
    if token.variables and not dialect.expands:
        names = ", ".join(token.variables)
        raise UsageError(f"argument {token.text!r} reads the environment ({names}), which this runtime does not do")
    if "\0" in token.text or any("}" in name for name in token.variables):
        raise UsageError(f"argument {token.text!r} cannot be written: it holds a NUL")
    if token.text == REST and not token.variables:
        return "'...'"
    return "".join(_write_piece(piece) for piece in token.parts) or "''"


def _write_piece(piece: Piece) -> str:
    if isinstance(piece, Variable):
        return "${" + piece.name + "}"
    if _SAFE.fullmatch(piece):
        return piece
    return "\\'".join(f"'{part}'" if part else "" for part in piece.split("'"))


def migrate(data: bytes, source: Dialect, target: Dialect, *, member_names: Iterable[str] = ()) -> bytes:
    """Rewrite ``data`` for another engine so that its arguments stay the same (3.8.7).

    Tokens that name bundled weights get or lose ``/zip/``. Data that means the same in both dialects is returned
    unchanged. FormatError if ``data`` holds a NUL or passes the limits; UsageError if ``target`` cannot express it.
    """
    parsed = parse(data, source)
    for found in parsed.findings:
        if found.rule in {"LF6104", "LF6112"}:
            raise FormatError("the old arguments cannot be read safely", offset=found.where.offset, clause=found.rule)
    tokens = list(parsed.tokens)
    if source.bundles != target.bundles:
        tokens = with_bundled_names(tokens, target, member_names)
    again = parse(data, target)
    same = not again.findings and [token.parts for token in again.tokens] == [token.parts for token in tokens]
    if same and again.rest == parsed.rest:
        return data
    return encode(tokens, target, rest=parsed.rest)


def is_weights_name(name: str) -> bool:
    """True for names that engines open as bundled weights: those ending ``.gguf``, in either case."""
    return name.lower().endswith(".gguf")


def with_bundled_names(tokens: Iterable[str | Token], dialect: Dialect, member_names: Iterable[str]) -> list[Token]:
    """``tokens`` with bundled weights named as ``dialect`` names them: ``/zip/NAME`` or bare.

    Only whole tokens and the part behind ``--option=`` count. Old engines open weights by their bare name and fail on
    ``/zip/``; other bundled files always need ``/zip/``, so nothing but names of weights is touched.
    """
    weights = frozenset(name for name in member_names if is_weights_name(name))
    items = [token if isinstance(token, Token) else literal(token) for token in tokens]
    return [_renamed(token, dialect, weights) for token in items]


def _renamed(token: Token, dialect: Dialect, weights: frozenset[str]) -> Token:
    if token.variables:
        return token
    option, equals, value = token.text.partition("=")
    if not (equals and option.startswith("--")):
        option, equals, value = "", "", token.text
    bare = value.removeprefix(BUNDLE)
    wanted = BUNDLE + bare if dialect.bundles else bare
    if bare not in weights or value == wanted:
        return token
    return literal(f"{option}{equals}{wanted}")
