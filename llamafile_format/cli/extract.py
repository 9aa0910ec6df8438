"""``llamafile-format extract``."""

from __future__ import annotations

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.terminal import progress
from llamafile_format.examining import extract
from llamafile_format.reports import printable


@click.command("extract")
@click.argument("file", metavar="FILE", type=PATH)
@click.argument("members", nargs=-1, metavar="[MEMBER]...")
@click.option("-C", "--directory", "folder", metavar="DIR", default=".", help="Folder to write into (default: here).")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def command(file: str, members: tuple[str, ...], folder: str, force: bool, as_json: bool) -> None:
    """Take members out, checked while they are written.

    Without MEMBER, all of them except the engine's own assets and the format's own lists. Names that leave DIR or that
    systems read differently are refused; a damaged member is not written.
    """
    with progress("extracting") as callback:
        written = extract(file, folder, members, force=force, progress=callback)
    if as_json:
        import json

        rows = [
            {
                "member": item.member,
                "path": str(item.path),
                "size": item.size,
                "sha256": item.sha256,
                "checked": item.checked,
            }
            for item in written
        ]
        click.echo(json.dumps(rows, indent=1, sort_keys=True))
        return
    for item in written:
        click.echo(f"{item.sha256}  {printable(str(item.path))}")
