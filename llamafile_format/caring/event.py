"""One thing that happened to a container, in the words of PREMIS."""

from __future__ import annotations

import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """``kind`` is a term of the vocabulary eventType of the Library of Congress, such as ``fixity check``.

    ``moment`` is like ``2026-11-29T14:00:00Z``, ``outcome`` such as ``pass``, ``agent`` the program that did it;
    both may be empty.
    """

    kind: str
    moment: str
    detail: str
    outcome: str
    agent: str

    def identifier(self, subject: str) -> str:
        """A UUID that follows from what happened, and to what."""
        told = "\n".join((subject, self.kind, self.moment, self.detail, self.outcome, self.agent))
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:llamafile-format:event:{told}"))
