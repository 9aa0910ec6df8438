"""A file in a repository of a hub: read from one commit, whichever the name stands for later (spec/1, 10.12.8)."""

from __future__ import annotations

import re
from dataclasses import replace

from llamafile_format.errors import SourceError
from llamafile_format.source.address import Address, at_hub, hub_file
from llamafile_format.source.answers import Answer, Version
from llamafile_format.source.connections import Connections
from llamafile_format.source.http_object import Access, HttpObject
from llamafile_format.source.traffic import Traffic

_COMMIT = re.compile(r"[0-9a-f]{40}")


class HubObject(HttpObject):
    """The file at ``address`` of ``hub``. A branch can move between two answers: so the first names the commit, and
    what is asked for later is asked for by that. One that was asked for is what it must be.
    """

    def __init__(self, address: Address, hub: str, access: Access, traffic: Traffic, connections: Connections) -> None:
        super().__init__(address, access, traffic, connections)
        self._hub = hub
        revision = hub_file(address.name).revision
        self._wanted = revision if _COMMIT.fullmatch(revision) else ""
        self._commit = ""
        self._sha256 = ""

    def _seen(self, answer: Answer) -> None:
        commit, sha256 = answer.commit, answer.linked
        with self._lock:
            self._sha256 = self._sha256 or sha256
            if sha256 not in ("", self._sha256):
                raise SourceError("changed while it was read: its bytes have another SHA-256 now", hint="try again")
            if self._wanted and commit not in ("", self._wanted):
                raise SourceError(f"the hub has the file from another commit than was asked for: {commit}")
            if commit and not self._commit:
                self._commit, self._first = commit, at_hub(self.name, self._hub, commit)
            if commit not in ("", self._commit):
                raise SourceError("changed while it was read: its revision is another commit now", hint="try again")

    def _compare(self, version: Version) -> None:
        tag = f"{self._commit} {version.tag}".strip()
        super()._compare(replace(version, tag=tag, pinned=bool(self._commit) or version.pinned, sha256=self._sha256))
