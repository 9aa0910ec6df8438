"""What of a container can leave for a store of others: the model's own files, by the digests that the manifest has.

Stores keep models and know no containers. What only makes sense around them stays behind, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from llamafile_format.caring import admit
from llamafile_format.container import Container, open_container
from llamafile_format.engines.members import ROOT
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.exchanging.send import refuse_legacy
from llamafile_format.manifest.model import Manifest, Member
from llamafile_format.output.orders import ExportOrder
from llamafile_format.source import FileSource, Window
from llamafile_format.source.pending import refuse_pending
from llamafile_format.zip.names import is_reserved

_STAYS = {
    "readme": "",
    "chunks": "",
    "manifest": "",
    "engine-asset": "",
    "runtime": "the engine",
    "history": "records of earlier files",
    "viewer": "the viewer",
    "recovery": "recovery data",
}
"""Roles that say something about the container and nothing to a store, with how they are called."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """A container that passed a full verification, and its members that are files of the model, in the file's order."""

    container: Container
    manifest: Manifest
    members: tuple[Member, ...]

    def source(self, member: Member) -> Window:
        """The bytes of ``member``; whoever copies them compares their digest."""
        return Window(self.container.source, member.offset, member.size)

    def stays(self, taken: tuple[Member, ...]) -> str:
        """A sentence about what is left out if only ``taken`` goes; empty if nothing is."""
        gone = {member.path for member in taken}
        left = [member for member in self.manifest.members if member.path not in gone]
        words = ["the program in front"] if self.manifest.prefix.size else []
        kinds = [(member, _kind(member)) for member in left]
        words += dict.fromkeys(kind for _, kind in kinds if kind)
        words += [member.path for member, kind in kinds if kind is None]
        words += (
            ["signature records"] if any(each.role == "signature-record" for each in self.container.members) else []
        )
        return f"left out: {', '.join(words)}" if words else ""


def _kind(member: Member) -> str | None:
    """What ``member`` is called if it stays; empty if nobody misses it, None if it is one of the model's own files."""
    return _STAYS["runtime"] if member.path.startswith(f"{ROOT}/") else _STAYS.get(member.role)


@contextmanager
def leaving(order: ExportOrder) -> Iterator[Leaving]:
    """The container of ``order``, held open. Raises what :func:`~llamafile_format.caring.admit` does; UsageError for a
    legacy file, and for a moment, which stores have no place for."""
    if order.moment:
        raise UsageError("a store of models has no place for a moment", hint="leave out --date")
    refuse_pending(order.file)
    with FileSource(order.file) as source, open_container(source) as container:
        refuse_legacy(container, "exported")
        admit(source, "was not exported", order.progress)
        manifest = container.manifest
        assert manifest is not None
        own = [member for member in manifest.members if _kind(member) is None and not is_reserved(member.path)]
        yield Leaving(container, manifest, tuple(own))


def refuse_damage(member: Member, found: str) -> None:
    """FormatError if ``found``, the SHA-256 of what was copied, is not the one that the manifest has for ``member``."""
    if found != member.sha256:
        raise FormatError(
            f"{member.path} has another SHA-256 than its manifest says; nothing was exported",
            found=found,
            allowed=member.sha256,
            hint="llamafile-format verify --level full FILE",
        )
