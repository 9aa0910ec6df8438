"""Behaviour records as members, and what a replay finds (spec/1, 15.2 and 15.8): each fault a finding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from llamafile_format.bounded_yaml import PAST_CAP
from llamafile_format.engines.behaviour import MAX_RECORD, Agreement, Record
from llamafile_format.engines.behaviour_compare import DIFFERS, EQUAL, Comparison, LikelihoodResult, PromptResult
from llamafile_format.engines.behaviour_reader import Reading, read_record
from llamafile_format.findings import Finding, Value, Where

MAX_FAULTS = 16  # clause 10.2.2: of one record


def check_record(data: bytes, *, member: str, base: int, there: Iterable[str]) -> Iterator[Finding]:
    """Findings about the data of a record. ``there`` holds the SHA-256 digests of the container's members."""
    where = Where(base, len(data), member)
    yield from reading_findings(read_record(data), where, frozenset(there))


def reading_findings(reading: Reading, where: Where, there: frozenset[str]) -> Iterator[Finding]:
    """What is wrong with a record that was read, at ``where``."""
    path = where.member
    if reading.reason == PAST_CAP:
        yield Finding("LF9007", where, {"path": path, "reason": reading.reason})
    elif reading.reason:
        yield Finding("LF9100", where, {"path": path, "reason": reading.reason})
    for name, reason in reading.faults[:MAX_FAULTS]:
        yield Finding("LF9101", _field(where, name), {"path": path, "field": name, "reason": reason})
    for name in reading.unknown[:MAX_FAULTS]:
        yield Finding("LF9102", _field(where, name), {"path": path, "field": name})
    for name, reason in reading.contradictions[:MAX_FAULTS]:
        yield Finding("LF9103", _field(where, name), {"path": path, "field": name, "reason": reason})
    if reading.record is not None and (absent := _absent(reading.record, there)):
        yield Finding("LF9104", where, {"path": path, "what": absent})


def _field(where: Where, name: str) -> Where:
    return Where(where.offset, where.length, where.member, name)


def _absent(record: Record, there: frozenset[str]) -> str:
    """What the record speaks of and the file does not have. Another build of the runtime will do, other weights not."""
    return next((f"weights {part.path}" for part in record.subject.weights if part.sha256 not in there), "")


def too_large(size: int) -> bool:
    """True for a record that is not read."""
    return size > MAX_RECORD


def replay_findings(comparison: Comparison, record: Record, demanded: Agreement, member: str) -> Iterator[Finding]:
    """Where a replay fell short of ``demanded``, one finding for each prompt: the first stage at which it departed."""
    for index, prompt in enumerate(comparison.prompts):
        if not prompt.agreement.meets(demanded):
            yield _departure(prompt, record, Where(member=member, field=f"prompts[{index}]"))
    likelihood = comparison.likelihood
    if likelihood is not None and not likelihood.agreement.meets(demanded):
        yield _likelihood(likelihood, Where(member=member, field="likelihood"))


def _departure(prompt: PromptResult, record: Record, where: Where) -> Finding:
    stages, near = prompt.stages, record.tolerance.logit
    args: dict[str, Value] = {"id": prompt.id}
    if stages["rendered"] == DIFFERS:
        return Finding("LF9110", where, args)
    if stages["tokens"] == DIFFERS:
        return Finding("LF9111", where, args)
    if prompt.max_abs > near:
        amount = f"{prompt.max_abs:.6g}"
        step = prompt.logits.step if prompt.logits else 0
        return Finding("LF9114", where, {**args, "step": step, "amount": amount, "tolerance": f"{near:g}"})
    if prompt.token is not None:
        token = prompt.token
        args |= {"step": token.step, "found": _token(token.found), "recorded": _token(token.recorded)}
        return Finding("LF9112", where, args)
    if stages["output"] == stages["text"] == EQUAL and prompt.logits is not None:
        args |= {"step": prompt.logits.step, "amount": f"{prompt.max_abs:.6g}", "ulp": prompt.max_ulp}
        return Finding("LF9113", where, args)
    return Finding("LF9115", where, args)


def _token(number: int) -> str:
    return "the end" if number < 0 else f"token {number}"


def _likelihood(found: LikelihoodResult, where: Where) -> Finding:
    args: dict[str, Value] = {
        "text": found.text,
        "found": f"{found.found:.6f}",
        "recorded": f"{found.recorded:.6f}",
        "tokens": found.tokens,
        "logits": found.logits,
    }
    return Finding("LF9116", where, args)
