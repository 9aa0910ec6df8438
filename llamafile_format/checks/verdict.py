"""Verdicts and the report: what a verification says, and how certain it is (spec/1.0, 10.1 to 10.3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from llamafile_format.findings import Finding
from llamafile_format.rules import Layer, Severity, rule


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


class Kind(Enum):
    """What the file turned out to be."""

    CONTAINER = "llamafile 1"
    LEGACY = "legacy llamafile"
    OTHER = "not a llamafile"


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a verification. Sizes are bytes; ``verdicts`` holds the layers that were asked for.

    ``complete`` is False when reading failed on the way: then nothing here is a *yes*.
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

    def exit_code(self, *, strict: bool = False) -> int:
        """The command's exit code (clause 10.7): 4 not completed, 1 errors, 6 behaviour, 3 not this format, 0 fine."""
        if not self.complete:
            return 4
        if self.kind is Kind.OTHER:
            return 3
        bad = {Verdict.NO, Verdict.UNDETERMINED} if strict else {Verdict.NO}
        differs = self.verdicts.get(Layer.BEHAVIOUR) is Verdict.NO
        if any(v in bad for layer, v in self.verdicts.items() if not (differs and layer is Layer.BEHAVIOUR)):
            return 1
        if strict and any(rule(f.rule).severity is Severity.WARNING for f in self.findings):
            return 1
        return 6 if differs else 0


def judge(findings: Iterable[Finding], layer: Layer, *, looked: bool = True) -> Verdict:
    """The verdict of ``layer``: *no* with any error of that layer, *undetermined* where something was not looked at."""
    verdict = Verdict.YES if looked else Verdict.UNDETERMINED
    for finding in findings:
        row = rule(finding.rule)
        if row.layer is not layer:
            continue
        if row.severity is Severity.ERROR and not row.undetermined:
            return Verdict.NO
        if row.undetermined:
            verdict = Verdict.UNDETERMINED
    return verdict
