"""Caring for files over decades: protect and repair, events, and the packages that archives keep them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.door import open_door

if TYPE_CHECKING:
    from llamafile_format.caring.admitting import admit
    from llamafile_format.caring.bag_read import import_bag
    from llamafile_format.caring.bag_write import export_bag
    from llamafile_format.caring.crate_write import export_crate
    from llamafile_format.caring.csip_write import export_csip
    from llamafile_format.caring.datapackage_write import export_datapackage
    from llamafile_format.caring.event import Event
    from llamafile_format.caring.event_log import KINDS, Logged, add_event, log_of, manifest_of, read_log
    from llamafile_format.caring.freeze import FrozenResult, Thawed, freeze, thaw
    from llamafile_format.caring.losses import Lost
    from llamafile_format.caring.ocfl_read import import_ocfl
    from llamafile_format.caring.ocfl_write import export_ocfl
    from llamafile_format.caring.premis_write import export_premis
    from llamafile_format.caring.proof import Proof
    from llamafile_format.caring.protect import (
        Protected,
        outdated_set,
        protect,
        protect_inside,
        sidecar_of,
        sidecar_percent,
    )
    from llamafile_format.caring.repair import Repaired, repair
    from llamafile_format.caring.survivors import surviving_manifests
    from llamafile_format.caring.tree import Tree, read_tree

open_door(
    __name__,
    {
        "admitting": ("admit",),
        "bag_read": ("import_bag",),
        "bag_write": ("export_bag",),
        "crate_write": ("export_crate",),
        "csip_write": ("export_csip",),
        "datapackage_write": ("export_datapackage",),
        "ocfl_read": ("import_ocfl",),
        "ocfl_write": ("export_ocfl",),
        "premis_write": ("export_premis",),
        "event": ("Event",),
        "event_log": ("KINDS", "Logged", "add_event", "log_of", "manifest_of", "read_log"),
        "freeze": ("FrozenResult", "Thawed", "freeze", "thaw"),
        "losses": ("Lost",),
        "proof": ("Proof",),
        "protect": ("Protected", "outdated_set", "protect", "protect_inside", "sidecar_of", "sidecar_percent"),
        "repair": ("Repaired", "repair"),
        "survivors": ("surviving_manifests",),
        "tree": ("Tree", "read_tree"),
    },
)
