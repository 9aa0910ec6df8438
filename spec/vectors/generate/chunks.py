"""Damage, and lies about digests (chapter 6). Everything that depends on the fault has been mended around it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from spec.vectors.generate import vector
from spec.vectors.generate.forge import FOLDER, Part, Spec, container, encode, parts

SCRIPT = b"#!/bin/sh\necho hello\nexit 0\n"
LABELS = {"default": "tiny.gguf"}


def good(**spec: Any) -> bytes:
    """The good container."""
    return container(Spec(parts(), labels=LABELS, **spec))


def flipped(data: bytes, needle: bytes, at: int = 0, mask: int = 1) -> bytes:
    """``data`` with one bit changed, ``at`` bytes behind the only ``needle``."""
    assert data.count(needle) == 1, data.count(needle)
    where = data.index(needle) + at
    return data[:where] + bytes([data[where] ^ mask]) + data[where + 1 :]


def edited(change: Callable[[dict[str, Any]], Any], **spec: Any) -> bytes:
    """The good container with another manifest."""

    def text(data: bytes) -> bytes:
        value = json.loads(data)
        change(value)
        return encode(value)

    return good(text=text, **spec)


_NEAR = "LF9004 LF9006 LF4001 LF4002 LF4003 LF4004 LF4005 LF4007 LF3101 LF3102 LF3103 LF3105 LF3106 LF3107"


@vector("good", near=_NEAR + " LF9001 LF9002", comment="The neighbour of them all.")
def good_() -> bytes:
    return good()


@vector("bit-in-weights", rules="LF4001", valid="yes", layer="chunks", comment="One bit of a tensor has flipped.")
def bit_in_weights() -> bytes:
    return flipped(good(), b"\x00\x00\x60\x3f", 2)


@vector("bit-in-licence", rules="LF4001", valid="yes", layer="chunks", comment="One bit of the licence has flipped.")
def bit_in_licence() -> bytes:
    return flipped(good(), b"CC0-1.0\n", 2)


@vector(
    "bit-in-gap",
    rules="LF3105 LF4008 LF2040",
    valid="yes",
    layer="chunks",
    comment="One bit of the gap before the weights is set.",
)
def bit_in_gap() -> bytes:
    data = good()
    header = data.index(b"PK\x03\x04", data.index(b"CC0-1.0\n"))
    assert data[header - 1] == 0
    return data[: header - 1] + b"\1" + data[header:]


@vector(
    "bit-in-prefix", rules="LF4008 LF4009", valid="yes", layer="chunks", comment="One bit of the engine has flipped."
)
def bit_in_prefix() -> bytes:
    return flipped(good(prefix=SCRIPT, kind="script"), b"echo hello", 5)


@vector(
    "bit-in-padding",
    rules="LF4008 LF4009 LF4010",
    valid="yes",
    layer="chunks",
    comment="One bit of the prefix padding is set.",
)
def bit_in_padding() -> bytes:
    data = good(prefix=SCRIPT, kind="script")
    return data[:60000] + b"\1" + data[60001:]


@vector(
    "code-in-padding",
    rules="LF4010",
    valid="yes",
    layer="chunks",
    comment="Code behind the engine, with every digest mended.",
)
def code_in_padding() -> bytes:
    hidden = SCRIPT + bytes(100) + b"echo hidden\n"
    import hashlib

    spec = Spec(parts(), prefix=hidden, kind="script", labels=LABELS)
    spec.prefix_object = {"engine_size": len(SCRIPT), "engine_sha256": hashlib.sha256(SCRIPT).hexdigest()}
    return container(spec)


@vector(
    "list-digest",
    rules="LF4003",
    valid="yes",
    layer="chunks",
    comment="A bit of a digest in the chunk list has flipped; the data is intact.",
)
def list_digest() -> bytes:
    data = good()
    line = data.index(b" tiny.gguf\n", data.index(b"chunks.txt"))
    start = data.rindex(b"\n", 0, line) + 1
    return data[:start] + (b"0" if data[start : start + 1] != b"0" else b"1") + data[start + 1 :]


@vector(
    "list-short",
    rules="LF4002",
    valid="yes",
    layer="chunks",
    comment="The chunk list lacks a line, padded elsewhere to the same length.",
)
def list_short() -> bytes:
    def cut(text: bytes) -> bytes:
        lines = text.splitlines(keepends=True)
        return b"".join([*lines[:2], b"0" * (len(lines[2]) - 1) + b"\n", *lines[3:]])

    return good(chunks=cut)


@vector("list-upper-case", rules="LF4002", valid="yes", layer="chunks", comment="A digest in the list is in capitals.")
def list_upper_case() -> bytes:
    return good(chunks=lambda text: text[:64].upper() + text[64:])


@vector("list-overlap", rules="LF4002", valid="yes", layer="chunks", comment="A line names other bytes than are due.")
def list_overlap() -> bytes:
    def shift(text: bytes) -> bytes:
        lines = text.splitlines(keepends=True)
        sha, offset, length, path = lines[1].split(b" ", 3)
        lines[1] = b" ".join([sha, str(int(offset) - 1).encode(), length, path])
        return b"".join(lines)

    return good(chunks=shift)


@vector(
    "member-sha256",
    rules="LF4004",
    valid="yes",
    layer="chunks",
    comment="The manifest names another SHA-256 for a member; chunks and CRC are right.",
)
def member_sha256() -> bytes:
    return edited(lambda value: value["members"][1].update(sha256="ab" * 32))


@vector(
    "member-crc32",
    rules="LF3101 LF3102 LF4005",
    valid="yes",
    layer="chunks",
    comment="The manifest names another CRC-32 than data and headers have.",
)
def member_crc32() -> bytes:
    return edited(lambda value: value["members"][1].update(crc32="00000000"))


@vector(
    "member-sha512",
    rules="LF4006",
    valid="yes",
    layer="chunks",
    comment="Archive profile: the manifest names another SHA-512.",
)
def member_sha512() -> bytes:
    return edited(lambda value: value["members"][1].update(sha512="ab" * 64), archive_profile=True)


@vector("chunk-root", rules="LF4007", valid="yes", layer="chunks", comment="The manifest names another chunk root.")
def chunk_root() -> bytes:
    return edited(lambda value: value["members"][1].update(chunk_root="ab" * 32))


@vector(
    "chunk-root-of-list",
    rules="LF4007",
    valid="yes",
    layer="chunks",
    comment="The manifest names another chunk root for the list itself.",
)
def chunk_root_of_list() -> bytes:
    return edited(lambda value: value["members"][-1].update(chunk_root="ab" * 32))


@vector(
    "engine-sha256",
    rules="LF4009",
    valid="yes",
    layer="chunks",
    comment="The manifest passes the engine off as another release.",
)
def engine_sha256() -> bytes:
    return edited(lambda value: value["prefix"].update(engine_sha256="ab" * 32), prefix=SCRIPT, kind="script")


@vector(
    "empty-member-sha256",
    rules="LF4004",
    valid="yes",
    layer="chunks",
    comment="An empty member with a digest that is not that of nothing.",
)
def empty_member_sha256() -> bytes:
    def text(data: bytes) -> bytes:
        value = json.loads(data)
        value["members"][1]["sha256"] = "ab" * 32
        return encode(value)

    empty = Part("empty.txt", b"", "document", "text/plain")
    return container(Spec(parts(empty), labels=LABELS, text=text))


@vector("empty-member", near="LF4004 LF4007", comment="An empty member.")
def empty_member() -> bytes:
    return container(Spec(parts(Part("empty.txt", b"", "document", "text/plain")), labels=LABELS))


@vector("header-time", rules="LF3101 LF2028", valid="yes", layer="chunks", comment="A clock in a local header.")
def header_time() -> bytes:
    licence = Part("LICENSE.txt", b"CC0-1.0\n", "license", "text/plain", local={"time": 1})
    return container(Spec(parts(licence), labels=LABELS))


@vector("directory-time", rules="LF3102 LF2028", valid="yes", layer="chunks", comment="A clock in a directory record.")
def directory_time() -> bytes:
    licence = Part("LICENSE.txt", b"CC0-1.0\n", "license", "text/plain", record={"time": 1})
    return container(Spec(parts(licence), labels=LABELS))


@vector("trailing", rules="LF2011", valid="yes", layer="archive", comment="One byte behind the end record.")
def trailing() -> bytes:
    return good() + b"\0"


@vector(
    "mark-without-manifest",
    rules="LF3028 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="The manifest was taken out to pass for a legacy file.",
)
def mark_without_manifest() -> bytes:
    from spec.vectors.generate.forge import End, archive

    return archive(list(parts()), end=End())


@vector("mark-with-manifest", near="LF3028", comment="Mark and manifest.")
def mark_with_manifest() -> bytes:
    return good()


def _record(name: str) -> Part:
    """A record in form, by a key that nobody knows, under another name."""
    from spec.vectors.generate.signatures_forge import Tail
    from spec.vectors.generate.signatures_keys import STRANGER

    return Part(f"{FOLDER}signatures/{name}", Tail(good()).oms(STRANGER).records[0].data, "")


@vector(
    "signature-record",
    rules="LF9005",
    near="LF3104",
    comment="A signature record in form, and nobody to trust is named.",
)
def signature_record() -> bytes:
    return good(behind=[_record("0001.oms.json")])


@vector("no-signature-record", near="LF9005", comment="No signature record.")
def no_signature_record() -> bytes:
    return good()


@vector(
    "signature-numbering",
    rules="LF3104 LF3102 LF3103 LF3106",
    valid="yes",
    layer="manifest",
    comment="The first record has number 2: one was taken out.",
)
def signature_numbering() -> bytes:
    return good(behind=[_record("0002.oms.json")])


@vector(
    "signature-name",
    rules="LF3104 LF3102 LF3103 LF3106",
    valid="yes",
    layer="manifest",
    comment="A record of a kind that there is not.",
)
def signature_name() -> bytes:
    return good(behind=[_record("0001.zip.bin")])


@vector(
    "two-chunks",
    rules="LF9002",
    encoding="zlib",
    comment="A member of two chunks: level full does not recompute its whole digest (verified at level full).",
)
def two_chunks() -> bytes:
    return container(Spec(parts(Part("long.txt", bytes(5 << 20), "document", "text/plain")), labels=LABELS))


@vector(
    "second-chunk",
    rules="LF4001",
    layer="chunks",
    valid="yes",
    encoding="zlib",
    near="LF9002",
    comment="One bit in the second of two chunks has flipped.",
)
def second_chunk() -> bytes:
    data = two_chunks()
    at = data.index(b"long.txt") + len("long.txt") + (4 << 20) + 1000
    return data[:at] + b"\1" + data[at + 1 :]


def _asset_edited(change: Callable[[dict[str, Any]], Any]) -> bytes:
    from spec.vectors.generate.archive_bytes import engine

    def text(data: bytes) -> bytes:
        value = json.loads(data)
        change(value["prefix"]["directory"]["assets"][0])
        return encode(value)

    return engine().spec(text=text)


@vector(
    "engine-asset-sha256",
    rules="LF4011",
    valid="yes",
    layer="chunks",
    comment="The manifest vouches for another file of the engine than the one that its ZIP holds.",
)
def engine_asset_sha256() -> bytes:
    return _asset_edited(lambda asset: asset.update(sha256="ab" * 32))


@vector("engine-asset", near="LF4011 LF3026", comment="An engine's own file, as the manifest says (level exhaustive).")
def engine_asset() -> bytes:
    return _asset_edited(lambda asset: None)


@vector(
    "list-sha512",
    rules="LF4001",
    valid="yes",
    layer="chunks",
    comment="Archive profile: a SHA-512 in the chunk list is another one; all else agrees with the list.",
)
def list_sha512() -> bytes:
    def other(text: bytes) -> bytes:
        lines = text.splitlines(keepends=True)
        head, _, rest = lines[-1].rpartition(b" ")
        return b"".join([*lines[:-1], head[:-128] + b"ab" * 64 + b" " + rest])

    return good(chunks=other, archive_profile=True)


@vector("hyphen", rules="LF2033 LF3012", valid="yes", layer="manifest", comment="A member named like no member.")
def hyphen() -> bytes:
    return container(Spec(parts(Part("-", b"hello\n", "document", "text/plain")), labels=LABELS))


@vector(
    "quick-look",
    rules="LF9001 LF9006",
    well_formed="undetermined",
    valid="undetermined",
    comment="A good file of which level quick reads neither data nor vocabulary (verified at level quick).",
)
def quick_look() -> bytes:
    return good()
