"""Faults in what came with version 1.1 (11.2.5, 11.10): the roles ``viewer`` and ``recovery``."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zstandard

from spec.vectors.generate import vector
from spec.vectors.generate.forge import Part, Spec, container, encode, gguf, parts, readme, weights

REGISTRY = Path(__file__).resolve().parents[2] / "registry/viewers"


def holding(*more: Part, version: str = "1.1") -> bytes:
    """The good container with ``more`` behind its model."""
    return container(Spec([*parts(), *more], labels={"default": "tiny.gguf", "version": version}))


def page(path: str = "llamafile-viewer.html", data: bytes = b"<!doctype html>\n", role: str = "viewer") -> Part:
    """A page that nobody has registered, unless it is told otherwise."""
    return Part(path, data, role, "text/html")


@vector("version", near="LF3005 LF3037 LF3038", comment="Version 1.1 without anything that came with it.")
def version() -> bytes:
    return holding()


@vector("viewer", near="LF3037 LF3038", comment="The registered page of version 1, in its place.")
def viewer() -> bytes:
    packed = (REGISTRY / "1.html.zst").read_bytes()
    return holding(page(data=zstandard.ZstdDecompressor().decompress(packed, max_output_size=1 << 23)))


@vector(
    "viewer-elsewhere",
    rules="LF3037 LF3038",
    valid="yes",
    layer="manifest",
    comment="A viewer under a name that nobody looks for, and that nobody has registered.",
)
def viewer_elsewhere() -> bytes:
    return holding(page("page.html"))


@vector(
    "viewer-unregistered",
    rules="LF3038",
    near="LF3037",
    valid="yes",
    layer="manifest",
    comment="A page of one's own in the place of the viewer.",
)
def viewer_unregistered() -> bytes:
    return holding(page())


@vector("document-under-its-path", near="LF3037 LF3038", comment="A document of 1.0 that has the viewer's name.")
def document_under_its_path() -> bytes:
    return container(Spec(parts(page(role="document")), labels={"default": "tiny.gguf"}))


# Recovery data, written from chapter 17 alone: files so small that they have one slice, which is its own recovery slice


PATH = "recovery/covered.par2"
SLICE = 4096


def packet(kind: bytes, set_id: bytes, body: bytes) -> bytes:
    """A packet (17.1.1)."""
    rest = set_id + kind.ljust(16, b"\0") + body + bytes(-len(body) % 4)
    return b"PAR2\0PKT" + struct.pack("<Q", 32 + len(rest)) + hashlib.md5(rest).digest() + rest


def recovery_set(covered: bytes, skeleton: bytes, *, length: int | None = None, percent: int = 5) -> bytes:
    """The member over ``covered``, of at most one slice; ``length`` is told instead of the right one."""
    length = len(covered) if length is None else length
    padded = covered.ljust(SLICE, b"\0")
    first = hashlib.md5(covered[:16384]).digest()
    file_id = hashlib.md5(first + struct.pack("<Q", length) + b"covered.bin").digest()
    main = struct.pack("<QI", SLICE, 1) + file_id
    set_id = hashlib.md5(main).digest()
    described = file_id + hashlib.md5(covered).digest() + first + struct.pack("<Q", length) + b"covered.bin"
    critical = packet(b"PAR 2.0\0Main", set_id, main) + packet(b"PAR 2.0\0FileDesc", set_id, described)
    sums = file_id + hashlib.md5(padded).digest() + struct.pack("<I", zlib.crc32(padded))
    critical += packet(b"PAR 2.0\0IFSC", set_id, sums)
    critical += packet(b"llamafl\0Skeleton", set_id, struct.pack("<QQ", percent, len(skeleton)) + skeleton)
    critical += packet(b"PAR 2.0\0Creator", set_id, b"llamafile-format recovery 1\0")
    return critical * 2 + packet(b"PAR 2.0\0RecvSlic", set_id, bytes(4) + padded) + critical


def small_parts() -> list[Part]:
    """Members that fit one slice together."""
    return [readme(b"short\n"), weights(data=gguf("tiny"))]


def protected(change: Callable[[bytes], bytes] = bytes, *more: Part, version: str = "1.1", **told: Any) -> bytes:
    """A container with recovery data, edited by ``change``; ``told`` goes to :func:`recovery_set`."""
    labels = {"default": "tiny.gguf", "version": version}
    plain = container(Spec(small_parts(), labels={"default": "tiny.gguf", "version": "1.1"}))
    with zipfile.ZipFile(io.BytesIO(plain)) as archive:
        value = json.loads(archive.read("META-LLAMAFILE/manifest.json"))
    value["members"] = [member for member in value["members"] if member["role"] != "chunks"]
    end = value["members"][-1]["offset"] + value["members"][-1]["size"]
    told = {"skeleton": encode(value), **told}
    data = change(recovery_set(plain[:end], **told))
    return container(Spec([*small_parts(), Part(PATH, data, "recovery", "application/x-par2"), *more], labels=labels))


@vector("recovery", near="LF3037 LF4012 LF4013 LF4014 LF9008", comment="Recovery data of a small container.")
def recovery() -> bytes:
    return protected()


@vector(
    "recovery-stale",
    rules="LF4012",
    near="LF4013",
    comment="Recovery data that a 1.0 repacker has kept, and named 1.0.",
)
def recovery_stale() -> bytes:
    return protected(version="1.0")


@vector(
    "recovery-byte",
    rules="LF4013",
    near="LF4012",
    layer="chunks",
    valid="yes",
    comment="One byte of the recovery slice is another, and its digests fit.",
)
def recovery_byte() -> bytes:
    return protected(lambda data: data[:-5000] + bytes([data[-5000] ^ 1]) + data[-4999:])


@vector("recovery-nothing", rules="LF4013", layer="chunks", valid="yes", comment="No recovery set at all.")
def recovery_nothing() -> bytes:
    return protected(lambda data: b"not a set\n")


@vector("recovery-length", rules="LF4013", layer="chunks", valid="yes", comment="A set that covers a byte less.")
def recovery_length() -> bytes:
    return protected(length=1000)


@vector(
    "recovery-empty-skeleton", rules="LF4013", layer="chunks", valid="yes", comment="A set over a whole file, inside."
)
def recovery_empty_skeleton() -> bytes:
    return protected(skeleton=b"")


@vector(
    "recovery-behind",
    rules="LF3010 LF4012 LF4014",
    comment="A role of tomorrow behind the recovery data, which know nothing of it and do not protect it.",
)
def recovery_behind() -> bytes:
    return protected(bytes, Part("weather.bin", b"rain\n", "weather", "application/octet-stream"))


@vector(
    "recovery-elsewhere",
    rules="LF3037",
    layer="manifest",
    valid="yes",
    comment="Recovery data where nobody looks for them.",
)
def recovery_elsewhere() -> bytes:
    return holding(Part("recovery/other.par2", b"x\n", "recovery", "application/x-par2"))
