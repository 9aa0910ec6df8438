"""Keeping files for decades: read them again a share at a time, repair them, and say what is due next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.door import open_door

if TYPE_CHECKING:
    from llamafile_format.keeping.outcome import Outcome, Scrubbed
    from llamafile_format.keeping.schedule import schedule
    from llamafile_format.keeping.scrub import scrub
    from llamafile_format.keeping.spans import Budget, Everything, Part, Share
    from llamafile_format.keeping.status import FileStatus, Status, status

open_door(
    __name__,
    {
        "outcome": ("Outcome", "Scrubbed"),
        "schedule": ("schedule",),
        "scrub": ("scrub",),
        "spans": ("Budget", "Everything", "Part", "Share"),
        "status": ("FileStatus", "Status", "status"),
    },
)
