"""``llamafile-format serve``."""

from __future__ import annotations

import click

from llamafile_format.cli.run import Asked, Passing, begin, starting


@click.command("serve", cls=Passing)
@starting
def command(asked: Asked) -> int:
    """Verify FILE, then start its server: a chat page, and an API like OpenAI's.

    The server listens on 127.0.0.1, on the next free port, and prints its address. It opens no browser.

    \b
    llamafile-format serve model.llamafile
    llamafile-format serve model.gguf -- --port 8081
    """
    return begin(asked, "--server", "--no-browser")
