"""The gate as a service: uploads and addresses are verified by whoever has a key, and explained (spec/1, 10.16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.door import open_door

if TYPE_CHECKING:
    from llamafile_format.service.config import Gate, read_gate
    from llamafile_format.service.running import serve

open_door(
    __name__,
    {
        "config": ("Gate", "read_gate"),
        "running": ("serve",),
    },
)
