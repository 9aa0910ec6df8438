"""Running a container: run, record, replay, and verify at level behaviour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.door import open_door

if TYPE_CHECKING:
    from llamafile_format.running.builds import Selection
    from llamafile_format.running.choose_runtime import FLAVOURS, Wanted
    from llamafile_format.running.guard import Demand, Reading
    from llamafile_format.running.record import RecordResult, record
    from llamafile_format.running.replay import RecordReplay, Replay, replay
    from llamafile_format.running.run import prepare, start
    from llamafile_format.running.verify import verify

open_door(
    __name__,
    {
        "builds": ("Selection",),
        "choose_runtime": ("FLAVOURS", "Wanted"),
        "guard": ("Demand", "Reading"),
        "record": ("RecordResult", "record"),
        "replay": ("RecordReplay", "Replay", "replay"),
        "run": ("prepare", "start"),
        "verify": ("verify",),
    },
)
