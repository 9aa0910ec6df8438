"""Files of strangers that become members, under names that members may have and no two share (clause 4.8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from llamafile_format import limits
from llamafile_format.engines.members import ROOT
from llamafile_format.errors import FormatError, LimitExceeded
from llamafile_format.packing import Include
from llamafile_format.source import put_down
from llamafile_format.zip.names import collisions, is_reserved, name_faults


@dataclass(slots=True)
class Included:
    """What was found so far."""

    includes: list[Include] = field(default_factory=list)

    def add(self, include: Include) -> None:
        """One more, whose member is named; FormatError for a name that no member may have."""
        name = include.member
        faults = name_faults(name)
        if faults:
            raise FormatError(f"{name[:200]!r} cannot be a member name: it {faults[0]}", clause="4.8")
        if is_reserved(name):
            raise FormatError(f"{name} lies in the reserved folder META-LLAMAFILE/", clause="4.8")
        if name.partition("/")[0].casefold() == ROOT:  # the launcher in front of it would start a stranger's program
            raise FormatError(
                f"{name[:200]} lies in the folder of engines, {ROOT}/: no store brings what starts a model",
                clause="12.1.8",
                hint="leave it out there; what starts the model is named with --runtime",
            )
        put_down(include.source)
        self.includes.append(include)
        count = len(self.includes)
        most = limits.DIRECTORY_ENTRIES
        if count > most:
            raise LimitExceeded("too many files", clause="12.4", found=count, allowed=f"{most} members")
        if count % 1024 == 0:
            _refuse_twice([each.member for each in self.includes])

    def done(self) -> list[Include]:
        """All of them."""
        _refuse_twice([each.member for each in self.includes])
        return self.includes


def _refuse_twice(names: Sequence[str]) -> None:
    for index, earlier in collisions(names):
        raise FormatError(f"{names[index]!r} and {names[earlier]!r} could be one file", clause="4.8.6")
