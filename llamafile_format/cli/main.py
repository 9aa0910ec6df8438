"""The command ``llamafile-format``: a lazy group of one module per command, and what errors look like."""

from __future__ import annotations

import contextlib
import errno
import sys
import warnings
from importlib import import_module
from keyword import iskeyword
from typing import Any

import click

from llamafile_format.cli.config import use_cache, without
from llamafile_format.cli.ending import (
    ReaderGone,
    Stopped,
    die_of,
    endable,
    endings,
    interrupted,
    leave_quietly,
    open_standard_streams,
)
from llamafile_format.cli.groups import Group
from llamafile_format.cli.terminal import size_text
from llamafile_format.errors import LlamafileError
from llamafile_format.output.leftovers import Leftover, listener
from llamafile_format.reports import printable

COMMANDS = {
    "pack": "Pack a model, and what goes with it, into one file.",
    "inspect": "Show everything worth knowing about a file.",
    "view": "Show a file in a browser, and run its model there.",
    "verify": "Check that files are intact and what they claim to be.",
    "identify": "Say which format files have, by their bytes.",
    "fleet": "Verify many objects, and keep a ledger of what was found.",
    "extract": "Take members out, checked while they are written.",
    "run": "Start what is in a file, verified first.",
    "serve": "Start the server of a file: a chat page and an API.",
    "complete": "Print what the model in a file writes after a prompt.",
    "diff": "Show in what two files differ.",
    "repack": "Change prefix, members or profile; weights stay as they are.",
    "convert": "Make a launcher a native program, and back.",
    "recover": "Finish or roll back what a crash left behind.",
    "protect": "Write recovery data, so that damage can be repaired.",
    "repair": "Make a damaged file whole again.",
    "scrub": "Read kept files again, and say what is not as it was.",
    "status": "Say how files are kept, and what is due next.",
    "freeze": "Pack a container for a shelf, without any loss.",
    "thaw": "Make a container again of what was frozen.",
    "record": "Write down what a model answers, exact to the bit.",
    "replay": "Ask again what was recorded, and compare.",
    "keygen": "Make a key to sign files with.",
    "sign": "Vouch for a file, for every byte of it.",
    "attest": "Vouch for a report about a file.",
    "timestamp": "Let an authority say when a signature was there.",
    "renew": "Stamp the whole file again before old stamps age.",
    "import-oms": "Put a signature made elsewhere into a file.",
    "export-oms": "Take a signature out, for other tools to verify.",
    "events": "List what happened to a file, or write it down.",
    "export": "Put a file into a package that archives take.",
    "import": "Take a file out of such a package.",
    "push": "Send a file to a registry.",
    "pull": "Fetch a file from a registry.",
    "update": "Make a file a newer one; fetch only what differs.",
    "sbom": "Print what a file is made of, for other tools.",
    "explain": "Print how to check a file by hand, with openssl.",
    "gate": "Verify what others send, as a service.",
    "runtimes": "Show, build and check the engines that are pinned here.",
    "cache": "Show and empty the cache of unpacked programs.",
    "rule": "Explain a rule: clause, reason, remedy.",
}

CACHED = frozenset({"run", "serve", "complete", "record", "replay", "verify", "runtimes", "cache"})
"""Commands that use the private cache."""


class _LazyGroup(Group):
    """Imports a command's module when it is called: ``inspect`` does not pay for ``repack``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, in the order of ``--help``."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command ``cmd_name``, imported now; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"llamafile_format.cli.{_module_of(cmd_name)}").command
        assert isinstance(command, click.Command)
        if cmd_name in CACHED:
            use_cache()
        return command

    def summary(self, ctx: click.Context, name: str) -> str:
        """What ``--help`` says about the command ``name``."""
        return COMMANDS[name]  # from the table, so that --help imports no command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Click's; --help is printed here."""
        with endings():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command, to the last byte of its output."""
        with endings():
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


def _module_of(name: str) -> str:
    """The module of the command ``name``; ``import`` is a word of the language, and its module ``import_``."""
    return f"{name.replace('-', '_')}{'_' if iskeyword(name) else ''}"


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from llamafile_format import __version__

        click.echo(f"llamafile-format {__version__}")
        ctx.exit()


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
@without
def cli() -> None:
    """Keep a language model together with the software that runs it, in one file.

    Exit codes: 0 nothing that was asked for failed; 1 errors were found, or files differ; 2 usage; 3 not this format
    at all; 4 could not complete (I/O, truncated, journal pending); 5 authenticity required and not established;
    6 behaviour differs.
    """


def run() -> int:
    """Run the command line; the exit code. stdout carries data only, everything else goes to stderr."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # a library's words about a stranger's certificate are no message of ours
    open_standard_streams()
    _listen()
    try:
        with endable():
            result = cli.main(standalone_mode=False)
    except LlamafileError as error:
        _complain(error)
        return error.exit_code
    except click.ClickException as error:
        error.show(file=sys.stderr)
        return error.exit_code
    except (Stopped, click.Abort, KeyboardInterrupt) as error:
        return _interrupted(error)
    except (ReaderGone, BrokenPipeError):
        return leave_quietly()
    except OSError as error:
        sys.stderr.write(f"error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}\n")
        return 2 if error.errno == errno.ENOENT else 4
    except RecursionError:
        sys.stderr.write("error: the input is nested too deeply\n")
        return 4
    return result if isinstance(result, int) else 0


def _listen() -> None:
    """Name, once each, the files that killed runs have left where this one writes."""
    told = set()

    def hear(found: Leftover) -> None:
        """Tell of ``found``, unless that was done."""
        if found.path not in told:
            told.add(found.path)
            text = f"note: {found.path} ({size_text(found.size)}) was left by a run that was killed; you can remove it"
            sys.stderr.write(f"{printable(text)}\n")

    listener.set(hear)


def _interrupted(error: BaseException) -> int:
    number = interrupted(error)
    if number is None:  # the end of standard input, where a question was asked
        sys.stderr.write("error: no answer\n")
        return 4
    with contextlib.suppress(OSError):  # the terminal may be gone
        if sys.stderr.isatty():
            sys.stderr.write("\n")  # behind the ^C that it shows
        sys.stderr.write("interrupted; nothing was left half-written\n")
    return die_of(number)


def _complain(error: LlamafileError) -> None:
    sys.stderr.write(f"error: {printable(str(error))}\n")
    if error.hint:
        sys.stderr.write(f"hint: {printable(error.hint)}\n")
