"""``llamafile-format recover``."""

from __future__ import annotations

import click

from llamafile_format.changing import recover
from llamafile_format.cli.arguments import PATH
from llamafile_format.reports import printable


@click.command("recover")
@click.argument("file", metavar="FILE", type=PATH)
@click.option("--back", is_flag=True, help="Undo the change instead of finishing it.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(file: str, back: bool, as_json: bool) -> None:
    """Finish, or undo, a change in place that was interrupted.

    A change in place writes FILE.journal first and removes it last. If a crash left it, this command makes the file
    exactly what it should have become, or with --back what it was before.
    """
    result = recover(file, back=back)
    if as_json:
        import json

        value = {
            "path": str(result.path),
            "outcome": result.outcome,
            "size": result.size,
            "manifest_sha256": result.manifest_sha256,
        }
        click.echo(json.dumps(value, indent=1, sort_keys=True))
        return
    manifest = f"  manifest sha256:{result.manifest_sha256}" if result.manifest_sha256 else ""
    click.echo(f"{printable(str(result.path))}  {result.outcome}  {result.size} bytes{manifest}")
