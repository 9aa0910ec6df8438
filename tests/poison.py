"""Inputs that end, hang or fill the process that verifies them; each by its name, so that any file can be one."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
        elif "deaf" in word:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                pass
        yield name
