"""``llamafile-format gate``."""

from __future__ import annotations

import click

from llamafile_format.cli.groups import Group


@click.group("gate", cls=Group)
def command() -> None:
    """Verify what others send, as a service."""


@command.command("serve")
@click.option("--config", "config", metavar="FILE", required=True, help="What the gate serves, to whom, and how much.")
def serve_command(config: str) -> None:
    """Serve a gate: uploads and addresses are verified by whoever has a key, and explained.

    FILE is YAML: who has a key, which hosts, buckets and repositories may be named, which policy judges, and limits.
    Keys and tokens stand in files of their own that nobody else can read. The address is printed, with a page for
    people; requests and judgements are logged on standard error, one JSON object a line. Jobs that were accepted
    outlive the process, however it ends. Needs FastAPI and uvicorn: pip install 'llamafile-format[serve-gate,remote]'

    \b
    llamafile-format gate serve --config gate.yaml
    """
    from llamafile_format.service import read_gate, serve

    serve(read_gate(config), lambda address: click.echo(f"listening at {address}"))
