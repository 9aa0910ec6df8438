"""The same bits everywhere: reference builds on five platforms, three kinds of weights, one and three threads.

Each build is the checked-in one, run here or through an emulator. What must be equal are the digests of all logits of
every step, for a short prompt and for one of more than 256 tokens, where the cache is computed in another way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.engines.ask import trace
from llamafile_format.engines.behaviour import Agreement, Recorded, Tolerance, texts
from llamafile_format.engines.behaviour_compare import MORE, compare_prompt
from llamafile_format.engines.host import host_target
from llamafile_format.engines.launch import HERE, Via
from llamafile_format.engines.pin import Flavour
from llamafile_format.engines.store import find_pin, unpacked
from llamafile_format.engines.trace import Prompt, Request, Trace
from tests.conftest import ROOT, ToolFinder

pytestmark = [pytest.mark.slow, pytest.mark.interop]

EXHIBIT = ROOT / "examples" / "exhibit"
WEIGHTS = ("f32", "f16", "q8_0")
SHORT = Prompt("short", text="Visitor: a brass astrolabe\nLabel:", max_tokens=6, top=3)
LONG = Prompt("long", text=texts()["alice-1865"] + "\n" + texts()["alice-1865"], max_tokens=2, top=3)
"""Some 320 tokens of the exhibit's vocabulary."""


@dataclass(frozen=True)
class Platform:
    """A target, the emulator that runs it here, and the tool that this needs."""

    target: str
    via: Via = HERE
    tool: str = ""


PLATFORMS = (
    Platform("linux-x86_64", Via("qemu", "Nehalem"), "qemu-x86_64-static"),
    Platform("linux-aarch64", Via("qemu"), "qemu-aarch64-static"),
    Platform("linux-riscv64", Via("qemu"), "qemu-riscv64-static"),
    Platform("windows-x86_64", Via("wine"), "wine64"),
    Platform("wasm32-wasi", Via("wasmtime")),
)


@functools.cache
def program(target: str, flavour: Flavour = Flavour.REFERENCE) -> Path:
    """The build for ``target`` of the pin that is taken unless another is named; all of them are checked in."""
    pin = find_pin("llama.cpp")
    build = pin.build(target, flavour)
    assert build is not None
    return unpacked(pin, build)


@pytest.fixture(scope="session")
def containers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The exhibit in each kind of weights, and the published little storyteller."""
    folder = tmp_path_factory.mktemp("bit exact")
    models = {kind: EXHIBIT / f"exhibit-{kind}.gguf" for kind in WEIGHTS}
    models["stories"] = ROOT.parent / "shared" / "data" / "gguf" / "stories260K.gguf"
    found = {}
    for kind, path in models.items():
        if path.is_file():
            found[kind] = folder / f"{kind}.llamafile"
            lf.pack([path], found[kind], prefix="none")
    return found


def run(target: str, container: Path, request: Request, via: Via = HERE) -> Trace:
    return trace(program(target), container, request, via=via, timeout=300)


@pytest.fixture(scope="session")
def here(containers: dict[str, Path]) -> Callable[[str], Trace]:
    """What this machine's own reference build says, with one thread."""
    target = host_target() or ""

    @functools.cache
    def ask(kind: str) -> Trace:
        return run(target, containers[kind], Request((SHORT, LONG), likelihood=texts()["alice-1865"]))

    return ask


def same(one: Trace, other: Trace) -> None:
    """Every stage of every prompt is equal, the digest of all logits of each step included."""
    assert one.identity.vocabulary == other.identity.vocabulary
    for expected, found in zip(one.prompts, other.prompts, strict=True):
        assert found.rendered == expected.rendered
        assert found.tokens == expected.tokens
        assert found.output == expected.output
        steps = len(found.steps)
        assert [step.logits for step in found.steps] == [step.logits for step in expected.steps[:steps]]
        assert [step.top for step in found.steps] == [step.top for step in expected.steps[:steps]]
    if other.likelihood is not None:
        assert other.likelihood == one.likelihood


def test_prompts_are_as_long_as_they_claim(here: Callable[[str], Trace]) -> None:
    short, long = here("f16").prompts
    assert len(short.tokens) < 64
    assert 300 <= len(long.tokens) <= 500


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("platform", PLATFORMS, ids=[platform.target for platform in PLATFORMS])
def test_one_thread(
    platform: Platform, kind: str, containers: dict[str, Path], here: Callable[[str], Trace], tool: ToolFinder
) -> None:
    if platform.tool:
        tool(platform.tool)
    else:
        pytest.importorskip("wasmtime")
    likelihood = texts()["alice-1865"] if kind == "f16" else None  # the same arithmetic again, and emulators are slow
    request = Request((SHORT, LONG), likelihood=likelihood)
    found = run(platform.target, containers[kind], request, platform.via)
    assert found.identity.target == platform.target
    assert found.identity.flavour == "reference"
    same(here(kind), found)


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("target", [None, "linux-aarch64", "linux-riscv64", "windows-x86_64"])
def test_three_threads(
    target: str | None, kind: str, containers: dict[str, Path], here: Callable[[str], Trace], tool: ToolFinder
) -> None:
    """Few steps: more threads than processors get in one another's way."""
    platform = next((item for item in PLATFORMS if item.target == target), Platform(host_target() or ""))
    if platform.tool:
        tool(platform.tool)
    few = Request((replace(SHORT, max_tokens=2), replace(LONG, max_tokens=1)), threads=3)
    found = run(platform.target, containers[kind], few, platform.via)
    assert found.identity.threads == 3
    expected = here(kind)
    cut = tuple(
        replace(said, steps=said.steps[: len(other.steps)], end=other.end)
        for said, other in zip(expected.prompts, found.prompts, strict=True)
    )
    same(replace(expected, prompts=cut, likelihood=None), found)


@pytest.mark.parametrize(("cpu", "level"), [("Nehalem", "v1"), ("Haswell", "v3")])
def test_native_takes_what_the_processor_has(
    cpu: str, level: str, containers: dict[str, Path], here: Callable[[str], Trace], tool: ToolFinder
) -> None:
    """One program for all x86-64: it picks its instructions, and stays near the reference with each choice."""
    tool("qemu-x86_64-static")
    native = program("linux-x86_64", Flavour.NATIVE)
    asked = (replace(SHORT, top=SHORT.top + MORE),)
    found = trace(native, containers["q8_0"], Request(asked), via=Via("qemu", cpu), timeout=300)
    assert found.identity.cpu == level
    expected = Recorded(SHORT, here("q8_0").prompts[0])
    assert compare_prompt(expected, found.prompts[0], Tolerance()).agreement.meets(Agreement.NEAR)


def test_published_words(containers: dict[str, Path]) -> None:
    """stories260K tells, greedily, the story that its authors printed."""
    if "stories" not in containers:
        pytest.skip("no ../shared/data beside this checkout")
    prompt = Prompt("story", text="Once upon a time", max_tokens=60)
    (said,) = run(host_target() or "", containers["stories"], Request((prompt,))).prompts
    story = (
        ", there was a little girl named Lily. She loved to play outside in the park. "
        "One day, she saw a big, red ball. She wanted to play with it, but it was too high."
    )
    text = said.output.decode()
    assert text.startswith(story[: len(text)])
    assert len(text) > 100


@pytest.mark.parametrize("platform", PLATFORMS, ids=[platform.target for platform in PLATFORMS])
def test_record_here_replay_there(platform: Platform, tmp_path: Path, tool: ToolFinder) -> None:
    """The whole way a reader would go: record natively, replay the foreign build out of the same file."""
    if platform.tool:
        tool(platform.tool)
    else:
        pytest.importorskip("wasmtime")
    programs = {target: program(target) for target in (host_target() or "", platform.target)}
    pin = find_pin("llama.cpp")
    root = f"runtimes/{pin.name}/{pin.version}/reference"
    includes = [lf.Include(file, f"{root}/{target}", "runtime") for target, file in programs.items()]
    path = tmp_path / "exhibit with spaces.llamafile"
    lf.pack([EXHIBIT / "exhibit-f16.gguf"], path, prefix="none", include=includes)
    prompts = tmp_path / "prompts.yaml"
    prompts.write_text(
        "format: llamafile-prompts/1\nmax_tokens: 4\nlikelihood: none\nprompts:\n"
        "- {id: chat, messages: [{role: user, content: Tell me about the clock.}]}\n",
        encoding="utf-8",
    )
    made = lf.record(path, in_place=True, prompts=prompts)
    assert made.record.agreement.value == "E"
    result = lf.replay(path, wanted=lf.Wanted(target=platform.target, via=platform.via))
    assert (result.records[0].error, result.exit_code) == ("", 0)
    assert result.records[0].reached is not None
    assert result.records[0].reached.value == "E"
