"""Which members are opened as weights or templates, and so are checked as such (spec/1, 10.5.1 and 14.7)."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from llamafile_format.checks.what_will_run import Use, what_will_run

if TYPE_CHECKING:
    from llamafile_format.container import Container

_WEIGHTS = frozenset({Use.MODEL, Use.PROJECTOR, Use.ADAPTER, Use.DRAFT})


def uses_of(container: Container) -> dict[str, tuple[Use, ...]]:
    """Path of a member to what it is opened as."""
    found: dict[str, list[Use]] = defaultdict(list)
    for path, use in what_will_run(container, scan=False).uses:
        found[path].append(use)
    return {path: tuple(uses) for path, uses in found.items()}


def as_weights(uses: tuple[Use, ...]) -> tuple[str, ...]:
    """Reasons to take a member for weights: phrases that continue "it is taken for weights by"."""
    return tuple(f"its use as {use.value}" for use in uses if use in _WEIGHTS)
