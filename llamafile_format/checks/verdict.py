"""Verdicts and the report: what a verification says, and how certain it is (spec/1, 10.1 to 10.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from llamafile_format.container import Kind
from llamafile_format.findings import Finding
from llamafile_format.rules import Layer, Severity, rule

if TYPE_CHECKING:
    from llamafile_format.signing.trust.evidence import PublisherFact, SignatureFact

REPORT_SCHEMA = "urn:llamafile-format:schema:1.0:report"
"""What a report as JSON says that it is (10.8.3)."""


class Verdict(Enum):
    """Three-valued on purpose: "was not looked at" must never read as "is fine"."""

    YES = "yes"
    NO = "no"
    UNDETERMINED = "undetermined"


class Level(Enum):
    """How much of a file a verification looks at (clause 10.4)."""

    QUICK = "quick"
    FULL = "full"
    EXHAUSTIVE = "exhaustive"
    BEHAVIOUR = "behaviour"

    @property
    def whole(self) -> bool:
        """True if whole digests are recomputed too."""
        return self in (Level.EXHAUSTIVE, Level.BEHAVIOUR)


@dataclass(frozen=True, slots=True)
class Trial:
    """One start of a file on this machine, for one token (10.4.9). ``build`` is its name; ``reason`` why it failed."""

    build: str
    embedded: bool
    reason: str = ""

    @property
    def started(self) -> bool:
        """True if a token came out."""
        return not self.reason


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a verification. Sizes are bytes; ``verdicts`` holds the layers that were asked for.

    ``complete`` is False when reading failed on the way: then nothing here is a *yes*. ``signatures`` has one fact for
    each signature record, ``policy`` the name of the policy that judged, with the SHA-256 of its bytes if it was read
    from a file; ``severities`` are the rules that the policy raised or lowered, ``reasons`` why. ``trial`` is
    there if the file was started. ``revision`` is the state of a remote object that was read, in its server's words;
    ``resumed_bytes`` of the ``checked_bytes`` were hashed by an earlier run (10.12.9).
    """

    name: str
    size: int
    kind: Kind
    level: Level
    verdicts: dict[Layer, Verdict]
    findings: tuple[Finding, ...]
    complete: bool = True
    error: str = ""
    manifest_sha256: str = ""
    checked_bytes: int = 0
    resumed_bytes: int = 0
    signatures: tuple[SignatureFact, ...] = ()
    publishers: tuple[PublisherFact, ...] = ()
    policy: str = ""
    policy_sha256: str = ""
    severities: Mapping[str, Severity] = field(default_factory=dict)
    trial: Trial | None = None
    revision: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)

    def severity(self, rule_id: str) -> Severity:
        """How a rule counts in this report: as the table says, unless the policy raised or lowered it."""
        return self.severities.get(rule_id) or rule(rule_id).severity

    def exit_code(self, *, strict: bool = False) -> int:
        """The command's exit code (clause 10.7): 4 not completed, 1 errors, 5 not authentic, 6 behaviour, 3 not this.

        Layer authentic is among the verdicts if it was asked for, and then nothing but *yes* will do.
        """
        if not self.complete:
            return 4
        if self.kind is Kind.OTHER:
            return 3
        bad = {Verdict.NO, Verdict.UNDETERMINED} if strict else {Verdict.NO}
        differs = self.verdicts.get(Layer.BEHAVIOUR) is Verdict.NO
        own = {Layer.AUTHENTIC, Layer.BEHAVIOUR} if differs else {Layer.AUTHENTIC}  # these have codes of their own
        if any(verdict in bad for layer, verdict in self.verdicts.items() if layer not in own):
            return 1
        if strict and any(self.severity(f.rule) is Severity.WARNING for f in self.findings):
            return 1
        if self.verdicts.get(Layer.AUTHENTIC, Verdict.YES) is not Verdict.YES:
            return 5
        return 6 if differs or (self.trial is not None and not self.trial.started) else 0


def unreadable(name: str, level: Level, error: str) -> Report:
    """The report about a file that cannot be opened: one bad path does not end a run over many."""
    return Report(name, 0, Kind.OTHER, level, {}, (), complete=False, error=error)


def judge(
    findings: Iterable[Finding],
    layer: Layer,
    *,
    looked: bool = True,
    severities: Mapping[str, Severity] | None = None,
) -> Verdict:
    """The verdict of ``layer``: *no* with any error of that layer, *undetermined* where something was not looked at.

    ``severities`` are the rules that a policy raised or lowered (clause 16.8).
    """
    verdict = Verdict.YES if looked else Verdict.UNDETERMINED
    severities = severities or {}
    for finding in findings:
        row = rule(finding.rule)
        if row.layer is not layer:
            continue
        if severities.get(row.id, row.severity) is Severity.ERROR and not row.undetermined:
            return Verdict.NO
        if row.undetermined:
            verdict = Verdict.UNDETERMINED
    return verdict
