"""``verify --resume``: what it goes with, and what is said of it (spec/1, 10.12.9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from llamafile_format.checks.verdict import Level
from llamafile_format.errors import UsageError
from llamafile_format.source.address import is_remote
from llamafile_format.source.remote import RemoteSource

if TYPE_CHECKING:
    from llamafile_format.examining import Resumption
    from llamafile_format.source import ByteSource


@dataclass(frozen=True, slots=True)
class Resume:
    """Is a run gone on with (``wanted``), and by the journal at which path, if not the one in the cache?"""

    wanted: bool
    journal: str | None

    def judge(self, files: Iterable[str], level: str, *, several: bool) -> None:
        """UsageError where there is nothing that could be gone on with."""
        if self.journal is not None and not self.wanted:
            raise UsageError("--journal goes with --resume")
        if self.wanted and several:
            raise UsageError("--resume goes with one FILE", hint="call the command once for each")
        if self.wanted and not all(map(is_remote, files)):
            raise UsageError(
                "--resume is for addresses", hint="a file of this machine is read at the speed of its disk"
            )
        if self.wanted and level != Level.FULL.value:
            raise UsageError(f"level {level} does not go on where it was ended", hint="--resume goes with --level full")

    @contextmanager
    def of(self, what: str | ByteSource) -> Iterator[Resumption | None]:
        """What ``verify`` needs to go on with ``what``; None if that is not wanted, or not possible."""
        if not self.wanted:
            yield None
            return
        from llamafile_format.examining import resumed
        from llamafile_format.reports import printable

        assert isinstance(what, RemoteSource)  # judged above
        name = printable(what.name)
        with resumed(what, lambda text: click.echo(f"{name}: {text}", err=True), self.journal) as resumption:
            yield resumption
