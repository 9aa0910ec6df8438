"""The strict ZIP reader, in one place to import from (spec/1, chapter 4).

``read_archive`` parses tail, directory and local headers once; ``find_generations`` looks for what earlier runs of an
appending tool left behind; ``engine_records`` reads the ZIP that an engine brings along in a prefix.
"""

from __future__ import annotations

from dataclasses import replace

from llamafile_format.source import ByteSource
from llamafile_format.zip.archive import (
    MAX_DIRECTORY,
    MAX_ENTRIES,
    Archive,
    Generation,
    iter_live,
    overlapping,
    read_directory,
)
from llamafile_format.zip.archive import read_archive as _read_archive
from llamafile_format.zip.engine_archive import EngineArchive, engine_records, read_engine_directory
from llamafile_format.zip.entry import Entry, local_sizes
from llamafile_format.zip.generations import find_generations, holes, recover_tail
from llamafile_format.zip.tail import TAIL_WINDOW, Tail, Zip64End, read_tail

__all__ = [
    "MAX_DIRECTORY",
    "MAX_ENTRIES",
    "TAIL_WINDOW",
    "Archive",
    "EngineArchive",
    "Entry",
    "Generation",
    "Tail",
    "Zip64End",
    "engine_records",
    "find_generations",
    "holes",
    "iter_live",
    "local_sizes",
    "overlapping",
    "read_archive",
    "read_directory",
    "read_engine_directory",
    "read_tail",
    "recover_tail",
]


def read_archive(source: ByteSource, *, generations: bool = False) -> Archive:
    """Tail, directory and local headers of ``source``, and with ``generations`` also the stale directories.

    Never raises for bad bytes; SourceError when bytes cannot be read.
    """
    archive = _read_archive(source)
    return replace(archive, stale=find_generations(source, archive)) if generations else archive
