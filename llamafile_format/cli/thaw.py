"""``llamafile-format thaw``."""

from __future__ import annotations

import click

from llamafile_format.caring import thaw
from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.terminal import progress
from llamafile_format.reports import printable


@click.command("thaw")
@click.argument("file", metavar="FILE", type=PATH)
@click.option("-o", "--output", "out", metavar="OUT", required=True, help="The container, which must not exist.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(file: str, out: str, as_json: bool) -> None:
    """Make the container again that `freeze` has packed into FILE, bit for bit.

    OUT gets its name when it has the digest that FILE names, the manifest that FILE names, and passes `verify`. Who
    signed it is asked of OUT, like of every container.

    \b
    llamafile-format thaw master.llamafile.frozen -o master.llamafile
    """
    with progress("thawing") as callback:
        result = thaw(file, out, progress=callback)
    if as_json:
        import json

        from llamafile_format.plain_json import plain

        click.echo(json.dumps({**plain(result), "path": str(result.path)}, indent=1, sort_keys=True))
        return
    click.echo(f"{printable(str(result.path))}  {result.size} bytes")
    click.echo(f"  sha256:{result.sha256}")
    click.echo(f"  manifest sha256:{result.manifest_sha256}")
