"""``llamafile-format run``, and what ``serve`` and ``complete`` share with it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.terminal import progress
from llamafile_format.cli.trusting import chosen_policy, trusting
from llamafile_format.reports import printable
from llamafile_format.running import Demand, Reading, Selection, prepare, start

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
    """What every command that starts a file is asked for: the file, a build, whose word counts, arguments for it.

    ``reading`` says how much of the file is read first.
    """

    file: str
    arguments: tuple[str, ...]
    wanted: Selection
    reading: Reading
    policy: str | None
    keys: tuple[str, ...]
    accept: tuple[str, ...]


class Passing(click.Command):
    """A command whose arguments behind ``--`` go to the runtime, as may be meant by an option that it does not know."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See :class:`click.Command`."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            message = f"{error.format_message()}\nhint: options of the runtime go behind --: -- {error.option_name}"
            raise click.UsageError(message, ctx) from error


def starting(function: Callable[..., int]) -> Callable[..., int]:
    """FILE, the options that choose a build and say who must have signed the file, and what stands behind ``--``.

    The command gets all of it as one :class:`Asked`, and its own options by name.
    """

    @wraps(function)
    def command(
        *,
        file: str,
        arguments: tuple[str, ...],
        runtime: str,
        flavour: str | None,
        target: str,
        foreign_build: str,
        embedded: bool,
        reading: str,
        policy: str | None,
        keys: tuple[str, ...],
        accept_args: tuple[str, ...],
        gpu: str,
        **own: Any,
    ) -> int:
        """What click calls; the text of ``--help`` is that of ``function``."""
        wanted = Selection(runtime, flavour or "", target, foreign_build, embedded, gpu)
        return function(Asked(file, arguments, wanted, Reading(reading), policy, keys, accept_args), **own)

    for decorate in (
        click.argument("arguments", nargs=-1, metavar="[-- ARGUMENTS]", type=click.UNPROCESSED),
        trusting,
        click.option(
            "--accept-args", metavar="NAME", multiple=True, help="Let a classic engine's arguments set this option."
        ),
        verifying,
        foreign_build,
        click.option(
            "--gpu", metavar="auto|off|N", default="", help="Graphics processor to use; N as --list-devices numbers."
        ),
        click.option("--embedded", is_flag=True, help="Start a build of the file, though a newer one is here."),
        click.option("--target", metavar="TARGET", default="", help="Build for another system, such as linux-x86_64."),
        click.option("--flavour", type=click.Choice(["native", "reference"]), default=None, help="Build to start."),
        click.option("--runtime", metavar="NAME[@VERSION]", default="", help="Runtime to start, from file or store."),
        click.argument("file", metavar="FILE", type=PATH),
    ):
        command = decorate(command)
    return command


def begin(asked: Asked, *arguments: str) -> int:
    """Verify the file and start its runtime with ``arguments`` and those of the user.

    Returns its exit status, where this process is not replaced by it.
    """
    policy = chosen_policy(asked.policy, asked.keys)
    with progress("verifying") as callback:
        demand = Demand(asked.reading, policy, callback, asked.accept)
        ready = prepare(asked.file, (*arguments, *asked.arguments), asked.wanted, demand)
    for note in ready.notes:
        click.echo(f"note: {printable(note)}", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    return start(ready)


@click.command("run", cls=Passing)
@starting
def command(asked: Asked) -> int:
    """Verify FILE, then start the runtime inside on it, as ./FILE would; or a newer build of it that is here.

    FILE is a container, a legacy llamafile or a plain GGUF; one without a build for this system is started with a
    pinned runtime of this installation. Every chunk is read the first time; a file that verify refuses is not started.
    What stands behind -- goes to the runtime. The exit status is its own.

    \b
    llamafile-format run model.llamafile
    llamafile-format run model.llamafile -- --port 8081 --no-browser
    llamafile-format run model.gguf --flavour reference
    """
    return begin(asked)
