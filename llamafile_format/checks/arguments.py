"""Findings about ``.args``: form, dialect, bundled names, and arguments that open a door (spec/1.0, 3.8 and 12)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from llamafile_format.findings import Finding, Value, Where
from llamafile_format.prefix.arguments import BUNDLE, Arguments, Dialect, Token, is_weights_name, parse

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
NETWORK_OPTIONS = frozenset(
    {
        *("-mu", "--model-url", "-mmu", "--mmproj-url", "--lora-url"),
        *("-hf", "-hfr", "--hf-repo", "-hff", "--hf-file", "-hfd", "--hf-repo-draft", "-hfv", "--hf-repo-v"),
        *("-dr", "--docker-repo", "--rpc"),
    }
)
FOLDER_OPTIONS = frozenset(["--db", "--path", "--www-root", "--slot-save-path", "--media-path", "--log-file"])
MODE_OPTIONS = frozenset(["--server", "--chat", "--cli"])
_LOCAL = re.compile(r"127(\.[0-9]{1,3}){3}|localhost|\[?::1\]?", re.IGNORECASE)


def check_arguments(
    data: bytes,
    dialect: Dialect,
    *,
    member_names: Iterable[str] = (),
    base_offset: int = 0,
    member: str = ".args",
) -> list[Finding]:
    """All findings about an arguments member. ``base_offset`` is the absolute offset of ``data``."""
    parsed = parse(data, dialect, base_offset=base_offset, member=member)
    place = _Place(base_offset, member, frozenset(member_names), dialect)
    found = list(parsed.findings)
    if any(item.rule == "LF6112" and item.args.get("what") == "bytes" for item in found):
        return found
    if parsed.rest is None:
        found.append(Finding("LF6101", Where(base_offset, len(data), member=member)))
    found += _other_dialect(data, parsed, place)
    found += _tokens(parsed, place)
    return found


class _Place:
    """Makes findings at tokens of one member; knows the archive around it."""

    def __init__(self, base: int, member: str, names: frozenset[str], dialect: Dialect) -> None:
        self.base = base
        self.member = member
        self.names = names
        self.dialect = dialect

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
    previous = ""
    for token in parsed.tokens:
        if any(0xDC80 <= ord(character) <= 0xDCFF for character in token.text):
            yield place.at("LF6117", token)
        if token.variables:
            yield place.at("LF6111", token, {"argument": token.text, "names": ", ".join(token.variables)})
        option, equals, value = token.text.partition("=")
        if equals and option.startswith("-"):
            yield from _option(option, token, place)
            yield from _value(option, value, token, place)
            previous = ""
        else:
            yield from _option(token.text, token, place)
            yield from _value(previous, token.text, token, place)
            previous = token.text


def _option(option: str, token: Token, place: _Place) -> Iterator[Finding]:
    """Options that matter whatever their value."""
    if option == "--unsecure":
        yield place.at("LF6106", token)
    elif option == "--trust":
        yield place.at("LF6107", token)
    elif option == "--tools":
        yield place.at("LF6108", token)
    elif option in FOLDER_OPTIONS:
        yield place.at("LF6109", token)
    elif option in NETWORK_OPTIONS:
        yield place.at("LF6110", token)
    elif option in MODE_OPTIONS and place.dialect in (Dialect.LINES, Dialect.QUOTED):
        yield place.at("LF6118", token)


def _value(option: str, value: str, token: Token, place: _Place) -> Iterator[Finding]:
    """Options whose value matters: the address to listen on, and names of bundled weights."""
    if option == "--host" and not _LOCAL.fullmatch(value):
        yield place.at("LF6105", token, {"address": value})
        return
    bare = value.removeprefix(BUNDLE)
    if option in MODEL_OPTIONS and not token.variables and "@" not in value and bare not in place.names:
        yield place.at("LF6102", token, {"name": bare})
    elif is_weights_name(bare) and bare in place.names and (bare != value) != place.dialect.bundles:
        wanted = BUNDLE + bare if place.dialect.bundles else bare
        yield place.at("LF6115", token, {"name": value, "wanted": wanted, "dialect": place.dialect.value})
