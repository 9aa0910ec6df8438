"""One file, verified on some terms: the one judgement behind ``verify``, the fleet and the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from llamafile_format.checks.verdict import Level, Report, unreadable
from llamafile_format.errors import SourceError
from llamafile_format.progress import Progress
from llamafile_format.running import verify
from llamafile_format.source.address import is_remote, shown
from llamafile_format.source.pending import refuse_pending

if TYPE_CHECKING:
    from llamafile_format.checks.tensors import TensorsAsked
    from llamafile_format.examining import Resumption
    from llamafile_format.signing.trust.policy import Policy
    from llamafile_format.source import ByteSource


class Reaching(Protocol):
    """Opens what is named. It goes to child processes and other machines, so it is plain data and holds no secret:
    a token is read from its file or variable where the object is asked for.
    """

    def opened(self, name: str, *, whole: bool) -> AbstractContextManager[str | ByteSource]:
        """``name`` itself if it is a path, else a source, until the block ends; ``whole``: all of it may be read."""


class Resuming(Protocol):
    """Goes on with a verification of a remote object that was ended (spec/1, 10.12.9)."""

    def of(self, what: str | ByteSource) -> AbstractContextManager[Resumption | None]:
        """What ``verify`` needs to go on with ``what``; None if that is not wanted, or not possible."""


@dataclass(frozen=True, slots=True)
class Local:
    """Paths are opened, and addresses are refused: whom to ask for what a stranger names is somebody's decision."""

    @contextmanager
    def opened(self, name: str, *, whole: bool) -> Iterator[str | ByteSource]:  # noqa: ARG002
        """See :class:`Reaching`."""
        if is_remote(name):
            raise SourceError(f"{shown(name)} is an address, and none is asked here")
        refuse_pending(name)
        yield name


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms files are verified: the arguments of ``verify`` but the file. ``cache`` is the user's wish where
    the memory of a verification that ``remember`` asks for should lie.
    """

    level: Level = Level.FULL
    policy: Policy | None = None
    as_of: datetime | None = None
    require_signature: bool = False
    signatures: tuple[str, ...] = ()
    tensors: TensorsAsked | None = None
    trial: bool = False
    remember: bool = False
    cache: str | None = None
    reach: Reaching = Local()
    resume: Resuming | None = None

    @property
    def starts_programs(self) -> bool:
        """True if something of the file may run, under a guard of its own."""
        return self.trial or self.level is Level.BEHAVIOUR


class Unchanged(Exception):
    """An object is still in the state that was told, and was not looked at."""


def look(name: str, terms: Terms, progress: Progress | None = None, *, unless: str = "") -> Report:
    """The report about ``name``; one that cannot be opened or read has an incomplete report.

    Raises Unchanged if it is a remote object in the state ``unless`` (a revision), which is known before it is read.
    Raises FormatError for a detached record that is none, UsageError for a token that may not be sent: nothing that is
    wrong with the file itself.
    """
    try:
        with ExitStack() as stack:
            what = stack.enter_context(terms.reach.opened(name, whole=terms.level is not Level.QUICK))
            if unless and getattr(what, "revision", "") == unless:  # what is read from elsewhere has one
                raise Unchanged
            resumption = stack.enter_context(terms.resume.of(what)) if terms.resume else None
            return verify(
                what,
                resumption=resumption,
                level=terms.level,
                policy=terms.policy,
                as_of=terms.as_of,
                require_signature=terms.require_signature,
                signatures=terms.signatures,
                trial=terms.trial,
                remember=terms.remember,
                tensors=terms.tensors,
                progress=progress,
            )
    except SourceError as error:
        return unreadable(shown(name), terms.level, error.message)
