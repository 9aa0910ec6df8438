"""Arguments that several commands take."""

from __future__ import annotations

import re

import click

from llamafile_format.source import FileSource

PATH = click.Path(path_type=str, readable=False)
"""A file to read. Whether it can be read says who opens it (exit code 4); click would call it wrong usage."""


def refuse_unreadable(path: str) -> None:
    """SourceError if ``path`` is no file that can be read: asked first where other inputs are judged before FILE is."""
    FileSource(path).close()


class _Size(click.ParamType[int]):
    """A number of bytes, plain or with KiB, MiB, GiB or TiB (or K, M, G, T) behind it."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """``64MiB`` as 67108864."""
        if isinstance(value, int):
            return value
        found = _SIZE.match(str(value))
        if found is None:
            self.fail(f"{value!r} is no size: write 1000000, 64MiB or 2GiB", param, ctx)
        return int(found[1]) << 10 * (" KMGT".index(found[2]) if found[2] else 0)


_SIZE = re.compile(r"([0-9]{1,15})(?:([KMGT])(?:iB)?)?\Z")
SIZE = _Size()
