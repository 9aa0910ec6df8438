"""Commands, addresses and paths in what a file says of itself (spec/1, 7.15): metadata, documentation, cards, recipes.

Nobody runs a description. But people paste what stands there, and tools have passed it to a shell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from llamafile_format.checks.evidence import Sort, search
from llamafile_format.findings import Finding, Value, Where
from llamafile_format.limits import METADATA_TEXT, ONNX_WORDS
from llamafile_format.weights.gguf_limits import FINDINGS_PER_RULE
from llamafile_format.weights.gguf_model import ArrayValue, TextValue, ValueType

if TYPE_CHECKING:
    from llamafile_format.source import ByteSource
    from llamafile_format.weights.gguf_model import Entry, Gguf
    from llamafile_format.weights.onnx_model import Onnx

RULES = {
    Sort.PIPELINE: "LF5097",
    Sort.COMMAND: "LF5098",
    Sort.ADDRESS: "LF5099",
    Sort.PATH: "LF5100",
    Sort.ORDER: "LF5118",
    Sort.UNSEEN: "LF5119",
}
URL_KEYS = re.compile(
    r"general\.(?:(?:source|base_model\.[0-9]+|dataset\.[0-9]+)\.)?(?:url|doi|uuid|repo_url)|general\.license\.link"
)
"""Keys that GGUF defines to hold an address."""

VOCABULARY = re.compile(r"tokenizer\.")
"""Keys of vocabularies and of templates, which 7.9 and 7.11 judge."""

LENGTHS = {"<": re.compile(rb"[\0-\x08]+"), ">": re.compile(rb"[\0-\x08]+.?", re.DOTALL)}
"""What stands between the strings of an array, by the order of its bytes."""

PIECE = 1 << 20  # bytes that are searched at once
OVERLAP = 1024  # bytes that two pieces share, so that nothing is cut


def check_metadata(gguf: Gguf, base: int, member: str) -> Iterator[Finding]:
    """Findings about the strings of ``gguf``, whose first byte is at ``base``: each sort once for each key."""
    told = _Told(member)
    left = METADATA_TEXT
    for key, entry in gguf.entries.items():
        if VOCABULARY.match(key):
            continue
        if left <= 0:
            reason = f"its metadata have more than {METADATA_TEXT} bytes of text"
            yield Finding(
                "LF9003", Where(base + entry.offset, None, member, key), {"path": member or key, "reason": reason}
            )
            return
        for at, data in _pieces(entry):
            left -= len(data) + 1
            yield from told.search(data, base + at, key, exact=not isinstance(entry.value, ArrayValue))
            if left <= 0:
                break


def check_words(model: Onnx, source: ByteSource, base: int, member: str) -> Iterator[Finding]:
    """Findings about documentation and metadata of an ONNX model: each sort once for each of the two."""
    told = _Told(member)
    for name, begin, end in model.words:
        yield from told.search(source.read_at(begin, end - begin), base + begin, name)
    if model.wordy:
        reason = f"its documentation and metadata have more than {ONNX_WORDS} bytes"
        yield Finding("LF9003", Where(base, None, member), {"path": member or source.name, "reason": reason})


def check_document(data: bytes, base: int, member: str) -> Iterator[Finding]:
    """Findings about a card or a recipe: each sort once. Links are what documents have."""
    told = _Told(member)
    for at in range(0, len(data), PIECE):
        yield from told.search(data[at : at + PIECE + OVERLAP], base + at, "", documents=True)


class _Told:
    """Finds as findings; bounded for each rule, and one for each sort and key."""

    def __init__(self, member: str) -> None:
        self.member = member
        self._seen: set[tuple[Sort, str]] = set()
        self._count: dict[Sort, int] = {}

    def search(
        self, data: bytes, at: int, key: str, *, documents: bool = False, exact: bool = True
    ) -> Iterator[Finding]:
        """What is found in ``data`` from offset ``at``; without ``exact`` that is only where its array begins."""
        for found in search(data, documents=documents):
            if found.sort is Sort.ADDRESS and URL_KEYS.fullmatch(key):
                continue
            self._count[found.sort] = self._count.get(found.sort, 0) + ((found.sort, key) not in self._seen)
            if (found.sort, key) in self._seen or self._count[found.sort] > FINDINGS_PER_RULE:
                continue
            self._seen.add((found.sort, key))
            args: dict[str, Value] = {"where": key or self.member, "text": found.text}
            yield Finding(RULES[found.sort], Where(at + (found.at if exact else 0), None, self.member, key), args)


def _pieces(entry: Entry) -> Iterator[tuple[int, bytes]]:
    """The strings of ``entry``, in pieces, each with its offset in the GGUF."""
    value = entry.value
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogateescape")
        yield entry.offset + max(0, entry.length - len(data)), data
    elif isinstance(value, TextValue):
        for start in range(0, value.length, PIECE):
            yield (
                value.offset + start,
                value.source.read_at(value.offset + start, min(PIECE + OVERLAP, value.length - start)),
            )
    elif isinstance(value, ArrayValue) and value.element_type is ValueType.STRING:
        lengths = LENGTHS[value.dialect.order]
        for start in range(0, value.length, PIECE):  # millions of empty strings are a run of zeros, and cost no loop
            raw = value.source.read_at(value.offset + start, min(PIECE + OVERLAP, value.length - start))
            yield value.offset, lengths.sub(b"\n", raw)
