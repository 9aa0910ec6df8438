"""``llamafile-format recover``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from llamafile_format.changing import RecoverResult, recover
from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.terminal import progress
from llamafile_format.container import open_container
from llamafile_format.errors import FormatError, LlamafileError, NotALlamafile, SourceError, UsageError
from llamafile_format.reports import printable

if TYPE_CHECKING:
    from llamafile_format.examining import Found


@click.command("recover")
@click.argument("file", metavar="FILE", type=PATH)
@click.argument("members", nargs=-1, metavar="[MEMBER]...")
@click.option("--back", is_flag=True, help="Undo the change instead of finishing it.")
@click.option("--moved", is_flag=True, help="Take a journal that was copied here with its file, or changed its disk.")
@click.option("--salvage", "salvaging", is_flag=True, help="Look for members that are complete, and list them.")
@click.option("-C", "--directory", "folder", metavar="DIR", default=None, help="With --salvage: save them there.")
@click.option("--force", is_flag=True, help="With --salvage: replace files that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    file: str,
    members: tuple[str, ...],
    back: bool,
    moved: bool,
    salvaging: bool,
    folder: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Finish, or undo, a change in place that was interrupted; or save what is left of a file.

    A change in place writes FILE.journal first and removes it last. If a crash left it, this command makes the file
    exactly what it should have become, or with --back what it was before. A journal is believed only if it was made for
    this very file by somebody who may change it. Exit code 3 if there is none, and FILE is no llamafile.

    With --salvage, FILE was cut off or has lost its end: members are found by the headers in front of them, and those
    that are complete, and have the checksum that was recorded, are saved. FILE stays as it is. Exit code 1 if something
    was found that could not be saved, 3 if nothing was.

    \b
    llamafile-format recover model.llamafile
    llamafile-format recover half-a-download --salvage -C saved
    """
    if salvaging:
        if back or moved:
            raise UsageError("--back and --moved are about a change, and --salvage knows of none")
        _salvage(file, members, folder, force=force, as_json=as_json)
        return
    if members or folder is not None or force:
        raise UsageError("MEMBER, --directory and --force go with --salvage")
    result = recover(file, back=back, moved=moved)
    damage = _damage(file) if result.outcome == "nothing to do" else None
    if damage is not None and not as_json:
        _tell(damage)
    _show(result, as_json=as_json)
    click.get_current_context().exit(damage.exit_code if isinstance(damage, NotALlamafile) else 0)


def _show(result: RecoverResult, *, as_json: bool) -> None:
    if as_json:
        _print(
            {
                "path": str(result.path),
                "outcome": result.outcome,
                "size": result.size,
                "manifest_sha256": result.manifest_sha256,
            }
        )
        return
    manifest = f"  manifest sha256:{result.manifest_sha256}" if result.manifest_sha256 else ""
    click.echo(f"{printable(str(result.path))}  {result.outcome}  {result.size} bytes{manifest}")


def _damage(file: str) -> LlamafileError | None:
    """Why a file of which no change is pending is none that can be read all the same."""
    try:
        open_container(file).close()
    except (FormatError, NotALlamafile, SourceError) as error:
        return error
    return None


def _tell(damage: LlamafileError) -> None:
    """Say ``damage`` on standard error, and what may help."""
    text = f"note: no change in place was interrupted here, and yet {damage}"
    hint = damage.hint or "`llamafile-format recover FILE --salvage -C DIR` saves the members that are complete"
    sys.stderr.write(f"{printable(text)}\nhint: {printable(hint)}\n")


def _salvage(file: str, members: tuple[str, ...], folder: str | None, *, force: bool, as_json: bool) -> None:
    from llamafile_format.examining import salvage

    with progress("looking") as callback:
        found = salvage(file, folder, members, force=force, progress=callback)
    if not found:
        raise NotALlamafile(
            f"no member was found in {file}", hint="it is no llamafile, or ends before its first member does"
        )
    if as_json:
        _print([_value(item) for item in found])
    else:
        for item in found:
            click.echo(_line(item))
    click.get_current_context().exit(int(any(item.state.lost for item in found)))


def _line(item: Found) -> str:
    where = f" -> {item.path}" if item.path else ""
    about = item.reason or item.checked
    return f"{item.state.value:<8}  {item.size:>14}  {printable(item.name)}{printable(where)}  ({printable(about)})"


def _value(item: Found) -> dict[str, Any]:
    return {
        "member": item.name,
        "state": item.state.value,
        "offset": item.offset,
        "size": item.size,
        "reason": item.reason,
        "checked": item.checked if not item.state.lost else "",
        "sha256": item.sha256,
        "path": str(item.path) if item.path else "",
    }


def _print(value: Any) -> None:
    import json

    click.echo(json.dumps(value, indent=1, sort_keys=True))
