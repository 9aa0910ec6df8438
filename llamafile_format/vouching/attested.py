"""Behaviour records as attestations: signed by whoever recorded them, without a repack (spec/1.0, 15.7.6)."""

from __future__ import annotations

from llamafile_format.checks.attested import BEHAVIOUR
from llamafile_format.vouching.sign import Attestation


def attestation_of(record: bytes) -> Attestation:
    """The attestation that says: this behaviour record, YAML by 15.2, was made of this file."""
    return Attestation(BEHAVIOUR, {"record": record.decode("utf-8")})
