"""The last word before a file gets its name (spec/1, 8.1.10): the verifier's own judgement of the bytes written.

There is one door out. Whatever made a container, what ``verify`` would call malformed is never published, and what it
would call not valid only if the user insists; then the manifest's history says what was overridden.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llamafile_format.container import Container
from llamafile_format.errors import FormatError
from llamafile_format.findings import Finding
from llamafile_format.packing.assemble import Assembled, reissue
from llamafile_format.rules import Layer, Severity, rule
from llamafile_format.source import ByteSource

MAX_FORCED = 64  # findings that the history keeps

Record = Callable[[Sequence[dict[str, Any]]], tuple[Any, ...]]
"""From what was forced to the manifest's history with that in it."""


def judge(source: ByteSource, fresh: Collection[str] | None = None) -> list[Finding]:
    """Errors that ``verify`` would report of the finished file ``source``, but for digests, which its writer computed.

    ``fresh`` are paths of members whose contents are to be read to their end: the others were judged when they came
    in. None means all.
    """
    from llamafile_format.checks.contents import check_contents
    from llamafile_format.checks.verdict import Level
    from llamafile_format.examining import examine

    with Container(source) as container:
        found = [*examine(container, level=Level.QUICK).findings]
        if fresh is None or fresh:
            found += check_contents(container, deep=True, only=fresh)
    errors = {(item.rule, item.where): item for item in found if _is_error(item)}
    return list(errors.values())


def _is_error(finding: Finding) -> bool:
    row = rule(finding.rule)
    return row.severity is Severity.ERROR and not row.undetermined and row.layer in (Layer.WELL_FORMED, Layer.VALID)


INSIST = "; or insist with --force"
"""In the hint of each refusal that ``force`` overrides, behind what else can be done."""

TOLD = f"{INSIST}: verify will say what is wrong"


def refuse_errors(found: Sequence[Finding], *, force: bool) -> None:
    """Raise FormatError for the first error that ``force`` does not override."""
    malformed = [item for item in found if rule(item.rule).layer is Layer.WELL_FORMED]
    if not found or (force and not malformed):
        return
    first = (malformed or list(found))[0]
    row, more = rule(first.rule), f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    place = f"{first.where.member}: " if first.where.member and first.where.member not in row.render(first) else ""
    remedy = row.remedy.rstrip(".")
    hint = remedy if malformed else remedy + TOLD
    raise FormatError(f"{place}{row.render(first)}{more}", clause=first.rule, hint=hint)


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a finished container is to be judged: ``fresh`` as for :func:`judge`, ``record`` to remember what was forced.

    ``overridden`` are findings that the user has overridden before anything was written.
    """

    record: Record
    fresh: Collection[str] | None = None
    force: bool = False
    overridden: Sequence[Finding] = ()

    def of(self, source: ByteSource, out: int, written: Assembled, records: Sequence[bytes]) -> Assembled:
        """The container ``written`` to ``out``, read as ``source``; with another history if something was forced.

        Raises FormatError if it must not be published.
        """
        found = judge(source, self.fresh)
        refuse_errors(found, force=self.force)
        said = {(item.rule, item.where.member) for item in found}
        found += [item for item in self.overridden if (item.rule, item.where.member) not in said]
        return reissue(out, written, records, history=self.record(forced(found))) if found else written


def forced(found: Sequence[Finding]) -> list[dict[str, Any]]:
    """What was overridden, for the history (clause 8.4.4)."""
    return [{"rule": item.rule, "message": rule(item.rule).render(item)} for item in found[:MAX_FORCED]]


def with_forced(history: Sequence[Any], step: Mapping[str, Any]) -> Record:
    """A :data:`Record` that puts what was forced into ``step``, the last object of ``history``."""
    return lambda overridden: (*history, {**step, "forced": list(overridden)})
