"""Arguments that several commands take."""

from __future__ import annotations

import click

from llamafile_format.source import FileSource

PATH = click.Path(path_type=str, readable=False)
"""A file to read. Whether it can be read says who opens it (exit code 4); click would call it wrong usage."""


def refuse_unreadable(path: str) -> None:
    """SourceError if ``path`` is no file that can be read: asked first where other inputs are judged before FILE is."""
    FileSource(path).close()
