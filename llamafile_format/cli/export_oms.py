"""``llamafile-format export-oms``."""

from __future__ import annotations

import shlex

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.reports import printable
from llamafile_format.vouching import export_oms, verify_command


@click.command("export-oms")
@click.argument("file", metavar="FILE", type=PATH)
@click.option(
    "--record",
    metavar="NNNN",
    type=click.IntRange(1),
    default=None,
    help="Number of the record (default: the only one).",
)
@click.option("-o", "--output", "out", metavar="OUT", required=True, help="Where to write the bundle.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(file: str, record: int | None, out: str, force: bool, as_json: bool) -> None:
    """Take a signature out of FILE, so that tools for OpenSSF Model Signing can verify it on the unpacked members.

    The command that does so is printed on standard error.
    """
    result = export_oms(file, out, number=record, force=force)
    commands = f"unzip -q {shlex.quote(file)} -d FOLDER && {verify_command(result)}"
    click.echo(f"verify: {printable(commands)}", err=True)
    if as_json:
        import json

        value = {"path": str(result.path), "record": result.name, "method": result.method}
        click.echo(json.dumps(value, indent=1, sort_keys=True))
        return
    click.echo(f"{printable(str(result.path))}  {result.name}")
