"""Many files: each judged in a guarded child process, by one machine or many, and written down in a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.door import open_door

if TYPE_CHECKING:
    from llamafile_format.fleet.bounds import Bounds, End, Outcome
    from llamafile_format.fleet.guard import Guard
    from llamafile_format.fleet.look import Local, Reaching, Terms, look

open_door(
    __name__,
    {
        "bounds": ("Bounds", "End", "Outcome"),
        "guard": ("Guard",),
        "look": ("Local", "Reaching", "Terms", "look"),
    },
)
