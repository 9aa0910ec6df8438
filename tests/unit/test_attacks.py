"""The attacks of the threat table (12.2), each on a genuine signed file, with every checksum and offset mended.

The attacker knows the format and has no key. He keeps the genuine records, or makes his own; either way nobody who
trusts the curator is to believe the file. What remains possible is at the end, with the policy that answers it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from llamafile_format import Layer, Verdict
from spec.vectors.generate.chunks import SCRIPT
from spec.vectors.generate.forge import (
    FOLDER,
    Part,
    gguf,
    local_header,
    parts,
    weights,
)
from spec.vectors.generate.signatures import signed
from spec.vectors.generate.signatures_forge import (
    Tail,
    unsigned,
)
from spec.vectors.generate.signatures_keys import CURATOR
from tests.signed_samples import forged, is_authentic, refused, verify

SIGNED = signed().done()
EVIL = b"evil"


def test_the_genuine_file_is_believed() -> None:
    assert is_authentic(verify(SIGNED))
    assert is_authentic(verify(forged()))  # nothing changed: what is forged below differs by its change alone


# The prefix


@pytest.mark.parametrize("level", ["quick", "full"])
def test_prefix_exchanged(level: str) -> None:
    genuine = Tail(unsigned(prefix=SCRIPT, kind="script")).oms(CURATOR)
    assert is_authentic(verify(genuine.done()))
    refused(forged(genuine=genuine, prefix=SCRIPT + b"echo evil\n", kind="script"), "LF8002", "LF8003", level=level)


def test_prefix_put_in_front() -> None:
    """Everything is shifted, and the manifest says so: the manifest is another one."""
    refused(forged(prefix=SCRIPT, kind="script"), "LF8002")
    refused(SCRIPT + bytes(65536 - len(SCRIPT)) + SIGNED, "LF2007", "LF2008", "LF3028")


def test_padding_of_the_prefix_used() -> None:
    genuine = Tail(unsigned(prefix=SCRIPT, kind="script")).oms(CURATOR)
    body = genuine.body[:1000] + b"echo evil\n" + genuine.body[1010:]
    genuine.body = body
    refused(genuine.done(), "LF4008", "LF4010")


# Members


def _changed(change: Callable[[list[Part]], Any], **spec: Any) -> bytes:
    return forged(change, **spec)


def _weights(found: list[Part]) -> list[Part]:
    return [weights(data=gguf("evil")) if part.role == "weights" else part for part in found]


def _renamed(found: list[Part]) -> list[Part]:
    return [replace(part, path="LICENCE.txt") if part.role == "license" else part for part in found]


def _added(found: list[Part]) -> list[Part]:
    return parts(Part("NOTES.txt", EVIL, "document", "text/plain"))


def _dropped(found: list[Part]) -> list[Part]:
    return [part for part in found if part.role != "license"]


def _swapped(found: list[Part]) -> list[Part]:
    """Two members exchange their contents, names stay."""
    data = {"LICENSE.txt": found[0].data, f"{FOLDER}README.txt": found[1].data}
    return [replace(part, data=data.get(part.path, part.data)) for part in found]


def _role(found: list[Part]) -> list[Part]:
    """The same bytes said to be something else: digests and names stay."""
    return [replace(part, media="text/markdown") if part.role == "license" else part for part in found]


@pytest.mark.parametrize("change", [_weights, _renamed, _added, _dropped, _swapped, _role])
def test_members(change: Callable[[list[Part]], Any]) -> None:
    refused(_changed(change), "LF8002", "LF8003")


@pytest.mark.parametrize(
    "labels",
    [
        {"default": "tiny.gguf", "name": "Tiny", "license": "MIT"},
        {"default": "tiny.gguf", "name": "Huge"},
        {"default": "tiny.gguf", "name": "Tiny", "tomorrow": "x"},
    ],
)
def test_words_of_the_manifest(labels: dict[str, str]) -> None:
    """No member differs, only what the manifest says: the manifest is a resource of the statement."""
    refused(forged(labels=labels), "LF8002", "LF8003")


def _patched(needle: bytes, new: bytes) -> bytes:
    """The covered bytes changed in place, manifest and records kept; CRCs in header and directory mended."""
    genuine = signed()
    assert genuine.body.count(needle) == 1
    before = next(part for part in parts() if needle in part.data)
    after = before.data.replace(needle, new)
    crc, other = (zlib.crc32(data).to_bytes(4, "little") for data in (before.data, after))
    genuine.body = genuine.body.replace(needle, new).replace(crc, other)
    genuine.directory = genuine.directory.replace(crc, other)
    return genuine.done()


def test_member_changed_under_the_genuine_manifest() -> None:
    refused(_patched(b"CC0-1.0\n", b"MIT-0.0\n"), "LF4001")
    refused(_patched(b"\x00\x00\x60\x3f", b"\x00\x00\x60\xbf"), "LF4001")


# The tail


def _extra(name: str, data: bytes = b"{}\n") -> bytes:
    return signed().add("oms", data, name).done()


@pytest.mark.parametrize(
    "name",
    [
        "0001.oms.json",
        "0003.oms.json",
        "0002.OMS.json",
        "0002.oms.json.sh",
        "0002.exe.bin",
        "../../evil.sh",
        "0002.oms.json/",
        "２.oms.json",
        "0002.tsr.json",
    ],
)
def test_entry_in_the_tail(name: str) -> None:
    refused(_extra(name), "LF3104")


def test_record_twice_under_one_number() -> None:
    made = signed()
    made.records.append(replace(made.records[0], name="0001.oms.json"))
    refused(made.done(), "LF3104", "LF2031")


def test_record_of_anything() -> None:
    for kind in ("oms", "sig", "att", "cnt", "vm", "tsr"):
        for data in (b"", b"\0" * 64, b"#!/bin/sh\n", b"{}\n", b'{\n "payload": "x"\n}\n'):
            refused(signed().add(kind, data).done(), "LF8001", "LF8020", "LF8022")


# Structure bytes: gaps, headers, directory, end


def _part(**over: Any) -> bytes:
    """The genuine container with fields of the licence's local header or directory record overridden."""
    licence = replace(next(part for part in parts() if part.role == "license"), **over)
    return forged(lambda found: [licence if part.role == "license" else part for part in found])


@pytest.mark.parametrize(
    "over",
    [
        {"local": {"time": 1}},
        {"local": {"flags": 0}},
        {"local": {"method": 8}},
        {"local": {"extra": b"\xfe\xca\x04\0evil"}},
        {"local": {"name": b"LICENSE.TXT"}},
        {"record": {"time": 1}},
        {"record": {"comment": b"evil"}},
        {"record": {"external": 0o120777 << 16}},
        {"record": {"name": b"LICENSE.TXT"}},
        {"record": {"offset": 0}},
        {"after": b"evil"},
        {"gap": b"evil"},
        {"listed": False},
        {"copies": 2},
    ],
    ids=str,
)
def test_structure(over: dict[str, Any]) -> None:
    report = verify(_part(**over), level="full")
    assert not is_authentic(report)
    assert report.verdicts[Layer.WELL_FORMED] is Verdict.NO


def test_directory_in_another_order() -> None:
    genuine = signed()
    first = 46 + int.from_bytes(genuine.directory[28:30], "little")
    genuine.directory = genuine.directory[first:] + genuine.directory[:first]
    refused(genuine.done(), "LF3102")


def test_directory_twice_and_end_records() -> None:
    at = SIGNED.rindex(b"PK\x05\x06")
    end = SIGNED[at:]
    start = int.from_bytes(end[16:20], "little")
    size = int.from_bytes(end[12:16], "little")
    directory = SIGNED[start : start + size]
    for data in (
        SIGNED + directory + end,  # a second directory behind the end
        SIGNED[:start] + directory + SIGNED[start:],  # and one in front of it
        SIGNED + b"evil",
        SIGNED[:-1],
        SIGNED[:-18] + b"llamafile-format/2",
        SIGNED + end,
        SIGNED[:at] + b"PK\x06\x06" + bytes(52) + b"PK\x06\x07" + bytes(16) + end,
    ):
        assert not is_authentic(verify(data))


def test_hidden_member_between_manifest_and_records() -> None:
    part = Part("hidden.sh", SCRIPT)
    genuine = signed()
    genuine.body += local_header(part) + part.data
    refused(genuine.done(), "LF3101", "LF3105", "LF2040")
