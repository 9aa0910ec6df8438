"""Frozen containers (spec/1, chapter 18): the same file again, every byte bound, and no number believed."""

from __future__ import annotations

import hashlib
import random
import re
import resource
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import zstandard

import llamafile_format as lf
from llamafile_format.caring import freeze, thaw
from llamafile_format.frozen.layout import Frozen, Index, Row, tail_of
from llamafile_format.frozen.planes import BLOCK, freeze_block, plane_sizes, thaw_block
from llamafile_format.prefix.impostors import FROZEN
from llamafile_format.signing.keys.key_files import generate, write_keys
from llamafile_format.source import BytesSource
from spec.vectors.generate import ape
from tests.conftest import CliRunner
from tests.laws.containers import small_container, tiny_gguf
from tests.laws.sparse import sparse_container

ROOT = Path(__file__).resolve().parents[2]
EXHIBIT = ROOT / "examples" / "exhibit" / "exhibit-f16.gguf"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A container of some 12 KiB that freezes well."""
    return small_container(tmp_path_factory.mktemp("sample")).read_bytes()


def frozen(data: bytes, **changes: object) -> bytes:
    """``data`` frozen by the book; ``changes`` are fields of the index that say something else."""
    rows, stored = [], []
    for at in range(0, len(data), BLOCK):
        width, planes = freeze_block(data[at : at + BLOCK])
        stored.append(b"".join(planes))
        rows.append(Row(width, tuple(map(len, planes)), hashlib.sha256(stored[-1]).digest()))
    return built(rows, stored, len(data), **{"sha256": hashlib.sha256(data).hexdigest(), **changes})


def built(rows: Sequence[Row], stored: list[bytes], size: int, **changes: object) -> bytes:
    """A frozen file of these rows with right digests of table and index."""
    table = b"".join(row.packed() for row in rows)
    index = Index("0" * 64, "0" * 64, size, hashlib.sha256(table).hexdigest())
    return FROZEN + b"".join(stored) + table + tail_of(replace(index, **changes))  # type: ignore[arg-type]


def refused(tmp_path: Path, data: bytes) -> lf.LlamafileError:
    """What ``thaw`` says about ``data``; nothing may be left of it."""
    (tmp_path / "bad.frozen").write_bytes(data)
    with pytest.raises(lf.LlamafileError) as error:
        thaw(tmp_path / "bad.frozen", tmp_path / "thawed")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.frozen"]
    assert error.value.hint
    assert isinstance(error.value, (lf.FormatError, lf.NotALlamafile, lf.SourceError))
    return error.value


@pytest.mark.parametrize("width", [1, 2, 4])
def test_a_block_comes_out_as_it_went_in(width: int) -> None:
    rng = np.random.default_rng(width)
    kind = {1: np.uint8, 2: np.float16, 4: np.float32}[width]
    weights = (rng.standard_normal(1 << 18) * 20).astype(kind).tobytes()
    for length in (len(weights), len(weights) - 3, 5, 1):
        block = weights[:length]
        found, planes = freeze_block(block)
        if length > 1000:
            assert width in (found, 1)
        assert thaw_block(b"".join(planes), tuple(map(len, planes)), found, length) == block
        assert all(len(plane) <= most for plane, most in zip(planes, plane_sizes(length, found), strict=True))
    assert freeze_block(bytes(77)) == (0, ())


@pytest.mark.parametrize("prefix", ["none", "an engine"])
def test_it_thaws_to_the_same_container(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "a.llamafile"
    (tmp_path / "engine").write_bytes(ape.forge())
    lf.pack([EXHIBIT], path, prefix="none" if prefix == "none" else tmp_path / "engine", runtime="none")
    made = freeze(path, tmp_path / "a.frozen")
    assert made.size == (tmp_path / "a.frozen").stat().st_size < 0.9 * made.original_size
    with lf.open(path) as container:
        assert made.manifest_sha256 == hashlib.sha256(container.manifest_bytes).hexdigest()
    again = thaw(tmp_path / "a.frozen", tmp_path / "b.llamafile")
    assert (tmp_path / "b.llamafile").read_bytes() == path.read_bytes()
    assert (again.size, again.sha256) == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    assert (tmp_path / "b.llamafile").stat().st_mode == path.stat().st_mode
    freeze(path, tmp_path / "again.frozen")
    assert (tmp_path / "again.frozen").read_bytes() == (tmp_path / "a.frozen").read_bytes()


def test_signatures_travel(tmp_path: Path, sample: bytes, run_cli: CliRunner) -> None:
    path, key = tmp_path / "a", tmp_path / "key"
    path.write_bytes(sample)
    write_keys(key, generate("p384"), passphrase=None)
    assert run_cli("sign", path, "--key", key).returncode == 0
    freeze(path, tmp_path / "frozen")
    thaw(tmp_path / "frozen", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == path.read_bytes() != sample
    assert run_cli("verify", tmp_path / "b", "--key", f"{key}.pub", "--require-signature").returncode == 0


def test_what_does_not_pay_is_refused_with_how_little(tmp_path: Path, run_cli: CliRunner) -> None:
    (tmp_path / "m.gguf").write_bytes(tiny_gguf(values=4))
    (tmp_path / "noise.bin").write_bytes(random.Random(1).randbytes(3_000_000))
    path = tmp_path / "a.llamafile"
    noise = lf.Include(tmp_path / "noise.bin", data=True)
    lf.pack([tmp_path / "m.gguf"], path, prefix="none", include=[noise])
    done = run_cli("freeze", path, "-o", tmp_path / "a.frozen")
    assert done.returncode == 2
    assert re.search(r"does not pay: (9[5-9]|100)\.\d % of it would be left", done.stderr)
    assert "quantised" in done.stderr
    assert not (tmp_path / "a.frozen").exists()


def test_what_goes_in_is_judged(tmp_path: Path, sample: bytes) -> None:
    damaged = bytearray(sample)
    damaged[len(sample) // 2] ^= 1
    for name, data in {"damaged": bytes(damaged), "none": b"words\n", "good": sample, "there": b"mine"}.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(lf.FormatError, match="was not frozen"):
        freeze(tmp_path / "damaged", tmp_path / "a")
    with pytest.raises(lf.NotALlamafile):
        freeze(tmp_path / "none", tmp_path / "a")
    with pytest.raises(lf.FormatError, match="no frozen container"):
        thaw(tmp_path / "good", tmp_path / "a")
    for command in (freeze, thaw):
        with pytest.raises(lf.UsageError, match="exists") as error:
            command(tmp_path / "good", tmp_path / "there")
        assert "--force" not in error.value.hint
    assert (tmp_path / "there").read_bytes() == b"mine"
    assert not (tmp_path / "a").exists()


def test_everybody_tells_what_it_is(tmp_path: Path, sample: bytes, run_cli: CliRunner) -> None:
    path = tmp_path / "a.frozen"
    path.write_bytes(frozen(sample))
    assert "frozen llamafile 1" in run_cli("identify", path).stdout
    told = run_cli("verify", path)
    assert told.returncode == 3
    assert "thaw" in told.stdout
    doors: list[Callable[[], object]] = [
        lambda: lf.inspect(path),
        lambda: lf.extract(path, tmp_path / "out"),
        lambda: lf.pack([path], tmp_path / "out", prefix="none", force=True),
        lambda: lf.repack(path, tmp_path / "out", name="x"),
        lambda: freeze(path, tmp_path / "out"),
    ]
    for door in doors:
        with pytest.raises(lf.LlamafileError) as error:
            door()
        assert "thaw" in error.value.hint or "verify" in error.value.hint or "pack" in error.value.hint
        assert not (tmp_path / "out").exists()
    (tmp_path / "cut").write_bytes(path.read_bytes()[:-40])
    report = lf.verify(tmp_path / "cut")
    assert report.exit_code() == 4
    assert {finding.rule for finding in report.findings} == {"LF1010"}


def test_every_byte_is_bound(sample: bytes) -> None:
    """A flipped bit anywhere is an error before, or instead of, a result."""
    data = frozen(sample)
    rng = random.Random(7)

    def whole(data: bytes) -> bytes:
        found = Frozen(BytesSource(data))
        return b"".join(
            thaw_block(stored, row.sizes, row.width, found.index.length(number))
            for number, (row, stored) in enumerate(found.stored())
        )

    assert whole(data) == sample
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << rng.randrange(8)
        with pytest.raises(lf.FormatError):
            whole(bytes(flipped))


def test_cut_off_anywhere(sample: bytes) -> None:
    data = frozen(sample)
    for at in range(0, len(data), 7):
        with pytest.raises(lf.FormatError):
            Frozen(BytesSource(data[:at]))


def row(planes: list[bytes], width: int = 1, sizes: tuple[int, ...] = ()) -> Row:
    return Row(width, sizes or tuple(map(len, planes)), hashlib.sha256(b"".join(planes)).digest())


@dataclass(frozen=True, slots=True)
class Raw(Row):
    """A row of any sizes."""

    def packed(self) -> bytes:
        return struct.pack("<I4I32s", self.width, *self.sizes, *[0] * (4 - len(self.sizes)), bytes(32))


def _bomb() -> bytes:
    """A frame that says 1,000 bytes and has 64 MiB, and one that says nothing."""
    return zstandard.ZstdCompressor().compress(bytes(64 << 20))


FRAME = zstandard.ZstdCompressor().compress(bytes(1000))
SILENT = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000))
HOSTILE: dict[str, Callable[[], bytes]] = {
    "a bomb of a frame": lambda: built([row([_bomb()])], [_bomb()], 1 << 20),
    "a frame of another size": lambda: built([row([FRAME])], [FRAME], 2000),
    "a frame that does not say its size": lambda: built([row([SILENT])], [SILENT], 1000),
    "two frames": lambda: built([row([FRAME + FRAME])], [FRAME + FRAME], 1000),
    "a skippable frame": lambda: built([row([b"\x50\x2a\x4d\x18\0\0\0\0"])], [b"\x50\x2a\x4d\x18\0\0\0\0"], 1000),
    "no frame": lambda: built([row([b"words"])], [b"words"], 1000),
    "a plane that is longer than it is": lambda: built([row([bytes(11)])], [bytes(11)], 10),
    "a plane of a block that has none": lambda: built([Raw(1, (3, 3), b"")], [b"abc"], 10),
    "three planes": lambda: built([row([b"ab", b"cd", b"ef"], 3)], [b"abcdef"], 6),
    "sixteen exabytes": lambda: built([], [], (1 << 63) - 1),
    "more blocks than are read": lambda: built([], [], (1 << 44) + 1),
    "more rows than there are": lambda: built([row([], 0)], [], 2 * BLOCK),
    "a row too many": lambda: built([row([], 0)] * 2, [], BLOCK),
    "blocks over the table": lambda: built([row([bytes(100)])], [bytes(60)], 100),
    "a hole before the table": lambda: built([row([bytes(100)])], [bytes(160)], 100),
    "another file": lambda: frozen(b"hello" * 500, sha256=hashlib.sha256(b"x").hexdigest()),
    "no container": lambda: frozen(b"hello" * 500),
    "an index with more in it": lambda: _index(b'{\n "format": "llamafile-frozen/1",\n "more": 1\n}\n'),
    "an index of nothing": lambda: _index(b""),
    "an index that is deep": lambda: _index(b"[" * 4000),
    "an index that is long": lambda: _index(b'{"a": ' + b"9" * 5000 + b"}"),
    "an index longer than the file": lambda: FROZEN + struct.pack("<Q32s", 1 << 62, bytes(32)) + FROZEN,
    "marks that overlap": lambda: FROZEN + FROZEN,
    "another spelling of the index": lambda: _index(tail_of(Index("0" * 64, "0" * 64, 1, "0" * 64))[:-57] + b" \n"),
}


def _index(text: bytes) -> bytes:
    return FROZEN + text + struct.pack("<Q32s", len(text), hashlib.sha256(text).digest()) + FROZEN


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_end_in_an_error(tmp_path: Path, name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF)
    data = HOSTILE[name]()
    refused(tmp_path, data)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime - before.ru_utime < 3
    assert after.ru_maxrss - before.ru_maxrss < 150 << 10


def test_more_than_there_is_room_for_is_not_begun(tmp_path: Path) -> None:
    """18.5.1: some kilobytes may stand for terabytes of zeros."""
    rows = [row([], 0)] * 100_000
    error = refused(tmp_path, built(rows, [], 100_000 * BLOCK))
    assert isinstance(error, lf.SourceError)
    assert "no space left" in error.message


def test_another_container_than_it_says(tmp_path: Path, sample: bytes) -> None:
    assert "another manifest" in refused(tmp_path, frozen(sample)).message


@pytest.mark.interop
def test_the_strangers_script_works_as_printed(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    """18.6: Python and the command zstd make the container again, and say what is damaged."""
    tool("zstd")
    text = (ROOT / "spec" / "1" / "18-frozen.md").read_text("utf-8").partition("## 18.6")[2]
    (script,) = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    assert len(script.splitlines()) <= 60
    (tmp_path / "stranger.py").write_text(script)
    lf.pack([EXHIBIT], tmp_path / "a.llamafile", prefix="none", license="CC0-1.0")
    freeze(tmp_path / "a.llamafile", tmp_path / "a.frozen")
    command = [sys.executable, "-I", "stranger.py", "a.frozen", "b.llamafile"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "b.llamafile").read_bytes() == (tmp_path / "a.llamafile").read_bytes()
    data = bytearray((tmp_path / "a.frozen").read_bytes())
    data[5000] ^= 1
    (tmp_path / "a.frozen").write_bytes(data)
    done = subprocess.run([*command[:-1], "c"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "block 0 is damaged" in done.stderr


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path, run_cli: CliRunner) -> None:
    """80 blocks, most of them a hole; frozen, thawed, and no larger on the disk than before."""
    code = (
        "import sys; from llamafile_format.caring import freeze, thaw; freeze(sys.argv[1], 'f'); thaw('f', 'b');"
        "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
    )
    path = tmp_path / "a.llamafile"
    sparse_container(path, 320 << 20)
    done = subprocess.run(
        [sys.executable, "-c", code, path], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True
    )
    assert int(done.stdout) < 80 << 10
    assert (tmp_path / "f").stat().st_size < 40_000
    assert (tmp_path / "b").stat().st_blocks * 512 < 10 << 20
    subprocess.run(["cmp", path, tmp_path / "b"], check=True)
