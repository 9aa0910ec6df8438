"""``llamafile-format view``."""

from __future__ import annotations

import click

from llamafile_format.cli.arguments import PATH


@click.command("view")
@click.argument("file", metavar="FILE", type=PATH)
@click.option("--port", metavar="N", type=click.IntRange(0, 65535), default=0, help="Port to serve on (default: any).")
@click.option("--no-browser", is_flag=True, help="Open no browser; print the address alone.")
def command(file: str, port: int, no_browser: bool) -> None:
    """Show FILE in a browser: what is inside, what is damaged, and its model, run in the page.

    Serves a page and FILE on 127.0.0.1 until Ctrl-C, to whoever has the address that it prints. The page is one that
    came with this command, never one out of FILE; it can read FILE and connect to nothing else. A browser is opened on
    a desktop only.

    \b
    llamafile-format view model.llamafile
    llamafile-format view model.llamafile --no-browser --port 8000
    """
    from llamafile_format.viewing import has_desktop, view

    with view(file, port=port) as shown:
        click.echo(shown.address)
        click.echo("Ctrl-C ends it.", err=True)
        if has_desktop() and not no_browser:
            import webbrowser

            webbrowser.open(shown.address)
        shown.serve()
