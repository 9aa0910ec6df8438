"""``llamafile-format serve``."""

from __future__ import annotations

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.run import begin, choosing
from llamafile_format.running import Selection


@click.command("serve")
@click.argument("file", metavar="FILE", type=PATH)
@choosing
@click.argument("arguments", nargs=-1, metavar="[-- ARGUMENTS]", type=click.UNPROCESSED)
def command(
    file: str,
    arguments: tuple[str, ...],
    runtime: str,
    flavour: str | None,
    target: str,
    policy: str | None,
    keys: tuple[str, ...],
) -> int:
    """Verify FILE, then start its server: a chat page, and an API like OpenAI's.

    The server listens on 127.0.0.1, on the next free port, and prints its address. It opens no browser.

    \b
    llamafile-format serve model.llamafile
    llamafile-format serve model.gguf -- --port 8081
    """
    return begin(
        file, ("--server", "--no-browser", *arguments), Selection(runtime, flavour or "", target), policy, keys
    )
