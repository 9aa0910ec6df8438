"""Small models, engines and legacy llamafiles for the tests of repack, written here without the product's writers."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.changing import surgery
from llamafile_format.checks.verdict import Verdict
from llamafile_format.source.pending import HEAD, MAGIC, journal_path


def noise(label: str, size: int) -> bytes:
    """``size`` bytes that look random and are the same everywhere."""
    return hashlib.shake_128(label.encode()).digest(size)


def gguf(label: str = "weights", size: int = 0, architecture: str = "llama") -> bytes:
    """A well-formed GGUF that engines start, with one tensor; ``size`` is about its length in bytes."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    count = max(32, (size - 4096) // 4 // 32 * 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 5)
    for key, value in (("general.architecture", architecture), ("tokenizer.ggml.model", "none")):
        head += text(key) + struct.pack("<I", 8) + text(value)
    for key in ("context_length", "embedding_length", "block_count"):
        head += text(f"{architecture}.{key}") + struct.pack("<II", 4, 32)
    head += text("token_embd.weight") + struct.pack("<IQIQ", 1, count, 0, 0)
    numbers = bytearray(noise(label, 4 * count))
    numbers[3::4] = bytes(byte & 0x3F for byte in numbers[3::4])  # below 2, and so none of them is NaN or infinite
    return head + bytes(-len(head) % 32) + bytes(numbers)


def engine(label: str, size: int, assets: Sequence[tuple[str, bytes]] = (), version: str = "") -> bytes:
    """A script of ``size`` bytes that stands for an engine; with ``assets`` it ends in a ZIP of its own."""
    head = b"#!/bin/sh\nexit 0\n" + (f"\nllamafile v{version}\n".encode() if version else b"")
    body = head + noise(label, max(0, size - len(head)))
    if not assets:
        return body
    buffer = io.BytesIO()
    buffer.write(body)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, data in assets:
            info = zipfile.ZipInfo(name, (2022, 3, 17, 7, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o100644 << 16
            archive.writestr(info, data)
    return buffer.getvalue()


def legacy(
    front: bytes, members: Sequence[tuple[str, bytes]], *, deflate: Sequence[str] = (), wrong_crc: str = ""
) -> bytes:
    """A llamafile as zipalign leaves it: old directory in the middle, data at 64 KiB, 24-byte holes, Zip64."""
    out, records = bytearray(front), _old_records(front)
    for name, data in members:
        raw = name.encode()
        method = 8 if name in deflate else 0
        body = zlib.compress(data, 9)[2:-4] if method else data
        crc = zlib.crc32(data) ^ (name == wrong_crc)
        start = -(-(len(out) + 50 + len(raw)) // 65536) * 65536
        header = start - 50 - len(raw)
        out += bytes(header - len(out))
        fields = (45, 0x0800, method, 0xB1AA, 0x576E, crc, 0xFFFFFFFF, 0xFFFFFFFF, len(raw))
        out += struct.pack("<IHHHHHIIIHH", 0x04034B50, *fields, 20)
        out += raw + struct.pack("<HHQQ", 1, 16, len(data), len(body)) + body + bytes(24)
        tail = struct.pack("<HHHII", 0, 0, 0, 0o100644 << 16, 0xFFFFFFFF)
        record = struct.pack("<IHHHHHHIIIHH", 0x02014B50, 0x032D, *fields, 28) + tail
        records.append(record + raw + struct.pack("<HHQQQ", 1, 24, len(data), len(body), header))
    directory, offset, count = b"".join(records), len(out), len(records)
    out += directory
    out += struct.pack(
        "<IQHHIIQQQQ", 0x06064B50, 44, 0x032D, 45, 0, 0, count, count, len(directory), offset
    ) + struct.pack("<IIQI", 0x07064B50, 0, offset + len(directory), 1)
    out += struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(directory), 0xFFFFFFFF, 0)
    return bytes(out)


def _old_records(front: bytes) -> list[bytes]:
    """Directory records of the ZIP at the end of ``front``, verbatim."""
    if front[-22:-18] != b"PK\5\6":
        return []
    count, size, offset = struct.unpack("<HII", front[-12:-2])
    data, at, records = front[offset : offset + size], 0, []
    for _ in range(count):
        length = 46 + sum(struct.unpack_from("<HHH", data, at + 28))
        records.append(data[at : at + length])
        at += length
    return records


def write(path: Path, data: bytes) -> Path:
    """``data`` as the file ``path``."""
    path.write_bytes(data)
    return path


def sound(path: Path) -> lf.Container:
    """The container at ``path``, after an exhaustive verification found no error in it."""
    report = lf.verify(path, level="exhaustive")
    faults = [(f.rule, dict(f.args)) for f in report.findings if lf.rule(f.rule).severity is lf.Severity.ERROR]
    assert not faults, faults
    assert report.verdicts[lf.Layer.WELL_FORMED] is Verdict.YES
    return lf.open(path)


def contents(path: Path) -> dict[str, bytes]:
    """Every member but those of the format itself, by name."""
    with lf.open(path) as container:
        names = [member.path for member in container.members if not member.path.startswith("META-LLAMAFILE/")]
        return {name: container.read(name) for name in names}


def steps_of(change: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The checkpoints that ``change`` passes, in order."""
    steps: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(surgery, "checkpoint", steps.append)
        change()
    return steps


def kill_at(number: int, change: Callable[[], object]) -> None:
    """Run ``change`` in a process that is killed, as by kill -9, at its checkpoint ``number``."""
    child = os.fork()
    if not child:
        passed = 0

        def checkpoint(step: str) -> None:
            nonlocal passed
            if passed == number:
                os.kill(os.getpid(), signal.SIGKILL)
            passed += 1

        try:
            surgery.checkpoint = checkpoint
            change()
        finally:
            os._exit(99)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), status


def unfinished(path: Path) -> Path:
    """A journal beside ``path`` whose head says that a change of this very file was not finished."""
    info = path.stat()
    journal = journal_path(path)
    journal.write_bytes(
        HEAD.pack(MAGIC, 2, 0, info.st_size, info.st_size, 0, 0, 0, info.st_ino, info.st_dev) + bytes(96)
    )
    return journal
