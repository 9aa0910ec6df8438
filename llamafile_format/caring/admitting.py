"""The container that goes into a package or comes out of one: verified, and held open by the descriptor that was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.checks.verdict import Level, Report
from llamafile_format.container import Kind
from llamafile_format.errors import NotALlamafile, UsageError
from llamafile_format.examining import refuse, verify
from llamafile_format.progress import Progress
from llamafile_format.source import FileSource
from llamafile_format.source.pending import refuse_pending
from llamafile_format.zip.names import name_problems


@dataclass(frozen=True, slots=True)
class Admitted:
    """A llamafile that passed a full verification, and the source of its bytes."""

    source: FileSource
    report: Report

    @property
    def name(self) -> str:
        """The file's own name, without folders."""
        return Path(self.source.name).name


@contextmanager
def admitted(path: str, consequence: str, progress: Progress | None = None) -> Iterator[Admitted]:
    """Open the llamafile at ``path`` for somebody who copies it; ``consequence`` is what becomes of it otherwise.

    A package has digests of its own, and they would vouch for damage. Raises what :func:`refuse` does, NotALlamafile,
    and UsageError for a name that not every system can have.
    """
    refuse_pending(path)
    problems = name_problems(Path(path).name.encode("utf-8", "surrogateescape"))
    if problems:
        raise UsageError(
            f"{path} {consequence}: its name {problems[0].value}", hint="give it a name that every system can have"
        )
    with FileSource(path) as source:
        yield admit(source, consequence, progress)


def admit(source: FileSource, consequence: str, progress: Progress | None = None) -> Admitted:
    """:func:`admitted`, for what is open already, whatever its name."""
    report = verify(source, level=Level.FULL, progress=progress)
    if report.complete and report.kind is Kind.OTHER:
        raise NotALlamafile(f"{source.name} {consequence}: it is no llamafile", hint="llamafile-format pack makes one")
    refuse(report, consequence)
    return Admitted(source, report)
