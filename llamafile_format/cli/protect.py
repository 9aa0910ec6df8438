"""``llamafile-format protect``."""

from __future__ import annotations

import click

from llamafile_format.caring import Protected, protect
from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.terminal import progress
from llamafile_format.reports import printable


@click.command("protect")
@click.argument("file", metavar="FILE", type=PATH)
@click.option(
    "--percent", metavar="N", type=click.IntRange(1, 100), default=None, help="How much may be lost (default: 5)."
)
@click.option("--update", is_flag=True, help="Renew the set that is there, with its percentage unless one is given.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(file: str, percent: int | None, update: bool, as_json: bool) -> None:
    """Write recovery data beside FILE, so that damage can be repaired later.

    The set, FILE.par2 and its volumes, covers every byte of FILE, whatever file that is. `repair` reads it, and so does
    every program for PAR2. FILE stays as it is; when it changes, renew the set with --update.

    \b
    llamafile-format protect model.llamafile
    llamafile-format protect model.llamafile --percent 10 --update
    """
    with progress("protecting") as callback:
        result = protect(file, percent=percent or 0, update=update, progress=callback)
    if as_json:
        import json

        click.echo(json.dumps(_value(result), indent=1, sort_keys=True))
        return
    for path in result.files:
        click.echo(f"{printable(str(path))}  {path.stat().st_size} bytes")
    click.echo(
        f"{result.recovery} recovery slices of {result.slice_size} bytes: any {result.recovery} of {result.slices} "
        "slices may be lost"
    )


def _value(result: Protected) -> dict[str, object]:
    return {
        "path": str(result.path),
        "files": [str(path) for path in result.files],
        "percent": result.percent,
        "slices": result.slices,
        "slice_size": result.slice_size,
        "recovery": result.recovery,
    }
