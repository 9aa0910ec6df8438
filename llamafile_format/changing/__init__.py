"""Changing a container: repack, convert, recover, legacy both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.door import open_door

if TYPE_CHECKING:
    from llamafile_format.changing.convert import FORMS, ConvertResult, convert
    from llamafile_format.changing.migrate_arguments import named_model
    from llamafile_format.changing.patching import PROBE, Amendment, Patch, patch_in_place
    from llamafile_format.changing.recover import RecoverResult, recover
    from llamafile_format.changing.repack import RepackResult, repack
    from llamafile_format.changing.surgery import locked

open_door(
    __name__,
    {
        "convert": ("ConvertResult", "FORMS", "convert"),
        "migrate_arguments": ("named_model",),
        "patching": ("Amendment", "PROBE", "Patch", "patch_in_place"),
        "recover": ("RecoverResult", "recover"),
        "repack": ("RepackResult", "repack"),
        "surgery": ("locked",),
    },
)
