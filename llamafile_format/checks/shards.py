"""Sets of shards, by what their headers say and never by their names (spec/1, 7.8.6).

Shards of one model know how many there are, which of them they are and how many tensors all of them hold; nothing else
ties them together. So two quantisations of one model in one file are told apart by nothing: as many sets are expected
as the most frequent number occurs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from llamafile_format.findings import Finding, Value, Where
from llamafile_format.weights.gguf_model import Gguf

NAMED = 8
"""Numbers of missing shards that a report names; it counts them all."""

Shard = tuple[str, int, Gguf]
"""Path, offset of the first byte in the file, header."""


def shard_of(gguf: Gguf) -> tuple[int, int] | None:
    """(number from 0, how many there are) of one shard of several; None for a whole model, whatever its name."""
    number, count = gguf.integer("split.no"), gguf.integer("split.count")
    if number is None or count is None or count < 2 or not 0 <= number < count:
        return None
    return number, count


def check_shard_sets(ggufs: Iterable[Shard]) -> Iterator[Finding]:
    """LF5089: shards whose siblings are not all here, one finding a set."""
    sets: dict[tuple[int, int | None], list[tuple[int, str, int]]] = defaultdict(list)
    for path, base, gguf in ggufs:
        shard = shard_of(gguf)
        if shard is not None:
            number, count = shard
            sets[count, gguf.integer("split.tensors.count")].append((number, path, base))
    for (count, _), members in sets.items():
        yield from _missing(count, members)


def _missing(count: int, members: list[tuple[int, str, int]]) -> Iterator[Finding]:
    there = Counter(number for number, _, _ in members)
    copies = max(there.values())
    lacking = count * copies - len(members)  # counted, never enumerated: the number comes from a file
    if not lacking:
        return
    names = [str(number + 1) for number in range(min(count, len(there) + NAMED)) if there[number] < copies][:NAMED]
    _, path, base = min(members)
    args: dict[str, Value] = {"path": path, "count": count, "lacking": lacking, "numbers": listed(names, lacking)}
    yield Finding("LF5089", Where(base, None, path, "split.count"), args)


def listed(names: list[str], total: int) -> str:
    """``names`` in a row, and how many of ``total`` they leave out."""
    more = total - len(names)
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
