"""What builds said before they were succeeded: ``python -m tests.old_records PIN [WORD…]`` records it, once.

For each target that runs here, natively or through an emulator, one behaviour record (spec/1, chapter 15) of the
exhibit in each of four kinds of weights: a short prompt, and one of some 340 tokens, where the cache is computed in
another way. They lie in ``tests/data/records/VERSION/``, for as long as there are builds that claim to say the same.
WORDs leave out what has none of them in its name (``reference``, ``wasm32-wasi``, ``q4_0``).
"""

from __future__ import annotations

import os
import struct
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import llamafile_format as lf
from llamafile_format.engines.behaviour import texts
from llamafile_format.engines.launch import HERE, Via
from llamafile_format.engines.prompts import Prompts
from llamafile_format.engines.store import find_pin, unpacked
from llamafile_format.engines.trace import Prompt
from spec.vectors.generate.gguf_builder import U32
from tests.gguf_workbench import Tensor, take_apart

ROOT = Path(__file__).resolve().parent.parent
EXHIBIT = ROOT / "examples" / "exhibit"
RECORDS = ROOT / "tests" / "data" / "records"
KINDS = ("f32", "f16", "q8_0", "q4_0")
ASKED = Prompts(
    prompts=(
        Prompt("short", text="Visitor: a brass astrolabe\nLabel:", max_tokens=8, top=4),
        Prompt("long", text=texts()["alice-1865"] + "\n" + texts()["alice-1865"], max_tokens=3, top=4),
    ),
    likelihood="",
)
F32, Q4_0, FILE_Q4_0 = 0, 2, 2


@dataclass(frozen=True)
class Platform:
    """A target that runs here: by itself, or by ``via``, which needs ``tool``. ``flavours`` are those recorded."""

    target: str
    via: Via = HERE
    tool: str = ""
    flavours: tuple[str, ...] = ("reference",)


PLATFORMS = (
    Platform("linux-x86_64", flavours=("reference", "native")),
    Platform("linux-aarch64", Via("qemu"), "qemu-aarch64-static"),
    Platform("linux-riscv64", Via("qemu"), "qemu-riscv64-static"),
    Platform("windows-x86_64", Via("wine"), "wine64"),
    Platform("wasm32-wasi", Via("wasmtime")),
)


def weights(kind: str, folder: Path) -> Path:
    """The exhibit in ``kind``: the file of the examples, or in ``folder`` what is made of the one with full weights."""
    path = EXHIBIT / f"exhibit-{kind}.gguf"
    if not path.is_file():
        path = folder / path.name
        path.write_bytes(_in_four_bits((EXHIBIT / "exhibit-f32.gguf").read_bytes()))
    return path


def record_of(version: str, flavour: str, target: str, kind: str) -> Path:
    """Where the record lies."""
    return RECORDS / version / f"{flavour}-{target}-{kind}.yaml"


def container(folder: Path, key: str, flavour: str, target: str, kind: str, *include: lf.Include) -> Path:
    """A container in ``folder`` with the exhibit, the one build of pin ``key``, and ``include``."""
    pin = find_pin(key)
    build = next(one for one in pin.builds if (one.flavour, one.target) == (flavour, target))
    member = f"runtimes/{pin.name}/{pin.version}/{flavour}/{target}"
    out = folder / f"{flavour}-{target}-{kind}.llamafile"
    builds = [lf.Include(unpacked(pin, build), member, "runtime"), *include]
    lf.pack([weights(kind, folder)], out, prefix="none", include=builds, created="2026-11-28T00:00:00Z")
    return out


def _in_four_bits(data: bytes) -> bytes:
    """A GGUF with F32 weights, its matrices in blocks of 32 numbers of four bits: Q4_0, as its definition says."""
    parts = take_apart(data)
    rows: list[Tensor] = []
    out = bytearray()
    for row in parts.tensors:
        count = 1
        for dim in row.dims:
            count *= dim
        stored, kind = parts.data[row.offset : row.offset + 4 * count], F32
        if len(row.dims) == 2:
            stored, kind = b"".join(_blocks(stored)), Q4_0
        out += bytes(-len(out) % 32)
        rows.append(Tensor(row.name, row.dims, kind, len(out)))
        out += stored
    out += bytes(-len(out) % 32)
    made = replace(parts, tensors=tuple(rows), data=bytes(out))
    return made.with_entry("general.file_type", U32, FILE_Q4_0).build()


def _blocks(data: bytes) -> Iterator[bytes]:
    """A scale in binary16, then the lower and upper halves of the block in one nibble each, biased by 8."""
    for block in struct.iter_unpack("<32f", data):
        scale = max(block, key=abs) / -8
        inverse = 1 / scale if scale else 0.0
        codes = [min(15, int(value * inverse + 8.5)) for value in block]
        yield struct.pack("<e16B", scale, *(low | high << 4 for low, high in zip(codes[:16], codes[16:], strict=True)))


def main(key: str, *words: str) -> None:
    """Record what has every word in its name."""
    version = find_pin(key).version
    with tempfile.TemporaryDirectory() as name:
        for platform in PLATFORMS:
            for flavour in platform.flavours:
                for kind in KINDS:
                    out = record_of(version, flavour, platform.target, kind)
                    if all(word in out.name for word in words):
                        _record(container(Path(name), key, flavour, platform.target, kind), platform, out)


def _record(path: Path, platform: Platform, out: Path) -> None:
    wanted = lf.Wanted(target=platform.target, via=platform.via)
    made = lf.record(path, in_place=True, prompts=ASKED, wanted=wanted, timeout=900)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(made.data)
    path.unlink()
    print(f"{os.path.relpath(out, ROOT)}: {made.record.agreement.value}, {len(made.data)} bytes", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
