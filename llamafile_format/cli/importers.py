"""What `import` and `pull` share: rows that name who takes a container out of something, and the words at the end."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

import click

from llamafile_format.output.orders import Imported, Importer
from llamafile_format.reports import printable


@dataclass(frozen=True, slots=True)
class Form:
    """What begins with ``prefix``, what stands behind it, and the function that takes it, of a room and by its door."""

    prefix: str
    names: str
    room: str
    function: str

    @property
    def importer(self) -> Importer:
        """The function, imported now."""
        found: Importer = getattr(import_module(f"llamafile_format.{self.room}"), self.function)
        return found


def tell_imported(result: Imported, *, as_json: bool) -> None:
    """What was written, and where it came from."""
    if as_json:
        import json

        from llamafile_format.plain_json import plain

        click.echo(json.dumps({**plain(result), "path": str(result.path)}, indent=1, sort_keys=True))
        return
    for note in result.notes:
        click.echo(f"note: {printable(note)}", err=True)
    click.echo(f"{result.sha256}  {printable(str(result.path))}  {result.size} bytes")
