"""What is asked of whoever writes FILE in a form of others, or takes it out of one, and what they answer.

The forms are many and the question is one, so that each of them is a function of its own in a file of its own: an
*exporter* takes an :class:`ExportOrder`, an *importer* an :class:`ImportOrder`. The command line has the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from llamafile_format.progress import Progress


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """Write the container at ``file`` to ``target``, a folder that is made, or a file.

    ``moment`` is when that happens, like ``2026-11-29T14:00:00Z``; empty: no clock is asked, and the same file gives
    the same bytes. ``force`` replaces a file, and never a folder. ``settings`` are what only one form knows, by name.
    """

    file: str
    target: Path
    moment: str = ""
    force: bool = False
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: ``files`` of ``size`` bytes together. ``sha256`` is of the container as it lies there; of an
    image or a model in a store, of the manifest there, or of the container's own where the store has none.

    ``shared_bytes`` of it share their blocks with FILE. ``name`` is what the form calls the container: a path, an id.
    ``notes`` are sentences for whoever asked.
    """

    path: Path
    name: str
    files: int
    size: int
    sha256: str
    shared_bytes: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """Take a container out of what is at ``place``, as the new file ``out``. The rest is as of :class:`ExportOrder`."""

    place: str
    out: Path
    force: bool = False
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """What was taken out: the file ``path`` of ``size`` bytes. ``name`` is what it was called where it lay,
    ``sha256`` as of :class:`Exported`."""

    path: Path
    name: str
    size: int
    sha256: str
    shared_bytes: int = 0
    notes: tuple[str, ...] = ()


Exporter = Callable[[ExportOrder], Exported]
Importer = Callable[[ImportOrder], Imported]
