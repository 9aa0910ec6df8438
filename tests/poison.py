"""Inputs that end, hang or fill the process that verifies them; each by its name, so that any file can be one."""

from __future__ import annotations

import ctypes
import gc
import io
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.fleet.frames import Kind, write_frame
from llamafile_format.source import ByteSource


@dataclass(frozen=True, slots=True)
class Poisoned:
    """Opens paths as they are; what has one of these words in its name is poison. ``log`` gets a line for each."""

    log: str = ""

    @contextmanager
    def opened(self, name: str, *, whole: bool) -> Iterator[str | ByteSource]:
        """As of ``Reaching``."""
        word = Path(name).name
        if self.log:
            with open(self.log, "a", encoding="utf-8") as file:  # short appends of several processes do not mix
                file.write(f"{name}\n")
        if "crash" in word:
            ctypes.string_at(0)
        elif "abort" in word:
            os.abort()
        elif "hang" in word:
            while True:
                time.sleep(3600)
        elif "hog" in word:
            held = [bytearray(1 << 26) for _ in range(1 << 10)]
            del held
        elif "leave" in word:
            os._exit(7)
        elif "raise" in word:
            raise LookupError("nobody foresaw this")
        elif "chatter" in word:
            os.write(1, b"\0" * 100_000)
            os.write(2, b"\x1b[2J" * 1000)
        elif "flood" in word:
            _flood()
        elif "deaf" in word:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                pass
        yield name


def _flood() -> None:
    """Take the child over, and answer for this file and for many that nobody has asked for."""
    (answers,) = (each for each in gc.get_objects() if isinstance(each, io.BufferedWriter) and each.raw.fileno() > 2)
    write_frame(answers, Kind.REPORT, b"{}")
    while True:
        write_frame(answers, Kind.BEGUN)
        write_frame(answers, Kind.REPORT, b'{"forged": "' + b"x" * (1 << 20) + b'"}')
