"""Looking at a file in a browser: the page, and the file that it reads, served on this machine alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.door import open_door

if TYPE_CHECKING:
    from llamafile_format.viewing.view import View, has_desktop, view

open_door(__name__, {"view": ("View", "has_desktop", "view")})
