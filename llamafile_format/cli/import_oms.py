"""``llamafile-format import-oms``."""

from __future__ import annotations

import click

from llamafile_format.cli.arguments import PATH, refuse_unreadable
from llamafile_format.cli.outdated import tell_outdated
from llamafile_format.cli.terminal import progress
from llamafile_format.reports import printable
from llamafile_format.vouching import import_oms


@click.command("import-oms")
@click.argument("file", metavar="FILE", type=PATH)
@click.argument("bundle", metavar="BUNDLE", type=PATH)
@click.option("-o", "--output", "out", metavar="OUT", default=None, help="Write a new file instead of changing FILE.")
@click.option("--force", is_flag=True, help="Replace OUT; put in what is there already.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(file: str, bundle: str, out: str | None, force: bool, as_json: bool) -> None:
    """Put a signature that was made elsewhere into FILE.

    BUNDLE is what model_signing wrote for the unpacked members, or a detached record under its own name. It must be
    about this very file. Whether it holds says `verify --key`.

    \b
    llamafile-format import-oms model.llamafile model.llamafile.0001.oms.json
    unzip -q model.llamafile -d folder
    model_signing sign key folder --private_key KEY --signature model.sig
    llamafile-format import-oms model.llamafile model.sig
    """
    refuse_unreadable(file)
    with progress("copying") as callback:
        result = import_oms(file, bundle, out, force=force, progress=callback)
    tell_outdated(result.path)
    names = [record.path for record in result.records]
    if as_json:
        import json

        value = {
            "path": str(result.path),
            "size": result.size,
            "manifest_sha256": result.manifest_sha256,
            "method": result.method,
            "records": names,
        }
        click.echo(json.dumps(value, indent=1, sort_keys=True))
        return
    what = f"added {names[0]}" if names else "nothing to do: this very record is there already"
    click.echo(f"{printable(str(result.path))}  {result.size} bytes  {what}")
