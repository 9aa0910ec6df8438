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
def native() -> Path:
    pin = find_pin("llama.cpp")
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
