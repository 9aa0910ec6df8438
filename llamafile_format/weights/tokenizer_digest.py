"""Digests of what turns text into tokens: the tokenizer's keys, and the chat template (spec/1, 15.2).

The digest of a tokenizer does not depend on the GGUF dialect, on the order of keys or on any other key, so two files
that share a tokenizer share its digest, whatever their weights.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator

from llamafile_format.source import ByteSource
from llamafile_format.weights.gguf_model import SCALAR_CODES, WINDOW, ArrayValue, Entry, Gguf, ValueType
from llamafile_format.weights.onnx_model import Onnx

TEMPLATE = "tokenizer.chat_template"
ONNX_TOKENIZER = "llamafile.tokenizer"
"""The key of an ONNX model's metadata that holds its tokenizer, and the form of a conversation (14.9.5)."""
_PREFIX = "tokenizer."


def tokenizer_digest(gguf: Gguf, source: ByteSource) -> str:
    """SHA-256 over the keys ``tokenizer.*`` without chat templates, sorted, as a version 3 little-endian GGUF has them.

    ``source`` holds the GGUF from its byte 0 on. Raises SourceError only.
    """
    digest = hashlib.sha256()
    plain = gguf.version != 1 and gguf.byte_order == "little"
    for key in sorted(gguf.entries, key=lambda name: name.encode("utf-8", "surrogateescape")):
        if not key.startswith(_PREFIX) or key == TEMPLATE or key.startswith(TEMPLATE + "."):
            continue
        entry = gguf.entries[key]
        raw = key.encode("utf-8", "surrogateescape")
        digest.update(struct.pack("<Q", len(raw)) + raw + struct.pack("<I", entry.type))
        for block in _raw(entry, source) if plain else _encoded(entry, source, gguf):
            digest.update(block)
    return digest.hexdigest()


def template_digest(gguf: Gguf, source: ByteSource) -> str:
    """SHA-256 of the default chat template's bytes; empty if there is none."""
    entry = gguf.entries.get(TEMPLATE)
    if entry is None or entry.type is not ValueType.STRING:
        return ""
    width = 4 if gguf.version == 1 else 8  # of the length in front of a string
    digest = hashlib.sha256()
    for at in range(width, entry.length, WINDOW):
        digest.update(source.read_at(entry.offset + at, min(WINDOW, entry.length - at)))
    return digest.hexdigest()


def onnx_digests(model: Onnx) -> tuple[str, str]:
    """The same two digests of an ONNX model: both of its metadata's tokenizer, the second where that has a template."""
    text = model.metadata.get(ONNX_TOKENIZER, "")
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return digest, digest if '"message"' in text else ""


def _raw(entry: Entry, source: ByteSource) -> Iterator[bytes]:
    """The value's bytes as they stand: they are canonical already."""
    for at in range(0, entry.length, WINDOW):
        yield source.read_at(entry.offset + at, min(WINDOW, entry.length - at))


def _encoded(entry: Entry, source: ByteSource, gguf: Gguf) -> Iterator[bytes]:
    """The value encoded anew from an older or big-endian dialect."""
    if isinstance(entry.value, ArrayValue):
        array = entry.value
        yield struct.pack("<IQ", array.element_type, array.count)
        code = SCALAR_CODES.get(array.element_type)
        for element in array:
            if isinstance(element, bytes):
                yield struct.pack("<Q", len(element)) + element
            else:
                yield struct.pack(f"<{code}", element)
        return
    raw = source.read_at(entry.offset, entry.length)
    if entry.type is ValueType.STRING:
        body = raw[4 if gguf.version == 1 else 8 :]
        yield struct.pack("<Q", len(body)) + body
    else:  # a scalar has the same bytes in every dialect, but for their order
        yield raw if gguf.byte_order == "little" else raw[::-1]
