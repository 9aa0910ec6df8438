"""Many files: each judged in a guarded child process, by one machine or many, and written down in a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.door import open_door

if TYPE_CHECKING:
    from llamafile_format.fleet.bounds import Bounds, End, Outcome
    from llamafile_format.fleet.compare import Change, compared
    from llamafile_format.fleet.executor import Executor
    from llamafile_format.fleet.export import EXPORTS
    from llamafile_format.fleet.guard import Guard
    from llamafile_format.fleet.inventory import Item, inventory
    from llamafile_format.fleet.ledger import Ledger, newest
    from llamafile_format.fleet.look import Local, Reaching, Terms, look
    from llamafile_format.fleet.row import ANSWERS, CODES, Row
    from llamafile_format.fleet.run import Tally
    from llamafile_format.fleet.run import run as run_fleet
    from llamafile_format.fleet.shard import Job

open_door(
    __name__,
    {
        "bounds": ("Bounds", "End", "Outcome"),
        "compare": ("Change", "compared"),
        "executor": ("Executor",),
        "export": ("EXPORTS",),
        "guard": ("Guard",),
        "inventory": ("Item", "inventory"),
        "ledger": ("Ledger", "newest"),
        "look": ("Local", "Reaching", "Terms", "look"),
        "row": ("ANSWERS", "CODES", "Row"),
        "run": ("Tally", "run as run_fleet"),
        "shard": ("Job",),
    },
)
