"""Where a legacy llamafile's engine ends and its user's members begin (spec/1, 9.3).

Nothing in the file says so. But each run of an appending tool left its directory behind, and the engine's release file
is a byte prefix of every llamafile that was built from it, old directory and end record included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llamafile_format.zip.names import is_weights_name
from llamafile_format.zip.reader import Archive, Entry, Generation


@dataclass(frozen=True, slots=True)
class LegacySplit:
    """``engine_size`` bytes from 0 are the engine; ``user_entries`` lie behind it, in the file's own order."""

    engine_size: int
    engine_entries: tuple[Entry, ...]
    user_entries: tuple[Entry, ...]
    evidence: str


def split_legacy(archive: Archive, generations: Sequence[Generation], *, size: int, image_end: int) -> LegacySplit:
    """Split a legacy file: by its newest stale directory without weights or arguments, else by its first member.

    ``generations`` are its stale directories, oldest first; ``size`` is that of the file and ``image_end`` where its
    executable image ends, both in bytes.
    """
    located = [entry for entry in archive.entries if entry.located]
    first_model = min((entry.header_offset for entry in located if _is_users(entry.path)), default=size)
    for generation in reversed(generations):
        inside = [entry for entry in located if entry.data_end <= generation.directory_offset]
        if generation.eocd_end <= first_model and not any(_is_users(entry.path) for entry in inside):
            return _split(archive, generation.eocd_end, "the engine's own directory ends there")
    starts = [entry.header_offset for entry in located]
    if not starts:
        return LegacySplit(size, (), (), "there are no members")
    low = min(starts)
    if image_end > low:  # old engines carry their ZIP inside the image (clause 9.2): it belongs to the engine
        return _split(archive, min(image_end, first_model), "the executable image ends there")
    return _split(archive, low, "the first member starts there")


def _is_users(path: str) -> bool:
    return is_weights_name(path) or path == ".args"


def _split(archive: Archive, engine_size: int, evidence: str) -> LegacySplit:
    mine = [entry for entry in archive.entries if entry.located and entry.data_end <= engine_size]
    inside = {entry.index for entry in mine}
    rest = [entry for entry in archive.entries if entry.index not in inside]
    return LegacySplit(engine_size, tuple(mine), tuple(rest), evidence)
