"""What a verification is told about trust: a policy, a date, detached records (spec/1, 13.4 and 13.10)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from llamafile_format.checks.verdict import Verdict, judge
from llamafile_format.findings import Finding
from llamafile_format.rules import Layer
from llamafile_format.signing.records.record import MAX_RECORD, Record, detached_record
from llamafile_format.source import read_small

if TYPE_CHECKING:
    from llamafile_format.signing.trust.policy import Policy


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to trust, as of when (``at``, aware), and the detached records that the user named."""

    policy: Policy | None = None
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    required: bool = False
    detached: tuple[Record, ...] = ()

    @property
    def asked(self) -> bool:
        """True if the layer authentic was asked for."""
        return self.required or self.policy is not None

    @property
    def wants_whole(self) -> bool:
        """True if the policy rests on whole digests, which a manifest can claim of any bytes: it demands a publisher,
        whose word is about them (13.5.2), compares digests with its own (16.6.5), or raises LF9002 (10.4.3)."""
        if self.policy is None:
            return False
        if "LF9002" in self.policy.severities:
            return True
        publisher = any(each.role.value == "publisher" for each in self.policy.requirements)
        return publisher or bool(self.compared)

    @property
    def knows_publishers(self) -> bool:
        """True if there are signers whose publisher's signature would count, whether or not one is demanded."""
        return self.policy is not None and any(
            role.value == "publisher" for signer in self.policy.signers for role in signer.roles
        )

    @property
    def compared(self) -> tuple[str, ...]:
        """What the policy compares with whole digests of the file, in words."""
        policy = self.policy
        if policy is None:
            return ()
        engines = policy.takes_registered or any(each.startswith("sha256:") for each in policy.engines or ())
        prefixes = bool(policy.prefix_digests)
        pinned = any(pin.manifests for pin in policy.pins)
        named = (
            (policy.denied_digests, "denied digests"),
            (engines, "engines by digest"),
            (prefixes, "prefixes by digest"),
            (pinned, "pinned manifests"),
        )
        return tuple(words for there, words in named if there)


def detached_records(paths: Sequence[str | os.PathLike[str]]) -> tuple[Record, ...]:
    """The detached records in the files ``paths``, in that order. SourceError, or FormatError for a wrong name."""
    return tuple(detached_record(os.fspath(path), read_small(path, MAX_RECORD)) for path in paths)


def unestablished(findings: Iterable[Finding], trust: Trust, *, judged: bool) -> list[Finding]:
    """Why nobody's word can count, whatever the records say: a file that is not what its manifest says, or no answer to
    the question whom to trust. ``judged``: the records were looked at."""
    more = []
    severities = trust.policy.severities if trust.policy is not None else {}
    damaged = judge(findings, Layer.WELL_FORMED, severities=severities) is Verdict.NO
    if trust.policy is None:
        more.append(Finding("LF8115"))
    elif not judged and not damaged and (trust.required or trust.policy.unsigned.value == "refuse"):
        more.append(Finding("LF8101"))  # a legacy llamafile has no manifest that could be signed
    if trust.policy is not None and trust.policy.sha256 and not judged:
        more.append(Finding("LF8406"))  # what is forbidden cannot be looked for without a manifest
    if damaged:
        more.append(Finding("LF8116"))
    return more
