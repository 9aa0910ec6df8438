"""``llamafile-format status``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.keeping import status
from llamafile_format.output.publish import output
from llamafile_format.output.transfer import OpenFile
from llamafile_format.reports import printable, status_page, status_text, status_value


@click.command("status")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=PATH)
@click.option("--state", "state", metavar="DIR", default=None, help="The state that `scrub` keeps.")
@click.option(
    "--interval",
    metavar="DAYS",
    type=click.IntRange(1, 36500),
    default=365,
    help="How often every byte is to be proven (default: 365).",
)
@click.option("--html", "page", metavar="OUT", default=None, help="Write a page, the new file OUT.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the status as JSON.")
def command(
    paths: tuple[str, ...], state: str | None, interval: int, page: str | None, force: bool, as_json: bool
) -> None:
    """Say how files are kept: what is protected, when it was proven, what is due next.

    Of the containers that PATHs name, or that lie below them: recovery data, the last proof that DIR knows, the days by
    which stamps must be renewed before certificates and algorithms age, and the NDSA level for integrity, with what
    keeps it from the next one. No weights are read.

    Exit codes: 0; 1 a file is known to be damaged, changed or missing; 2 usage; 3 there is none; 4 something could not
    be read.

    \b
    llamafile-format status /archive --state /var/lib/scrub
    llamafile-format status /archive --state /var/lib/scrub --html status.html
    """
    result = status(paths, state, interval=interval)
    if page is not None:
        with output(Path(page), force=force) as out:
            OpenFile(out).write(0, status_page(result).encode("utf-8"))
        click.echo(printable(page), err=True)
    if as_json:
        click.echo(json.dumps(status_value(result), indent=1, sort_keys=True))
    elif page is None:
        click.echo(status_text(result))
    click.get_current_context().exit(result.exit_code)
