"""Shards of safetensors: each tensor in the file that the index names, and no other (spec/1, 7.16.8)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from llamafile_format import limits as caps
from llamafile_format.bounded_json import parse_json
from llamafile_format.errors import FormatError, LimitExceeded
from llamafile_format.findings import Finding, Value, Where
from llamafile_format.source import Window
from llamafile_format.weights.formats import SAFETENSORS, recognise_format
from llamafile_format.weights.gguf_limits import FINDINGS_PER_RULE
from llamafile_format.weights.safetensors import read_safetensors

if TYPE_CHECKING:
    from llamafile_format.container import Container, MemberFacts

INDEX = ".safetensors.index.json"
SHARD = re.compile(r".*-[0-9]{5}-of-(?P<count>[0-9]{5})\.safetensors", re.DOTALL)


def check_safetensors_sets(container: Container) -> Iterator[Finding]:
    """Findings about every index of ``container``, and about shards that none names."""
    members = {member.path: member for member in container.members if member.stored and member.offset >= 0}
    shelf = _Shelf(container, members)
    indexed: set[str] = set()
    for path, member in members.items():
        if path.endswith(INDEX):
            yield from _index(container, member, shelf, indexed)
    for path, member in members.items():
        match = SHARD.fullmatch(path)
        if match and int(match["count"]) > 1 and path not in indexed and shelf.names(path) is not None:
            args: dict[str, Value] = {"path": path, "count": int(match["count"])}
            yield Finding("LF5117", Where(member.offset, member.size, path), args)


class _Shelf:
    """Names of the tensors of each safetensors member, read once however many indexes ask."""

    def __init__(self, container: Container, members: Mapping[str, MemberFacts]) -> None:
        self._container = container
        self._members = members
        self._read: dict[str, frozenset[str] | None] = {}

    def names(self, path: str) -> frozenset[str] | None:
        """None if there is no such member, it is no safetensors file, or its header was not read to its end."""
        if path not in self._read:
            self._read[path] = self._names(path)
        return self._read[path]

    def holds(self, path: str) -> bool:
        """True if there is such a member, whatever is in it."""
        return path in self._members

    def _names(self, path: str) -> frozenset[str] | None:
        member = self._members.get(path)
        if member is None:
            return None
        source = Window(self._container.source, member.offset, member.size)
        if recognise_format(source) is not SAFETENSORS:
            return None
        read = read_safetensors(source)
        return frozenset(tensor.name for tensor in read.tensors) if read.complete else None


def _index(container: Container, member: MemberFacts, shelf: _Shelf, indexed: set[str]) -> Iterator[Finding]:
    """What is wrong with the index that ``member`` is; the members that it names go to ``indexed``."""
    where = Where(member.offset, member.size, member.path)
    found = _weight_map(container, member)
    if isinstance(found, Finding):
        yield found
        return
    folder = member.path.rpartition("/")[0]
    files: dict[str, set[str]] = defaultdict(set)
    for tensor, name in found.items():
        files[f"{folder}/{name}" if folder else name].add(tensor)
    indexed.update(files)
    told = 0
    for path, wanted in sorted(files.items()):
        reason = _disagreement(path, wanted, shelf)
        if reason and told < FINDINGS_PER_RULE:
            told += 1
            yield Finding("LF5116", where, {"path": member.path, "reason": reason})


def _disagreement(path: str, wanted: set[str], shelf: _Shelf) -> str:
    """How the index and the member ``path`` differ; empty if they do not, or the member's own findings say enough."""
    if not shelf.holds(path):
        return f"it names {path}, which is not here"
    names = shelf.names(path)
    if names is None:
        return f"it names {path}, whose tensors cannot be read"
    if lacking := wanted - names:
        return f"{path} does not hold {min(lacking)}" + _more(lacking)
    if surplus := names - wanted:
        return f"{path} holds {min(surplus)}, which the index does not have there" + _more(surplus)
    return ""


def _more(names: set[str] | frozenset[str]) -> str:
    return f" ({len(names)} in all)" if len(names) > 1 else ""


def _weight_map(container: Container, member: MemberFacts) -> dict[str, str] | Finding:
    """Which file holds each tensor; or why that cannot be told."""
    where = Where(member.offset, member.size, member.path)
    if member.size > caps.SAFETENSORS_HEADER:
        args: dict[str, Value] = {"what": "bytes of the index", "found": member.size, "limit": caps.SAFETENSORS_HEADER}
        return Finding("LF5113", where, args)
    try:
        value = parse_json(container.source.read_at(member.offset, member.size), depth=8, pairs=_once)
    except LimitExceeded as error:
        most = {"what": "values of the index", "found": str(error.found), "limit": str(caps.JSON_MARKS)}
        return Finding("LF5113", where, most)
    except FormatError as error:
        return _unread(member, error.message)
    mapped = value.get("weight_map") if isinstance(value, dict) else None
    if not isinstance(mapped, dict):
        return _unread(member, "it is no object with a weight_map")
    odd = next((name for name in mapped.values() if not isinstance(name, str) or "/" in name or not name), None)
    if odd is not None:
        return _unread(member, f"weight_map leads to {str(odd)[:80]!r}, which is no name of a file beside it")
    return mapped


def _unread(member: MemberFacts, reason: str) -> Finding:
    args = {"path": member.path, "reason": reason}
    return Finding("LF5115", Where(member.offset, member.size, member.path), args)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object without a name twice. FormatError otherwise."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise FormatError("a name stands twice in one object", clause="7.16.8")
    return found
