"""Formats beside those of 7.13 that hold weights or parts of them: told, never read (spec/1, 7.18).

They are told by their bytes; where a format has no bytes of its own, by its name and its first words.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from llamafile_format.source import ByteSource
from llamafile_format.weights.formats import recognise_format

_HEAD = 1024
_CTRANSLATE2 = (2, 6)  # versions of its files that begin with the name of a specification
_SPEC = re.compile(rb"[A-Z][A-Za-z0-9]{3,60}Spec\0")
_NETWORK = re.compile(rb'\s*(<\?xml[^>]{0,200}\?>\s*)?<net\s[^>]{0,512}\bversion="1[01]"')
_CACHE = re.compile(rb'\s*\{\s*"(metadata|records)"\s*:')
_CACHE_NAMES = ("ndarray-cache.json", "tensor-cache.json", "ndarray-cache-b16.json")
_SHARD = re.compile(r"params_shard_[0-9]+\.bin")


class Recognised(NamedTuple):
    """A format, and which bytes or names tell it."""

    name: str
    basis: str


def recognise_more(source: ByteSource, path: str) -> Recognised | None:
    """The format of ``source``, which is called ``path``, if 7.13.1 does not have it; None if it is none known."""
    name = path.rpartition("/")[2]
    head = source.read_at(0, min(_HEAD, source.size))
    if recognise_format(source) is not None:
        return None
    if head[:6] == b"\x93NUMPY" and head[6:7] in b"\1\2\3":
        return Recognised("NumPy array", "NUMPY at byte 1")
    if head[:4] == b"PK\3\4" and _first_name(head).endswith(b".npy"):
        return Recognised("NumPy archive", "a ZIP whose first member is an array")
    if head[:4] == b"ftrt":
        return Recognised("TensorRT plan", "ftrt at byte 0")
    if _is_ctranslate2(head):
        return Recognised("CTranslate2 model", "a version and the name of a specification")
    if _NETWORK.match(head):
        return Recognised("OpenVINO network", "a net of version 10 or 11 in XML")
    if name in _CACHE_NAMES and _CACHE.match(head):
        return Recognised("MLC parameters, list", f"its name, {name}, and its first key")
    if _SHARD.fullmatch(name):
        return Recognised("MLC parameters, shard", f"its name alone, {name}")
    return None


def _first_name(head: bytes) -> bytes:
    (length,) = struct.unpack_from("<H", head, 26) if len(head) >= 30 else (0,)
    return head[30 : 30 + length]


def _is_ctranslate2(head: bytes) -> bool:
    if len(head) < 16:
        return False
    version, length = struct.unpack_from("<IH", head)
    spec = head[6 : 6 + length]
    return bool(_CTRANSLATE2[0] <= version <= _CTRANSLATE2[1] and _SPEC.fullmatch(spec) and len(spec) == length)
