"""Signature records that came as referrers: anybody who may write to a registry can attach some, and in any number.

Only an unbroken row 0001 … n that speaks about this very manifest goes into the file; what is left out is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llamafile_format.checks.signatures import Row, Subject
from llamafile_format.container import Container
from llamafile_format.errors import FormatError, LimitExceeded, SourceError
from llamafile_format.exchanging.depot import Giver
from llamafile_format.exchanging.descriptors import Descriptor, read_image
from llamafile_format.exchanging.modelpack import MANIFEST, NUMBER, RECORD, RECORD_TYPES
from llamafile_format.signing.records.record import MAX_RECORD, MAX_RECORDS, MAX_TAIL, Record, parse_record_path

_MOST_READ = 2 * MAX_RECORDS
_MOST_TRIED = 64
"""Records that do not hold: behind so many nothing more is looked at. Each costs a check of signatures."""


@dataclass(frozen=True, slots=True)
class Found:
    """The records that go into the file, and a sentence about each that does not."""

    records: tuple[Record, ...]
    notes: tuple[str, ...]


def attached(giver: Giver, subject: Descriptor, manifest_sha256: str) -> tuple[list[Record], list[str]]:
    """The referrers of ``subject`` that are records of the manifest, by number, each once; notes about the others."""
    listed = list(giver.referrers(subject))
    if len(listed) > _MOST_READ:
        raise LimitExceeded(f"{giver.name} has too many referrers", found=len(listed), allowed=f"{_MOST_READ}")
    found: dict[tuple[int, str], Record] = {}
    notes, total = [], 0
    for each in listed:
        if each.artifact_type and each.artifact_type not in RECORD_TYPES:
            notes.append(f"{each.digest} is attached, and no record: {each.artifact_type[:100]}")
            continue
        try:
            record = _record(giver, each, subject, manifest_sha256)
        except (FormatError, SourceError) as error:
            notes.append(f"{each.digest} is attached, and no record of this file: {error.message}")
            continue
        total += len(record.data)
        if total > MAX_TAIL:
            raise LimitExceeded("the records are too large", found=total, allowed=f"{MAX_TAIL} bytes in all")
        found[record.number, record.sha256] = record
    return [found[key] for key in sorted(found)], notes


def _record(giver: Giver, listed: Descriptor, subject: Descriptor, manifest_sha256: str) -> Record:
    image = read_image(giver.document(listed), listed.digest)
    said = image.annotations
    named = parse_record_path(said.get(RECORD, ""))
    if image.subject is None or image.subject.digest != subject.digest:
        raise FormatError("it is about another image")
    if named is None or said.get(NUMBER) != f"{named[0]:04d}" or not 1 <= named[0] <= MAX_RECORDS:
        raise FormatError("it does not say which record it is")
    if said.get(MANIFEST) != manifest_sha256:
        raise FormatError("it is about another manifest")
    if len(image.layers) != 1 or image.layers[0].size > MAX_RECORD:
        raise FormatError("a record is one layer of at most 1 MiB")
    layer = image.layers[0]
    source = giver.blob(layer)
    data = source.read_at(0, source.size)
    record = Record(*named, said[RECORD], 0, 0, data)
    if record.sha256 != layer.hex:
        raise FormatError("its bytes have another digest than their name")
    return record


def unbroken(container: Container, offered: Sequence[Record]) -> Found:
    """The row 0001 … n among ``offered`` in which every record is in form and about ``container``.

    Where two claim one number, the first that holds is taken, by digest.
    """
    claims = container.claims
    assert claims is not None
    row, tried, notes = Row(Subject(claims.manifest, claims.data, claims.layout)), 0, []
    for record in offered:
        due = len(row.records) + 1
        if record.number < due:
            notes.append(f"{record.path} is left out: its number is taken")
        elif record.number > due:
            notes.append(f"{record.path} is left out: {due:04d} is missing or does not hold")
        elif tried == _MOST_TRIED:
            notes.append(f"{record.path} is left out: {_MOST_TRIED} others do not hold, and no more were tried")
        elif not row.take(record):
            tried += 1
            notes.append(f"{record.path} is left out: it does not hold for this file")
    return Found(row.records, tuple(notes))
