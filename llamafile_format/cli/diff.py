"""``llamafile-format diff``."""

from __future__ import annotations

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.reaching import Reach, reaching
from llamafile_format.examining import diff
from llamafile_format.reports import printable


@click.command("diff")
@click.argument("a", metavar="A", type=PATH)
@click.argument("b", metavar="B", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@reaching
def command(a: str, b: str, as_json: bool, reach: Reach) -> None:
    """Show in what two files differ: prefix, members (by 4 MiB chunk), metadata, order.

    Recorded digests are compared, so size does not matter; verify says whether a file matches its own digests. Exit
    code 1 if there is a difference.
    """
    reach.judge([a, b])
    with reach.opened(a, whole=True) as first, reach.opened(b, whole=True) as second:
        differences = diff(first, second)
    if as_json:
        import json

        click.echo(json.dumps([item.to_json() for item in differences], indent=1, sort_keys=True))
    else:
        for item in differences:
            click.echo(f"{item.area:<9} {item.change:<8} {printable(item.name)}  {printable(item.detail)}".rstrip())
    click.get_current_context().exit(1 if differences else 0)
