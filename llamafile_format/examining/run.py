"""A verification on its way, and the report that comes out of it (spec/1, 10.2 and 10.3)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from llamafile_format.checks.tensors import TensorsAsked
from llamafile_format.checks.verdict import Level, Report, Verdict, judge
from llamafile_format.container import Container, Kind
from llamafile_format.examining.demands import Trust, unestablished
from llamafile_format.findings import Finding
from llamafile_format.progress import Progress
from llamafile_format.rules import Layer, Severity, rule
from llamafile_format.source.remote import RemoteSource

if TYPE_CHECKING:
    from llamafile_format.checks.tensors import TensorWatch
    from llamafile_format.examining.resuming import Resumption
    from llamafile_format.examining.verify_signatures import Judged

Replayer = Callable[[Container], Iterable[Finding]]
"""Replays the behaviour records of an open container by builds that this installation pins, and tells what it found."""


@dataclass(slots=True)
class Run:
    """One verification on its way: what was asked for, and what it has come to so far.

    ``thorough`` has level *quick* leave out nothing but what digests prove: for whoever vouches for a file.
    """

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
    thorough: bool = False

    @property
    def deep(self) -> bool:
        """True if contents are looked at to their end."""
        return self.thorough or self.level is not Level.QUICK

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


def report_of(name: str, size: int, container: Container | None, run: Run) -> Report:
    """The report of ``run`` on the file ``name`` of ``size`` bytes; without ``container`` it could not be read."""
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
