"""``verify`` at every level: what examining finds, and at level behaviour what a replay does (spec/1, 10.4).

Examining starts no program and imports nothing that could; here the two meet.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from llamafile_format.checks.verdict import Level, Report
from llamafile_format.container import Container, Kind, Openable
from llamafile_format.errors import UsageError
from llamafile_format.examining import verify as verify_unreplayed
from llamafile_format.examining import watch
from llamafile_format.progress import Progress
from llamafile_format.source import FileSource
from llamafile_format.source.pending import refuse_pending

if TYPE_CHECKING:
    from llamafile_format.checks.tensors import TensorsAsked
    from llamafile_format.examining import Resumption
    from llamafile_format.findings import Finding
    from llamafile_format.signing.trust.policy import Policy


def verify(
    what: Openable,
    *,
    level: Level | str = Level.FULL,
    policy: Policy | None = None,
    as_of: datetime | None = None,
    require_signature: bool = False,
    signatures: Sequence[str | os.PathLike[str]] = (),
    trial: bool = False,
    remember: bool = False,
    tensors: TensorsAsked | None = None,
    resumption: Resumption | None = None,
    progress: Progress | None = None,
) -> Report:
    """Verify ``what`` and return verdicts and findings; nothing in it is rendered or trusted.

    ``level``: quick reads structure only (at most 1 MiB beyond tail, directory, manifest, local headers and GGUF
    headers), full every chunk and every canonical byte, exhaustive also whole-member digests and CRCs, behaviour also
    replays the records by a build that this installation pins: that level alone runs something of the file.

    ``policy`` says whom to trust, and asks for the layers authentic and policy; ``require_signature`` asks for
    authentic whatever the policy makes of unsigned files. ``as_of`` (aware; default: now) is the moment that
    everything is judged by. ``signatures`` are detached records (clause 13.10), which count as if they stood behind
    the embedded ones. ``trial`` starts a file, of which nothing was found to be wrong, once on this machine, for one
    token; the report says what became of it. ``remember`` keeps a memory of it, by which ``run`` need not read the file
    again; no memory is ever asked here. ``tensors`` says how many bytes of tensors are looked at for NaN and the like
    (64 MiB unless told otherwise; all at exhaustive). ``resumption``, of the open remote source ``what``, goes on where
    a run at level full was ended (clause 10.12.9).

    Raises SourceError only if ``what`` cannot be opened at all, or has an unfinished change (clause 8.5.5), FormatError
    for a detached record whose name is none.
    """

    def ask(about: Openable) -> Report:
        """The report on ``about``, which is the file by its path, or open."""
        return verify_unreplayed(
            about,
            level=level,
            policy=policy,
            as_of=as_of,
            require_signature=require_signature,
            signatures=signatures,
            replayer=replay_known,
            tensors=tensors,
            resumption=resumption,
            progress=progress,
        )

    if not isinstance(what, str | os.PathLike):
        if trial:
            raise UsageError("a runtime opens nothing but files", hint="name the file by its path")
        return ask(what)
    refuse_pending(what)
    with FileSource(what) as source:
        watched = watch(source) if remember and policy is None else None
        report = ask(source)
        if watched is not None:
            watched.keep(report)
        if not trial or report.kind is Kind.OTHER:
            return report
        from llamafile_format.running.trial import tried

        with Container(source) as container:
            return tried(container, report, policy)


def replay_known(container: Container) -> Iterable[Finding]:
    """Findings of a replay of the records in ``container`` by builds that this installation pins, and by no others."""
    from llamafile_format.running.choose_runtime import Wanted
    from llamafile_format.running.replay import replay_container

    return replay_container(container, wanted=Wanted()).findings
