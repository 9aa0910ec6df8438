"""The verification procedure (spec/1, 10.6), step by step; the comments carry the numbers of the clause.

Bad input never raises: every fault is a finding and all faults are reported, not only the first. What cannot be read
(I/O errors, a file that shrinks) ends the run with an incomplete report.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from llamafile_format.checks.canonical import check_padding, check_structure, signature_entries
from llamafile_format.checks.manifest import check_manifest
from llamafile_format.checks.tensors import TensorsAsked
from llamafile_format.checks.verdict import Level, Report, Verdict, judge
from llamafile_format.container import CUT_OFF, Container, Kind, Openable
from llamafile_format.errors import SourceError
from llamafile_format.examining.demands import Trust, detached_records, unestablished
from llamafile_format.findings import Finding, Value, Where
from llamafile_format.progress import Progress
from llamafile_format.rules import Layer, Severity, rule
from llamafile_format.signing.trust.policy import Starting, Tensors
from llamafile_format.source import FileSource, open_source
from llamafile_format.source.pending import refuse_pending
from llamafile_format.source.remote import PARALLEL, RemoteSource
from llamafile_format.zip.writer import MARK

if TYPE_CHECKING:
    from llamafile_format.checks.tensors import TensorWatch
    from llamafile_format.examining.resuming import Resumption
    from llamafile_format.examining.verify_signatures import Judged
    from llamafile_format.signing.trust.policy import Policy

Replayer = Callable[[Container], Iterable[Finding]]
"""Replays the behaviour records of an open container by builds that this installation pins, and tells what it found."""


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
    run = _Run(Level(level), progress, trust, replayer, tensors or TensorsAsked(), resumption)
    try:
        container = Container(source, owned=source is not what)
    except SourceError as error:
        run.error = error.message
        return _report(source.name, source.size, None, run)
    with container:
        report = _examine(container, run)
    if resumption is not None and report.complete:
        resumption.done()
    return report


def examine(
    container: Container, *, level: Level | str, trust: Trust | None = None, progress: Progress | None = None
) -> Report:
    """:func:`verify` for a container that is open already, so that what it has parsed is not parsed again."""
    return _examine(container, _Run(Level(level), progress, trust or Trust()))


def _examine(container: Container, run: _Run) -> Report:
    try:
        for finding in _procedure(container, run):
            run.findings.append(finding)
        if isinstance(container.origin, FileSource) and container.origin.changed():
            raise SourceError(f"{container.name} changed while it was verified")
    except SourceError as error:
        run.error = error.message
    return _report(container.name, container.size, container, run)


@dataclass(slots=True)
class _Run:
    level: Level
    callback: Progress | None
    trust: Trust = field(default_factory=Trust)
    replayer: Replayer | None = None
    tensors: TensorsAsked = field(default_factory=TensorsAsked)
    resumption: Resumption | None = None
    watch: TensorWatch | None = None
    findings: list[Finding] = field(default_factory=list)
    kind: Kind = Kind.OTHER
    total: int = 0
    done: int = 0
    error: str = ""
    replayed: bool = False
    judged: Judged | None = None
    published: bool = False

    @property
    def whole(self) -> bool:
        """True if all whole digests are recomputed: by the level, or because what the user trusts rests on them."""
        rested = self.trust.wants_whole or (self.published and self.trust.knows_publishers)
        return self.level.whole or (rested and self.level is not Level.QUICK)

    def advance(self, count: int) -> None:
        """Count ``count`` bytes more, and tell the caller."""
        self.done += count
        if self.callback:
            self.callback(min(self.done, self.total), self.total)


def _procedure(container: Container, run: _Run) -> Iterator[Finding]:
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


def _not_ours(container: Container, run: _Run) -> Iterator[Finding]:
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


def _container(container: Container, run: _Run) -> Iterator[Finding]:
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
    # (4) The canonical rule: every byte that is not member data.
    trailing = {item.where.offset for item in run.findings if item.rule == "LF2011"}  # said once
    structure = check_structure(container.source, container.archive, claims)
    yield from (item for item in structure if item.rule != "LF3106" or item.where.offset not in trailing)
    yield from _prefix(container, run)
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


def _behaviour(container: Container, run: _Run) -> Iterator[Finding]:
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


def _prefix(container: Container, run: _Run) -> Iterator[Finding]:
    """The prefix against the manifest: kind, engine directory, padding rules."""
    from llamafile_format.checks.prefix import check_prefix
    from llamafile_format.prefix.facts import PrefixKind

    manifest = container.manifest
    assert manifest is not None
    facts = container.prefix
    if facts.kind.value != manifest.prefix.kind:
        args: dict[str, Value] = {"claimed": manifest.prefix.kind, "found": facts.kind.value}
        yield Finding("LF3027", Where(offset=0, length=manifest.prefix.size, field="prefix.kind"), args)
    launcher = None
    if facts.kind is PrefixKind.LAUNCHER:
        from llamafile_format.checks.launcher import check_launcher

        launcher = check_launcher(container, manifest, deep=run.level is not Level.QUICK)
    yield from check_prefix(container.source, manifest.prefix.size, facts, launcher=launcher)
    directory = manifest.prefix.directory
    found = container.engine_directory
    claimed = (
        (0, 0, 0, (), ())
        if directory is None
        else (
            directory.offset,
            directory.size,
            directory.count,
            tuple((asset.path, asset.size) for asset in directory.assets),
            directory.dropped,
        )
    )
    actual = (found.offset, found.size, found.count, tuple((e.path, e.size) for e in found.carried), found.dropped)
    if claimed != actual:
        where = Where(offset=found.offset, length=found.size, field="prefix.directory")
        yield Finding("LF3026", where, {"reason": f"it has {found.count} records, {len(found.carried)} to carry over"})
    elif found.left_out:
        args = {"count": len(found.left_out), "first": found.left_out[0]}
        yield Finding("LF2047", Where(offset=found.offset, length=found.size, field="prefix.directory"), args)
    if found.opaque_reason != manifest.prefix.opaque:
        args = {"reason": f"the manifest calls it {manifest.prefix.opaque!r}, the bytes {found.opaque_reason!r}"}
        yield Finding("LF3026", Where(field="prefix.opaque"), args)


def _digests(container: Container, run: _Run) -> Iterator[Finding]:
    claims = container.claims
    assert claims is not None
    manifest = claims.manifest
    if run.level is Level.QUICK:
        if any(member.size for member in manifest.members) or manifest.prefix.size:
            yield Finding("LF9001", args={"what": "member data and prefix"})
        return
    from llamafile_format.checks.chunks import check_chunks, check_prefix_digests
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
        yield from _assets(container)
    if recomputed.left:
        yield Finding("LF9002", args={"what": few(recomputed.left)})


def _recovery(container: Container, run: _Run) -> Iterator[Finding]:
    """Recovery data: whether they are stale, and at the levels that leave out nothing whether they are right."""
    claims = container.claims
    assert claims is not None
    if not claims.manifest.with_role("recovery"):
        return
    from llamafile_format.checks.recovery import check_recovery

    damaged = judge(run.findings, Layer.WELL_FORMED) is Verdict.NO
    yield from check_recovery(container.source, claims, whole=run.level.whole, damaged=damaged)


def _watch(container: Container, run: _Run) -> TensorWatch:
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


def _assets(container: Container) -> Iterator[Finding]:
    """Engine assets unpack to what the manifest says."""
    from llamafile_format.container import inflate
    from llamafile_format.errors import FormatError
    from llamafile_format.zip.records import DEFLATED

    directory = container.manifest.prefix.directory if container.manifest else None
    for asset in directory.assets if directory else ():
        entry = container.archive.entry(asset.path)
        digest, large = hashlib.sha256(), hashlib.sha512()
        try:
            if entry is None or entry.size != asset.size:
                raise FormatError("no such entry")
            blocks = inflate(container.source, entry) if entry.method == DEFLATED else container.stream(asset.path)
            for block in blocks:
                digest.update(block)
                if asset.sha512:
                    large.update(block)
            good = digest.hexdigest() == asset.sha256 and (not asset.sha512 or large.hexdigest() == asset.sha512)
        except FormatError:
            good = False
        if not good:
            where = Where(offset=entry.header_offset if entry else None, member=asset.path)
            yield Finding("LF4011", where, {"path": asset.path})


def _legacy(container: Container, run: _Run) -> Iterator[Finding]:
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


def _contents(container: Container, run: _Run) -> Iterator[Finding]:
    """(6) Weights, templates, arguments, licences: is the content what it claims to be?"""
    from llamafile_format.checks.contents import check_contents

    yield from check_contents(container, deep=run.level is not Level.QUICK)
    if run.level is not Level.QUICK:
        if run.watch is None:  # no pass over all bytes went before: a legacy llamafile, or a layout that lies
            run.watch = _watch(container, run)
            run.watch.read(container.source)
        yield from run.watch.findings()
        yield from _programs(container, run)


def _programs(container: Container, run: _Run) -> Iterator[Finding]:
    """The bytes of programs that nobody here knows; a launcher that was compared byte for byte is none of them."""
    from llamafile_format.checks.launcher import check_launcher
    from llamafile_format.checks.programs import Vouching, check_programs

    manifest = container.manifest
    launched = False
    if manifest is not None and manifest.prefix.kind == "launcher" == container.prefix.kind.value:
        launched = all(found.rule != "LF1027" for found in check_launcher(container, manifest, deep=True))
    yield from check_programs(container, Vouching(launched, _compared(container, run)))


def _compared(container: Container, run: _Run) -> frozenset[str]:
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


def _report(name: str, size: int, container: Container | None, run: _Run) -> Report:
    complete = not run.error
    verdicts: dict[Layer, Verdict] = {}
    policy = run.trust.policy
    digest = hashlib.sha256(container.manifest_bytes).hexdigest() if container and container.manifest_bytes else ""
    severities, why = policy.weights(digest, run.trust.at) if policy else ({}, {})
    if run.kind is not Kind.OTHER:
        asked = [Layer.WELL_FORMED, Layer.VALID]
        if run.trust.asked:
            reasons = unestablished(run.findings, run.trust, judged=run.judged is not None)
            run.findings += reasons
            # Where no record could be looked at, the layer has a verdict only if there is a reason for *no*.
            doubted = any(rule(finding.rule).layer is Layer.AUTHENTIC for finding in reasons)
            asked += [Layer.AUTHENTIC] if (run.judged.asked if run.judged else doubted) else []
            if Layer.AUTHENTIC in asked:
                run.findings += _unread(run.findings, severities)
            asked += [Layer.POLICY] if policy and policy.sha256 else []
        for layer in asked:
            verdicts[layer] = judge(run.findings, layer, looked=complete, severities=severities)
        if run.level is Level.BEHAVIOUR:
            verdicts[Layer.BEHAVIOUR] = judge(run.findings, Layer.BEHAVIOUR, looked=complete and run.replayed)
    return Report(
        name=name,
        size=size,
        kind=run.kind,
        level=run.level,
        verdicts=verdicts,
        findings=_unique(run.findings, size),
        complete=complete,
        error=run.error,
        manifest_sha256=digest,
        checked_bytes=run.done,
        resumed_bytes=run.resumption.resumed if run.resumption else 0,
        signatures=run.judged.signatures if run.judged else (),
        publishers=run.judged.publishers if run.judged else (),
        policy=policy.name if policy else "",
        policy_sha256=policy.sha256 if policy else "",
        severities=severities,
        reasons=why,
        revision=container.origin.revision if container and isinstance(container.origin, RemoteSource) else "",
    )


def _unread(findings: list[Finding], severities: Mapping[str, Severity]) -> list[Finding]:
    """That bytes which a signature vouches for were not looked at leaves open what is not refused anyway."""
    unread = judge(findings, Layer.WELL_FORMED, severities=severities) is Verdict.UNDETERMINED
    refused = judge(findings, Layer.AUTHENTIC, severities=severities) is Verdict.NO
    return [Finding("LF8122")] if unread and not refused else []


def _unique(findings: list[Finding], size: int) -> tuple[Finding, ...]:
    """Each fault once, in the order found, at a place that the ``size`` bytes of the file have (10.2.1): two checks may
    meet at one place."""
    seen: set[tuple[object, ...]] = set()
    result = []
    for each in findings:
        finding = replace(each, where=each.where.within(size))
        key = (finding.rule, finding.where, tuple(sorted(finding.args.items())))
        if key not in seen:
            seen.add(key)
            result.append(finding)
    return tuple(result)
