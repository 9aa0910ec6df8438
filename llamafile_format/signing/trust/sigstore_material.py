"""The form of what a Sigstore bundle brings along: log entry and time stamps (spec/1, 13.9.10).

Sigstore's own verifier reads leniently: numbers as text, several spellings, fields that nothing compares. Here each of
them has one spelling and one value, so that nobody can change a byte of a record and have it still verify.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from llamafile_format.manifest.canonical_json import decode
from llamafile_format.signing.records.strict_json import bytes_of, fields_of, wrong

CLAUSE = "13.9.10"
MAX_STAMPS = 8  # a bundle has one; each costs signature checks
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_CHECKPOINT = re.compile(
    r"(?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]{0,18})\n(?P<root>[A-Za-z0-9+/]+={0,2})\n(?:[^\n]+\n)*"
    r"\n— (?P<name>\S+) (?P<signature>[A-Za-z0-9+/]+={0,2})\n"
)
_fields = partial(fields_of, clause=CLAUSE)
_bytes = partial(bytes_of, clause=CLAUSE)
_wrong = partial(wrong, clause=CLAUSE)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What a bundle says of its entry in the log; ``promised`` if the log signed the time of it."""

    key_id: bytes
    promised: bool
    integrated: int


@dataclass(frozen=True, slots=True)
class Material:
    """Log entry and time stamps (DER responses) of a bundle; ``value`` is the whole bundle as JSON."""

    value: Mapping[str, Any]
    entry: LogEntry
    stamps: tuple[bytes, ...]

    def with_stamp(self, index: int) -> dict[str, Any]:
        """The bundle with one time stamp as its only source of time."""
        entry = {**self._entry, "integratedTime": "0"}
        entry.pop("inclusionPromise", None)
        stamps = self.value["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
        return self._with(entry, {"timestampVerificationData": {"rfc3161Timestamps": [stamps[index]]}})

    def with_promise(self) -> dict[str, Any]:
        """The bundle with the log's promise as its only source of time."""
        return self._with(self._entry, {})

    @property
    def _entry(self) -> dict[str, Any]:
        return dict(self.value["verificationMaterial"]["tlogEntries"][0])

    def _with(self, entry: Mapping[str, Any], stamps: Mapping[str, Any]) -> dict[str, Any]:
        certificate = self.value["verificationMaterial"]["certificate"]
        material = {"certificate": certificate, "tlogEntries": [entry], **stamps}
        return {**self.value, "verificationMaterial": material}


def read_material(data: bytes) -> Material:
    """The material of the bundle in ``data``, which ``read_bundle`` has read already; FormatError."""
    value = decode(data, exact=False)
    material = _fields(value["verificationMaterial"], "verificationMaterial", {"certificate", "tlogEntries"}, {_STAMPS})
    entries = _list(material["tlogEntries"], "tlogEntries", 1, 1)
    stamps: tuple[bytes, ...] = ()
    if _STAMPS in material:
        listed = _fields(material[_STAMPS], _STAMPS, set(), {"rfc3161Timestamps"}).get("rfc3161Timestamps", [])
        stamps = tuple(
            _bytes(_fields(item, "rfc3161Timestamps[]", {"signedTimestamp"})["signedTimestamp"], "signedTimestamp")
            for item in _list(listed, "rfc3161Timestamps", 0, MAX_STAMPS)
        )
    if len(set(stamps)) != len(stamps):
        raise _wrong("rfc3161Timestamps", "one twice", "each once")
    return Material(value, _entry(entries[0]), stamps)


_STAMPS = "timestampVerificationData"


def _entry(value: Any) -> LogEntry:
    needed = {"logIndex", "logId", "kindVersion", "inclusionProof", "canonicalizedBody"}
    entry = _fields(value, "tlogEntries[0]", needed, {"integratedTime", "inclusionPromise"})
    index = _number(entry["logIndex"], "logIndex")
    key_id = _bytes(_fields(entry["logId"], "logId", {"keyId"})["keyId"], "keyId")
    kind = _fields(entry["kindVersion"], "kindVersion", {"kind", "version"})
    if not all(isinstance(part, str) for part in kind.values()):
        raise _wrong("kindVersion", "no text", "kind and version as text")
    _bytes(entry["canonicalizedBody"], "canonicalizedBody")
    _inclusion(entry["inclusionProof"], index, promised="inclusionPromise" in entry)
    integrated = _number(entry.get("integratedTime", "0"), "integratedTime")
    promised = "inclusionPromise" in entry
    if promised:
        promise = _fields(entry["inclusionPromise"], "inclusionPromise", {"signedEntryTimestamp"})
        _bytes(promise["signedEntryTimestamp"], "signedEntryTimestamp")
    if promised != (integrated != 0):  # a time without the log's word is anybody's word
        raise _wrong("integratedTime", integrated, "a time with the log's promise, or neither")
    return LogEntry(key_id, promised, integrated)


def _inclusion(value: Any, index: int, *, promised: bool) -> None:
    needed = {"logIndex", "rootHash", "treeSize", "hashes", "checkpoint"}
    proof = _fields(value, "inclusionProof", needed)
    here = _number(proof["logIndex"], "inclusionProof.logIndex")
    size = _number(proof["treeSize"], "treeSize")
    root = proof["rootHash"]
    _bytes(root, "rootHash")
    for item in _list(proof["hashes"], "hashes", 0, 64):
        _bytes(item, "hashes[]")
    note = _fields(proof["checkpoint"], "checkpoint", {"envelope"})["envelope"]
    match = _CHECKPOINT.fullmatch(note) if isinstance(note, str) else None
    if match is None:  # further signatures would be bytes that nothing here checks
        raise _wrong("checkpoint", "another form", "a signed note with the log's signature alone")
    _bytes(match["signature"], "checkpoint")
    name, origin = match["name"], match["origin"]
    if name != origin and not origin.startswith(f"{name} - "):
        raise _wrong("checkpoint", f"a signature of {name[:60]}", f"one of {origin[:60]}")
    if (match["size"], match["root"]) != (str(size), root):
        raise _wrong("treeSize or rootHash", f"{size}, {root}", "what the checkpoint says")
    if not promised and index != here:  # the promise covers it; without one, nothing but the proof does
        raise _wrong("logIndex", index, str(here))


def _list(value: Any, name: str, least: int, most: int) -> Sequence[Any]:
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise _wrong(name, "another number", f"{least} to {most}" if least != most else str(least))
    return value


def _number(value: Any, name: str) -> int:
    """Protocol buffers write 64-bit numbers as text; here only the shortest text for a number will do."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise _wrong(name, f"{value!r:.40}", "a whole number as text")
    return int(value)
