"""``diff``: in what two files differ, from their records first and from their bytes where records do not tell.

Digests that both files name are compared, not recomputed: that is what makes a comparison of two 40 GB files instant.
Whether each file still matches its own digests is for ``verify`` to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llamafile_format.container import Container, MemberFacts, Openable, open_container
from llamafile_format.manifest.hashing import digest_range
from llamafile_format.manifest.merkle import CHUNK_SIZE
from llamafile_format.manifest.model import CHUNKS_PATH

_CHUNKS_SHOWN = 16


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. ``area``: prefix, member, metadata, order; ``change``: added, removed, changed, renamed."""

    area: str
    change: str
    name: str
    detail: str = ""

    def to_json(self) -> dict[str, str]:
        """The JSON object."""
        return {"area": self.area, "change": self.change, "name": self.name, "detail": self.detail}


def diff(a: Openable, b: Openable) -> list[Difference]:
    """Differences from ``a`` to ``b``, empty if prefix, members, metadata and order are the same.

    Works on containers and legacy llamafiles; members without a recorded digest are hashed. Raises NotALlamafile and
    SourceError.
    """
    with open_container(a) as first, open_container(b) as second:
        return [
            *_prefix(first, second),
            *_engine_files(first, second),
            *_members(first, second),
            *_metadata(first, second),
        ]


def _prefix(a: Container, b: Container) -> Iterator[Difference]:
    one, two = _prefix_facts(a), _prefix_facts(b)
    if one == two:
        return
    for key in one:
        if one[key] != two[key]:
            yield Difference("prefix", "changed", key, f"{one[key]} -> {two[key]}")


def _prefix_facts(container: Container) -> dict[str, Any]:
    """Kind, size and digest of the engine; padding does not count, so that legacy and 1.0 forms compare equal."""
    if container.manifest is not None:
        prefix = container.manifest.prefix
        return {"kind": prefix.kind, "engine_size": prefix.engine_size, "engine_sha256": prefix.engine_sha256}
    size = container.engine_size
    kind = container.prefix.kind.value
    sha256 = digest_range(container.source, 0, size).sha256.hex()
    return {"kind": kind, "engine_size": size, "engine_sha256": sha256}


def _engine_files(a: Container, b: Container) -> Iterator[Difference]:
    """Files and folders of the engine's own ZIP that only one of the two files shows to its engine (clause 4.10)."""
    one, two = ({member.path: member for member in each.members if member.role == "engine-asset"} for each in (a, b))
    for change, here, there in (("removed", one, two), ("added", two, one)):
        for path, member in here.items():
            if path not in there:
                yield Difference("prefix", change, path, f"the engine's own, {member.size} bytes")


def _payload(container: Container) -> dict[str, MemberFacts]:
    skipped = ("manifest", "chunks", "engine-asset", "signature-record")
    return {member.path: member for member in container.members if member.role not in skipped}


def _members(a: Container, b: Container) -> Iterator[Difference]:
    one, two = _payload(a), _payload(b)
    digests_a = {path: _digest(a, member) for path, member in one.items() if path not in two or member != two[path]}
    digests_b = {path: _digest(b, member) for path, member in two.items() if path not in one or member != one[path]}
    gone = {path: digests_a[path] for path in one if path not in two}
    come = {path: digests_b[path] for path in two if path not in one}
    for path, digest in list(gone.items()):
        twin = next((other for other, found in come.items() if found == digest), None)
        if twin is not None:
            yield Difference("member", "renamed", path, f"-> {twin}")
            del gone[path], come[twin]
    yield from (Difference("member", "removed", path, f"{one[path].size} bytes") for path in gone)
    yield from (Difference("member", "added", path, f"{two[path].size} bytes") for path in come)
    for path in one:
        if path in two and one[path] != two[path]:
            yield from _member(a, b, one[path], two[path], digests_a[path] == digests_b[path])
    order_a = [path for path in one if path in two]
    order_b = [path for path in two if path in one]
    if order_a != order_b:
        yield Difference("order", "changed", "members", f"{', '.join(order_a[:6])} -> {', '.join(order_b[:6])}")


def _digest(container: Container, member: MemberFacts) -> str:
    if member.sha256:
        return member.sha256
    import hashlib

    digest = hashlib.sha256()
    for block in container.stream(member.path):
        digest.update(block)
    return digest.hexdigest()


def _member(a: Container, b: Container, one: MemberFacts, two: MemberFacts, same: bool) -> Iterator[Difference]:
    if not same:
        yield Difference("member", "changed", one.path, _chunks(a, b, one, two))
    for key in ("role", "media_type", "alignment"):
        if (left := getattr(one, key)) != (right := getattr(two, key)):
            yield Difference("member", "changed", one.path, f"{key} {left} -> {right}")


def _chunks(a: Container, b: Container, one: MemberFacts, two: MemberFacts) -> str:
    """Which 4 MiB chunks of a member differ, from the chunk lists where both files have one."""
    size = f"{one.size} -> {two.size} bytes" if one.size != two.size else f"{one.size} bytes"
    left, right = _listed(a, one), _listed(b, two)
    if left is None or right is None:
        return size
    count = max(len(left), len(right))
    pairs = ((left[i] if i < len(left) else b"", right[i] if i < len(right) else b"") for i in range(count))
    differing = [index + 1 for index, (x, y) in enumerate(pairs) if x != y]
    shown = ", ".join(str(index) for index in differing[:_CHUNKS_SHOWN])
    more = f" and {len(differing) - _CHUNKS_SHOWN} more" if len(differing) > _CHUNKS_SHOWN else ""
    return f"{size}; chunks of {CHUNK_SIZE >> 20} MiB that differ: {shown}{more} of {count}"


def _listed(container: Container, member: MemberFacts) -> list[bytes] | None:
    """Chunk digests of ``member`` from the chunk list; None where there is no list."""
    entry = container.archive.entry(CHUNKS_PATH)
    if container.manifest is None or entry is None or not entry.located:
        return None
    wide = container.manifest.profile == "archive"
    name = member.path.encode("utf-8")
    found = []
    rest = b""
    for block in container.stream(CHUNKS_PATH):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            fields = line.split(b" ", 4 if wide else 3)
            if fields[-1] == name:
                found.append(fields[0])
    return found


def _metadata(a: Container, b: Container) -> Iterator[Difference]:
    one, two = _labels(a), _labels(b)
    for key in sorted(one.keys() | two.keys()):
        if (left := one.get(key, "")) != (right := two.get(key, "")):
            yield Difference(
                "metadata",
                "changed" if left and right else "added" if right else "removed",
                key,
                f"{left or '-'} -> {right or '-'}",
            )


def _labels(container: Container) -> dict[str, str]:
    manifest = container.manifest
    if manifest is None:
        return {"format": "legacy"}
    keys = ("version", "profile", "created", "name", "license", "source", "default")
    labels = {key: str(getattr(manifest, key)) for key in keys}
    labels["history"] = f"{len(manifest.history)} entries" if manifest.history else ""
    labels["format"] = "llamafile"
    return labels
