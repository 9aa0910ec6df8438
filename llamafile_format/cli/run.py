"""``llamafile-format run``, and what ``serve`` and ``complete`` share with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from llamafile_format.errors import UsageError
from llamafile_format.operations.run import Selection, prepare, start
from llamafile_format.reports.escape import printable

_F = TypeVar("_F", bound=Callable[..., Any])


def choosing(function: _F) -> _F:
    """The options that choose a build."""
    for decorate in (
        click.option("--policy", metavar="FILE", default=None, help="Not supported yet: refused, never ignored."),
        click.option("--target", metavar="TARGET", default="", help="Build for another system, such as linux-x86_64."),
        click.option("--flavour", type=click.Choice(["native", "reference"]), default=None, help="Build to start."),
        click.option("--runtime", metavar="NAME[@VERSION]", default="", help="Runtime to start, from file or store."),
    ):
        function = decorate(function)
    return function


def begin(file: str, arguments: Sequence[str], wanted: Selection, policy: str | None) -> int:
    """Verify ``file`` and start its runtime with ``arguments``; its exit status, where this process is not replaced."""
    if policy is not None:
        raise UsageError(
            "policies need signatures, which this release does not check", hint="leave out --policy to start without"
        )
    ready = prepare(file, arguments, wanted)
    for note in ready.notes:
        click.echo(f"note: {printable(note)}", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    return start(ready)


@click.command("run")
@click.argument("file", metavar="FILE", type=click.Path(path_type=str))
@choosing
@click.argument("arguments", nargs=-1, metavar="[-- ARGUMENTS]", type=click.UNPROCESSED)
def command(
    file: str, arguments: tuple[str, ...], runtime: str, flavour: str | None, target: str, policy: str | None
) -> int:
    """Verify FILE, then start the runtime inside on it, as ./FILE would.

    FILE is a container, a legacy llamafile or a plain GGUF; one without a build for this system is started with a
    pinned runtime of this installation. What stands behind -- goes to the runtime. The exit status is its own.

    \b
    llamafile-format run model.llamafile
    llamafile-format run model.llamafile -- --port 8081 --no-browser
    llamafile-format run model.gguf --flavour reference
    """
    return begin(file, arguments, Selection(runtime, flavour or "", target), policy)
