"""What a package is about: one container, what it says of itself, and the copy of it that lies there."""

from __future__ import annotations

from dataclasses import dataclass

from llamafile_format.caring.admitting import Admitted
from llamafile_format.caring.event import Event
from llamafile_format.caring.event_log import read_log
from llamafile_format.examining import Bill, Inspection, bill_of
from llamafile_format.output.checked_copy import Copied

UNKNOWN = "1970-01-01T00:00:00Z"
"""The moment that stands for one that nobody knows, where a form demands one and no clock is asked."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The container ``name`` with the digests of ``copied``. ``moment`` of the package may be empty.

    Texts out of the file are as they are there: escape them.
    """

    name: str
    copied: Copied
    bill: Bill
    moment: str
    events: tuple[Event, ...] = ()

    @property
    def inspection(self) -> Inspection:
        """Everything that ``inspect`` knows of it."""
        return self.bill.inspection

    @property
    def title(self) -> str:
        """What people call it: its title, else the name of its model, else that of the file."""
        model = self.inspection.model
        return self.inspection.file.title or (model.facts.name if model else "") or self.name

    @property
    def identifier(self) -> str:
        """A name that no other file has: of its manifest, which signing does not change, else of its bytes."""
        return identifier_of(self.inspection.file.manifest_sha256, self.copied.sha256)

    @property
    def stated(self) -> str:
        """The moment of the package, else when the container was made, else one that stands for neither."""
        return self.moment or self.inspection.file.created or UNKNOWN


def identifier_of(manifest_sha256: str, sha256: str) -> str:
    """The identifier of a file with these digests; only an older llamafile has no manifest, and then ``sha256``."""
    if manifest_sha256:
        return f"urn:llamafile-format:manifest:sha256:{manifest_sha256}"
    return f"urn:llamafile-format:file:sha256:{sha256}"


def subject_of(file: Admitted, copied: Copied, moment: str) -> Subject:
    """The subject that ``file`` is, with the events of its manifest. FormatError if their chain is broken."""
    bill = bill_of(file.source)
    manifest = bill.inspection.file.manifest_sha256
    events = tuple(logged.event for logged in read_log(file.source.name) if logged.manifest_sha256 == manifest)
    return Subject(file.name, copied, bill, moment, events)
