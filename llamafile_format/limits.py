"""Where reading stops: the caps of the specification's table, each number in this one place (spec/1, 12.4).

Hashing takes time that grows with a file's length, as it must. Parsing takes time that grows with what the file
declares, and a hole of a few bytes on disk can declare billions of things. So every structure has a cap that no genuine
file comes near; what passes it is not judged, and a finding names the cap. A test compares ``CAPS`` with the table.
"""

from __future__ import annotations

from typing import NamedTuple


class Cap(NamedTuple):
    """At most ``most`` of ``what`` are read. ``rule`` reports more; ``-``: the command refuses, or looks no further."""

    what: str
    most: int
    rule: str


DIRECTORY_ENTRIES = 8192
DIRECTORY_BYTES = 8 << 20
DIRECTORY_NAME_BYTES = 2 << 20
STALE_BYTES = 2 << 20
"""Bytes of all earlier directories that appending tools left behind."""

MANIFEST_BYTES = 16 << 20
JSON_MARKS = 1 << 18
"""Commas and opening brackets of a JSON text, those in strings included: never fewer than its values, less one."""

JSON_DEPTH = 8
JSON_DEPTH_OF_OTHERS = 64
YAML_VALUES = 300_000
"""Values, keys, and ends of mappings and sequences."""

YAML_DEPTH = 12
DER_VALUES = 20_000
DER_DEPTH = 32

TEMPLATE_TOKENS = 40_000
"""Tokens of a template that is parsed; the most in a known upstream template are 2436."""

TEMPLATE_BINDINGS = 200_000
"""Bindings of its variables that are followed, in all rounds together; known templates have some thousands."""

TEMPLATE_WORK = 1 << 18
"""Bytes of all different templates of a file, and steps in which they are followed; a known one has some thousands."""

GGUF_TENSORS = 65_536
GGUF_KEYS = 16_384
GGUF_KEY_BYTES = 1 << 20
GGUF_METADATA_BYTES = 128 << 20
GGUF_STRINGS = 3 << 20
"""Strings in all arrays of one GGUF. Largest known: 262,144 tokens and 514,906 merges."""

GGUF_TOKENS = 1 << 20
GGUF_BYTE_TOKENS = 4096
"""Tokens that stand for one byte each, of which a vocabulary has 256."""

METADATA_TEXT = 1 << 20
"""Bytes of strings of one GGUF, without its vocabulary, that are searched for commands and addresses."""

SAFETENSORS_HEADER = 16 << 20
"""Bytes of the header of a safetensors file, and of an index of shards. The largest known have 2 MB."""

ONNX_FIELDS = 1 << 19
"""Fields of all messages of an ONNX model, packed dimensions included. Known models have some ten thousand."""

ONNX_TENSORS = 65_536
ONNX_TEXT = 16 << 20
"""Bytes of names and texts of an ONNX model that are read, all together."""

ONNX_WORDS = 1 << 20
"""Bytes of documentation and metadata of an ONNX model that are searched, 64 for each text besides. Exporters leave a
kilobyte of a program's stack with each operator."""

ONNX_DEPTH = 64
"""Messages of an ONNX model that are open at any point: a graph in an attribute takes three."""

PROGRAM_BYTES = 32 << 20
"""Bytes of a program that nobody here knows that are searched: of a longer one the two ends."""

PROGRAMS_BYTES = 64 << 20
"""The same of all programs of a file together."""

UNPACKED_BYTES = 256 << 20
"""Bytes that the deflated members of a file unpack to while their CRC-32 is checked, all together."""

DEFLATE_RATIO = 1032
"""Bytes that one byte of a deflate stream unpacks to at most, by its construction (clause 12.4.6)."""

CAPS = (
    Cap("records of a central directory", DIRECTORY_ENTRIES, "LF2014"),
    Cap("bytes of a central directory", DIRECTORY_BYTES, "LF2014"),
    Cap("bytes of names in it", DIRECTORY_NAME_BYTES, "LF2014"),
    Cap("bytes of all earlier directories", STALE_BYTES, "-"),
    Cap("bytes that deflated members unpack to, all together", UNPACKED_BYTES, "LF7021"),
    Cap("bytes of an unknown program that are searched (14.8)", PROGRAM_BYTES, "-"),
    Cap("bytes of all unknown programs that are searched (14.8)", PROGRAMS_BYTES, "-"),
    Cap("bytes of the manifest", MANIFEST_BYTES, "LF3001"),
    Cap("commas, `[` and `{` of a JSON text", JSON_MARKS, "LF2014"),
    Cap("depth of the manifest and of signed JSON", JSON_DEPTH, "LF3002"),
    Cap("depth of JSON that a user names", JSON_DEPTH_OF_OTHERS, "-"),
    Cap("values of a YAML document", YAML_VALUES, "LF9007"),
    Cap("depth of a YAML document", YAML_DEPTH, "LF9100"),
    Cap("values of a DER structure", DER_VALUES, "LF8001"),
    Cap("depth of a DER structure", DER_DEPTH, "LF8001"),
    Cap("tokens of a chat template", TEMPLATE_TOKENS, "LF6033"),
    Cap("bindings of variables that are followed in a chat template", TEMPLATE_BINDINGS, "LF6033"),
    Cap("bytes and steps of all different chat templates of a file", TEMPLATE_WORK, "LF6033"),
    Cap("tensors of a GGUF", GGUF_TENSORS, "LF5008"),
    Cap("keys of a GGUF", GGUF_KEYS, "LF5009"),
    Cap("bytes of all keys of a GGUF", GGUF_KEY_BYTES, "LF5017"),
    Cap("bytes of keys, values and tensor table of a GGUF", GGUF_METADATA_BYTES, "LF5073"),
    Cap("strings in all arrays of a GGUF", GGUF_STRINGS, "LF5073"),
    Cap("bytes of strings of a GGUF that are searched (7.15)", METADATA_TEXT, "LF9003"),
    Cap("tokens of a vocabulary", GGUF_TOKENS, "LF5073"),
    Cap("tokens of it that stand for a byte", GGUF_BYTE_TOKENS, "LF5073"),
    Cap("bytes of a safetensors header, or of an index of shards (7.16)", SAFETENSORS_HEADER, "LF5113"),
    Cap("fields of an ONNX model (7.17)", ONNX_FIELDS, "LF5124"),
    Cap("tensors of it", ONNX_TENSORS, "LF5124"),
    Cap("bytes of names and texts of it", ONNX_TEXT, "LF5124"),
    Cap("bytes of its words that are searched (7.15), 64 for each besides", ONNX_WORDS, "LF9003"),
    Cap("messages of it in one another", ONNX_DEPTH, "LF5124"),
)
