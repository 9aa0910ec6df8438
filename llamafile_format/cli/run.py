"""``llamafile-format run``, and what ``serve`` and ``complete`` share with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.terminal import progress
from llamafile_format.cli.trusting import chosen_policy, trusting
from llamafile_format.reports import printable
from llamafile_format.running import Demand, Reading, Selection, prepare, start

_F = TypeVar("_F", bound=Callable[..., Any])

verifying = click.option(
    "--verify",
    "reading",
    type=click.Choice([reading.value for reading in Reading]),
    default=Reading.FULL.value,
    help="What to read first: every chunk, once (default), or no weights.",
)
"""How much of a file is read before anything of it starts."""
foreign_build = click.option(
    "--foreign-build", metavar="SHA256", default="", help="Start this build of the file, though nobody here knows it."
)
"""The one way to start a build that this installation does not know."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options of :func:`choosing` say."""

    runtime: str
    flavour: str | None
    target: str
    foreign: str
    reading: str
    policy: str | None
    keys: tuple[str, ...]


class Passing(click.Command):
    """A command whose arguments behind ``--`` go to the runtime, as may be meant by an option that it does not know."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See :class:`click.Command`."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            message = f"{error.format_message()}\nhint: options of the runtime go behind --: -- {error.option_name}"
            raise click.UsageError(message, ctx) from error


def choosing(function: _F) -> _F:
    """The options that choose a build, say how much is read first, and who must have signed the file."""

    def collected(
        *given: Any,
        runtime: str,
        flavour: str | None,
        target: str,
        foreign_build: str,
        reading: str,
        policy: str | None,
        keys: tuple[str, ...],
        **others: Any,
    ) -> Any:
        asked = Asked(runtime, flavour, target, foreign_build, reading, policy, keys)
        return function(*given, asked=asked, **others)

    collected.__doc__ = function.__doc__
    collected.__dict__.update(function.__dict__)
    for decorate in (
        trusting,
        verifying,
        foreign_build,
        click.option("--target", metavar="TARGET", default="", help="Build for another system, such as linux-x86_64."),
        click.option("--flavour", type=click.Choice(["native", "reference"]), default=None, help="Build to start."),
        click.option("--runtime", metavar="NAME[@VERSION]", default="", help="Runtime to start, from file or store."),
    ):
        collected = decorate(collected)
    return collected  # type: ignore[return-value]


def begin(file: str, arguments: Sequence[str], asked: Asked) -> int:
    """Verify ``file`` and start its runtime with ``arguments``; its exit status, where this process is not replaced."""
    policy = chosen_policy(asked.policy, asked.keys)
    wanted = Selection(asked.runtime, asked.flavour or "", asked.target, asked.foreign)
    with progress("verifying") as callback:
        ready = prepare(file, arguments, wanted, Demand(Reading(asked.reading), policy, callback))
    for note in ready.notes:
        click.echo(f"note: {printable(note)}", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    return start(ready)


@click.command("run", cls=Passing)
@click.argument("file", metavar="FILE", type=PATH)
@choosing
@click.argument("arguments", nargs=-1, metavar="[-- ARGUMENTS]", type=click.UNPROCESSED)
def command(file: str, arguments: tuple[str, ...], asked: Asked) -> int:
    """Verify FILE, then start the runtime inside on it, as ./FILE would.

    FILE is a container, a legacy llamafile or a plain GGUF; one without a build for this system is started with a
    pinned runtime of this installation. Every chunk is read the first time; a file that verify refuses is not started.
    What stands behind -- goes to the runtime. The exit status is its own.

    \b
    llamafile-format run model.llamafile
    llamafile-format run model.llamafile -- --port 8081 --no-browser
    llamafile-format run model.gguf --flavour reference
    """
    return begin(file, arguments, asked)
