"""PAR2 packets (spec/1, 17.1): how they are made, and how those that survived are found in any bytes.

A packet says itself whether it is intact: its MD5 covers everything behind it. That guards against accidents alone; who
trusts a repair trusts SHA-256 digests from elsewhere.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from llamafile_format.errors import LimitExceeded
from llamafile_format.progress import Advance
from llamafile_format.source import ByteSource

MAGIC = b"PAR2\0PKT"
HEAD = struct.Struct("<8sQ16s16s16s")  # magic, length of the packet, MD5 of what follows, set id, type
MAIN, FILE, SUMS, SLICE, CREATOR = (
    name.ljust(16, b"\0")
    for name in (b"PAR 2.0\0Main", b"PAR 2.0\0FileDesc", b"PAR 2.0\0IFSC", b"PAR 2.0\0RecvSlic", b"PAR 2.0\0Creator")
)
SKELETON = b"llamafl\0Skeleton"
"""Our own packet, which other programs skip: percent, length, and the manifest that the tail is made of (17.4)."""

_DIGESTED = 32  # bytes in front of what the MD5 covers
_BLOCK = 1 << 20
_WASTED = 64 << 20


@dataclass(frozen=True, slots=True)
class Packet:
    """An intact packet: ``size`` bytes of body at ``offset`` of ``source``."""

    source: ByteSource
    kind: bytes
    set_id: bytes
    offset: int
    size: int

    @property
    def body(self) -> bytes:
        """The body. Whoever asks has compared ``size`` with what it allows."""
        return self.source.read_at(self.offset, self.size)


def packet(kind: bytes, set_id: bytes, body: bytes) -> bytes:
    """The bytes of a packet; the body is filled up with zeros to a multiple of four."""
    body += b"\0" * (-len(body) % 4)
    digest = hashlib.md5(set_id + kind + body, usedforsecurity=False).digest()
    return HEAD.pack(MAGIC, HEAD.size + len(body), digest, set_id, kind) + body


def head_of(kind: bytes, set_id: bytes, digest: bytes, size: int) -> bytes:
    """The header of a packet whose body of ``size`` bytes lies elsewhere."""
    return HEAD.pack(MAGIC, HEAD.size + size, digest, set_id, kind)


def packets_in(source: ByteSource, *, progress: Advance | None = None) -> Iterator[Packet]:
    """Every intact packet of ``source``, wherever it begins, in the order of the bytes.

    What begins like a packet and is none costs the reading of what it claims: LimitExceeded when all that was read in
    vain is more than twice the source, so that claims inside claims do not take for ever.
    """
    at, wasted = 0, 0
    while (at := _next_magic(source, at, progress)) >= 0:
        found = _packet_at(source, at)
        if isinstance(found, Packet):
            yield found
            at = found.offset + found.size
            if progress:
                progress(found.size)
            continue
        wasted += found
        if wasted > 2 * source.size + _WASTED:
            raise LimitExceeded(
                f"{source.name}: too much in it begins like PAR2 packets and is none", offset=at, clause="17.6"
            )
        at += len(MAGIC)


def leading(source: ByteSource, most: int) -> list[Packet]:
    """Intact packets from byte 0 on, up to the first recovery slice, or one of more than ``most`` bytes."""
    found, at = [], 0
    while at + HEAD.size <= source.size:
        magic, length, _, _, kind = HEAD.unpack(source.read_at(at, HEAD.size))
        if magic != MAGIC or kind == SLICE or length > most:
            break
        packet = _packet_at(source, at)
        if not isinstance(packet, Packet):
            break
        found.append(packet)
        at = packet.offset + packet.size
    return found


def _next_magic(source: ByteSource, at: int, progress: Advance | None) -> int:
    """Offset of the next magic from ``at`` on with room for a header behind it; -1 if there is none."""
    last = source.size - HEAD.size
    while at <= last:
        block = source.read_at(at, min(_BLOCK + len(MAGIC) - 1, source.size - at))
        hit = block.find(MAGIC)
        if hit >= 0:
            return at + hit if at + hit <= last else -1
        at += _BLOCK
        if progress:
            progress(_BLOCK)
    return -1


def _packet_at(source: ByteSource, at: int) -> Packet | int:
    """The packet at ``at``; how many bytes were read if what is there is none."""
    _, length, digest, set_id, kind = HEAD.unpack(source.read_at(at, HEAD.size))
    if not HEAD.size <= length <= source.size - at or length % 4:
        return HEAD.size
    state = hashlib.md5(usedforsecurity=False)
    for start in range(at + _DIGESTED, at + length, _BLOCK):
        state.update(source.read_at(start, min(_BLOCK, at + length - start)))
    if state.digest() != digest:
        return int(length)
    return Packet(source, kind, set_id, at + HEAD.size, length - HEAD.size)
