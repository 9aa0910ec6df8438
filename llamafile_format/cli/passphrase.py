"""Passphrases from a hidden prompt or a file; never from the command line or the environment (spec/1, 13.8.9).

What stands on a command line is seen by every process of the machine and kept by the shell; an environment is
inherited by everything that is started, and ends up in reports of crashes.
"""

from __future__ import annotations

import getpass
import os
import stat
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from llamafile_format.errors import UsageError
from llamafile_format.reports import printable
from llamafile_format.source import read_small

if TYPE_CHECKING:
    from llamafile_format.signing.keys.key import PrivateKey

_MAX_FILE = 4096  # bytes


def new_passphrase(file: str | None) -> bytes:
    """The passphrase for a new key: from ``file``, or typed twice. UsageError if it is empty or nobody can be asked."""
    if file is not None:
        return from_file(file)
    first = _ask("Passphrase for the new key: ")
    if not first:
        raise UsageError("the passphrase is empty", hint="to leave the key unencrypted, say so: --no-passphrase")
    if _ask("The same again: ") != first:
        raise UsageError("the two passphrases differ", hint="nothing was written; try again")
    return first


def passphrase_for(path: str, file: str | None) -> Callable[[], bytes]:
    """What gives the passphrase of the existing key ``path`` when it is needed: ``file``, or a prompt."""

    def passphrase() -> bytes:
        """The passphrase, asked for when somebody needs it."""
        return from_file(file) if file is not None else _ask(f"Passphrase for {printable(path)}: ")

    return passphrase


def private_keys(path: str, passphrase_file: str | None) -> tuple[PrivateKey, ...]:
    """The private keys in ``path``; a warning on standard error if others than the owner can read them."""
    from llamafile_format.signing.keys.key_files import read_private

    keys = read_private(path, passphrase_for(path, passphrase_file))
    if os.name == "posix" and stat.S_IMODE(Path(path).stat().st_mode) & 0o077:
        sys.stderr.write(f"warning: others may read {printable(path)}; close it: chmod 600 {printable(path)}\n")
    return keys


def from_file(path: str) -> bytes:
    """The first line of the file ``path``, without its end; nothing may stand behind it."""
    data = read_small(path, _MAX_FILE)
    line, _, rest = data.partition(b"\n")
    line = line.removesuffix(b"\r")
    if len(data) > _MAX_FILE or rest.strip():
        raise UsageError(f"{path} holds more than a passphrase", hint="write it on one line and nothing else")
    if not line:
        raise UsageError(f"the passphrase in {path} is empty", hint="to leave a key unencrypted: --no-passphrase")
    return line


def _ask(prompt: str) -> bytes:
    """A line from the terminal, not shown while it is typed. UsageError if there is no terminal that can hide it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # it would read on, in the open
            return getpass.getpass(prompt).encode()
    except (getpass.GetPassWarning, EOFError) as error:
        raise UsageError(
            "there is no terminal to ask for the passphrase",
            hint="put it into a file and name that with --passphrase-file",
        ) from error
