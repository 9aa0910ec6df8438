"""``llamafile-format run``, and what ``serve`` and ``complete`` share with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.trusting import chosen_policy, trusting
from llamafile_format.reports import printable
from llamafile_format.running import Selection, prepare, start

_ACCEPTED = "llamafile_format.accept_args"
_F = TypeVar("_F", bound=Callable[..., Any])


accepting = click.option(
    "--accept-args",
    metavar="NAME",
    multiple=True,
    expose_value=False,
    callback=lambda context, _, names: context.meta.__setitem__(_ACCEPTED, names),
    help="Let the arguments of a classic engine's file set this option.",
)
"""Kept in the context: whichever command it stands in, only :func:`begin` asks for it."""


def choosing(function: _F) -> _F:
    """The options that choose a build, and that say who must have signed the file."""
    for decorate in (
        trusting,
        accepting,
        click.option("--target", metavar="TARGET", default="", help="Build for another system, such as linux-x86_64."),
        click.option("--flavour", type=click.Choice(["native", "reference"]), default=None, help="Build to start."),
        click.option("--runtime", metavar="NAME[@VERSION]", default="", help="Runtime to start, from file or store."),
    ):
        function = decorate(function)
    return function


def begin(
    file: str, arguments: Sequence[str], wanted: Selection, policy: str | None = None, keys: Sequence[str] = ()
) -> int:
    """Verify ``file`` and start its runtime with ``arguments``; its exit status, where this process is not replaced."""
    accept = click.get_current_context().meta[_ACCEPTED]
    ready = prepare(file, arguments, wanted, policy=chosen_policy(policy, keys), accept=accept)
    for note in ready.notes:
        click.echo(f"note: {printable(note)}", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    return start(ready)


@click.command("run")
@click.argument("file", metavar="FILE", type=PATH)
@choosing
@click.argument("arguments", nargs=-1, metavar="[-- ARGUMENTS]", type=click.UNPROCESSED)
def command(
    file: str,
    arguments: tuple[str, ...],
    runtime: str,
    flavour: str | None,
    target: str,
    policy: str | None,
    keys: tuple[str, ...],
) -> int:
    """Verify FILE, then start the runtime inside on it, as ./FILE would.

    FILE is a container, a legacy llamafile or a plain GGUF; one without a build for this system is started with a
    pinned runtime of this installation. What stands behind -- goes to the runtime. The exit status is its own.

    \b
    llamafile-format run model.llamafile
    llamafile-format run model.llamafile -- --port 8081 --no-browser
    llamafile-format run model.gguf --flavour reference
    """
    return begin(file, arguments, Selection(runtime, flavour or "", target), policy, keys)
