"""``validate_upload``: the one call of a hub, which always ends in a report (spec/1, 10.13).

    report = validate_upload(path, policy="hub", limits=Limits(seconds=600))
    status, message = hub_status(report)

Nothing of the file is run, rendered or believed, and nothing is taken from the environment of the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import IO, TYPE_CHECKING

from llamafile_format.checks.verdict import Level, Report, unreadable
from llamafile_format.errors import SourceError, UsageError
from llamafile_format.examining.verify import verify
from llamafile_format.source import ByteSource, FileSource, open_source
from llamafile_format.source.address import is_remote, shown
from llamafile_format.source.allow_list import AllowList
from llamafile_format.source.metered import Metered
from llamafile_format.source.opening import open_listed
from llamafile_format.source.pending import refuse_pending
from llamafile_format.source.traffic import Limits

if TYPE_CHECKING:
    from llamafile_format.signing.trust.policy import Policy

UNLIMITED = Limits()


def validate_upload(
    source: str | os.PathLike[str] | bytes | IO[bytes] | ByteSource,
    *,
    policy: Policy | str | os.PathLike[str] | None = None,
    limits: Limits = UNLIMITED,
    level: Level | str = Level.FULL,
    as_of: datetime | None = None,
    allowed: AllowList | None = None,
) -> Report:
    """The report about ``source``; one that cannot be opened or read to its end has a report that is not complete.

    ``source`` is a path, bytes, or an open source, such as of :func:`llamafile_format.open_remote`; or an address, if
    ``allowed`` says whom to ask for what a stranger names: one that is not listed has a report that says so.
    ``policy`` is what the hub demands, or the file or the profile (``"hub"``) that says so. ``limits`` bound what is
    read (requests: calls of the source) and how long; past them the report is not complete. ``level`` is quick, full or
    exhaustive: level behaviour runs programs.

    Raises UsageError for an address without a list and for level behaviour, FormatError or SourceError for a policy
    that is none; nothing that is wrong with ``source`` raises.
    """
    level = Level(level)
    if level is Level.BEHAVIOUR:
        raise UsageError("an upload is not run", hint="level behaviour starts programs: use full or exhaustive")
    demanded = _policy(policy)
    referred = isinstance(source, str) and is_remote(source)
    if referred and allowed is None:
        raise UsageError("an address is not fetched for a stranger", hint="say whom to ask: allowed=AllowList.of(…)")
    name = os.fspath(source) if isinstance(source, str | os.PathLike) else getattr(source, "name", "upload")

    def judge(opened: ByteSource) -> Report:
        """The report about an open source."""
        return verify(opened, level=level, policy=demanded, as_of=as_of)

    try:
        if isinstance(source, str) and allowed is not None and referred:
            return _referred(source, allowed, limits, judge)
        if isinstance(source, str | os.PathLike):
            refuse_pending(source)
        opened = open_source(source)
        try:
            return judge(Metered(opened, limits))
        finally:
            if opened is not source and isinstance(opened, FileSource):
                opened.close()
    except SourceError as error:
        return unreadable(shown(str(name))[:1000], level, error.message)


def _referred(address: str, allowed: AllowList, limits: Limits, judge: Callable[[ByteSource], Report]) -> Report:
    """What ``judge`` says of the object at ``address``. SourceError if it is not asked for, or cannot be read."""
    try:
        allowed.judge(address)
    except UsageError as error:  # no mistake of the caller: a stranger wrote it
        raise SourceError(error.message) from None
    with open_listed(address, allowed, limits=limits) as source:
        return judge(source)


def _policy(policy: Policy | str | os.PathLike[str] | None) -> Policy | None:
    if not isinstance(policy, str | os.PathLike):
        return policy
    from llamafile_format.signing.trust.policy_reader import read_policy

    return read_policy(policy)
