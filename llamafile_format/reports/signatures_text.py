"""Signatures for people: whether the file is intact, who signed, and why that is trusted (spec/1, 16.9.5).

These are three answers in three lines. A signature by a key that nobody named is by an unknown key, and no word here
makes more of it; what a record says of itself is told as its own word.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from llamafile_format.checks.verdict import Report, Verdict
from llamafile_format.reports.escape import printable
from llamafile_format.rules import Layer
from llamafile_format.signing.records.record import RecordKind
from llamafile_format.signing.trust.evidence import Standing
from llamafile_format.signing.trust.policy import APPROVING

if TYPE_CHECKING:
    from llamafile_format.signing.trust.evidence import PublisherFact, SignatureFact

MAX_SHOWN = 32  # records; a report as JSON has them all
_LABEL = 17
_INTACT = {
    Verdict.YES: "yes",
    Verdict.NO: "no (below)",
    Verdict.UNDETERMINED: "no fault found; not all was looked at (below)",
}


def signature_lines(report: Report) -> list[str]:
    """The lines about signature records and publisher signatures; none if the file has neither."""
    lines: list[str] = []
    for fact in report.signatures[:MAX_SHOWN]:
        lines += _wrapped("  ", fact.record)
        for label, text in _about(report, fact):
            lines += _line(label, text)
    if len(report.signatures) > MAX_SHOWN:
        lines.append(f"  and {len(report.signatures) - MAX_SHOWN} more records; --format json has them")
    for published in report.publishers[:MAX_SHOWN]:
        lines += _wrapped("  ", published.member)
        for label, text in _about_publisher(published):
            lines += _line(label, text)
    return lines


def _about(report: Report, fact: SignatureFact) -> Iterator[tuple[str, str]]:
    if fact.standing is Standing.MATERIAL:
        yield "", fact.because
        return
    yield "intact", _intact(report, fact)
    if fact.kind is RecordKind.TSR:
        yield "stamped by", _authority(fact)
    else:
        yield "signed by", _signer(fact)
        if fact.key_id:
            yield "", f"key {fact.key_id}"
    trusted = fact.standing is Standing.TRUSTED
    yield "trusted because" if trusted else "not trusted", fact.because
    yield from _when(fact)


def _intact(report: Report, fact: SignatureFact) -> str:
    if fact.standing is Standing.BAD:
        return "this record is not in order, or not about this file (below)"
    return _INTACT[report.verdicts.get(Layer.WELL_FORMED, Verdict.UNDETERMINED)]


def _signer(fact: SignatureFact) -> str:
    if fact.standing is Standing.TRUSTED:
        every = APPROVING.issubset(fact.roles)  # a key of the command line: nobody said in what role
        means = [fact.algorithm, "" if every or not fact.roles else f"as {_and(fact.roles)}"]
        return f"{fact.signer} ({', '.join(filter(None, means))})"
    whom = _WHO[fact.standing].format(means=_MEANS.get(fact.method, "key"))
    return f"{whom}; it calls itself {fact.claims!r}" if fact.claims else whom


def _authority(fact: SignatureFact) -> str:
    if fact.standing is Standing.TRUSTED:
        return f"{fact.signer} ({fact.algorithm})"
    return f"an unknown authority; {fact.claims}" if fact.claims else "an unknown authority"


_MEANS = {"certificate": "certificate", "sigstore": "Sigstore identity"}
_WHO = {
    Standing.UNKNOWN: "an unknown {means}",
    Standing.REFUSED: "somebody named, but it does not count",
    Standing.BAD: "nobody: it does not hold",
    Standing.UNCHECKED: "an unknown {means}, which could not be checked",
}


def _and(words: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _when(fact: SignatureFact) -> Iterator[tuple[str, str]]:
    """A time with the authority that proves it, or as the claim that it is."""
    if fact.time:
        yield "time", f"{fact.time}, proven by {fact.time_by}{f', level {fact.level}' if fact.level else ''}"
    elif fact.declared_time:
        yield "time", f"not proven; the record itself says {fact.declared_time}"


def _about_publisher(fact: PublisherFact) -> Iterator[tuple[str, str]]:
    trusted = fact.standing is Standing.TRUSTED
    yield "names", f"{len(fact.matched)} of {fact.total} of its files are here"
    for theirs, ours in fact.matched[:3]:
        yield "", f"{theirs} is {ours}" if theirs != ours else ours
    yield "signed by", fact.signer or "an unknown publisher"
    yield "trusted because" if trusted else "not trusted", fact.because
    if fact.time:
        yield "time", f"{fact.time}, proven"


def _line(label: str, text: str) -> list[str]:
    if not label:
        return _wrapped("      ", text)
    return _wrapped(f"    {label:<{_LABEL}}", text)


def _wrapped(lead: str, text: str) -> list[str]:
    after = " " * len(lead) if len(lead) < 30 else "      "
    return textwrap.wrap(
        printable(text),
        80,
        initial_indent=lead,
        subsequent_indent=after,
        break_on_hyphens=False,
        break_long_words=False,
    ) or [lead.rstrip()]
