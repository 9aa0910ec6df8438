"""A layer that is a tar archive, plain or packed: its files, one after the other, within budgets.

Only what a model pack needs is read: regular files and folders, with the long names of GNU and pax. Links, devices and
holes are refused; so is a packed layer that unpacks to far more than it holds.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llamafile_format.errors import FormatError, LimitExceeded
from llamafile_format.source import ByteSource

_BLOCK = 512
_PIECE = 1 << 20
_LONGEST = 1 << 16  # bytes of a name, or of a pax header
MAX_FILES = 8192
MAX_RATIO = 200
"""Bytes that one packed byte may become, beyond the first 64 MiB of an image: weights hardly shrink at all."""

_FREE = 64 << 20
_WINDOW = 1 << 27
"""Bytes that a zstd stream may ask us to keep, at most."""


@dataclass(frozen=True, slots=True)
class TarFile:
    """A file in the archive: its name as it stands there, its size, and its bytes, to be read before the next one."""

    name: str
    size: int
    blocks: Iterator[bytes]


@dataclass(slots=True)
class Budget:
    """Bytes that the packed layers of an image held and became so far: of thousands, each is small by itself."""

    packed: int = 0
    unpacked: int = 0

    def spend(self, size: int) -> None:
        """``size`` bytes more came out. LimitExceeded if they are too many for what went in."""
        self.unpacked += size
        if self.unpacked > _FREE + MAX_RATIO * self.packed:
            allowed = f"{MAX_RATIO} times their size"
            raise LimitExceeded("the layers unpack to far more than they hold", found=self.unpacked, allowed=allowed)


class Unpacked:
    """The bytes of ``source``, unpacked as ``packing`` says (``""``, ``gzip``, ``zstd``), and the digest of its own."""

    def __init__(self, source: ByteSource, packing: str, budget: Budget) -> None:
        self._source = source
        self._hash = hashlib.sha256()
        self._buffer = bytearray()
        self._budget = budget if packing else None
        self._stream = self._blocks(packing)

    @property
    def sha256(self) -> str:
        """Digest of the packed bytes, once all of them were read."""
        return self._hash.hexdigest()

    def read(self, length: int) -> bytes:
        """Exactly ``length`` bytes; fewer only at the end."""
        while len(self._buffer) < length:
            block = next(self._stream, b"")
            if not block:
                break
            self._buffer += block
        data = bytes(self._buffer[:length])
        del self._buffer[:length]
        return data

    def drain(self) -> None:
        """Read what is left, so that all of it is hashed."""
        self._buffer.clear()
        for _ in self._stream:
            pass

    def _raw(self) -> Iterator[bytes]:
        for at in range(0, self._source.size, _PIECE):
            data = self._source.read_at(at, min(_PIECE, self._source.size - at))
            self._hash.update(data)
            if self._budget is not None:
                self._budget.packed += len(data)
            yield data

    def _blocks(self, packing: str) -> Iterator[bytes]:
        unpack = {"": lambda raw: raw, "gzip": _gunzip, "zstd": _unzstd}[packing]
        for block in unpack(self._raw()):
            if self._budget is not None:
                self._budget.spend(len(block))
            if block:
                yield block


def _gunzip(raw: Iterator[bytes]) -> Iterator[bytes]:
    stream = zlib.decompressobj(31)
    for data in raw:
        while data:
            try:
                yield stream.decompress(data, _PIECE)
            except zlib.error as error:
                raise FormatError(f"a layer cannot be unpacked: {error}") from error
            data = stream.unconsumed_tail or stream.unused_data
            if stream.eof and data:
                raise FormatError("a packed layer goes on behind its end")
    if not stream.eof:
        raise FormatError("a packed layer ends too early")


def _unzstd(raw: Iterator[bytes]) -> Iterator[bytes]:
    import zstandard

    stream = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj(read_across_frames=False)
    small = (data[at : at + 4096] for data in raw for at in range(0, len(data), 4096))
    for data in small:  # what one call unpacks cannot be bounded: so little goes in that little can come out
        if stream.eof:
            raise FormatError("a packed layer goes on behind its end")
        try:
            yield stream.decompress(data)
        except zstandard.ZstdError as error:
            raise FormatError(f"a layer cannot be unpacked: {error}") from error
        if stream.unused_data:
            raise FormatError("a packed layer goes on behind its end")
    if not stream.eof:
        raise FormatError("a packed layer ends too early")


def tar_files(read: Callable[[int], bytes]) -> Iterator[TarFile]:
    """The files of the tar archive that ``read`` gives. FormatError for anything but files and folders."""
    name, size = "", -1
    count = 0
    while (header := read(_BLOCK)) and any(header):
        kind = _checked(header)
        length = size if size >= 0 and kind in "0\0" else _number(header[124:136])
        count += 1
        if count > MAX_FILES:
            raise LimitExceeded("a layer holds too many files", found=count, allowed=f"{MAX_FILES}")
        if kind in "Lx":
            found = _short(read, length)
            name, size = _pax(found, name, size) if kind == "x" else (_text(found.rstrip(b"\0")), size)
            continue
        if kind == "g":
            _short(read, length)
            continue
        own = name or _own_name(header)
        name, size = "", -1
        if kind == "5" and not length:
            continue
        if kind not in "0\0":
            raise FormatError(f"{own[:200]!r} in a layer is a link, a device or the like", found=f"type {kind!r}")
        blocks = _file(read, length)
        yield TarFile(own, length, blocks)
        for _ in blocks:  # what nobody wanted
            pass


def _checked(header: bytes) -> str:
    """The type of the entry behind ``header``, whose checksum holds."""
    if len(header) < _BLOCK:
        raise FormatError("a layer ends in the middle of a tar header")
    if _number(header[148:156]) != sum(header[:148]) + 8 * 32 + sum(header[156:]):
        raise FormatError("a layer is no tar archive: the checksum of a header does not hold")
    return chr(header[156])


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if value >> 62:
            raise FormatError("a number in a tar header is too large")
        return value
    text = field.strip(b" \0")
    if not all(48 <= byte < 56 for byte in text):
        raise FormatError("a number in a tar header is none")
    return int(text or b"0", 8)


def _own_name(header: bytes) -> str:
    name = header[:100].split(b"\0", 1)[0]
    front = header[345:500].split(b"\0", 1)[0] if header[257:262] == b"ustar" and header[262] == 0 else b""
    return _text(front + b"/" + name if front else name)


def _text(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"a name in a layer is not UTF-8: {name[:100]!r}") from error


def _short(read: Callable[[int], bytes], length: int) -> bytes:
    if length > _LONGEST:
        raise LimitExceeded("a name in a layer is too long", found=length, allowed=f"{_LONGEST} bytes")
    return b"".join(_file(read, length))


def _pax(data: bytes, name: str, size: int) -> tuple[str, int]:
    """Path and size of a pax header; what we have from before where it does not say. Sparse files are refused."""
    while data:
        length, blank, _ = data.partition(b" ")
        if not blank or not length.isdigit() or len(length) > 6 or not len(length) + 3 <= int(length) <= len(data):
            raise FormatError("a pax header in a layer is malformed")
        key, equals, value = data[len(length) + 1 : int(length) - 1].partition(b"=")
        if not equals or data[int(length) - 1] != 10:
            raise FormatError("a pax header in a layer is malformed")
        if key.startswith(b"GNU.sparse"):
            raise FormatError("a layer holds a file with holes")
        if key == b"path":
            name = _text(value)
        if key == b"size":
            if not value.isdigit() or len(value) > 18:
                raise FormatError("a pax header in a layer is malformed")
            size = int(value)
        data = data[int(length) :]
    return name, size


def _file(read: Callable[[int], bytes], length: int) -> Iterator[bytes]:
    left = length
    while left:
        data = read(min(left, _PIECE))
        if not data:
            raise FormatError("a layer ends in the middle of a file")
        left -= len(data)
        yield data
    padding = -length % _BLOCK
    if len(read(padding)) != padding:
        raise FormatError("a layer ends in the middle of a file")
