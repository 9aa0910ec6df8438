"""Digests of everything in front of renewals, all in one pass over the file (spec/1, 13.6.8)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from llamafile_format.progress import Progress
from llamafile_format.signing.time.timestamps import hash_name
from llamafile_format.source import ByteSource

_PIECE = 4 << 20


def prefix_digests(
    source: ByteSource, wanted: Sequence[tuple[int, str]], *, progress: Progress | None = None
) -> list[bytes]:
    """Digests of the first so many bytes of ``source``, by registered functions, in one pass over it.

    ``wanted`` are (bytes, id of the function); the result is in its order. Each function sees each byte once, however
    many digests are wanted: anybody can append a thousand stamps that look like renewals.
    """
    last = {name: max(length for length, other in wanted if other == name) for _, name in wanted}
    hashers = {name: hashlib.new(hash_name(name)) for name in last}
    borders, total, at = sorted({length for length, _ in wanted}), max(last.values(), default=0), 0
    found: dict[tuple[int, str], bytes] = {}
    buffer = bytearray(min(_PIECE, total))
    with ThreadPoolExecutor(max(1, len(hashers))) as pool:
        for border in borders:
            while at < border:
                end = min(at + _PIECE, border)
                piece = memoryview(buffer)[: end - at]
                source.read_into(at, piece)
                due = [hasher for name, hasher in hashers.items() if last[name] > at]
                if len(due) == 1:
                    due[0].update(piece)
                else:  # hashing lets go of the interpreter, so two functions take as long as the slower one
                    list(pool.map(lambda hasher, data=piece: hasher.update(data), due))
                at = end
                if progress:
                    progress(at, total)
            found |= {(border, name): hashers[name].digest() for length, name in wanted if length == border}
    return [found[each] for each in wanted]
