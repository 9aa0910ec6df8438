"""What a repack is asked for (spec/1, 8.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from llamafile_format.packing import Args, Include, paths_of


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for. None and empty mean: as it is."""

    prefix: str | None = None
    runtime: str | None = None
    flavour: str | None = None
    args: Args | None = None
    drop_args: tuple[str, ...] = ()
    include: tuple[Include, ...] = ()
    remove: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    profile: str | None = None
    default: str | None = None
    align: int | None = None
    name: str | None = None
    license: str | None = None
    source: str | None = None
    created: str | None = None
    recovery: int | None = None
    viewer: bool | None = None
    engine_only: bool = False
    force: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """Paths of the files that are named besides the one that is changed."""
        return paths_of(self.include, self.prefix or "")
