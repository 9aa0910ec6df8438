"""Whether a runtime can load a model, told from the model's header and the runtime's pin (spec/1, 14.1.6).

Nothing is loaded or started: the pin lists the architectures and tensor types that the engine's sources name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from llamafile_format.checks.loading import check_obsolete
from llamafile_format.checks.manifest import SPLIT_NAME
from llamafile_format.engines.pin import Pin
from llamafile_format.findings import Finding, Where
from llamafile_format.weights.formats import Format
from llamafile_format.weights.gguf_model import Gguf
from llamafile_format.weights.tensor_types import type_name

LOADED = frozenset({"weights", "draft"})
"""Roles that hold a whole model, whose architecture the engine must know. Of other GGUFs it needs the types only."""


def check_fit(gguf: Gguf, pins: Sequence[Pin], *, path: str, role: str, base: int = 0) -> Iterator[Finding]:
    """LF3301 and LF3302: what none of ``pins`` knows of the model ``path``, whose data starts at ``base``."""
    runtimes = ", ".join(pin.key for pin in pins)
    architecture = gguf.text("general.architecture", 256) if role in LOADED else None
    if architecture is not None and not any(architecture in pin.architectures for pin in pins):
        entry = gguf.entries["general.architecture"]
        where = Where(base + entry.offset, entry.length, path, "general.architecture")
        yield Finding("LF3301", where, {"path": path, "architecture": architecture, "runtimes": runtimes})
        return
    fitting = [pin for pin in pins if architecture is None or architecture in pin.architectures]
    used: dict[int, int] = {}
    for tensor in gguf.tensors:
        used.setdefault(tensor.type_id, tensor.info_offset)
    if any(used.keys() <= pin.tensor_types for pin in fitting):
        return
    for type_id, offset in sorted(used.items()):
        if any(type_id not in pin.tensor_types for pin in fitting):
            where = Where(base + offset, None, path, "type")
            yield Finding("LF3302", where, {"path": path, "type": type_name(type_id), "runtimes": runtimes})


class Named(Protocol):
    """A member, in a file or about to be in one."""

    @property
    def path(self) -> str:
        """Its name."""

    @property
    def media_type(self) -> str:
        """Its media type, as claimed."""


def other_format(
    found: Format | None, member: Named, default: str, pins: Sequence[Pin], where: Where
) -> Iterator[Finding]:
    """LF3312 for weights of a time before GGUF; LF3303 if the model that starts is in a format that no pin reads."""
    if found is not None and found.obsolete:
        yield from check_obsolete(member.path, found.name, pins, where)
    elif member.path == default and not (found and any(found.media_type in pin.formats for pin in pins)):
        runtimes = ", ".join(pin.key for pin in pins)
        name = found.name if found is not None else member.media_type
        yield Finding("LF3303", where, {"path": member.path, "format": name, "runtimes": runtimes})


def check_shards(ggufs: Mapping[str, Gguf], bases: Mapping[str, int]) -> Iterator[Finding]:
    """LF3306: shards that a runtime does not find, because it looks for them by the name of the first one.

    ``ggufs`` are the models by path, ``bases`` where their data starts.
    """
    for path, gguf in sorted(ggufs.items()):
        count, number = gguf.integer("split.count") or 1, gguf.integer("split.no")
        if count < 2 or number is None:
            continue
        match = SPLIT_NAME.match(path)
        told = (int(match["number"]), int(match["count"])) if match else None
        if told != (number + 1, count):
            name = f"NAME-{number + 1:05d}-of-{count:05d}.gguf"
            yield _unfound(path, bases, f"it is shard {number + 1} of {count} and should be called {name}")
        elif number == 0 and match is not None:
            wanted = (f"{match['stem']}-{n:05d}-of-{match['count']}.gguf" for n in range(1, min(count, 99999) + 1))
            if missing := _first(wanted, ggufs):
                yield _unfound(path, bases, f"{missing} is not beside it")


def _first(wanted: Iterable[str], there: Mapping[str, Gguf]) -> str:
    return next((path for path in wanted if path not in there), "")


def _unfound(path: str, bases: Mapping[str, int], reason: str) -> Finding:
    return Finding("LF3306", Where(bases.get(path), None, path), {"path": path, "reason": reason})
