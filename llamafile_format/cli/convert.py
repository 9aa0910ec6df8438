"""``llamafile-format convert``."""

from __future__ import annotations

import click

from llamafile_format.changing import FORMS, convert
from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.outdated import tell_outdated
from llamafile_format.cli.terminal import progress
from llamafile_format.reports import printable


@click.command("convert")
@click.argument("file", metavar="FILE", type=PATH)
@click.option("--to", "to", type=click.Choice(FORMS), required=True, help="What the file shall begin with.")
@click.option("-o", "--output", "out", metavar="OUT", default=None, help="Write a new file instead of changing FILE.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(file: str, to: str, out: str | None, force: bool, as_json: bool) -> None:
    """Make a file with a launcher a native program, or make it run everywhere again.

    A launcher is run by every shell, and by Windows. Programs that start others without a shell (service managers,
    containers, some languages) need a native file. Only the first 64 bytes change; manifest and signatures stay valid,
    and verify says that the file was converted.

    \b
    elf-x86_64   a Linux program for x86-64
    elf-aarch64  a Linux program for ARM64
    polyglot     back: every shell and Windows
    """
    with progress("converting") as callback:
        result = convert(file, to, out, force=force, progress=callback)
    tell_outdated(result.path)
    if as_json:
        import json

        value = {
            "path": str(result.path),
            "size": result.size,
            "before": result.before,
            "after": result.after,
            "changed": result.changed,
        }
        click.echo(json.dumps(value, indent=1, sort_keys=True))
        return
    what = f"was {result.before}" if result.changed else "nothing to change"
    click.echo(f"{printable(str(result.path))}  {result.after}  ({what})")
