"""What does not fit, or cannot be loaded: one line that says why and how to do without, and an exit code."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from spec.vectors.generate.gguf_builder import U32
from tests.boxed import pack_boxed
from tests.interop.test_fit_engine import FACTORS, NAME, write
from tests.interop.test_loaders import ARCH, GOOD, REFUSED
from tests.runtime_server import EXHIBIT, ROOT, run, served

pytestmark = [pytest.mark.slow, pytest.mark.interop]

ASKED = ("--complete", "-p", "hi", "-n", "1", "-t", "1")
WIDE: dict[str, tuple[int, ...]] = {f"{NAME}.lora_a": (4, 144), f"{NAME}.lora_b": (128, 4)}
ADAPTERS: dict[str, tuple[dict[str, tuple[int, ...]], str, tuple[str, ...]]] = {
    "architecture": (FACTORS, "qwen3", ("qwen3", "llama")),
    "wide": (WIDE, "llama", ("144", "288", NAME)),
    "missing": ({name.replace("blk.0", "blk.99"): shape for name, shape in FACTORS.items()}, "llama", ("blk.99",)),
}


@pytest.fixture(scope="module")
def packed(new_runtimes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exhibit with the newest engine."""
    return pack_boxed(new_runtimes, tmp_path_factory.mktemp("misfits") / "x.llamafile")


@pytest.mark.parametrize("mode", [ASKED, ("--no-browser",)])
@pytest.mark.parametrize("case", ADAPTERS)
def test_an_adapter_that_does_not_fit(packed: Path, tmp_path: Path, case: str, mode: tuple[str, ...]) -> None:
    shapes, architecture, told = ADAPTERS[case]
    write(tmp_path / "adapter.gguf", shapes, architecture, "lora")
    done = run(packed, *mode, "--lora", str(tmp_path / "adapter.gguf"))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert all(word in done.stderr for word in told)
    assert "--no-lora leaves it out" in done.stderr


def test_an_adapter_is_left_out_where_the_user_says_so(packed: Path, tmp_path: Path) -> None:
    shapes, architecture, _ = ADAPTERS["wide"]
    write(tmp_path / "adapter.gguf", shapes, architecture, "lora")
    without = run(packed, *ASKED, "--lora", str(tmp_path / "adapter.gguf"), "--no-lora")
    assert (without.returncode, without.stdout) == (0, run(packed, *ASKED).stdout)
    write(tmp_path / "fits.gguf", FACTORS, "llama", "lora")
    assert run(packed, *ASKED, "--lora", str(tmp_path / "fits.gguf")).returncode == 0
    with served(packed, "--no-browser", "--lora", str(tmp_path / "adapter.gguf"), "--no-lora") as server:
        assert server.ask("hi")


def test_a_projector_of_another_width(packed: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("maker", ROOT / "examples/vision/make_vision_model.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    whole = maker.embeddings(EXHIBIT)
    maker.embeddings = lambda _: {piece: row[:64] for piece, row in whole.items()}  # type: ignore[attr-defined]
    maker.write(tmp_path / "eye.gguf")
    done = run(packed, "--no-browser", "--mmproj", str(tmp_path / "eye.gguf"))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "--no-mmproj leaves the projector out" in done.stderr
    assert "64" in done.stderr
    assert "128" in done.stderr
    with served(packed, "--no-browser", "--mmproj", str(tmp_path / "eye.gguf"), "--no-mmproj") as server:
        assert server.ask("hi")


BAD = {name: data for name, (_, data) in REFUSED.items()}
BAD["zero layers"] = GOOD.with_entry(f"{ARCH}block_count", U32, 0).build()
BAD["cut"] = EXHIBIT.read_bytes()[:100_000]
BAD["no model"] = b"a letter\n" * 1000


@pytest.mark.parametrize("fault", BAD)
def test_a_server_whose_model_cannot_be_loaded(packed: Path, tmp_path: Path, fault: str) -> None:
    (tmp_path / "bad.gguf").write_bytes(BAD[fault])
    done = run(packed, "--no-browser", "-m", str(tmp_path / "bad.gguf"))
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("llamafile: ")


def test_a_server_with_too_little_memory(packed: Path) -> None:
    ends = set()
    for limit in (50_000, 80_000, 120_000):
        small = ["sh", "-c", f'ulimit -v {limit}; exec "$@"', "sh"]
        done = run(packed, "--no-browser", "-m", str(EXHIBIT), "-c", "131072", "-np", "8", wrapper=small)
        lines = done.stderr.splitlines()
        assert (done.returncode, len(lines)) == (1, 1), done.stderr
        ends.add(lines[0])
    assert ends
