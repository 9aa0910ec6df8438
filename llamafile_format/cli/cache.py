"""``llamafile-format cache``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from llamafile_format.cli.groups import Group
from llamafile_format.cli.terminal import size_text
from llamafile_format.reports import printable

if TYPE_CHECKING:
    from llamafile_format.engines.cache_contents import Item

JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group("cache", cls=Group)
def command() -> None:
    """Show and empty the private cache of programs that files brought along.

    A first start unpacks the build for this system into it, so that later ones are quick. Everything in it can be made
    again. It lies at the first of these that works: $LFF_CACHE, the `cache` of the configuration, $XDG_CACHE_HOME or
    ~/.cache, $XDG_RUNTIME_DIR, $TMPDIR or /var/tmp, /tmp.
    """


@command.command("list")
@JSON
def list_command(as_json: bool) -> None:
    """List what is in the cache, with its size on disk."""
    from llamafile_format.engines.cache_contents import contents

    items = contents()
    if as_json:
        _print({"items": [_value(item) for item in items], "size": sum(item.size for item in items)})
        return
    _lines(items)
    click.echo(f"{len(items)} {'item' if len(items) == 1 else 'items'}, {size_text(sum(i.size for i in items))}")


@command.command("clean")
@click.option("--leftovers", is_flag=True, help="Only what starts that were killed have left.")
@click.option("--all", "everything", is_flag=True, help="Also the inputs and results of `runtimes build`.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@JSON
def clean_command(leftovers: bool, everything: bool, dry_run: bool, as_json: bool) -> None:
    """Remove builds, compiled builds, leftovers and memories of verifications.

    Programs that are running go on; the next start of a file unpacks its build again.
    """
    from llamafile_format.engines.cache_contents import ItemKind, contents, remove
    from llamafile_format.errors import UsageError

    if leftovers and everything:
        raise UsageError("--leftovers and --all exclude each other")
    kinds = {ItemKind.LEFTOVER} if leftovers else set(ItemKind) if everything else set(ItemKind) - {ItemKind.WORK}
    items = [item for item in contents() if item.kind in kinds]
    if not dry_run:
        for item in items:
            remove(item)
    size = sum(item.size for item in items)
    if as_json:
        _print({"removed": [] if dry_run else [_value(i) for i in items], "found": len(items), "size": size})
        return
    _lines(items)
    click.echo(f"{size_text(size)} {'would be freed' if dry_run else 'freed'}")


def _lines(items: Iterable[Item]) -> None:
    for item in items:
        day = datetime.fromtimestamp(item.changed, UTC).date().isoformat()
        click.echo(f"{item.kind.value:<8}  {size_text(item.size):>8}  {day}  {printable(str(item.path))}")


def _value(item: Item) -> dict[str, Any]:
    return {"kind": item.kind.value, "path": str(item.path), "size": item.size}


def _print(value: dict[str, Any]) -> None:
    import json

    click.echo(json.dumps(value, indent=1, sort_keys=True))
