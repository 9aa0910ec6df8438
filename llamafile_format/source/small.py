"""Small files that a user names: keys, policies, records, passphrases, arguments (spec/1, 10.7.2).

One function opens them all, so that none of them can hold a command up or fill its memory. It takes

* a regular file;
* a pipe that somebody has open for writing, as ``<(...)`` and ``/dev/stdin`` are, or that still has bytes in it. Then
  it waits until the last writer has left, as every program in a pipeline does;
* a terminal, where somebody types.

A pipe that nobody has open for writing, and that is empty, would never end: it is an error at once. So is one whose
writer has left without a byte (``<(true)``), which cannot be told from it. Folders, devices and sockets are errors.
"""

from __future__ import annotations

import os
import stat

from llamafile_format.errors import SourceError
from llamafile_format.source.local import READ


def read_small(path: str | os.PathLike[str], most: int) -> bytes:
    """All of the file ``path``, or its first ``most + 1`` bytes: the caller says what is too long for what.

    SourceError if it cannot be read or is nothing that ends by itself (see above).
    """
    name = os.fspath(path)
    try:
        descriptor = os.open(path, READ)
        with open(descriptor, "rb", buffering=0):
            _refuse_odd(descriptor, name)
            data = b""
            while len(data) <= most:
                try:
                    more = os.read(descriptor, most + 1 - len(data))
                except BlockingIOError:  # somebody is there who has not written yet
                    os.set_blocking(descriptor, True)
                    continue
                if not more:
                    break
                data += more
            if not data and stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                raise SourceError(f"cannot read {name}: it is a pipe that nobody writes to", hint="name a file")
            return data
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte in it
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from error


def _refuse_odd(descriptor: int, name: str) -> None:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or os.isatty(descriptor):
        return
    kind = "a directory" if stat.S_ISDIR(mode) else "no file, pipe or terminal"
    raise SourceError(f"cannot read {name}: it is {kind}", hint="name a file")
