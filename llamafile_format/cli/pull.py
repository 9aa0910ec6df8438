"""``llamafile-format pull``: a container out of a registry, or a model from elsewhere. One row a place."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import click

from llamafile_format.cli.registries import CA_FILE, PLAIN_HTTP
from llamafile_format.cli.terminal import progress
from llamafile_format.exchanging import config_path
from llamafile_format.output.orders import Importer, ImportOrder
from llamafile_format.reports import printable


@dataclass(frozen=True, slots=True)
class Place:
    """What begins with ``prefix``, and the function that fetches it, of a room and by its door."""

    prefix: str
    names: str
    room: str
    function: str

    @property
    def importer(self) -> Importer:
        """The function, imported now."""
        found: Importer = getattr(import_module(f"llamafile_format.{self.room}"), self.function)
        return found


PLACES = (Place("", "HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]", "exchanging", "pull_image"),)
"""The first that fits; the last one fits everything."""


@click.command("pull")
@click.argument("what", metavar="REF")
@click.option("-o", "--output", "out", metavar="FILE", required=True, help="Where to write the container.")
@click.option("--runtime", metavar="WHICH", default="", help="What runs a model that others have packed, as of `pack`.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option("--plain-http", is_flag=True, help=PLAIN_HTTP)
@click.option("--ca-file", metavar="FILE", default="", help=CA_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(what: str, out: str, runtime: str, force: bool, plain_http: bool, ca_file: str, as_json: bool) -> None:
    """Fetch a container from a registry: HOST[:PORT]/REPOSITORY[:TAG][@DIGEST].

    What was sent comes back bit for bit, with its signatures; every byte is hashed on the way. Whatever breaks off is
    gone on with when the command is run again. A model that others have packed is packed anew.

    \b
    llamafile-format pull registry.example/models/tiny:v1 -o model.llamafile
    """
    place = next(place for place in PLACES if what.startswith(place.prefix))
    settings = {**os.environ, "runtime": runtime, "plain_http": "yes" * plain_http, "ca_file": ca_file}
    settings["docker_config"] = str(config_path(os.environ))
    with progress("fetching") as callback:
        result = place.importer(ImportOrder(what, Path(out), force, settings, callback))
    if as_json:
        import json

        from llamafile_format.plain_json import plain

        click.echo(json.dumps({**plain(result), "path": str(result.path)}, indent=1, sort_keys=True))
        return
    for note in result.notes:
        click.echo(f"note: {printable(note)}", err=True)
    click.echo(f"{result.sha256}  {printable(str(result.path))}  {result.size} bytes")
