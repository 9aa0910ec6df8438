"""``llamafile-format extract``."""

from __future__ import annotations

import sys

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.reaching import Reach, reaching
from llamafile_format.cli.terminal import progress
from llamafile_format.container import Openable
from llamafile_format.errors import UsageError
from llamafile_format.examining import extract, stream_member
from llamafile_format.reports import printable

_SCREEN = 1 << 20  # bytes of text that a terminal is shown


@click.command("extract")
@click.argument("file", metavar="FILE", type=PATH)
@click.argument("members", nargs=-1, metavar="[MEMBER]...")
@click.option("-C", "--directory", "folder", metavar="DIR", default=".", help="Folder to write into (default: here).")
@click.option("--stdout", "to_stdout", is_flag=True, help="Write one MEMBER to standard output.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
@reaching
def command(
    file: str, members: tuple[str, ...], folder: str, to_stdout: bool, force: bool, as_json: bool, reach: Reach
) -> None:
    """Take members out, checked while they are written.

    Without MEMBER, all of them except the engine's own assets and the format's own lists. Names that leave DIR or that
    systems read differently are refused; a damaged member is not written. With --stdout, damage is told, and is the
    exit code 1, when the bytes are out.

    \b
    llamafile-format extract model.llamafile -C folder
    llamafile-format extract model.llamafile --stdout LICENSE.txt
    """
    reach.judge([file])
    if to_stdout:
        if len(members) != 1 or force or as_json:
            raise UsageError("--stdout takes one MEMBER, and no other option")
        with reach.opened(file, whole=True) as what:
            _to_stdout(what, members[0])
        return
    with reach.opened(file, whole=True) as what, progress("extracting") as callback:
        written = extract(what, folder, members, force=force, progress=callback)
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


def _to_stdout(what: Openable, member: str) -> None:
    if not sys.stdout.isatty():
        stream_member(what, member, sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
        return
    kept = bytearray()  # a terminal is shown text, and nothing in it may steer it

    def keep(block: bytes) -> None:
        """Keep ``block``; UsageError once it is clear that this is no text, or too much of it."""
        kept.extend(block)
        if b"\0" in block or len(kept) > _SCREEN:
            raise UsageError(f"{member} is not for a terminal", hint="send it to a file or another program: > FILE")

    stream_member(what, member, keep)
    for line in kept.decode("utf-8", "backslashreplace").splitlines():
        click.echo(printable(line))
