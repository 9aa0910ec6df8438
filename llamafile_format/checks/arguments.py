"""Findings about ``.args``: form, dialect, and what its options ask for (spec/1, 3.8, 3.10 and 12).

In the native dialect what a file may not ask for is an error. In dialects of classic engines, which wrote no such list,
it is a warning, and whoever starts the file on behalf of its user refuses it (14.3.11).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from llamafile_format.checks.allowed_arguments import Objection, Sort, objections, suggestion
from llamafile_format.checks.templates import Texts, check_template
from llamafile_format.findings import Finding, Value, Where
from llamafile_format.prefix.argument_options import Form, Option, read_options
from llamafile_format.prefix.argument_tables import Choice, choose_table
from llamafile_format.prefix.arguments import BUNDLE, Arguments, Dialect, Token, is_weights_name, parse

Read = Callable[[str], tuple[int, bytes] | None]
"""The place and the bytes of a member, None if they cannot be had."""

MODEL_OPTIONS = frozenset(
    {
        "-m",
        "--model",
        "-md",
        "--model-draft",
        "-mm",
        "--mmproj",
        "--lora",
        "--lora-base",
        "--control-vector",
        "--embedding-model",
    }
)
_NATIVE = {
    Sort.REFUSED: "LF6119",
    Sort.UNKNOWN: "LF6120",
    Sort.VALUE: "LF6121",
    Sort.FILE: "LF6122",
    Sort.STRAY: "LF6123",
    Sort.FORM: "LF6124",
    Sort.REST: "LF6125",
}
_FOREIGN = {
    "--host": "LF6105",
    "--unsecure": "LF6106",
    "--trust": "LF6107",
    "--tools": "LF6108",
    **dict.fromkeys(("--db", "--path", "--www-root", "--slot-save-path", "--media-path", "--log-file"), "LF6109"),
    **dict.fromkeys(("--model-url", "--hf-repo", "--hf-file", "--rpc"), "LF6110"),
}
"""Rules that say more about an option of a classic engine than LF6130 does."""
OBJECTIONS = frozenset({*_NATIVE.values(), *_FOREIGN.values(), "LF6102", "LF6118", "LF6126", "LF6130"})
"""Rules that object to an option, in whatever dialect."""
MAX_FINDINGS = 64  # objections that are reported; one is enough for the verdict
MAX_OPENED = 64  # members that are read because an option opens them
MAX_SUGGESTIONS = 4  # of them, those for which a better word is sought
_MODES = frozenset(["--server", "--chat", "--cli"])
_LOCAL = re.compile(r"127(\.[0-9]{1,3}){3}|localhost|\[?::1\]?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Judged:
    """Arguments as they were read: ``objections`` to their options, and the table that judged."""

    parsed: Arguments
    choice: Choice
    options: tuple[Option, ...]
    objections: tuple[Objection, ...]


def judge_arguments(parsed: Arguments, members: Mapping[str, str], engines: Iterable[tuple[str, str]] = ()) -> Judged:
    """What speaks against the options of ``parsed`` in a file with ``members`` (role by path) and ``engines``."""
    choice = choose_table(parsed.dialect, engines)
    options = read_options(parsed, choice.table)
    found = objections(options, members, bundles=parsed.dialect.bundles)
    return Judged(parsed, choice, options, tuple(each for each in found if not _is_local_host(each)))


def _is_local_host(objection: Objection) -> bool:
    """Listening where a server listens anyway is nothing to object to, for engines that need to be told."""
    option = objection.option
    local = option.name == "--host" and option.values and _LOCAL.fullmatch(option.values[0])
    return bool(local) and objection.sort in (Sort.VALUE, Sort.FORM)


def check_arguments(
    data: bytes,
    dialect: Dialect,
    *,
    members: Mapping[str, str] | None = None,
    engines: Iterable[tuple[str, str]] = (),
    read: Read | None = None,
    classic: bool = False,
    base_offset: int = 0,
    member: str = ".args",
    texts: Texts | None = None,
) -> list[Finding]:
    """All findings about an arguments member. ``base_offset`` is the absolute offset of ``data``.

    ``members`` are roles by path, ``engines`` names and versions of the builds in the file; ``read`` gives members that
    an option opens as text. ``classic`` tells a legacy llamafile: whoever wrote it knew no list of options. ``texts``
    are the templates of the file so far.
    """
    parsed = parse(data, dialect, base_offset=base_offset, member=member)
    found = list(parsed.findings)
    if any(item.rule == "LF6112" and item.args.get("what") == "bytes" for item in found):
        return found
    if parsed.rest is None:
        found.append(Finding("LF6101", Where(base_offset, len(data), member=member)))
    place = _Place(base_offset, member, members or {}, parsed, classic or dialect is not Dialect.NATIVE)
    found += _other_dialect(data, parsed, place)
    found += _tokens(parsed, place)
    judged = judge_arguments(parsed, place.members, engines)
    found += _options(judged, place)
    found += _texts(judged, place, read, texts or Texts())
    if judged.choice.unknown and parsed.tokens:
        where = Where(base_offset, len(data), member=member)
        found.append(Finding("LF6127", where, {"engines": ", ".join(judged.choice.unknown)}))
    return found


@dataclass(frozen=True, slots=True)
class _Place:
    """Makes findings at tokens of one member; knows the archive around it."""

    base: int
    member: str
    members: Mapping[str, str]
    parsed: Arguments
    classic: bool

    def at(self, rule: str, token: Token, args: Mapping[str, Value] | None = None) -> Finding:
        """A finding about ``token``; without ``args`` the message names the token."""
        where = Where(self.base + token.offset, token.length, member=self.member)
        return Finding(rule, where, args or {"argument": token.text})


def _other_dialect(data: bytes, parsed: Arguments, place: _Place) -> Iterator[Finding]:
    """Whether an engine on the other side of 0.8.17 would read other arguments (3.8.7)."""
    other = Dialect.LINES if parsed.dialect in (Dialect.QUOTED, Dialect.ZIP_QUOTED) else Dialect.QUOTED
    again = parse(data, other)
    if again.rest == parsed.rest and [token.parts for token in again.tokens] == [t.parts for t in parsed.tokens]:
        return
    where = Where(place.base, len(data), member=place.member)
    yield Finding("LF6103", where, {"dialect": parsed.dialect.value, "other": other.value})


def _tokens(parsed: Arguments, place: _Place) -> Iterator[Finding]:
    """What can be said of an argument by itself."""
    for token in parsed.tokens:
        if any(0xDC80 <= ord(character) <= 0xDCFF for character in token.text):
            yield place.at("LF6117", token)
        if token.variables:
            yield place.at("LF6111", token, {"argument": token.text, "names": ", ".join(token.variables)})


def _options(judged: Judged, place: _Place) -> Iterator[Finding]:
    for index, objection in enumerate(judged.objections[:MAX_FINDINGS]):
        option = objection.option
        token = judged.parsed.tokens[option.first]
        value = option.values[0] if option.values else "nothing"
        reason = objection.reason or (suggestion(option, judged.choice.table) if index < MAX_SUGGESTIONS else "")
        if not reason and place.classic:
            reason = "it is not on the list"
        args: dict[str, Value] = {"option": option.written[:200], "value": value[:200], "reason": reason}
        if place.classic:
            yield _foreign(objection, place, args)
        else:
            yield place.at(_NATIVE[objection.sort], token, args)


def _foreign(objection: Objection, place: _Place, args: dict[str, Value]) -> Finding:
    """The same in the dialect of a classic engine: by the rule that says most about it."""
    option, parsed = objection.option, place.parsed
    token = parsed.tokens[option.first]
    if option.name == "--host" and option.values:
        return place.at("LF6105", parsed.tokens[option.end - 1], {"address": option.values[0]})
    if option.name in _FOREIGN:
        return place.at(_FOREIGN[option.name], token)
    if option.name in _MODES and parsed.dialect in (Dialect.LINES, Dialect.QUOTED):
        return place.at("LF6118", token)
    if objection.sort in (Sort.FILE, Sort.FORM) and option.row is not None and option.row.kind == "member":
        named = _named_weights(option, place)
        if named is not None:
            return named
    return place.at("LF6130", token, args)


def _named_weights(option: Option, place: _Place) -> Finding | None:
    """Weights that an option of a classic engine names, and that are not there or not named as it wants."""
    value, token = option.values[0], place.parsed.tokens[option.end - 1]
    bare = value.removeprefix(BUNDLE)
    if token.variables or "@" in value:
        return None
    if bare not in place.members:
        return place.at("LF6102", token, {"name": bare})
    dialect = place.parsed.dialect
    if is_weights_name(bare) and (bare != value) != dialect.bundles:
        wanted = BUNDLE + bare if dialect.bundles else bare
        return place.at("LF6115", token, {"name": value, "wanted": wanted, "dialect": dialect.value})
    return None


def _texts(judged: Judged, place: _Place, read: Read | None, texts: Texts) -> Iterator[Finding]:
    """Templates, grammars and schemas: in the arguments themselves, or in a member that an option opens."""
    opened: set[tuple[str, str]] = set()
    bad = {objection.option for objection in judged.objections}
    for option in judged.options:
        if option in bad or option.row is None or option.form not in (Form.PLAIN, Form.EQUALS) or not option.values:
            continue
        kind, value = option.row.kind, option.values[0]
        token = judged.parsed.tokens[option.end - 1]
        if kind == "template":
            yield from _template(
                value.encode("utf-8", "surrogateescape"), place.base + token.offset, place.member, option, texts
            )
        elif kind in ("grammar", "schema", "object"):
            if problem := _problem(kind, value.encode("utf-8", "surrogateescape")):
                yield place.at("LF6126", token, {"option": option.written, "problem": problem})
        elif kind in ("template-file", "grammar-file", "schema-file") and read is not None:
            kind, path = kind.removesuffix("-file"), value.removeprefix(BUNDLE)
            if (kind, path) not in opened and len(opened) < MAX_OPENED:
                yield from _opened(option, kind, path, read, texts)
            elif (kind, path) not in opened:
                reason = f"{MAX_OPENED} others that arguments open stand before it"
                yield Finding("LF9003", Where(member=path), {"path": path, "reason": reason})
                return
            opened.add((kind, path))


def _opened(option: Option, kind: str, path: str, read: Read, texts: Texts) -> Iterator[Finding]:
    found = read(path)
    if found is None:
        yield Finding("LF9003", Where(member=path), {"path": path, "reason": "its text cannot be had"})
        return
    offset, data = found
    if kind == "template":
        yield from _template(data, offset, path, option, texts)
    elif problem := _problem(kind, data):
        where = Where(offset, len(data), path)
        yield Finding("LF6126", where, {"option": option.written, "problem": problem})


def _template(data: bytes, offset: int, member: str, option: Option, texts: Texts) -> Iterator[Finding]:
    field = "template" if member != ".args" else option.written
    yield from check_template(data, base=offset, member=member, field=field, texts=texts)


def _problem(kind: str, data: bytes) -> str:
    """What is wrong with a grammar, a schema or an object; empty if nothing is."""
    from llamafile_format.checks.grammars import check_grammar
    from llamafile_format.checks.schemas import check_object, check_schema

    return {"grammar": check_grammar, "schema": check_schema, "object": check_object}[kind](data)
