"""Native x86-64 builds run on old processors too, and take the kernels that each of them can run (spec/1.0, 14.6.6)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from llamafile_format.engines.pin import Flavour
from llamafile_format.engines.store import find_pin, is_here, unpacked
from tests.new_engine import pin_of, zig

ROOT = Path(__file__).resolve().parents[2]
RUNS = [("Nehalem", "v1", "f32"), ("Nehalem", "v1", "f16"), ("Nehalem", "v1", "q8_0"), ("Haswell", "v3", "q8_0")]
REQUEST = {
    "version": 1,
    "threads": 2,
    "context": 512,
    "prompts": [
        {"id": "short", "text": "The museum", "max_tokens": 4},
        {"id": "long", "text": "The clock is made of walnut. " * 12, "max_tokens": 2},
        {"id": "chat", "messages": [{"role": "user", "content": "Tell me about the clock."}], "max_tokens": 8},
    ],
    "nll": {"text": "Alice was beginning to get very tired of sitting by her sister on the bank."},
}

pytestmark = [pytest.mark.slow, pytest.mark.interop]


@pytest.fixture(scope="module", params=["default", "newest"])
def native(request: pytest.FixtureRequest) -> Path:
    newest = request.param == "newest"
    pin = pin_of(request.getfixturevalue("new_runtimes")) if newest else find_pin("llama.cpp")
    build = pin.build("linux-x86_64", Flavour.NATIVE)
    if build is None or not is_here(pin, build):
        pytest.skip("the native build for linux-x86_64 is not here")
    return unpacked(pin, build)


def traced(command: list[str], model: str) -> list[dict[str, object]]:
    """The events of a trace of the exhibit's ``model``."""
    weights = ROOT / f"examples/exhibit/exhibit-{model}.gguf"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LFF_")}
    ran = subprocess.run(
        [*command, "--trace", "-m", str(weights)],
        input=json.dumps(REQUEST),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=environment,
    )
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def words(events: list[dict[str, object]]) -> list[object]:
    """What was said, without the numbers behind it."""
    return [(event["id"], event["step"], event["token"]) for event in events if event["event"] == "step"]


@pytest.mark.parametrize(("processor", "level", "model"), RUNS)
def test_an_old_processor_runs_its_level(
    tool: Callable[[str], str], native: Path, processor: str, level: str, model: str
) -> None:
    """An instruction that the processor does not have would end the emulated program with SIGILL."""
    emulator = tool("qemu-x86_64-static")
    here = traced([str(native)], model)
    there = traced([emulator, "-cpu", processor, str(native)], model)
    assert there[0]["cpu"] == level
    assert words(there) == words(here)


def test_a_lower_level_can_be_asked_for(native: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["env", "LFF_CPU=v1", str(native)]
    assert traced(command, "q8_0")[0]["cpu"] == "v1"


# What processors say that are not here: bits of CPUID, and of the state that the system keeps.
FMA, MOVBE, OSXSAVE, AVX, F16C = (1 << bit for bit in (12, 22, 27, 28, 29))
BMI1, AVX2, BMI2, LZCNT = (1 << bit for bit in (3, 5, 8, 5))
AVX512 = sum(1 << bit for bit in (16, 17, 28, 30, 31))
VBMI, VNNI, BF16, AVX_VNNI, TILES, TILE_INT8 = (1 << bit for bit in (1, 11, 5, 4, 24, 25))
WIDE, WIDER, TILED = 0x7, 0xE7, 0x600E7
HASWELL = {"1c": FMA | MOVBE | OSXSAVE | AVX | F16C, "7b": BMI1 | AVX2 | BMI2, "xc": LZCNT, "x0": WIDE}
ALDER = HASWELL | {"71a": AVX_VNNI}
ZEN4 = HASWELL | {"7b": HASWELL["7b"] | AVX512, "7c": VBMI | VNNI, "71a": BF16 | AVX_VNNI, "x0": WIDER}
RAPIDS = ZEN4 | {"7d": TILES | TILE_INT8, "x0": TILED}
PROCESSORS = {
    "nothing at all": ({}, "v1"),
    "Haswell": (HASWELL, "v3"),
    "Haswell whose system does not save AVX": (HASWELL | {"x0": 0x3}, "v1"),
    "Haswell without XSAVE": (HASWELL | {"1c": HASWELL["1c"] & ~OSXSAVE}, "v1"),
    "Alder Lake": (ALDER, "v3-vnni"),
    "Zen 4": (ZEN4, "v4"),
    "Zen 4 whose system does not save 512 bits": (ZEN4 | {"x0": WIDE}, "v3-vnni"),
    "Skylake-X, before VNNI": (ZEN4 | {"7c": 0, "71a": 0}, "v3"),
    "Sapphire Rapids": (RAPIDS, "v4-amx"),
    "Sapphire Rapids whose system lends no tiles": (RAPIDS | {"x0": WIDER}, "v4"),
}
WORDS = {
    "1c": "leaf1_c",
    "7b": "leaf7_b",
    "7c": "leaf7_c",
    "7d": "leaf7_d",
    "71a": "leaf7_1_a",
    "xc": "extended1_c",
    "x0": "xcr0",
}


def test_each_processor_gets_the_level_that_it_has(tmp_path: Path, new_runtimes: Path) -> None:
    """The choice itself, asked about processors that are not here."""
    lines = []
    for says, _ in PROCESSORS.values():
        fields = "".join(f"cpu.{WORDS[name]} = {value}u;" for name, value in says.items())
        lines.append(f"{{ lff::cpuid_words cpu; {fields} puts(lff::LEVEL_NAMES[(int) lff::best_level(cpu)]); }}")
    source = tmp_path / "ask.cpp"
    source.write_text('#include "cpu_select.h"\n#include <cstdio>\nint main() {\n' + "\n".join(lines) + "\n}\n")
    folder = pin_of(new_runtimes).folder / "source"
    command = [zig(), "c++", "-target", "x86_64-linux-musl", "-std=c++17", "-I", folder, source, "-o", tmp_path / "ask"]
    subprocess.run(command, check=True, env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(tmp_path / "cache")})
    answers = subprocess.run([tmp_path / "ask"], capture_output=True, text=True, check=True).stdout.split()
    assert dict(zip(PROCESSORS, answers, strict=True)) == {name: level for name, (_, level) in PROCESSORS.items()}
