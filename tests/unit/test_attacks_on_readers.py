"""The attacks of the threat table (12.2) on whoever reads a signed file: on time, memory and terminals."""

from __future__ import annotations

import hashlib
import json
import struct
import tracemalloc
from types import SimpleNamespace
from typing import Any

import pytest

from spec.vectors.generate.forge import (
    MARK,
    Part,
    directory_record,
    local_header,
)
from spec.vectors.generate.signatures import signed, tail
from spec.vectors.generate.signatures_certificates import (
    FALSE_LEAF,
    FALSE_STAMP_LEAF,
    FALSE_STAMP_ROOT,
    Certificate,
    revocations,
)
from spec.vectors.generate.signatures_forge import (
    SIGNATURES,
    bundle,
    directory_count,
)
from spec.vectors.generate.signatures_keys import CURATOR, STRANGER
from spec.vectors.generate.timestamps_forge import Stamp
from tests.signed_samples import is_authentic, refused, verify

SIGNED = signed().done()


# Exhaustion


def test_records_that_overlap_are_not_read_a_thousand_times() -> None:
    """A file of one megabyte whose thousand records share one place must not be held a thousand times."""
    made = signed().add("oms", b" " * (1 << 20))
    body, records = made.before(), made.parts()
    records[0].header_at = len(made.body)
    records += [Part(f"{SIGNATURES}{number:04d}.oms.json", records[1].data) for number in range(3, 1025)]
    for part in records[1:]:
        part.header_at = body.rindex(local_header(records[1]))
    directory = made.directory + b"".join(map(directory_record, records))
    count = directory_count(directory)
    data = body + directory + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(directory), len(body), 18)
    data += MARK
    tracemalloc.start()
    try:
        assert not is_authentic(verify(data, level="quick"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 128 << 20


def test_strange_stamps_do_not_multiply_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each token of nothing here could be a renewal; the file is hashed once for each function, not for each token."""
    from llamafile_format.signing.time import prefix_digests

    made, hashers = signed(), []
    for number in range(40):
        made.add("tsr", Stamp(hashlib.sha256(b"%d" % number).digest(), signer=FALSE_STAMP_LEAF).encode())
    before = hashlib.new

    def counted(*arguments: Any, **options: Any) -> Any:
        hashers.append(arguments)
        return before(*arguments, **options)

    monkeypatch.setattr(prefix_digests, "hashlib", SimpleNamespace(new=counted))
    refused(made.done(), "LF8021", level="full")
    assert len(hashers) <= 5


def test_stamps_and_lists_do_not_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists in the authority's name, and the genuine stamp again and again: work is their sum, not their product."""
    from cryptography import x509

    made = signed().stamp()
    for batch in range(2):
        made.vm([], [revocations(FALSE_STAMP_ROOT, 100 * batch + number + 1) for number in range(100)])
    made.records += [made.records[1]] * 40
    loaded, before = [], x509.load_der_x509_crl

    def counted(data: bytes) -> Any:
        loaded.append(data)
        return before(data)

    monkeypatch.setattr(x509, "load_der_x509_crl", counted)
    verify(made.done(), "level-t")
    assert len(loaded) <= 2000


def test_deep_and_huge_records() -> None:
    for data in (
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{\n "a": ' + b"9" * 500_000 + b"\n}\n",
        b'"' + b"\\u0041" * 100_000,
    ):
        refused(tail().add("oms", data).done(), "LF8001")
    refused(tail().add("tsr", b"\x30\x80" * 10_000).done(), "LF8020")
    refused(tail().add("tsr", b"\x30\x84\xff\xff\xff\xff").done(), "LF8020")


# Strings from the file on a terminal

HOSTILE = "Tiny\x1b[2J\x1b]0;evil\x07\u202egnihton\u200b\x00\r\nintact"


def _printable(text: str) -> bool:
    return not any(character in text for character in "\x1b\x07\u202e\u200b\x00\r")


def test_hostile_names_are_escaped(tmp_path: Any) -> None:
    from click.testing import CliRunner

    from llamafile_format.cli.main import cli

    made = tail()

    def statement(value: Any) -> None:
        value["subject"][0]["name"] = HOSTILE
        value["predicate"]["resources"].append({"algorithm": "sha256", "digest": "ab" * 32, "name": HOSTILE})

    evil = Certificate(STRANGER, HOSTILE.replace("\0", ""), 66, None, FALSE_LEAF.usage)
    files = {
        "statement": tail().oms(CURATOR, edit=statement),
        "predicate": made.copy().add("att", bundle(json.dumps({"predicateType": HOSTILE}).encode(), CURATOR)),
        "attestation": made.copy().att(CURATOR, HOSTILE, {HOSTILE: HOSTILE}),
        "certificate": made.copy().oms(STRANGER, certificates=[evil]),
        "record": made.copy().add("oms", json.dumps({HOSTILE: 1}).encode()),
    }
    from spec.vectors.generate import ROOT as VECTORS

    for name, what in files.items():
        path = tmp_path / name
        path.write_bytes(what.done())
        whom = ["--policy", str(VECTORS / "trust" / "certificate.yaml")]
        for words in (["verify", *whom], ["verify"], ["verify", *whom, "--format", "json"], ["inspect"], ["explain"]):
            result = CliRunner().invoke(cli, [*words, str(path)])
            assert result.exception is None or isinstance(result.exception, SystemExit), (name, words, result.exception)
            assert _printable(result.output), (name, words)
