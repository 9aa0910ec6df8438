"""Care for containers over decades: the packages that archives keep them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.door import open_door

if TYPE_CHECKING:
    from llamafile_format.caring.bag_read import import_bag
    from llamafile_format.caring.bag_write import export_bag
    from llamafile_format.caring.ocfl_read import import_ocfl
    from llamafile_format.caring.ocfl_write import export_ocfl
    from llamafile_format.caring.premis_write import export_premis

open_door(
    __name__,
    {
        "bag_read": ("import_bag",),
        "bag_write": ("export_bag",),
        "ocfl_read": ("import_ocfl",),
        "ocfl_write": ("export_ocfl",),
        "premis_write": ("export_premis",),
    },
)
