"""A permissive builder of containers, written from chapters 4 to 6 alone: it shares no code with the library.

Every field of every record can be overridden by name, so that a vector's fault is one override. Without overrides the
result is a canonical container, byte for byte what the library's writer makes of the same inputs (a test compares
them). What depends on other bytes (chunk digests, offsets in the manifest) is computed after the overrides, as an
attacker would: only the fault itself is wrong.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MARK = b"llamafile-format/1"
CHUNK = 4 << 20
FFFF, FFFFFFFF = 0xFFFF, 0xFFFFFFFF
FOLDER = "META-LLAMAFILE/"

LOCAL = ("magic", "needed", "flags", "method", "time", "date", "crc", "csize", "size", "namelen", "extralen")
RECORD = (
    "magic",
    "made",
    "needed",
    "flags",
    "method",
    "time",
    "date",
    "crc",
    "csize",
    "size",
    "namelen",
    "extralen",
    *("commentlen", "disk", "internal", "external", "offset"),
)
END = ("magic", "disk", "cd_disk", "disk_count", "count", "size", "offset", "commentlen")
END64 = ("magic", "length", "made", "needed", "disk", "cd_disk", "disk_count", "count", "size", "offset")
LOCATOR = ("magic", "disk", "offset", "disks")

Overrides = Mapping[str, Any]


@dataclass
class Part:
    """One member. ``local`` and ``record`` override header fields (also ``name``, ``extra``, ``comment``).

    ``gap`` replaces the alignment gap, ``after`` is put behind the data, ``listed=False`` leaves the member out of the
    directory, ``copies`` lists it several times. ``wide`` forces Zip64 as zipalign does. ``manifest`` overrides fields
    of the member's manifest object; a part without role is not in the manifest.
    """

    path: str
    data: bytes = b""
    role: str = ""
    media: str = ""
    align: int = 1
    mode: int = 0o100644
    method: int = 0
    wide: bool = False
    local: Overrides = field(default_factory=dict)
    record: Overrides = field(default_factory=dict)
    gap: bytes | None = None
    after: bytes = b""
    listed: bool = True
    copies: int = 1
    manifest: Overrides = field(default_factory=dict)
    header_at: int = 0
    data_at: int = 0

    @property
    def stored(self) -> bytes:
        """The data as it stands in the file."""
        if self.method != 8:
            return self.data
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(self.data) + packer.flush()

    @property
    def name(self) -> bytes:
        """The name as bytes; lone surrogates stand for bytes that are not UTF-8."""
        return self.path.encode("utf-8", "surrogateescape")


def zip64(*values: int) -> bytes:
    """A Zip64 extra field."""
    return extra(1, b"".join(struct.pack("<Q", value) for value in values))


def extra(kind: int, body: bytes) -> bytes:
    """One extra field."""
    return struct.pack("<HH", kind, len(body)) + body


def _pack(layout: str, names: Sequence[str], values: dict[str, Any], overrides: Overrides) -> bytes:
    merged = {**values, **{key: value for key, value in overrides.items() if key in names}}
    return struct.pack(layout, *(merged[name] for name in names))


def local_header(part: Part) -> bytes:
    """The local header of ``part``, overrides applied."""
    stored, over = part.stored, part.local
    name = over.get("name", part.name)
    more = over.get("extra", zip64(len(part.data), len(stored)) if part.wide else b"")
    values = {
        "magic": 0x04034B50,
        "needed": 45 if part.wide else 10,
        "flags": 0x0800,
        "method": part.method,
        "time": 0,
        "date": 0x21,
        "crc": zlib.crc32(part.data),
        "csize": FFFFFFFF if part.wide else len(stored),
        "size": FFFFFFFF if part.wide else len(part.data),
        "namelen": len(name),
        "extralen": len(more),
    }
    return _pack("<IHHHHHIIIHH", LOCAL, values, over) + name + more


def directory_record(part: Part) -> bytes:
    """The directory record of ``part``, overrides applied."""
    stored, over = part.stored, part.record
    name, comment = over.get("name", part.name), over.get("comment", b"")
    far = part.header_at >= FFFFFFFF
    more = zip64(len(part.data), len(stored), part.header_at) if part.wide else zip64(part.header_at) if far else b""
    more = over.get("extra", more)
    values = {
        "magic": 0x02014B50,
        "made": 0x032D,
        "needed": 45 if part.wide or far else 10,
        "flags": 0x0800,
        "method": part.method,
        "time": 0,
        "date": 0x21,
        "crc": zlib.crc32(part.data),
        "csize": FFFFFFFF if part.wide else len(stored),
        "size": FFFFFFFF if part.wide else len(part.data),
        "namelen": len(name),
        "extralen": len(more),
        "commentlen": len(comment),
        "disk": 0,
        "internal": 0,
        "external": part.mode << 16,
        "offset": FFFFFFFF if part.wide or far else part.header_at,
    }
    return _pack("<IHHHHHHIIIHHHHHII", RECORD, values, over) + name + more + comment


@dataclass
class End:
    """Directory and end records. ``end``, ``end64`` and ``locator`` override fields; ``wide`` forces Zip64 records.

    ``directory`` is a function that edits the directory's bytes, ``slack`` stands between directory and end records.
    ``first`` are directory records put in front, verbatim (an engine's).
    """

    comment: bytes = MARK
    trailing: bytes = b""
    wide: bool = False
    end: Overrides = field(default_factory=dict)
    end64: Overrides = field(default_factory=dict)
    locator: Overrides = field(default_factory=dict)
    directory: Callable[[bytes], bytes] = bytes
    slack: bytes = b""
    before: bytes = b""
    first: tuple[bytes, ...] = ()


def place(out: bytearray, part: Part) -> None:
    """Append gap, local header, data of ``part`` to ``out``."""
    header = local_header(part)
    gap = part.gap
    if gap is None:
        gap = bytes(-(len(out) + len(header)) % part.align)
    out += gap
    part.header_at = len(out)
    out += header
    part.data_at = len(out)
    out += part.stored + part.after


def finish(out: bytearray, parts: Sequence[Part], end: End) -> bytes:
    """Append directory and end records to ``out``."""
    out += end.before
    at = len(out)
    records = list(end.first) + [directory_record(part) for part in parts if part.listed for _ in range(part.copies)]
    directory = end.directory(b"".join(records))
    out += directory + end.slack
    wide = end.wide or at >= FFFFFFFF
    if wide:
        values = {"magic": 0x06064B50, "length": 44, "made": 0x032D, "needed": 45, "disk": 0, "cd_disk": 0}
        values |= {"disk_count": len(records), "count": len(records), "size": len(directory), "offset": at}
        record_at = len(out)
        out += _pack("<IQHHIIQQQQ", END64, values, end.end64)
        values = {"magic": 0x07064B50, "disk": 0, "offset": record_at, "disks": 1}
        out += _pack("<IIQI", LOCATOR, values, end.locator)
    values = {"magic": 0x06054B50, "disk": 0, "cd_disk": 0, "disk_count": len(records) & FFFF}
    values |= {"count": len(records) & FFFF, "size": len(directory), "offset": FFFFFFFF if wide else at}
    values["commentlen"] = len(end.comment)
    out += _pack("<IHHHHIIH", END, values, end.end) + end.comment + end.trailing
    return bytes(out)


def archive(parts: Sequence[Part], *, start: bytes = b"", end: End | None = None) -> bytes:
    """A ZIP of ``parts`` behind ``start``: no manifest, no chunks, whatever the parts say."""
    out = bytearray(start)
    for part in parts:
        place(out, part)
    return finish(out, parts, end or End(comment=b""))


# The complete container: chunk list and manifest


def chunk_root(digests: Sequence[bytes]) -> bytes:
    """Merkle tree hash of RFC 9162, section 2.1.1, written as it stands there."""
    if not digests:
        return hashlib.sha256(b"").digest()
    if len(digests) == 1:
        return hashlib.sha256(b"\0" + digests[0]).digest()
    half = 1
    while half * 2 < len(digests):
        half *= 2
    return hashlib.sha256(b"\1" + chunk_root(digests[:half]) + chunk_root(digests[half:])).digest()


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _pieces(data: bytes) -> list[bytes]:
    return [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]


def _lines(out: bytes, offset: int, length: int, path: str, sha512: bool) -> list[str]:
    lines = []
    for at in range(offset, offset + length, CHUNK):
        piece = out[at : min(at + CHUNK, offset + length)]
        second = hashlib.sha512(piece).hexdigest() + " " if sha512 else ""
        lines.append(f"{_sha(piece)} {at} {len(piece)} {second}{path}\n")
    return lines


def member_object(part: Part, sha512: bool) -> dict[str, Any]:
    """The manifest's object for ``part``."""
    data = part.data
    value = {
        "alignment": part.align,
        "chunk_root": chunk_root([hashlib.sha256(piece).digest() for piece in _pieces(data)]).hex(),
        "crc32": f"{zlib.crc32(data):08x}",
        "media_type": part.media,
        "offset": part.data_at,
        "path": part.path,
        "role": part.role,
        "sha256": _sha(data),
        "size": len(data),
    }
    if sha512:
        value["sha512"] = hashlib.sha512(data).hexdigest()
    return {**value, **part.manifest}


def encode(value: Any) -> bytes:
    """Deterministic JSON (clause 5.2)."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1, separators=(",", ": "))
    return text.encode("utf-8", "surrogateescape") + b"\n"


@dataclass
class Spec:
    """Everything that goes into a container. The defaults make a canonical one.

    ``manifest`` overrides top-level fields, ``text`` edits the manifest's bytes, ``chunks`` edits the chunk list;
    ``behind`` are parts behind the manifest (signature records), ``chunk_part`` and ``manifest_part`` edit those two.
    """

    parts: Sequence[Part]
    prefix: bytes = b""
    kind: str = "none"
    engine_directory: Mapping[str, Any] | None = None
    opaque: str = ""
    archive_profile: bool = False
    labels: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    prefix_object: Mapping[str, Any] = field(default_factory=dict)
    text: Callable[[bytes], bytes] = bytes
    chunks: Callable[[bytes], bytes] = bytes
    chunk_part: Callable[[Part], Part] = lambda part: part
    manifest_part: Callable[[Part], Part] = lambda part: part
    behind: Sequence[Part] = ()
    end: End = field(default_factory=End)


def container(spec: Spec) -> bytes:
    """The container that ``spec`` describes."""
    engine_size = len(spec.prefix)
    out = bytearray(spec.prefix + bytes(-engine_size % 65536))
    prefix = bytes(out)
    wide = spec.archive_profile
    lines = _lines(out, 0, len(out), "-", wide)
    for part in spec.parts:
        before = len(out)
        place(out, part)
        lines += _lines(out, before, part.data_at - before, "-", wide)
        lines += _lines(out, part.data_at, len(out) - part.data_at, part.path, wide)
    text = spec.chunks("".join(lines).encode("utf-8", "surrogateescape"))
    chunks = spec.chunk_part(Part(f"{FOLDER}chunks.txt", text, "chunks", "text/plain"))
    place(out, chunks)
    named = [*spec.parts, chunks]
    value: dict[str, Any] = {
        "format": "llamafile",
        "members": [member_object(part, wide) for part in named if part.role],
        "prefix": _prefix_object(spec, prefix, engine_size),
        "profile": "archive" if wide else "default",
        "version": "1.0",
        "default": next((part.path for part in spec.parts if part.role == "weights"), None),
        **spec.labels,
        **spec.manifest,
    }
    data = spec.text(encode({key: item for key, item in value.items() if item is not None}))
    manifest = spec.manifest_part(Part(f"{FOLDER}manifest.json", data))
    place(out, manifest)
    for part in spec.behind:
        place(out, part)
    return finish(out, [*named, manifest, *spec.behind], spec.end)


def _prefix_object(spec: Spec, prefix: bytes, engine_size: int) -> dict[str, Any]:
    value: dict[str, Any] = {
        "engine_sha256": _sha(prefix[:engine_size]),
        "engine_size": engine_size,
        "kind": spec.kind,
        "sha256": _sha(prefix),
        "size": len(prefix),
    }
    if spec.engine_directory is not None:
        value["directory"] = spec.engine_directory
    if spec.opaque:
        value["opaque"] = spec.opaque
    if spec.archive_profile:
        value["sha512"] = hashlib.sha512(prefix).hexdigest()
    return {**value, **spec.prefix_object}


# What the vectors put into containers


def gguf(name: str = "tiny", alignment: int = 32) -> bytes:
    """A whole GGUF of version 3 with one tensor of eight numbers."""

    def text(value: str) -> bytes:
        raw = value.encode()
        return struct.pack("<Q", len(raw)) + raw

    def string(key: str, value: str) -> bytes:
        return text(key) + struct.pack("<I", 8) + text(value)

    head = (
        b"GGUF" + struct.pack("<IQQ", 3, 1, 2) + string("general.architecture", "llama") + string("general.name", name)
    )
    head += text("token_embd.weight") + struct.pack("<IQIQ", 1, 8, 0, 0)
    head += bytes(-len(head) % alignment)
    return head + struct.pack("<8f", *(index / 8 for index in range(8)))


README = b"A container made for tests. It holds one tiny model.\n"
LICENSE = b"CC0-1.0\n"


def readme(text: bytes = README) -> Part:
    """The README that every container has."""
    return Part(f"{FOLDER}README.txt", text, "readme", "text/plain")


def license_(text: bytes = LICENSE) -> Part:
    """A licence."""
    return Part("LICENSE.txt", text, "license", "text/plain")


def weights(path: str = "tiny.gguf", data: bytes | None = None, align: int = 32) -> Part:
    """A tiny model, aligned to 32 so that vectors stay small."""
    return Part(path, gguf() if data is None else data, "weights", "application/x-gguf", align)


def parts(*more: Part) -> list[Part]:
    """README, licence and weights in file order; ``more`` replaces parts of the same path, or is put in by role."""
    order = ["readme", "document", "license", "template", "arguments", "asset", "runtime", "weights", "projector"]
    chosen = {part.path: part for part in (readme(), license_(), weights())}
    chosen |= {part.path: part for part in more}
    return sorted(chosen.values(), key=lambda part: (order.index(part.role) if part.role in order else 99, part.name))


def good(*more: Part, **changes: Any) -> bytes:
    """A canonical container with ``more`` parts, and ``changes`` to its :class:`Spec`."""
    return container(Spec(parts(*more), **changes))
