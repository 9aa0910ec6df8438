"""``pack`` of 2 GiB, against ``cp`` with fsync followed by ``openssl dgst -sha256`` of the same file."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.benchmarks.measure import CLI, in_turns, random_file, row, timed
from tests.laws.sparse import gguf_header

SIZE = 2 << 30


def model(folder: Path) -> Path:
    """A GGUF of 2 GiB without holes."""
    path = folder / "model.gguf"
    if not path.exists():
        head = gguf_header(SIZE)
        from tests.laws.sparse import ROW

        random_file(path, len(head) + 4 * ROW * ((SIZE - 4096) // (4 * ROW)))
        with path.open("r+b") as file:
            file.write(head)
    return path


def main(folder: Path) -> bool:
    """Measure and print; True if the figure is reached."""
    source, copy, out = model(folder), folder / "copy.bin", folder / "packed.llamafile"

    def rival() -> float:
        copy.unlink(missing_ok=True)
        start = time.perf_counter()
        timed(["cp", "--reflink=never", source, copy])
        descriptor = os.open(copy, os.O_RDWR)
        os.fsync(descriptor)
        os.close(descriptor)
        timed(["openssl", "dgst", "-sha256", copy])
        return time.perf_counter() - start

    def ours() -> float:
        out.unlink(missing_ok=True)
        return timed([*CLI, "pack", source, "--prefix", "none", "-o", out])

    theirs, mine = in_turns(5, rival, ours)
    copy.unlink(missing_ok=True)
    out.unlink(missing_ok=True)
    return row(
        "pack vs cp + fsync + openssl",
        f"{mine:.2f} / {theirs:.2f} s = {mine / theirs:.2f}",
        "<= 0.9",
        mine / theirs <= 0.9,
    )
