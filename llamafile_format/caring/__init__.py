"""Caring for files over decades: protect, repair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.door import open_door

if TYPE_CHECKING:
    from llamafile_format.caring.losses import Lost
    from llamafile_format.caring.proof import Proof
    from llamafile_format.caring.protect import Protected, outdated_set, protect, protect_inside, sidecar_of
    from llamafile_format.caring.repair import Repaired, repair

open_door(
    __name__,
    {
        "losses": ("Lost",),
        "proof": ("Proof",),
        "protect": ("Protected", "outdated_set", "protect", "protect_inside", "sidecar_of"),
        "repair": ("Repaired", "repair"),
    },
)
