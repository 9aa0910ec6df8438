"""Behaviour records in the signature tail: signed by whoever recorded them, without a repack (spec/1, 15.7.6)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from llamafile_format.checks.signatures import read_records
from llamafile_format.container import Container
from llamafile_format.errors import FormatError
from llamafile_format.signing.records.envelope import read_bundle
from llamafile_format.signing.records.record import RecordKind
from llamafile_format.signing.records.statement import read_statement

BEHAVIOUR = "urn:llamafile-format:behaviour:1.0"
"""Predicate type of a behaviour record (15.7.6)."""


def attested_records(container: Container) -> Mapping[str, bytes]:
    """The attested behaviour records of ``container`` by name, ``attested/NNNN``, in order. Nobody's key was asked.

    What is not about this manifest, or not of the form that 15.7.6 demands, is passed over.
    """
    found: dict[str, bytes] = {}
    manifest = hashlib.sha256(container.manifest_bytes).hexdigest()
    for record in read_records(container.source, container.archive):
        if record.kind is not RecordKind.ATT:
            continue
        try:
            statement = read_statement(read_bundle(record.data).payload)
        except FormatError:
            continue
        text = statement.predicate.get("record")
        if statement.predicate_type == BEHAVIOUR and statement.subject_sha256 == manifest and isinstance(text, str):
            found[f"attested/{record.number:04d}"] = text.encode("utf-8")
    return found
