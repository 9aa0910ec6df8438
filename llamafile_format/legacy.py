"""Where a legacy llamafile's engine ends and its user's members begin (spec/1.0, 9.3).

Nothing in the file says so. But each run of an appending tool left its directory behind, and the engine's release file
is a byte prefix of every llamafile that was built from it, old directory and end record included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamafile_format.zip.names import is_weights_name
from llamafile_format.zip.reader import Entry

if TYPE_CHECKING:
    from llamafile_format.container import Container


@dataclass(frozen=True, slots=True)
class LegacySplit:
    """``engine_size`` bytes from 0 are the engine; ``user_entries`` lie behind it, in the file's own order."""

    engine_size: int
    engine_entries: tuple[Entry, ...]
    user_entries: tuple[Entry, ...]
    evidence: str


def split_legacy(container: Container) -> LegacySplit:
    """Split a legacy file: by its newest stale directory without weights or arguments, else by its first member."""
    entries = container.archive.entries
    located = [entry for entry in entries if entry.located]
    first_model = min((entry.header_offset for entry in located if _is_users(entry.path)), default=container.size)
    for generation in reversed(container.generations):
        inside = [entry for entry in located if entry.data_end <= generation.directory_offset]
        if generation.eocd_end <= first_model and not any(_is_users(entry.path) for entry in inside):
            return _split(container, generation.eocd_end, "the engine's own directory ends there")
    image_end = container.prefix.end or 0
    starts = [entry.header_offset for entry in located]
    if not starts:
        return LegacySplit(container.size, (), (), "there are no members")
    low = min(starts)
    if image_end > low:  # old engines carry their ZIP inside the image (clause 9.2): it belongs to the engine
        return _split(container, min(image_end, first_model), "the executable image ends there")
    return _split(container, low, "the first member starts there")


def _is_users(path: str) -> bool:
    return is_weights_name(path) or path == ".args"


def _split(container: Container, engine_size: int, evidence: str) -> LegacySplit:
    mine = [entry for entry in container.archive.entries if entry.located and entry.data_end <= engine_size]
    inside = {entry.index for entry in mine}
    rest = [entry for entry in container.archive.entries if entry.index not in inside]
    return LegacySplit(engine_size, tuple(mine), tuple(rest), evidence)
