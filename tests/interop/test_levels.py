"""Native builds run on old processors too, and take the kernels that each of them can run (spec/1, 14.6.6)."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from llamafile_format.engines.pin import Flavour
from llamafile_format.engines.store import is_here, unpacked
from tests.conftest import ToolFinder
from tests.new_engine import pin_of, zig, zig_environment

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


@pytest.fixture(scope="module")
def native(new_runtimes: Path) -> Path:
    pin = pin_of(new_runtimes)
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
    tool: ToolFinder, native: Path, processor: str, level: str, model: str
) -> None:
    """An instruction that the processor does not have would end the emulated program with SIGILL."""
    emulator = tool("qemu-x86_64-static")
    here = traced([str(native)], model)
    there = traced([emulator, "-cpu", processor, str(native)], model)
    assert there[0]["cpu"] == level
    assert words(there) == words(here)


@pytest.mark.parametrize("level", ["v1", "v3", "v3-vnni", "v4", "v4-amx"])
def test_a_lower_level_can_be_asked_for_and_says_the_same(native: Path, level: str) -> None:
    """Levels of newer processors are run wherever one of those takes the test."""
    asked = traced(["env", f"LFF_CPU={level}", str(native)], "q8_0")
    if asked[0]["cpu"] != level:
        pytest.skip(f"this processor has no {level}")
    assert words(asked) == words(traced([str(native)], "q8_0"))


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
# AT_HWCAP and AT_HWCAP2 of Linux on ARM: half precision for scalars and vectors, dot products; 8-bit matrices; SVE.
HALF, DOT, I8MM, SVE = 1 << 9 | 1 << 10, 1 << 20, 1 << 13, 1 << 22
ARMS = {
    "Cortex-A53": ({"hwcap": 0xFF}, "v8"),
    "half precision without dot products (Cortex-A55 before r1)": ({"hwcap": 0xFF | HALF}, "v8"),
    "dot products without half precision": ({"hwcap": 0xFF | DOT}, "v8"),
    "half precision for scalars alone": ({"hwcap": 0xFF | DOT | 1 << 9}, "v8"),
    "Cortex-A76": ({"hwcap": 0xFF | HALF | DOT}, "v8.2"),
    "Neoverse V1": ({"hwcap": 0xFF | HALF | DOT | SVE, "hwcap2": I8MM}, "v8.6"),
    "8-bit matrices without what they stand on": ({"hwcap": 0xFF | HALF, "hwcap2": I8MM}, "v8"),
}
# What Linux says of a hart: riscv_hwprobe (IMA, C, V), and AT_HWCAP with one bit for each letter.
PROBE_FD, PROBE_V = 0x3, 0x4
IMAFDC = sum(1 << ord(letter) - ord("A") for letter in "IMAFDC")
LETTER_V = 1 << ord("V") - ord("A")
HARTS = {
    "no vectors": ({"probed": 1, "extensions": PROBE_FD, "hwcap": IMAFDC}, "rv64gc"),
    "vectors": ({"probed": 1, "extensions": PROBE_FD | PROBE_V, "hwcap": IMAFDC | LETTER_V}, "rv64gcv"),
    "vectors that the system does not lend": (
        {"probed": 1, "extensions": PROBE_FD, "hwcap": IMAFDC | LETTER_V},
        "rv64gc",
    ),
    "no probe, no vectors": ({"hwcap": IMAFDC, "vectors_1_0": 1}, "rv64gc"),
    "no probe, vectors 1.0": ({"hwcap": IMAFDC | LETTER_V, "vectors_1_0": 1}, "rv64gcv"),
    "no probe, vectors 0.7.1": ({"hwcap": IMAFDC | LETTER_V}, "rv64gc"),
}
ASKED = [
    *(
        ("x86_words", {WORDS[name]: value for name, value in says.items()}, level)
        for says, level in PROCESSORS.values()
    ),
    *(("arm_words", says, level) for says, level in ARMS.values()),
    *(("riscv_words", says, level) for says, level in HARTS.values()),
]
PROGRAM = """
#include "cpu_select.h"
#include <cstdio>
template <typename words> void ask(const words & cpu) {
    const char * best = "";
    for (int i = 0; i < (int) (sizeof words::NAMES / sizeof words::NAMES[0]); i++) {
        if (cpu.has((typename words::level) i)) {
            best = words::NAMES[i];
        }
    }
    puts(best);
}
int main() {
"""


def test_each_processor_gets_the_level_that_it_has(tmp_path: Path, new_runtimes: Path) -> None:
    """The choice itself, asked about processors that are not here."""
    lines = []
    for words_of, says, _ in ASKED:
        fields = "".join(f"cpu.{name} = {value}u;" for name, value in says.items())
        lines.append(f"{{ lff::{words_of} cpu; {fields} ask(cpu); }}")
    source = tmp_path / "ask.cpp"
    source.write_text(PROGRAM + "\n".join(lines) + "\n}\n")
    folder = pin_of(new_runtimes).folder / "source"
    command = [zig(), "c++", "-target", "x86_64-linux-musl", "-std=c++17", "-O2", "-I", folder, source]
    subprocess.run([*command, "-o", tmp_path / "ask"], check=True, env=zig_environment())
    answers = subprocess.run([tmp_path / "ask"], capture_output=True, text=True, check=True).stdout.split()
    assert answers == [level for _, _, level in ASKED]


FOREIGN = [
    ("linux-aarch64", "qemu-aarch64-static", "cortex-a53", "v8"),
    ("linux-aarch64", "qemu-aarch64-static", "cortex-a76", "v8.2"),
    ("linux-aarch64", "qemu-aarch64-static", "max", "v8.6"),
    ("linux-riscv64", "qemu-riscv64-static", "rv64", "rv64gc"),
    ("linux-riscv64", "qemu-riscv64-static", "rv64,v=true,vext_spec=v1.0", "rv64gcv"),
]


@pytest.mark.parametrize("model", ["f32", "f16", "q8_0"])
@pytest.mark.parametrize(("target", "emulator", "processor", "level"), FOREIGN)
def test_a_processor_of_another_family_runs_its_level(
    tool: ToolFinder,
    native: Path,
    new_runtimes: Path,
    target: str,
    emulator: str,
    processor: str,
    level: str,
    model: str,
) -> None:
    """Every level says what this machine says, and has no instruction that its processor lacks."""
    pin = pin_of(new_runtimes)
    build = pin.build(target, Flavour.NATIVE)
    if build is None or not is_here(pin, build):
        pytest.skip(f"the native build of {pin.key} for {target} is not here")
    there = traced([tool(emulator), "-cpu", processor, str(unpacked(pin, build))], model)
    assert there[0]["cpu"] == level
    assert words(there) == words(traced([str(native)], model))


# What only one level of a family has, as llvm-objdump writes it: ``{vex}`` are the instructions of AVX-VNNI.
HELD = {
    "linux-x86_64": [r"\{vex\}\s+vpdpbusd", r"vpdpbusd\s.*%zmm", r"vdpbf16ps", r"tdpbssd"],
    "linux-aarch64": [r"\bsdot\b", r"\bfmla\s.*\.8h", r"\bsmmla\b"],
    "linux-riscv64": [r"\bvsetvli\b", r"\bvwmul"],
}


@pytest.mark.parametrize("target", HELD)
def test_the_program_holds_the_instructions_of_its_levels(tool: ToolFinder, new_runtimes: Path, target: str) -> None:
    """Levels that no machine at hand can run are there all the same."""
    pin = pin_of(new_runtimes)
    build = pin.build(target, Flavour.NATIVE)
    if build is None or not is_here(pin, build):
        pytest.skip(f"the native build of {pin.key} for {target} is not here")
    every = (
        "--mattr=+v8.6a,+fullfp16,+i8mm,+dotprod" if "aarch64" in target else "--mattr=+v" if "riscv" in target else ""
    )
    command = [tool("llvm-objdump"), "-d", "--no-show-raw-insn", *filter(None, [every]), str(unpacked(pin, build))]
    missing = {text: re.compile(text) for text in HELD[target]}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listing:
        assert listing.stdout
        for line in listing.stdout:
            missing = {text: seen for text, seen in missing.items() if not seen.search(line)}
            if not missing:
                listing.kill()
                break
    assert not missing
