"""Texts from a file, made safe to show: every report passes each of them, a file's name included, through here."""

from __future__ import annotations

from llamafile_format.escape import printable

__all__ = ["printable"]
