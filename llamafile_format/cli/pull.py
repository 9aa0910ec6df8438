"""``llamafile-format pull``: a container out of a registry, or a model from elsewhere. One row a place."""

from __future__ import annotations

import os
from pathlib import Path

import click

from llamafile_format.cli.importers import Form, tell_imported
from llamafile_format.cli.reaching import hub_terms
from llamafile_format.cli.registries import CA_FILE, PLAIN_HTTP
from llamafile_format.cli.terminal import progress
from llamafile_format.errors import UsageError
from llamafile_format.exchanging import config_path
from llamafile_format.output.orders import ImportOrder

PLACES = (
    Form("hf://", "ORG/NAME[@REV]/FILE", "exchanging", "pull_from_hub"),
    Form("", "HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]", "exchanging", "pull_image"),
)
"""The first that fits; the last one fits everything."""


@click.command("pull")
@click.argument("whats", metavar="REF|hf://ORG/NAME[@REV]/FILE...", nargs=-1, required=True)
@click.option("-o", "--output", "out", metavar="FILE", required=True, help="Where to write the container.")
@click.option("--runtime", metavar="WHICH", default="", help="What runs a model that others have packed, as of `pack`.")
@click.option("--default", metavar="MEMBER", default="", help="Model that starts, when there are several.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option("--plain-http", is_flag=True, help=PLAIN_HTTP)
@click.option("--ca-file", metavar="FILE", default="", help=CA_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    whats: tuple[str, ...],
    out: str,
    runtime: str,
    default: str,
    force: bool,
    plain_http: bool,
    ca_file: str,
    as_json: bool,
) -> None:
    """Fetch a container from a registry: HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]; or files from a hub.

    What was sent comes back bit for bit, with its signatures; every byte is hashed on the way. Whatever breaks off is
    gone on with when the command is run again. A model that others have packed is packed anew.

    Files of one repository at a hub are packed as `pack` would, all from one commit; a llamafile comes as it is.

    \b
    llamafile-format pull registry.example/models/tiny:v1 -o model.llamafile
    llamafile-format pull hf://org/name/m.gguf hf://org/name/LICENSE -o m.llamafile
    """
    place = next(place for place in PLACES if whats[0].startswith(place.prefix))
    if len(whats) > 1 and not place.prefix:
        raise UsageError(f"{len(whats)} names were given, and one image is fetched at a time")
    settings = {**os.environ, "runtime": runtime, "default": default, "ca_file": ca_file}
    settings |= hub_terms(whats[0]) if place.prefix else {"plain_http": "yes" * plain_http}
    settings["docker_config"] = str(config_path(os.environ))
    with progress("fetching") as callback:
        result = place.importer(ImportOrder(" ".join(whats), Path(out), force, settings, callback))
    tell_imported(result, as_json=as_json)
