"""``llamafile-format freeze``."""

from __future__ import annotations

import click

from llamafile_format.caring import freeze
from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.terminal import progress
from llamafile_format.reports import printable


@click.command("freeze")
@click.argument("file", metavar="FILE", type=PATH)
@click.option("-o", "--output", "out", metavar="OUT", required=True, help="The frozen file, which must not exist.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(file: str, out: str, as_json: bool) -> None:
    """Pack the container FILE for a shelf: weights in F32, F16 and BF16 take less room, and nothing is lost.

    OUT cannot be started or checked as it is: `thaw` makes FILE again, bit for bit, signatures and all, and so does a
    script of 60 lines in the specification (18.6). FILE is verified first and stays. What saves less than 5 % is
    refused.

    \b
    llamafile-format freeze master.llamafile -o master.llamafile.frozen
    llamafile-format thaw master.llamafile.frozen -o again.llamafile
    """
    with progress("freezing") as callback:
        result = freeze(file, out, progress=callback)
    if as_json:
        import json

        from llamafile_format.plain_json import plain

        click.echo(json.dumps({**plain(result), "path": str(result.path)}, indent=1, sort_keys=True))
        return
    click.echo(f"{printable(str(result.path))}  {result.size} bytes, {result.percent:.1f} % of {result.original_size}")
    click.echo(f"  holds the container  sha256:{result.sha256}")
    click.echo(f"  with the manifest    sha256:{result.manifest_sha256}")
