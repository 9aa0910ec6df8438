"""``llamafile-format run``, and what ``serve`` and ``complete`` share with it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.trusting import chosen_policy, trusting
from llamafile_format.reports import printable
from llamafile_format.running import Selection, prepare, start


@dataclass(frozen=True, slots=True)
class Asked:
    """What every command that starts a file is asked for: the file, a build, whose word counts, arguments for it."""

    file: str
    arguments: tuple[str, ...]
    wanted: Selection
    policy: str | None
    keys: tuple[str, ...]
    accept: tuple[str, ...]


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
        policy: str | None,
        keys: tuple[str, ...],
        accept_args: tuple[str, ...],
        **own: Any,
    ) -> int:
        """What click calls; the text of ``--help`` is that of ``function``."""
        return function(
            Asked(file, arguments, Selection(runtime, flavour or "", target), policy, keys, accept_args), **own
        )

    for decorate in (
        click.argument("arguments", nargs=-1, metavar="[-- ARGUMENTS]", type=click.UNPROCESSED),
        trusting,
        click.option(
            "--accept-args", metavar="NAME", multiple=True, help="Let a classic engine's arguments set this option."
        ),
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
    ready = prepare(asked.file, (*arguments, *asked.arguments), asked.wanted, policy=policy, accept=asked.accept)
    for note in ready.notes:
        click.echo(f"note: {printable(note)}", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    return start(ready)


@click.command("run")
@starting
def command(asked: Asked) -> int:
    """Verify FILE, then start the runtime inside on it, as ./FILE would.

    FILE is a container, a legacy llamafile or a plain GGUF; one without a build for this system is started with a
    pinned runtime of this installation. What stands behind -- goes to the runtime. The exit status is its own.

    \b
    llamafile-format run model.llamafile
    llamafile-format run model.llamafile -- --port 8081 --no-browser
    llamafile-format run model.gguf --flavour reference
    """
    return begin(asked)
