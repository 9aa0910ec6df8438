"""What a worker does: it judges the objects of one shard, in the one guarded child that it has (spec/1, 10.15.3).

This runs wherever the engine sends it. What comes here in the arguments of a task can be read by everybody who reaches
the scheduler, so no secret is among them: where a worker needs a token, it has it in its own files and variables.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from llamafile_format.errors import FormatError
from llamafile_format.fleet.bounds import Bounds, End
from llamafile_format.fleet.guard import Guard
from llamafile_format.fleet.inventory import Item
from llamafile_format.fleet.ledger import Basis
from llamafile_format.fleet.look import Terms
from llamafile_format.fleet.row import Row, row_of
from llamafile_format.plain_json import plain
from llamafile_format.rules import ruleset_digest

_KILLED = "SIGKILL"
_own = threading.local()


@dataclass(frozen=True, slots=True)
class Job:
    """On which terms and within which bounds objects are judged, and what that comes to as a ``basis``.

    A moment in ``terms`` is only part of the basis if somebody named it: ``dated``.
    """

    terms: Terms
    bounds: Bounds
    dated: bool = False

    @property
    def basis(self) -> Basis:
        """What the judgements rest on."""
        terms = self.terms
        demanded = {
            "policy": plain(terms.policy) if terms.policy is not None else None,
            "require_signature": terms.require_signature,
            "tensors": plain(terms.tensors),
            "as_of": terms.as_of if self.dated else None,
        }
        text = json.dumps(demanded, sort_keys=True, default=_told)
        return Basis(ruleset_digest(), terms.level.value, hashlib.sha256(text.encode("ascii")).hexdigest())


def _told(value: Any) -> Any:
    """What JSON has no word for, always in the same one."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, frozenset | set):
        return sorted(json.dumps(plain(item), default=_told) for item in value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"a policy holds {type(value).__name__}")


def judge_shard(job: Job, items: Sequence[tuple[Item, str]]) -> list[Row | None]:
    """A row for each of ``items``; None for one that is still in the state that stands beside it.

    FormatError if this worker has other rules than its coordinator.
    """
    if ruleset_digest() != job.basis.rules:
        raise FormatError("this worker has other rules than its coordinator", hint="install the same version there")
    guard = _guard(job.bounds)
    return [_row(guard, job.terms, item, unless) for item, unless in items]


def _row(guard: Guard, terms: Terms, item: Item, unless: str) -> Row | None:
    outcome = guard.judge(item.name, terms, unless=unless)
    if outcome.end is End.CRASHED and _KILLED in outcome.why:  # nothing in a file can do that, but a full machine can
        outcome = guard.judge(item.name, terms, unless=unless)
    return None if outcome.end is End.UNCHANGED else row_of(item, outcome)


def _guard(bounds: Bounds) -> Guard:
    """The guard of this thread of the worker; it outlives the task, because its child is what costs."""
    guard: Guard | None = getattr(_own, "guard", None)
    if guard is None or guard.bounds != bounds:
        if guard is not None:
            guard.close()
        guard = _own.guard = Guard(replace(bounds))
    return guard
