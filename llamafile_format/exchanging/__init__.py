"""In from every store, out to every registry: images of OCI in layouts and registries, folders of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.door import open_door

if TYPE_CHECKING:
    from llamafile_format.exchanging.by_order import export_layout, import_layout, pull_image
    from llamafile_format.exchanging.credentials import config_path
    from llamafile_format.exchanging.dialogue import Terms
    from llamafile_format.exchanging.folders import export_folder, export_lm_studio, import_folder
    from llamafile_format.exchanging.hub import pull_from_hub
    from llamafile_format.exchanging.hub_cache import import_hub_cache
    from llamafile_format.exchanging.layout import Layout, layout_writer, named_layout
    from llamafile_format.exchanging.ollama_read import import_ollama
    from llamafile_format.exchanging.ollama_write import export_ollama
    from llamafile_format.exchanging.reference import Reference, read_reference, read_repository
    from llamafile_format.exchanging.registry import Registry
    from llamafile_format.exchanging.send import Sent, refuse_legacy, send
    from llamafile_format.exchanging.take import Taken, take
    from llamafile_format.exchanging.update import Updated, update
    from llamafile_format.exchanging.upload import Upload

open_door(
    __name__,
    {
        "by_order": ("export_layout", "import_layout", "pull_image"),
        "folders": ("export_folder", "export_lm_studio", "import_folder"),
        "hub": ("pull_from_hub",),
        "hub_cache": ("import_hub_cache",),
        "layout": ("Layout", "layout_writer", "named_layout"),
        "credentials": ("config_path",),
        "dialogue": ("Terms",),
        "ollama_read": ("import_ollama",),
        "ollama_write": ("export_ollama",),
        "reference": ("Reference", "read_reference", "read_repository"),
        "registry": ("Registry",),
        "send": ("Sent", "refuse_legacy", "send"),
        "take": ("Taken", "take"),
        "update": ("Updated", "update"),
        "upload": ("Upload",),
    },
)
