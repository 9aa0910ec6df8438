"""The numbers of tensors: the same answer whatever pieces the bytes come in, a budget that is kept."""

from __future__ import annotations

import math
import random
import struct
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.checks.tensors import TensorsAsked, TensorWatch, check_tensors
from llamafile_format.findings import Finding
from llamafile_format.source import BytesSource
from llamafile_format.weights.gguf import read_gguf
from llamafile_format.weights.tensor_scales import KNOWN, look
from llamafile_format.weights.tensor_types import meanings, type_table
from spec.vectors.generate.gguf_builder import V3, model_entries
from tests.conftest import CliRunner

Q8_0, Q6_K = 8, 14


def q8(blocks: int, broken: tuple[int, ...] = ()) -> bytes:
    """Blocks of Q8_0 of which some have an infinite scale."""
    chance = random.Random(1)
    return b"".join(
        struct.pack("<e", float("inf") if index in broken else 0.01) + chance.randbytes(32) for index in range(blocks)
    )


def model(blocks: int, broken: tuple[int, ...] = ()) -> bytes:
    """A model of one tensor of ``blocks`` rows."""
    data = q8(blocks, broken)
    return V3.build(model_entries(), [V3.tensor("a.weight", (32, blocks), Q8_0, 0)], data + bytes(-len(data) % 32))


def judged(data: bytes, asked: TensorsAsked | None = None) -> list[Finding]:
    source = BytesSource(data)
    return check_tensors(source, [(read_gguf(source), 0, "m.gguf")], asked)


@pytest.mark.parametrize("seed", range(20))
def test_pieces_of_any_size_in_any_order_give_what_one_gives(seed: int) -> None:
    data = model(300, broken=(7, 123, 299))
    chance = random.Random(seed)
    step = chance.randrange(34, 4000)
    spans = [(at, min(at + step, len(data))) for at in range(0, len(data), step)]
    chance.shuffle(spans)
    watch = TensorWatch(TensorsAsked(all=True))
    watch.add(read_gguf(BytesSource(data)), member="m.gguf")
    watch.choose()
    for start, end in spans:
        watch.see(start, memoryview(data)[start:end])
    assert list(watch.findings()) == judged(data)
    (finding,) = judged(data)
    assert (finding.rule, finding.args["count"]) == ("LF5090", 3)
    assert (finding.where.length, finding.where.field) == (34, "a.weight")
    assert data[finding.where.offset :][:2] == struct.pack("<e", float("inf"))


def test_a_sample_keeps_its_budget_and_says_so() -> None:
    data = model(100_000)
    (finding,) = judged(data, TensorsAsked(budget=1 << 20))
    assert finding.rule == "LF5094"
    assert (1 << 19) < int(finding.args["seen"]) <= 1 << 20
    assert finding.args["total"] == 3_400_000
    assert judged(data, TensorsAsked(all=True)) == []


def test_a_sample_is_spread_over_the_tensor() -> None:
    data = model(100_000, broken=tuple(range(90_000, 100_000)))
    assert "LF5090" in {finding.rule for finding in judged(data, TensorsAsked(budget=1 << 20))}


def test_every_type_that_is_read_has_its_size_in_the_registry() -> None:
    sizes = {row.name: row.block_bytes for rows in type_table().values() for row in rows if row.numbering == "ggml"}
    for name, scales in KNOWN.items():
        places = [mark.at for number in scales.broken for mark in number] + [mark.at for mark in scales.zero]
        assert all(0 <= place < (sizes[name] or 0) for place in places)
        assert look(name, sizes[name] or 1, bytes((sizes[name] or 1) * 4), 0).broken == 0


@pytest.mark.parametrize("name", [name for name, scales in KNOWN.items() if scales.broken])
def test_one_broken_block_among_many_is_found(name: str) -> None:
    size = next(row.block_bytes for rows in type_table().values() for row in rows if row.name == name)
    assert size is not None
    for number in KNOWN[name].broken:
        data = bytearray(size * 100)
        for mark in number:
            data[57 * size + mark.at] |= mark.wanted
        health = look(name, size, bytes(data), 1000)
        assert (health.broken, health.first_broken) == (1, 1000 + 57 * size)


def test_numbers_are_found_as_struct_reads_them() -> None:
    chance = random.Random(3)
    for name, code in (("F16", "e"), ("F32", "f"), ("F64", "d")):
        size = struct.calcsize(code)
        data = b"".join(
            chance.choice([chance.randbytes(size), b"\xff" * size, struct.pack("<" + code, float("inf"))])
            for _ in range(500)
        )
        numbers = [value for (value,) in struct.iter_unpack("<" + code, data)]
        bad = [index for index, value in enumerate(numbers) if not math.isfinite(value)]
        health = look(name, size, data, 0)
        assert (health.broken, health.first_broken) == (len(bad), bad[0] * size)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A container whose weights of 6 MB, more than a chunk, have one infinite scale in a block across two chunks."""
    (tmp_path / "m.gguf").write_bytes(model(180_000, broken=(123_360,)))
    lf.pack([tmp_path / "m.gguf"], tmp_path / "m.llamafile", prefix="none", name="m")
    return tmp_path / "m.llamafile"


@pytest.mark.parametrize("level", ["full", "exhaustive"])
def test_the_pass_that_hashes_looks_at_every_block(broken: Path, level: str, run_cli: CliRunner) -> None:
    options = ("--tensors", "all") if level == "full" else ()
    result = run_cli("verify", str(broken), "--level", level, *options)
    assert result.returncode == 1
    assert "LF5090" in result.stdout
    assert "LF5094" not in result.stdout


def test_a_budget_that_is_too_small_is_told(broken: Path, run_cli: CliRunner) -> None:
    result = run_cli("verify", str(broken), "--tensors-budget", "1MiB")
    assert "LF5094" in result.stdout
    assert run_cli("verify", str(broken), "--tensors-budget", "much").returncode == 2
    assert run_cli("verify", str(broken), "--tensors", "all", "--level", "quick").returncode == 2


def test_a_policy_asks_for_all_at_full_and_deepens_nothing_at_quick(broken: Path, run_cli: CliRunner) -> None:
    result = run_cli("verify", str(broken), "--policy", "hub", "--tensors-budget", "1MiB")
    assert "LF5090" in result.stdout
    assert "LF5094" not in result.stdout
    assert "LF5090" not in run_cli("verify", str(broken), "--policy", "hub", "--level", "quick").stdout


def test_asking_for_all_is_never_taken_back() -> None:
    assert TensorsAsked(all=True).or_all(False).all
    assert TensorsAsked().or_all(True).all
    assert meanings(Q6_K)[0].name in KNOWN
