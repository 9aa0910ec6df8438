"""What each target begins with: taken from the vectors, and what was found by fuzzing and reaches more (``found/``).

The vectors are the corpus. Of those with the same rules the smallest is a seed, so that nothing lies twice in the
repository and a new rule brings its own.
"""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile

from llamafile_format.checks.signatures import read_records
from llamafile_format.checks.weights import templates_of
from llamafile_format.container import Container
from llamafile_format.errors import FormatError, LlamafileError
from llamafile_format.frozen.layout import Index, Row, tail_of
from llamafile_format.frozen.planes import BLOCK, freeze_block
from llamafile_format.manifest.canonical_json import decode, encode
from llamafile_format.output.transfer import OpenFile
from llamafile_format.prefix.impostors import FROZEN
from llamafile_format.recovery.encode import encode_set, write_slices
from llamafile_format.recovery.geometry import Geometry
from llamafile_format.signing.records.envelope import read_bundle
from llamafile_format.signing.trust.profiles import profile_bytes, profile_names
from llamafile_format.source import BytesSource
from llamafile_format.weights.gguf import read_gguf
from spec.vectors.generate import ROOT
from spec.vectors.generate.load import Vector, read_vector, vector_files
from tests.weights_samples import CACHE, CTRANSLATE2, NETWORK, PLAN, litertlm

LARGEST = 4096
"""Bytes of a seed, and of what is made of it, but where a target says otherwise."""

FOUND = Path(__file__).parent / "found"
HEADER = 4096
"""Bytes in front of the payload of a vector, and more."""

ROW = struct.Struct("<I4I32s")
"""A row of a frozen file's table (18.2.2)."""

UNSIGNED = "signatures/good-unsigned"
END_RECORD = 22
"""Bytes behind the prefix in a vector of one."""


def archive_seeds() -> Iterator[bytes]:
    """Whole containers, and manifests alone."""
    for vector in smallest("manifest", LARGEST):
        if text := Container(BytesSource(vector.payload)).manifest_bytes:
            yield text
    for chapter in ("archive", "manifest", "chunks", "contents", "runtimes", "legacy"):
        for vector in smallest(chapter, LARGEST):
            yield vector.payload


def recovery_seeds() -> Iterator[bytes]:
    """Sets of small slices, alone and behind the file that they protect; and those inside containers."""
    for vector in smallest("later", 4 * LARGEST):
        at = vector.payload.find(b"PAR2\0PKT")
        if at >= 0:
            yield vector.payload[at : at + LARGEST]
    data = bytes(range(256)) * 2
    for length in (1, 7, 40, 100, 300):
        for size in (4, 16, 64):
            for recovery in (1, 3):
                made = small_set(data[:length], size, recovery)
                yield made[:LARGEST]
                yield (data[: length - 1] + made)[:LARGEST]


def small_set(data: bytes, slice_size: int, recovery: int) -> bytes:
    """A whole set over ``data``."""
    with TemporaryFile() as file:
        store, geometry = OpenFile(file.fileno()), Geometry(len(data), slice_size, recovery)
        made = encode_set(BytesSource(data), geometry, percent=5)
        store.write(0, made.critical)
        packet = 68 + slice_size
        write_slices(BytesSource(data), made, lambda exponent: (store, len(made.critical) + exponent * packet))
        file.seek(0)
        return file.read()


def frozen_seeds() -> Iterator[bytes]:
    """Small things frozen, in each number of planes and in two blocks; nothing of them is a container."""
    noise = b"".join(sha256(bytes((n,))).digest() for n in range(16))
    kinds = (
        b"hello" * 100,
        noise,
        b"".join(bytes((n, 60)) for n in noise),
        b"".join(bytes((n % 251, 7, 63, n % 3)) for n in range(300)),
    )
    for data in (*(kind[:size] for kind in kinds for size in (1, 2, 3, 7, 64, 333, 500)), bytes(3)):
        for front in (b"", bytes(BLOCK)):
            whole = front + data
            blocks = [whole[at : at + BLOCK] for at in range(0, len(whole), BLOCK)]
            made = [freeze_block(block) for block in blocks]
            yield frozen_of([(width, tuple(map(len, planes)), b"".join(planes)) for width, planes in made], len(whole))


def frozen_of(blocks: Sequence[tuple[int, tuple[int, ...], bytes]], size: int) -> bytes:
    """A frozen file of ``blocks`` (width, sizes of planes, what is stored), whose digests are right."""
    rows = [Row(width, sizes, sha256(stored).digest()).packed() for width, sizes, stored in blocks]
    index = Index("0" * 64, "0" * 64, size, sha256(b"".join(rows)).hexdigest())
    return b"".join([FROZEN, *(stored for _, _, stored in blocks), *rows, tail_of(index)])


def with_right_digests(data: bytes) -> bytes:
    """The frozen file ``data`` with right digests of its blocks, table and index, as far as those can be found."""
    end = struct.Struct(f"<Q32s{len(FROZEN)}s")
    with suppress(struct.error, LlamafileError, KeyError, TypeError, ValueError):
        length, _, _ = end.unpack(data[-end.size :])
        text = data[len(data) - end.size - length : len(data) - end.size]
        value = decode(text)
        size = value["size"]
        count = min(-(-size // BLOCK), len(data) // ROW.size)
        table = len(data) - end.size - length - count * ROW.size
        at, rows = len(FROZEN), bytearray()
        for number in range(count):
            *numbers, _ = ROW.unpack_from(data, table + number * ROW.size)
            stored = data[at : at + sum(numbers[1:])]
            rows += ROW.pack(*numbers, sha256(stored).digest())
            at += len(stored)
        text = encode({**value, "table_sha256": sha256(rows).hexdigest()})
        tail = text + end.pack(len(text), sha256(text).digest(), FROZEN)
        return data[:table] + bytes(rows) + tail
    return data


def gguf_seeds() -> Iterator[bytes]:
    """Whole GGUFs."""
    yield from (vector.payload for vector in smallest("weights", LARGEST) if vector.kind == "gguf")


def weights_seeds() -> Iterator[bytes]:
    """Safetensors and ONNX models, out of the containers around them; LiteRT-LM, and what is only told."""
    for chapter in ("safetensors", "onnx"):
        for vector in smallest(chapter, 4 * LARGEST):
            container = Container(BytesSource(vector.payload))
            yield next(container.read(each.path) for each in container.members if each.role == "weights")[:LARGEST]
    yield from (litertlm(size=LARGEST), litertlm((16384, 16384, 3), size=LARGEST))
    yield from (CTRANSLATE2, NETWORK, CACHE, PLAN)


def template_seeds() -> Iterator[bytes]:
    """Texts of templates, out of the GGUFs around them."""
    for vector in smallest("templates", 4 * LARGEST):
        for _, _, text in templates_of(read_gguf(BytesSource(vector.payload))):
            yield text[:LARGEST]


def prefix_seeds() -> Iterator[bytes]:
    """Executables without the zeros that fill them up; of large ones the beginning."""
    for vector in smallest("prefix", 1 << 20):
        yield vector.payload[:-END_RECORD].rstrip(b"\0")[:LARGEST] or vector.payload[:LARGEST]


def policy_seeds() -> Iterator[bytes]:
    """The policies of the vectors, and the profiles."""
    for path in sorted((ROOT / "trust").glob("*.yaml")):
        yield path.read_bytes()
    yield from map(profile_bytes, profile_names())


def record_seeds() -> Iterator[bytes]:
    """Records and, of those with a signature, the statements alone."""
    records = list(signed_records())
    yield from records
    statements: dict[bytes, None] = {}
    for record in records:
        kind, _, data = record.partition(b"\n")
        with suppress(FormatError):
            statements[kind + b":payload\n" + read_bundle(data).payload] = None
    yield from statements


def bundle_around(statement: bytes) -> bytes:
    """The bundle of a genuine record, with ``statement`` in the place of its own."""
    value = json.loads(_bundle())
    value["dsseEnvelope"]["payload"] = b64encode(statement).decode()
    return encode(value)


@cache
def _bundle() -> bytes:
    return next(data.partition(b"\n")[2] for data in signed_records() if data.startswith(b"sig\n"))


def signed_records() -> Iterator[bytes]:
    """Records, each behind a line that names its kind, of vectors that sign the same container."""
    manifest = unsigned().manifest_bytes
    for vector in smallest("signatures", 1 << 20):
        container = Container(BytesSource(vector.payload))
        if container.manifest_bytes == manifest:
            for record in read_records(container.source, container.archive):
                yield record.kind.encode() + b"\n" + record.data


@cache
def unsigned() -> Container:
    """The container that the records of most vectors are about, without any."""
    return Container(BytesSource(read_vector(ROOT / f"{UNSIGNED}.vector").payload))


def smallest(chapter: str, largest: int) -> list[Vector]:
    """Of all vectors of ``chapter`` with the same rules the smallest, if it has no more than ``largest`` bytes."""
    kept: dict[tuple[str, ...], Vector] = {}
    for path in vector_files(ROOT, chapter):
        if path.stat().st_size > largest + HEADER:  # some unpack to 100 MB, which would hide what an input takes
            continue
        vector = read_vector(path)
        known = kept.get(vector.rules)
        if len(vector.payload) <= largest and (known is None or len(vector.payload) < len(known.payload)):
            kept[vector.rules] = vector
    return list(kept.values())


def found(target: str) -> list[bytes]:
    """What fuzzing ``target`` found that no vector reaches."""
    return [path.read_bytes() for path in sorted((FOUND / target).glob("*"))]
