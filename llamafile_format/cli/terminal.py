"""What a terminal is shown: progress on stderr (bytes, rate, time left), and colours, only where they can be drawn.

``TERM=dumb`` is a terminal that can do neither; ``NO_COLOR`` (https://no-color.org) turns colours off.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llamafile_format.progress import Progress

_INTERVAL = 0.1  # seconds between two redraws
_LOGGED = 30.0  # seconds between two lines where nothing can be drawn over
_DELAY = 0.4  # short work shows nothing


def colours() -> bool:
    """May standard output be coloured?"""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def draws() -> bool:
    """Can a line on standard error be drawn over?"""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def progress(label: str) -> Iterator[Progress | None]:
    """A callback for (bytes done, bytes in all) that draws one line; None when stderr is not a terminal."""
    if not draws():
        yield None
        return
    start = time.monotonic()
    last = start + _DELAY - _INTERVAL
    shown = False

    def draw(done: int, total: int) -> None:
        """Draw the line anew, if the last time was long enough ago."""
        nonlocal last, shown
        now = time.monotonic()
        if now - last < _INTERVAL:
            return
        last, shown = now, True
        rate = done / max(now - start, 1e-6)
        left = (total - done) / rate if rate else 0.0
        bar = "█" * int(20 * done / max(total, 1))
        amount = f"{size_text(done)} of {size_text(total)}"
        line = f"{label[:12]:<12} {bar:░<20} {amount}  {size_text(int(rate))}/s  {left:.0f} s left"
        sys.stderr.write(f"\r\x1b[2K{line[:79]}")
        sys.stderr.flush()

    try:
        yield draw
    finally:
        if shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


@contextmanager
def objects(label: str) -> Iterator[Callable[[int, int, str], None]]:
    """A callback for (done, in all, a note) that tells objects, rate and time left on stderr.

    On a terminal it draws one line; elsewhere, as in the log of a batch job, it adds one every so often.
    """
    start = time.monotonic()
    last = start - (0 if not draws() else _INTERVAL)
    every = _INTERVAL if draws() else _LOGGED

    def draw(done: int, total: int, note: str) -> None:
        """Tell it, if the last time was long enough ago."""
        nonlocal last
        now = time.monotonic()
        if now - last < every:
            return
        last = now
        rate = done / max(now - start, 1e-6)
        left = (total - done) / rate if rate else 0.0
        line = f"{done} of {total}  {rate:.3g}/s  {left:.0f} s left  {note}"
        if draws():
            sys.stderr.write(f"\r\x1b[2K{f'{label[:12]:<12} {_bar(done, total)} {line}'[:79]}")
        else:
            sys.stderr.write(f"{label}: {line}\n")
        sys.stderr.flush()

    try:
        yield draw
    finally:
        if draws():
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def _bar(done: int, total: int) -> str:
    return f"{'█' * int(20 * done / max(total, 1)):░<20}"


def size_text(size: int) -> str:
    """``size`` bytes for people: three figures and a binary unit."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.4g} TiB"


def _silent(_what: str, _done: int, _total: int) -> None:
    """No terminal, no drawing."""


@contextmanager
def steps() -> Iterator[Callable[[str, int, int], None]]:
    """A callback for (what is done, how far, of how much) that draws one line; silent when stderr is not a terminal."""
    if not draws():
        yield _silent
        return
    last = 0.0
    before = ""

    def draw(what: str, done: int, total: int) -> None:
        """Draw the line anew, for a new step or if the last time was long enough ago."""
        nonlocal last, before
        now = time.monotonic()
        if what == before and now - last < _INTERVAL and done < total:
            return
        last, before = now, what
        bar = f"{'█' * int(20 * done / total):░<20} {done}/{total}" if total else ""
        sys.stderr.write(f"\r\x1b[2K{f'{what:<36} {bar}'[:79]}")
        sys.stderr.flush()

    try:
        yield draw
    finally:
        if before:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
