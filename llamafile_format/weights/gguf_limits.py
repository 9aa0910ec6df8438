"""The numbers beyond which a GGUF is refused (spec/1, 7.3); each is checked before anything is allocated by it.

How much of one is read at all is in :mod:`llamafile_format.limits`.
"""

from __future__ import annotations

KEY_BYTES = 65_535
"""Longest key: 64 KiB - 1, the limit of the GGUF documentation."""

STRING_BYTES = 64 << 20
"""Longest string: room for any embedded tokenizer JSON, far below the 2^31 at which engines' signed lengths wrap."""

INLINE_STRING_BYTES = 4096
"""Strings up to this are decoded at once; longer ones stay in the file until asked for."""

INLINE_BYTES_TOTAL = 1 << 20
"""Budget for strings decoded at once; behind it every string stays in the file."""

ARRAY_ELEMENTS = 1 << 27
TENSOR_NAME_BYTES = 63
"""Longest tensor name: engines keep 64 bytes with the final NUL."""

DIMENSIONS = 4
ELEMENTS = (1 << 63) - 1
TENSOR_BYTES = (1 << 63) - 1
ALIGNMENT_DEFAULT = 32
ALIGNMENT_MIN = 8
ALIGNMENT_MAX = 65_536

FINDINGS_PER_RULE = 16
"""Findings kept of each rule: a hostile file must not grow the report without bound."""
