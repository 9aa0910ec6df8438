"""``llamafile-format identify``."""

from __future__ import annotations

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.reaching import Reach, reaching
from llamafile_format.examining import FormatIdentity, identify_format
from llamafile_format.reports import printable
from llamafile_format.source.address import shown

_NOT_KNOWN = 3


@click.command("identify")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON: one object for one FILE, else a list.")
@reaching
def command(files: tuple[str, ...], as_json: bool, reach: Reach) -> None:
    """Say which format each FILE has: its identifier at PRONOM (PUID), and the bytes that tell.

    Told apart are llamafiles, APE, GGUF, safetensors, ONNX and other weights. A format that PRONOM does not know has no
    PUID, shown as -; that of llamafiles is a local one. Exit code 3 if the format of a FILE is none of these.

    \b
    llamafile-format identify model.llamafile model.gguf
    """
    reach.judge(files)
    found: list[FormatIdentity] = []
    for file in files:
        with reach.opened(file, whole=False) as what:
            found.append(identify_format(what))
        if not as_json:
            click.echo(_line(found[-1]))
    if as_json:
        import json

        from llamafile_format.plain_json import plain

        rows = [{**plain(each), "name": printable(shown(each.name))} for each in found]
        click.echo(json.dumps(rows if len(files) > 1 else rows[0], indent=1, sort_keys=True))
    click.get_current_context().exit(0 if all(each.known for each in found) else _NOT_KNOWN)


def _line(found: FormatIdentity) -> str:
    name = printable(shown(found.name))
    if not found.known:
        return f"UNKNOWN          {name}"
    words = " ".join(filter(None, (found.format, printable(found.version))))
    return f"{found.puid or '-':<15}  {name}  {words}  ({found.basis})"
