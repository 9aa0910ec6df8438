"""What a scrub found, file by file and in all, in the words that fixity tools have for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from llamafile_format.caring import Lost

FAILURES = ("changed", "missing", "untracked")
"""The words of fixity tools; a run with none of these has succeeded."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``path`` is ``added``, ``accepted``, ``forgotten``, ``repaired``, ``unreadable``, or one of :data:`FAILURES`.

    Of a file that is changed by damage, ``damaged`` is true and ``faults`` says where. ``kept`` is where the damaged
    copy of a repaired file lies, ``proof`` what proves the result.
    """

    path: str
    word: str
    detail: str = ""
    damaged: bool = False
    faults: tuple[Lost, ...] = ()
    kept: str = ""
    proof: str = ""


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """One run: ``files`` of ``size`` bytes are watched, of which it ``read`` so many; ``whole`` are those of which the
    last byte was proven by it. ``others`` are files that are no containers."""

    run: int
    began: str
    ended: str
    agent: str
    files: int
    size: int
    read: int
    whole: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    others: int
    notes: list[str] = field(default_factory=list)

    def of(self, word: str) -> tuple[Outcome, ...]:
        """The outcomes with this ``word``, by name."""
        return tuple(each for each in self.outcomes if each.word == word)

    @property
    def empty(self) -> bool:
        """True if there is nothing that is watched, was recorded, or could not be reached: the path may be mistyped."""
        return not self.files and not self.outcomes

    @property
    def success(self) -> bool:
        """True if there is something, and all that was read is as it was recorded, or is so again."""
        return not self.empty and not any(each.word in (*FAILURES, "unreadable") for each in self.outcomes)

    @property
    def exit_code(self) -> int:
        """4 if something could not be read, 1 if something is changed, missing or cannot be watched, 3 if there is
        nothing, else 0."""
        if self.of("unreadable"):
            return 4
        if self.empty:
            return 3
        return 0 if self.success else 1

    def value(self) -> dict[str, object]:
        """As JSON, in the form of fixity tools where they have one."""
        return {
            "run": self.run,
            "began": self.began,
            "ended": self.ended,
            "agent": self.agent,
            "success": self.success,
            "files": self.files,
            "size": self.size,
            "read": self.read,
            "whole": list(self.whole),
            "failures": {"files": {word: [each.path for each in self.of(word)] for word in FAILURES}},
            "outcomes": [_value(each) for each in self.outcomes],
            "others": self.others,
            "notes": list(self.notes),
        }


def _value(outcome: Outcome) -> dict[str, object]:
    return {
        "path": outcome.path,
        "word": outcome.word,
        "detail": outcome.detail,
        "damaged": outcome.damaged,
        "faults": [{"offset": each.offset, "length": each.length, "member": each.member} for each in outcome.faults],
        "kept": outcome.kept,
        "proof": outcome.proof,
    }
