"""Verified first: what ``run``, ``serve``, ``complete`` and ``record`` ask of a file before anything of it starts.

A file that ``verify`` calls not well-formed or not valid is refused; what stays undetermined is told in a line. Every
chunk is read the first time that a file is met (spec/1, 14.3.2), and never again while the memory of it counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from llamafile_format.checks.verdict import Level, Report, Verdict
from llamafile_format.container import Container, open_container
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.examining import Memory, Trust, examine, recall, refuse, watch
from llamafile_format.progress import Progress
from llamafile_format.rules import Layer, rule
from llamafile_format.running.accepted_arguments import refuse_unaccepted
from llamafile_format.signing.trust.policy import Starting
from llamafile_format.source import FileSource
from llamafile_format.source.pending import refuse_pending

if TYPE_CHECKING:
    from llamafile_format.signing.trust.policy import Policy

_ASKED = (Layer.WELL_FORMED, Layer.VALID)


class Reading(StrEnum):
    """How much is read before a file is started: every chunk the first time, or only structure."""

    FULL = "full"
    QUICK = "quick"


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of a file before it is started. ``progress`` is called with (bytes done, bytes in all).

    ``accept`` are the options that the arguments of a classic engine may set (clause 14.3.11).
    """

    reading: Reading = Reading.FULL
    policy: Policy | None = None
    progress: Progress | None = None
    accept: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.policy is not None and self.reading is Reading.QUICK:
            raise UsageError(
                "under a policy or a key every byte is read", hint="leave --verify quick, or --policy and --key, out"
            )
        if self.policy is not None and self.policy.run is Starting.FORBID:
            raise FormatError(f"the policy {self.policy.name!r} forbids that anything is started", clause="16.7.5")


@contextmanager
def verified(path: Path, demand: Demand) -> Iterator[tuple[Container, tuple[str, ...]]]:
    """The container at ``path``, open, and sentences for the user, once it has passed what is demanded.

    Raises FormatError with the rule that is broken, NotAuthentic if nobody vouches whom the policy trusts, SourceError
    for what cannot be read or changes meanwhile, NotALlamafile.
    """
    refuse_pending(path)
    with FileSource(path) as source:
        remembering = demand.reading is Reading.FULL and demand.policy is None
        watched = watch(source) if remembering else None  # before a byte is read
        with open_container(source) as container:
            refuse_compressed(container)
            manifest = sha256(container.manifest_bytes).hexdigest() if container.manifest_bytes else ""
            memory = recall(source, manifest) if remembering else None
            quick = memory is not None or demand.reading is Reading.QUICK
            trust = Trust(demand.policy) if demand.policy is not None and not _names_another(container) else None
            report = examine(
                container, level=Level.QUICK if quick else Level.FULL, trust=trust, progress=demand.progress
            )
            refuse(report, "was not started")
            refuse_unaccepted(container, demand.accept)
            if watched is not None and memory is None:
                watched.keep(report)
            yield container, tuple(_doubts(report, demand, memory))


def refuse_compressed(container: Container) -> None:
    """FormatError for weights that cannot be used where they lie: better advice than that of the rule."""
    for member in container.members:
        if member.role == "weights" and not member.stored:
            raise FormatError(
                f"{member.path} is compressed and cannot be used in place",
                clause="LF2023",
                hint="llamafile-format repack FILE --to 1.0 --prefix launcher -o NEW.llamafile stores it",
            )


def _names_another(container: Container) -> bool:
    """True for the small program beside a container: that one is what runs, and what has to be signed (16.9.4)."""
    return container.manifest is not None and container.manifest.prefix.sibling is not None


def _doubts(report: Report, demand: Demand, memory: Memory | None) -> Iterator[str]:
    """One line for what was not read, or for each verdict that is not *yes*."""
    if demand.reading is Reading.QUICK:
        yield "weights not read (--verify quick)"
        return
    for layer in _ASKED:
        if memory is not None:
            if memory.verdicts[layer.value] != Verdict.YES.value:
                yield f"{layer.value} was undetermined on {memory.day}: llamafile-format verify says why"
        elif report.verdicts.get(layer) is not Verdict.YES:
            yield f"{layer.value} is undetermined: {_reason(report, layer)}"


def _reason(report: Report, layer: Layer) -> str:
    """Why ``layer`` is undetermined: the first thing that was not looked at."""
    for finding in report.findings:
        row = rule(finding.rule)
        if row.undetermined and row.layer is layer:
            return f"{row.render(finding)} [{finding.rule}]"
    return "llamafile-format verify says why"
