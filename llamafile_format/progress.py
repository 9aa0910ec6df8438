"""How a long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with (done, in all): bytes, unless the function that takes it names another unit."""
Advance = Callable[[int], None]
"""Called with the number of bytes done since the last call."""


def counted(progress: Progress | None, total: int) -> Advance:
    """Adds up what it is called with and tells ``progress`` the sum, never more than ``total``."""
    done = 0

    def advance(count: int) -> None:
        """``count`` bytes more are done."""
        nonlocal done
        done += count
        if progress:
            progress(min(done, total), total)

    return advance
