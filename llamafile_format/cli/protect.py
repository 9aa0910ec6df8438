"""``llamafile-format protect``."""

from __future__ import annotations

import click

from llamafile_format.caring import Protected, protect, protect_inside
from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.repack import result_value, warn_unsigned
from llamafile_format.cli.terminal import progress
from llamafile_format.errors import UsageError
from llamafile_format.reports import plural, printable


@click.command("protect")
@click.argument("file", metavar="FILE", type=PATH)
@click.option(
    "--percent", metavar="N", type=click.IntRange(1, 100), default=None, help="How much may be lost (default: 5)."
)
@click.option("--update", is_flag=True, help="Renew the set that is there, with its percentage unless one is given.")
@click.option("--inside", is_flag=True, help="Make the data a member of FILE, which travels with it: a repack.")
@click.option("-o", "--output", "out", metavar="OUT", default=None, help="With --inside: write a new file.")
@click.option("--force", is_flag=True, help="With --inside: of a signed file; replace OUT if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    file: str, percent: int | None, update: bool, inside: bool, out: str | None, force: bool, as_json: bool
) -> None:
    """Write recovery data beside FILE, so that damage can be repaired later.

    The set, FILE.par2 and its volumes, covers every byte of FILE, whatever file that is. `repair` reads it, and so does
    every program for PAR2. FILE stays as it is; when it changes, renew the set with --update. With --inside FILE itself
    gets the data, but for its signatures, which are not covered and would sign another file.

    \b
    llamafile-format protect model.llamafile
    llamafile-format protect model.llamafile --percent 10 --update
    llamafile-format protect model.llamafile --inside -o protected.llamafile
    """
    if inside:
        _inside(file, percent or 0, out, update=update, force=force, as_json=as_json)
        return
    if out is not None or force:
        raise UsageError("--output and --force go with --inside", hint="a set that is there is renewed with --update")
    with progress("protecting") as callback:
        result = protect(file, percent=percent or 0, update=update, progress=callback)
    if as_json:
        import json

        click.echo(json.dumps(_value(result), indent=1, sort_keys=True))
        return
    for path in result.files:
        click.echo(f"{printable(str(path))}  {path.stat().st_size} bytes")
    click.echo(
        f"{plural(result.recovery, 'recovery slice')} of {result.slice_size} bytes: "
        f"any {result.recovery} of {result.slices} slices may be lost"
    )


def _inside(file: str, percent: int, out: str | None, *, update: bool, force: bool, as_json: bool) -> None:
    if update:
        raise UsageError("--update renews a set beside FILE", hint="--inside always makes the data anew")
    with progress("protecting") as callback:
        result = protect_inside(file, out, percent=percent, force=force, progress=callback)
    warn_unsigned(result)
    if as_json:
        import json

        click.echo(json.dumps(result_value(result), indent=1, sort_keys=True))
        return
    click.echo(f"{printable(str(result.path))}  {result.size} bytes  manifest sha256:{result.manifest_sha256}")
    for change in result.changes:
        click.echo(f"  {printable(change)}")
    for note in result.notes:
        click.echo(f"  note: {printable(note)}")


def _value(result: Protected) -> dict[str, object]:
    return {
        "path": str(result.path),
        "files": [str(path) for path in result.files],
        "percent": result.percent,
        "slices": result.slices,
        "slice_size": result.slice_size,
        "recovery": result.recovery,
    }
