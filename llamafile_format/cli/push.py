"""``llamafile-format push``: FILE to a registry."""

from __future__ import annotations

import os

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.registries import CA_FILE, PLAIN_HTTP
from llamafile_format.cli.terminal import progress
from llamafile_format.reports import printable


@click.command("push")
@click.argument("file", metavar="FILE", type=PATH)
@click.argument("reference", metavar="REF")
@click.option(
    "--mount-from",
    metavar="REPOSITORY",
    default="",
    help="Another repository of the registry, which may have members of FILE already.",
)
@click.option("--plain-http", is_flag=True, help=PLAIN_HTTP)
@click.option("--ca-file", metavar="FILE", default="", help=CA_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(file: str, reference: str, mount_from: str, plain_http: bool, ca_file: str, as_json: bool) -> None:
    """Send FILE to a registry, as the image HOST[:PORT]/REPOSITORY[:TAG].

    It goes as a ModelPack: each member is a layer, and only what the registry lacks is sent. Every byte is hashed on
    the way, and with the first wrong digest nothing is named. Signature records become referrers of the image.
    Credentials are those that `docker login` and other tools keep; they go to that registry and nowhere else.

    \b
    llamafile-format push model.llamafile registry.example/models/tiny:v1
    """
    from llamafile_format.container import open_container
    from llamafile_format.exchanging import (
        Terms,
        Upload,
        config_path,
        read_reference,
        read_repository,
        refuse_legacy,
        send,
    )
    from llamafile_format.source.proxies import Proxies

    place = read_reference(reference)
    terms = Terms(plain_http, ca_file, config_path(os.environ), proxies=Proxies.of(os.environ))
    also = read_repository(mount_from) if mount_from else ""
    with open_container(file) as container:
        refuse_legacy(container, "sent")  # before anybody is asked
        with Upload(place, terms, also=also) as upload, progress("sending") as callback:
            sent = send(container, upload, progress=callback)
    if as_json:
        import json

        from llamafile_format.plain_json import plain

        click.echo(json.dumps(plain(sent), indent=1, sort_keys=True))
        return
    if sent.records:
        click.echo(f"note: {sent.records} signature records refer to the image", err=True)
    click.echo(f"{sent.digest}  {printable(sent.place)}  {sent.layers} layers, {sent.sent} bytes sent")
