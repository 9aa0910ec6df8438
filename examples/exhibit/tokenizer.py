"""A SentencePiece-style vocabulary, built and used the way llama.cpp uses one.

A `llama` tokenizer in a GGUF file is a list of pieces with scores.  To encode,
llama.cpp writes spaces as "▁", splits the text into characters and keeps
joining the neighbours whose union has the best score of all, the leftmost
first, until no union is a piece; a character that is no piece becomes the
bytes of its UTF-8.  `Tokenizer.encode` is that rule and nothing else, so the
text the model trained on and the text llama.cpp feeds it are cut alike.

No piece crosses a space or a line end, so a text can be cut word by word and
the cuts remembered: the result is the same, and much sooner there.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import pairwise

SPACE = "▁"
ALPHABET = SPACE + string.ascii_letters + string.digits + ".,:?!'-"
WORD = re.compile(rf"\n|{SPACE}?[^{SPACE}\n]+|{SPACE}")


class Kind(IntEnum):
    """Token types, by the numbers GGUF gives them."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    BYTE = 6


UNK, BOS, EOS = 0, 1, 2
FIRST_BYTE = 3
FIRST_PIECE = FIRST_BYTE + 256


def _words(text: str) -> list[str]:
    """Cut a text, with a space before it, at the places no piece crosses."""
    return WORD.findall(SPACE + text.replace(" ", SPACE)) if text else []


def _merge(parts: list[str], rank: dict[str, int]) -> list[str]:
    """Join neighbours, the best-ranked union first, until no union is a piece."""
    while True:
        unions = [(rank[a + b], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in rank]
        if not unions:
            return parts
        at = min(unions)[1]
        parts = [*parts[:at], parts[at] + parts[at + 1], *parts[at + 2 :]]


class Tokenizer:
    """Text to token ids and back, for a list of pieces in order of rank."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self.pieces = tuple(pieces)
        self.rank = {piece: rank for rank, piece in enumerate(self.pieces)}
        self._words: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return FIRST_PIECE + len(self.pieces)

    def encode(self, text: str) -> list[int]:
        """Cut one document, without <s> and </s>."""
        ids: list[int] = []
        for word in _words(text):
            if word not in self._words:
                self._words[word] = [i for part in _merge(list(word), self.rank) for i in self._ids(part)]
            ids += self._words[word]
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Put text together again; control tokens say nothing."""
        data = b""
        for i in ids:
            if i >= FIRST_PIECE:
                data += self.pieces[i - FIRST_PIECE].encode()
            elif i >= FIRST_BYTE:
                data += bytes([i - FIRST_BYTE])
        return data.decode("utf-8", "replace").replace(SPACE, " ")

    def _ids(self, part: str) -> list[int]:
        if part in self.rank:
            return [FIRST_PIECE + self.rank[part]]
        return [FIRST_BYTE + byte for byte in part.encode()]

    def table(self) -> list[tuple[str, float, Kind]]:
        """Every token with its score and type, in order of id, as a GGUF file lists them."""
        special = [("<unk>", 0.0, Kind.UNKNOWN), ("<s>", 0.0, Kind.CONTROL), ("</s>", 0.0, Kind.CONTROL)]
        raw = [(f"<0x{byte:02X}>", 0.0, Kind.BYTE) for byte in range(256)]
        return special + raw + [(piece, -float(rank), Kind.NORMAL) for rank, piece in enumerate(self.pieces)]


def learn(documents: Iterable[str], size: int) -> Tokenizer:
    """Build a vocabulary of `size` tokens by byte-pair encoding.

    The commonest neighbours within words become a piece, again and again.
    Only letters join.  Figures stay single, so that a year is always four
    tokens, and so do stops and commas, so that a word is the same word before
    any of them.  Single characters rank last: they are no unions.
    """
    counts: Counter[str] = Counter()
    for document in documents:
        counts.update(_words(document))
    words = {word: [c for c in word if c in ALPHABET] for word in counts if set(word) <= set(ALPHABET)}
    unions: list[str] = []
    while len(unions) < size - FIRST_PIECE - len(ALPHABET):
        pairs: Counter[str] = Counter()
        for word, parts in words.items():
            for a, b in pairwise(parts):
                if (a + b).removeprefix(SPACE).isalpha():
                    pairs[a + b] += counts[word]
        best = max(pairs, key=lambda union: (pairs[union], union))
        unions.append(best)
        rank = {best: 0}
        words = {word: _merge(parts, rank) if best in word else parts for word, parts in words.items()}
    return Tokenizer(unions + list(ALPHABET))
