"""``identify``: which format a file has, by its bytes, in the words of registries of formats (spec/1, 10.17).

A PUID is an identifier of PRONOM. Formats that PRONOM does not know have none, and get none: ours has a local one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from llamafile_format.container import Container, Kind, Openable
from llamafile_format.frozen.layout import MEDIA_TYPE as FROZEN_MEDIA_TYPE
from llamafile_format.prefix.ape import MZ
from llamafile_format.prefix.impostors import FROZEN, is_frozen
from llamafile_format.source import ByteSource, FileSource, open_source
from llamafile_format.weights.formats import GGUF, ONNX, SAFETENSORS, Format, recognise_format
from llamafile_format.weights.recognised import recognise_more
from llamafile_format.zip.writer import MARK

OURS = "llamafile-fmt/1"
"""A local identifier in the place of a PUID, until PRONOM assigns one (spec/identification)."""

_GGUF_PUIDS = {1: "fmt/2096", 2: "fmt/2097", 3: "fmt/2098"}
_APE = (MZ, b"jartsr='", b"APEDBG='")
_BASES = {
    SAFETENSORS: "a length at byte 0, and a JSON object of that length at byte 8",
    ONNX: "the fields of an ONNX model, from byte 0",
}


@dataclass(frozen=True, slots=True)
class FormatIdentity:
    """``puid`` and ``version`` may be empty; ``basis`` says which bytes tell; all are if it is unknown."""

    name: str
    size: int
    format: str = ""
    version: str = ""
    puid: str = ""
    media_type: str = ""
    basis: str = ""

    @property
    def known(self) -> bool:
        """True if the format is one of those that are told apart here."""
        return bool(self.format)


def identify_format(what: Openable) -> FormatIdentity:
    """The format of ``what``: a container, an older llamafile, an APE, or weights. Raises SourceError only."""
    source = open_source(what)
    try:
        return (
            _frozen(source)
            or _archive(source)
            or _weights(source)
            or _program(source)
            or FormatIdentity(source.name, source.size)
        )
    finally:
        if source is not what and isinstance(source, FileSource):
            source.close()


def _frozen(source: ByteSource) -> FormatIdentity | None:
    if not is_frozen(source):
        return None
    basis = f"{FROZEN[1:-2].decode()} at byte 1, and at byte {source.size - len(FROZEN) + 1}, the end"
    return FormatIdentity(source.name, source.size, "frozen llamafile", "1", "", FROZEN_MEDIA_TYPE, basis)


def _archive(source: ByteSource) -> FormatIdentity | None:
    container = Container(source)
    if container.kind is Kind.OTHER:
        return None
    if container.marked:
        version = container.manifest.version if container.manifest is not None else MARK.decode().rpartition("/")[2]
        basis = f"{MARK.decode()} at byte {source.size - len(MARK)}, the end of a ZIP's last record"
        return FormatIdentity(
            source.name, source.size, "llamafile", version, OURS, "application/vnd.llamafile+zip", basis
        )
    basis = "a ZIP at the end with weights or arguments of a llamafile, and no mark"
    return FormatIdentity(source.name, source.size, "llamafile, older than the format", "", "", "", basis)


def _weights(source: ByteSource) -> FormatIdentity | None:
    found = recognise_format(source)
    if found is None:
        more = recognise_more(source, source.name)
        return FormatIdentity(source.name, source.size, more.name, basis=more.basis) if more else None
    version, puid, basis = "", "", _BASES.get(found, "its first bytes")
    if found is GGUF and source.size >= 8:
        number = _gguf_version(source)
        version, puid = str(number), _GGUF_PUIDS.get(number, "")
        basis = f"GGUF at byte 0, version {number} at byte 4"
    return FormatIdentity(source.name, source.size, _name(found), version, puid, found.media_type, basis)


def _gguf_version(source: ByteSource) -> int:
    """The version, in whatever byte order makes it the smaller number."""
    raw = source.read_at(4, 4)
    return int(min(struct.unpack("<I", raw)[0], struct.unpack(">I", raw)[0]))


def _name(found: Format) -> str:
    return found.name.removeprefix("a ")


def _program(source: ByteSource) -> FormatIdentity | None:
    head = source.read_at(0, min(8, source.size))
    if head not in _APE:
        return None
    basis = f"{head.decode('ascii')} at byte 0"
    return FormatIdentity(source.name, source.size, "Actually Portable Executable", "", "", "", basis)
