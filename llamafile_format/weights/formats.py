"""Formats of model weights, told from their first bytes (spec/1, 7.13.1). Names are asked separately.

Nothing is loaded: a pickle is told by its opcodes' beginning, an ONNX model by the fields of its outermost message.
At most a few KiB are read, however large the file is.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

from llamafile_format.source.base import ByteSource

HEAD = 128  # the longest thing looked for is the name of a PyTorch archive's first member
_FIELDS = 64  # outermost fields of an ONNX model that are walked through


@dataclass(frozen=True, slots=True)
class Format:
    """A format of weights: its name in reports, its media type, and whether engines have given it up."""

    name: str
    media_type: str
    obsolete: bool = False


GGUF: Final = Format("GGUF", "application/x-gguf")
GGML: Final = Format("GGML (unversioned)", "application/x-ggml", obsolete=True)
GGMF: Final = Format("GGMF", "application/x-ggml", obsolete=True)
GGJT: Final = Format("GGJT", "application/x-ggml", obsolete=True)
GGLA: Final = Format("GGLA (a LoRA adapter)", "application/x-ggml", obsolete=True)
SAFETENSORS: Final = Format("safetensors", "application/x-safetensors")
ONNX: Final = Format("ONNX", "application/x-onnx")
LITERTLM: Final = Format("LiteRT-LM", "application/x-litertlm")
TFLITE: Final = Format("TensorFlow Lite", "application/x-tflite")
EXECUTORCH: Final = Format("ExecuTorch", "application/x-executorch")
PYTORCH: Final = Format("a PyTorch checkpoint (ZIP with a pickle)", "application/x-pytorch")
PICKLE: Final = Format("a Python pickle", "application/x-pickle")

MEDIA_TYPES: Final = {form.name: form.media_type for form in (GGUF, SAFETENSORS, ONNX, LITERTLM, TFLITE, EXECUTORCH)}
"""Media types of formats that engines read, by name in reports."""

_SUFFIXES: Final = {
    ".gguf": GGUF,
    ".safetensors": SAFETENSORS,
    ".onnx": ONNX,
    ".litertlm": LITERTLM,
    ".tflite": TFLITE,
    ".pte": EXECUTORCH,
    ".ggml": GGML,
    ".pt": PYTORCH,
    ".pth": PYTORCH,
    ".ckpt": PYTORCH,
    ".pkl": PICKLE,
    ".pickle": PICKLE,
}
_NAMES: Final = re.compile(r"(?P<torch>pytorch_model.*|consolidated\..*)\.bin|ggml-.*\.bin", re.IGNORECASE)
_GGML_VERSIONS: Final = {b"fmgg": (GGMF, (1,)), b"tjgg": (GGJT, (1, 2, 3)), b"algg": (GGLA, (1,))}
_VOCABULARY_MAX = 1 << 22  # of an unversioned GGML file: its first number


def named_format(path: str) -> Format | None:
    """The format that the name of a file promises; None if it promises none."""
    name = path.rpartition("/")[2].lower()
    suffix = "." + name.rpartition(".")[2] if "." in name[1:] else ""
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    match = _NAMES.fullmatch(name)
    return None if match is None else PYTORCH if match["torch"] else GGML


def promises(name: Format, found: Format) -> bool:
    """Whether a file whose name promises ``name`` may hold ``found``; of families only bytes tell the members apart."""
    families = ({PYTORCH, PICKLE}, {GGML, GGMF, GGJT, GGLA})
    return name == found or any(name in family and found in family for family in families)


def recognise_format(source: ByteSource) -> Format | None:
    """The format of weights that ``source`` begins like; None if it is none of those known. SourceError only."""
    head = source.read_at(0, min(HEAD, source.size))
    magic = head[:4]
    if magic == b"GGUF":
        return GGUF
    if found := _ggml(head, source.size):
        return found
    if head[:8] == b"LITERTLM":
        return LITERTLM
    if head[4:8] == b"TFL3":
        return TFLITE
    if head[4:8] in (b"ET12", b"ET13"):
        return EXECUTORCH
    if _is_safetensors(head, source.size):
        return SAFETENSORS
    if magic == b"PK\3\4":
        return PYTORCH if _first_name(head).endswith((b"/data.pkl", b"/.format_version")) else None
    if _is_pickle(head):
        return PICKLE
    return ONNX if _is_onnx(source) else None


def _ggml(head: bytes, size: int) -> Format | None:
    """Magics are numbers, stored little end first; behind them a version, or the size of the vocabulary."""
    if size < 32:
        return None
    (number,) = struct.unpack_from("<I", head, 4)
    if head[:4] == b"lmgg":
        return GGML if 0 < number <= _VOCABULARY_MAX else None
    found, versions = _GGML_VERSIONS.get(head[:4], (None, ()))
    return found if number in versions else None


def _is_safetensors(head: bytes, size: int) -> bool:
    if len(head) < 10:
        return False
    (length,) = struct.unpack_from("<Q", head)
    return bool(2 <= length <= size - 8 and head[8:9] == b"{" and head[9:10] in (b'"', b"}", b" ", b"\n"))


def _first_name(head: bytes) -> bytes:
    """Name in the first local header of a ZIP."""
    if len(head) < 30:
        return b""
    (length,) = struct.unpack_from("<H", head, 26)
    return head[30 : 30 + length]


def _is_pickle(head: bytes) -> bool:
    """Protocol 2 to 5, then one of the opcodes that a checkpoint goes on with."""
    return len(head) > 3 and head[0] == 0x80 and 2 <= head[1] <= 5 and head[2:3] in b"}](c\x8a\x95X\x8c\x8d"


def begins_like_onnx(source: ByteSource) -> bool:
    """Whether ``source`` begins with the version of an ONNX model, whatever follows."""
    head = source.read_at(0, min(2, source.size))
    return len(head) == 2 and head[0] == 0x08 and 1 <= head[1] <= 64


def _is_onnx(source: ByteSource) -> bool:
    """An outermost message that begins with ``ir_version`` and has a graph, all fields of the types ONNX gives them."""
    at, graph = 0, False
    for number in range(_FIELDS):
        if at >= source.size:
            break
        piece = source.read_at(at, min(24, source.size - at))
        key, used = _varint(piece, 0)
        value, end = _varint(piece, used)
        if not used or not end or (number == 0 and (key != 0x08 or not 1 <= value <= 64)):
            return False
        field, wire = key >> 3, key & 7
        if wire != {1: 0, 5: 0}.get(field, 2) or field not in (1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26):
            return False
        graph = graph or field == 7
        at += end + (value if wire == 2 else 0)
        if at > source.size:
            return False
    return graph


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number in base 128 at ``at`` and where it ends; (0, 0) if it does not end in ``data``."""
    value = 0
    for index in range(at, min(len(data), at + 10)):
        value |= (data[index] & 0x7F) << 7 * (index - at)
        if data[index] < 0x80:
            return value, index + 1
    return 0, 0
