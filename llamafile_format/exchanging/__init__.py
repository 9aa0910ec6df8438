"""In from every store, out to every registry: images of OCI, in layouts and registries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.door import open_door

if TYPE_CHECKING:
    from llamafile_format.exchanging.by_order import export_layout, import_layout
    from llamafile_format.exchanging.layout import Layout, LayoutWriter, named_layout
    from llamafile_format.exchanging.send import Sent, send
    from llamafile_format.exchanging.take import Taken, take

open_door(
    __name__,
    {
        "by_order": ("export_layout", "import_layout"),
        "layout": ("Layout", "LayoutWriter", "named_layout"),
        "send": ("Sent", "send"),
        "take": ("Taken", "take"),
    },
)
