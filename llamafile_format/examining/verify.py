"""The verification procedure (spec/1, 10.6), step by step; the comments carry the numbers of the clause.

Bad input never raises: every fault is a finding and all faults are reported, not only the first. What cannot be read
(I/O errors, a file that shrinks) ends the run with an incomplete report.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from llamafile_format.checks.canonical import check_padding, check_structure, signature_entries
from llamafile_format.checks.manifest import check_manifest
from llamafile_format.checks.tensors import TensorsAsked
from llamafile_format.checks.verdict import Level, Report, Verdict, judge
from llamafile_format.container import CUT_OFF, Container, Kind, Openable
from llamafile_format.errors import SourceError
from llamafile_format.examining.demands import Trust, detached_records
from llamafile_format.examining.run import Replayer, Run, report_of
from llamafile_format.findings import Finding, Where
from llamafile_format.progress import Progress
from llamafile_format.rules import Layer
from llamafile_format.signing.trust.policy import Starting, Tensors
from llamafile_format.source import FileSource, open_source
from llamafile_format.source.pending import refuse_pending
from llamafile_format.source.remote import PARALLEL, RemoteSource
from llamafile_format.zip.writer import MARK

if TYPE_CHECKING:
    from llamafile_format.checks.tensors import TensorWatch
    from llamafile_format.examining.resuming import Resumption
    from llamafile_format.signing.trust.policy import Policy


def verify(
    what: Openable,
    *,
    level: Level | str = Level.FULL,
    policy: Policy | None = None,
    as_of: datetime | None = None,
    require_signature: bool = False,
    signatures: Sequence[str | os.PathLike[str]] = (),
    replayer: Replayer | None = None,
    tensors: TensorsAsked | None = None,
    resumption: Resumption | None = None,
    progress: Progress | None = None,
) -> Report:
    """Verify ``what`` and return verdicts and findings, as :func:`llamafile_format.verify`, which says what they mean.

    ``replayer`` does what level behaviour adds; without one its verdict stays undetermined. Nothing here can start a
    program. ``resumption`` of the source ``what`` goes on, at level full. Raises SourceError only if ``what`` cannot be
    opened at all, or has an unfinished change (clause 8.5.5), FormatError for a detached record whose name is none.
    """
    trust = Trust(policy, as_of or datetime.now(UTC), require_signature, detached_records(signatures))
    if isinstance(what, str | os.PathLike):
        refuse_pending(what)
    source = open_source(what)
    run = Run(Level(level), progress, trust, replayer, tensors or TensorsAsked(), resumption)
    try:
        container = Container(source, owned=source is not what)
    except SourceError as error:
        run.error = error.message
        return report_of(source.name, source.size, None, run)
    with container:
        report = _examine(container, run)
    if resumption is not None and report.complete:
        resumption.done()
    return report


def examine(
    container: Container,
    *,
    level: Level | str,
    trust: Trust | None = None,
    thorough: bool = False,
    progress: Progress | None = None,
) -> Report:
    """:func:`verify` for a container that is open already, so that what it has parsed is not parsed again.

    ``thorough`` adds to level *quick* all that needs no digests of data: every byte of a launcher, contents to their
    end, and what the manifest says against itself (13.3.11).
    """
    return _examine(container, Run(Level(level), progress, trust or Trust(), thorough=thorough))


def _examine(container: Container, run: Run) -> Report:
    try:
        for finding in _procedure(container, run):
            run.findings.append(finding)
        if isinstance(container.origin, FileSource) and container.origin.changed():
            raise SourceError(f"{container.name} changed while it was verified")
    except SourceError as error:
        run.error = error.message
    return report_of(container.name, container.size, container, run)


def _procedure(container: Container, run: Run) -> Iterator[Finding]:
    run.kind = container.kind
    # (1) Is this a llamafile at all? Downloads that went wrong get their own plain message.
    if container.kind is Kind.OTHER:
        yield from _not_ours(container, run)
        return
    # (2) Tail, directory, local headers: one parse, then everything the engine's own readers would see otherwise.
    from llamafile_format.checks.archive import check_archive

    canonical = container.kind is Kind.CONTAINER
    prefix_size = container.manifest.prefix.size if container.manifest else None
    yield from check_archive(container.source, container.archive, canonical=canonical, prefix_size=prefix_size)
    if container.archive.capped:  # the manifest's record is the last one: what was read is no ground to judge the rest
        yield Finding("LF9003", args={"path": "the members", "reason": "the directory has more than is read"})
        return
    # (3) to (6) by kind of file.
    if canonical:
        yield from _container(container, run)
    else:
        yield from _legacy(container, run)


def _not_ours(container: Container, run: Run) -> Iterator[Finding]:
    impostor = container.impostor
    if impostor is not None:
        yield impostor.finding
        if impostor.rule in CUT_OFF:
            run.error = impostor.message
    told = impostor is not None  # then that there is no archive needs no words, and no other advice
    yield from (item for item in container.archive.findings if not (told and item.rule == "LF2001"))
    if container.archive.tail is None:  # an interrupted append leaves an earlier directory that can be recovered
        from llamafile_format.checks.legacy import check_legacy

        yield from check_legacy(container.source, container.archive)


def _container(container: Container, run: Run) -> Iterator[Finding]:
    # (3) The manifest: form, then what it claims about itself.
    yield from container.manifest_findings
    manifest = container.manifest
    if manifest is None:
        if not container.manifest_findings:
            yield Finding("LF3028", args={"mark": MARK.decode()})
        yield Finding("LF9003", args={"path": "the members", "reason": "there is no usable manifest"})
        return
    run.published = bool(manifest.with_role("publisher-signature"))
    claimed = check_manifest(manifest)
    yield from claimed
    claims = container.claims
    end = claims.layout.manifest(len(claims.data)).end if claims else 0
    if claims is None or end > container.size:
        if claims is not None:
            yield Finding("LF3107", Where(offset=container.size), {"end": end, "size": container.size})
        yield Finding("LF9003", args={"path": "the members", "reason": "the manifest does not fit the file"})
        return
    from llamafile_format.checks.prefix_claims import check_prefix_claims

    # (4) The canonical rule: every byte that is not member data.
    trailing = {item.where.offset for item in run.findings if item.rule == "LF2011"}  # said once
    structure = check_structure(container.source, container.archive, claims)
    yield from (item for item in structure if item.rule != "LF3106" or item.where.offset not in trailing)
    yield from check_prefix_claims(container, deep=run.deep)
    yield from check_padding(container.source, claims)
    # (5) Digests, as far as the level goes.
    if any(finding.rule in ("LF3013", "LF3016") for finding in claimed):
        yield Finding("LF9001", args={"what": "digests, because the layout is not the manifest's"})
    else:
        yield from _digests(container, run)
        yield from _recovery(container, run)
    # (6) Contents.
    yield from _contents(container, run)
    # (7) Signatures: what they say, and whether anybody vouches whom the user trusts.
    if run.trust.asked or run.trust.detached or signature_entries(container.archive) or _publishers(container):
        from llamafile_format.examining.verify_signatures import check_signatures

        run.judged = check_signatures(container, run.trust, level=run.level, whole=run.whole, progress=run.callback)
        yield from run.judged.findings
    # (9) Behaviour, if it was asked for and there is no fault so far.
    if run.level is Level.BEHAVIOUR:
        yield from _behaviour(container, run)


def _publishers(container: Container) -> bool:
    return container.manifest is not None and bool(container.manifest.with_role("publisher-signature", "history"))


def _behaviour(container: Container, run: Run) -> Iterator[Finding]:
    """Replay the records: what is damaged is not run, and neither is a build that nobody here knows."""
    run.replayed = True
    if any(judge(run.findings, layer) is Verdict.NO for layer in (Layer.WELL_FORMED, Layer.VALID)):
        yield Finding("LF9117", args={"path": "the behaviour", "reason": "the file is damaged or not valid"})
        return
    policy = run.trust.policy
    if policy is not None and policy.run is Starting.FORBID:
        yield Finding(
            "LF9117", args={"path": "the behaviour", "reason": f"the policy {policy.name!r} forbids to run it"}
        )
        return
    if not isinstance(container.origin, FileSource):
        yield Finding("LF9117", args={"path": "the behaviour", "reason": "a runtime opens nothing but files"})
        return
    if run.replayer is None:
        yield Finding("LF9117", args={"path": "the behaviour", "reason": "nothing was brought that could replay it"})
        return
    yield from run.replayer(container)


def _digests(container: Container, run: Run) -> Iterator[Finding]:
    claims = container.claims
    assert claims is not None
    manifest = claims.manifest
    from llamafile_format.checks.chunks import check_chunks, check_contradictions, check_prefix_digests

    if run.level is Level.QUICK:
        if any(member.size for member in manifest.members) or manifest.prefix.size:
            yield Finding("LF9001", args={"what": "member data and prefix"})
        if run.thorough:
            yield from check_contradictions(manifest)
        return
    from llamafile_format.examining.wholes import few, wholes

    run.total = claims.layout.chunks.gap_offset + manifest.prefix.engine_size
    recomputed = wholes(manifest, everything=run.whole)
    run.watch = _watch(container, run)
    proven = run.resumption
    if proven is not None:
        proven.begin(run.watch, hashlib.sha256(container.manifest_bytes).hexdigest())
    yield from check_chunks(
        container.source,
        claims,
        whole=recomputed.members,
        sink=(proven or run.watch).see,
        progress=run.advance,
        proven=proven,
        workers=PARALLEL if isinstance(container.origin, RemoteSource) else None,
    )
    if recomputed.prefix:
        yield from check_prefix_digests(container.source, claims, progress=run.advance)
    if recomputed.assets:
        from llamafile_format.checks.assets import check_assets

        yield from check_assets(container)
    if recomputed.left:
        yield Finding("LF9002", args={"what": few(recomputed.left)})


def _recovery(container: Container, run: Run) -> Iterator[Finding]:
    """Recovery data: whether they are stale, and at the levels that leave out nothing whether they are right."""
    claims = container.claims
    assert claims is not None
    if not claims.manifest.with_role("recovery"):
        return
    from llamafile_format.checks.recovery import check_recovery

    damaged = judge(run.findings, Layer.WELL_FORMED) is Verdict.NO
    yield from check_recovery(container.source, claims, whole=run.level.whole, damaged=damaged)


def _watch(container: Container, run: Run) -> TensorWatch:
    """A watch over the tensors of every GGUF inside: all of them at the levels that leave out nothing, or for a
    policy."""
    from llamafile_format.checks.contents import ggufs_of
    from llamafile_format.checks.tensors import TensorWatch

    policy = run.trust.policy
    demanded = policy is not None and policy.tensors is Tensors.ALL
    watch = TensorWatch(run.tensors.or_all(run.level.whole or demanded))
    for gguf, base, member in ggufs_of(container):
        watch.add(gguf, base=base, member=member)
    watch.choose()
    return watch


def _legacy(container: Container, run: Run) -> Iterator[Finding]:
    """A legacy llamafile: explained by chapter 9, verified as far as it can be."""
    from llamafile_format.checks.legacy import check_legacy
    from llamafile_format.checks.prefix import check_prefix

    image_end = container.prefix.end or 0
    yield from check_legacy(container.source, container.archive, container.generations, image_end=image_end)
    yield from check_prefix(container.source, container.engine_size, container.prefix, legacy=True)
    if run.level is Level.QUICK:
        yield Finding("LF9004", args={"detail": ", and not at level quick"})
    else:
        from llamafile_format.checks.crcs import check_crcs

        run.total = sum(entry.compressed_size for entry in container.archive.entries if entry.located)
        yield from check_crcs(container.source, container.archive, progress=run.advance)
        yield Finding("LF9004", args={"detail": ""})
    yield from _contents(container, run)


def _contents(container: Container, run: Run) -> Iterator[Finding]:
    """(6) Weights, templates, arguments, licences: is the content what it claims to be?"""
    from llamafile_format.checks.contents import check_contents

    yield from check_contents(container, deep=run.deep)
    if run.level is not Level.QUICK:
        if run.watch is None:  # no pass over all bytes went before: a legacy llamafile, or a layout that lies
            run.watch = _watch(container, run)
            run.watch.read(container.source)
        yield from run.watch.findings()
        yield from _programs(container, run)


def _programs(container: Container, run: Run) -> Iterator[Finding]:
    """The bytes of programs that nobody here knows; a launcher that was compared byte for byte is none of them."""
    from llamafile_format.checks.launcher import check_launcher
    from llamafile_format.checks.programs import Vouching, check_programs

    manifest = container.manifest
    launched = False
    if manifest is not None and manifest.prefix.kind == "launcher" == container.prefix.kind.value:
        launched = all(found.rule != "LF1027" for found in check_launcher(container, manifest, deep=True))
    yield from check_programs(container, Vouching(launched, _compared(container, run)))


def _compared(container: Container, run: Run) -> frozenset[str]:
    """Members, and "" for the prefix, whose whole digests this run found in the bytes: none where any was wrong."""
    from llamafile_format.examining.wholes import wholes
    from llamafile_format.manifest.merkle import CHUNK_SIZE

    manifest = container.manifest
    doubted = any(found.rule.startswith(("LF40", "LF9001", "LF9003")) for found in run.findings)
    if manifest is None or container.claims is None or doubted:
        return frozenset()
    taken = wholes(manifest, everything=run.whole)
    found = {each.path for each in manifest.members if each.size <= CHUNK_SIZE or each.path in taken.members}
    return frozenset(found | ({""} if taken.prefix else set()))
