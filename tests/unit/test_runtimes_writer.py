"""What a build writes into its pin: the same text whatever the order, comments untouched, readable again."""

from __future__ import annotations

from pathlib import Path

import pytest

from llamafile_format.engines import knowledge, pin_writer
from llamafile_format.engines.pin import Build, Flavour, Page
from llamafile_format.engines.pin_reader import load_pin, read_pin
from llamafile_format.errors import FormatError

FILE = Path(__file__).resolve().parents[2] / "runtimes" / "llama.cpp" / "0.3.36" / "runtime.yaml"
TEXT = FILE.read_text(encoding="utf-8")
BARE = pin_writer.with_block(TEXT, "builds", ["  []"])


def build(target: str, flavour: Flavour, digit: str = "a") -> Build:
    return Build(target, flavour, digit * 64, 7, f"builds/{flavour}/{target}.zst")


def test_builds_are_written_in_the_order_of_targets() -> None:
    wanted = [
        build("linux-x86_64", Flavour.NATIVE),
        build("macos-aarch64", Flavour.NATIVE),
        build("linux-x86_64", Flavour.REFERENCE),
        build("wasm32-wasi", Flavour.REFERENCE),
    ]
    texts = set()
    for order in (wanted, wanted[::-1], wanted[2:] + wanted[:2]):
        text = BARE
        for one in order:
            text = pin_writer.with_build(text, read_pin(text, FILE), one)
        assert list(read_pin(text, FILE).builds) == wanted
        texts.add(text)
    assert len(texts) == 1


def test_a_build_is_replaced() -> None:
    text = pin_writer.with_build(BARE, read_pin(BARE, FILE), build("linux-x86_64", Flavour.NATIVE))
    text = pin_writer.with_build(text, read_pin(text, FILE), build("linux-x86_64", Flavour.NATIVE, "b"))
    assert [one.sha256 for one in read_pin(text, FILE).builds] == ["b" * 64]


def test_nothing_else_is_touched() -> None:
    text = pin_writer.with_build(BARE, read_pin(BARE, FILE), build("linux-x86_64", Flavour.NATIVE))
    text = pin_writer.with_page(text, Page("c" * 64, 5, "builds/webui.tar.zst", False))
    text = pin_writer.with_facts(text, ["llama", "no", "1.5b"], [0, 1, 30])
    text = pin_writer.with_swhid(text, "page", "swh:1:dir:" + "d" * 40)
    pin = read_pin(text, FILE)
    assert pin.webui == Page("c" * 64, 5, "builds/webui.tar.zst", False)
    assert (pin.architectures, pin.tensor_types) == ({"llama", "no", "1.5b"}, {0, 1, 30})
    assert next(own for own in pin.own if own.id == "page").swhid.endswith("d" * 40)
    comments = [line for line in TEXT.splitlines() if line.startswith("#")]
    assert [line for line in text.splitlines() if line.startswith("#")] == comments
    before = read_pin(TEXT, FILE)
    assert (pin.recipe, pin.targets, pin.inputs, pin.licences) == (
        before.recipe,
        before.targets,
        before.inputs,
        before.licences,
    )


def test_writing_what_is_there_changes_nothing() -> None:
    pin = load_pin(FILE)
    text = pin_writer.with_facts(TEXT, sorted(pin.architectures), sorted(pin.tensor_types))
    for own in pin.own:
        text = pin_writer.with_swhid(text, own.id, own.swhid)
    if pin.webui is not None:
        text = pin_writer.with_page(text, pin.webui)
    for one in pin.builds:
        text = pin_writer.with_build(text, pin, one)
    assert text == TEXT


def test_a_text_of_another_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="0 lines builds:"):
        pin_writer.with_block("name: x\n", "builds", [])
    with pytest.raises(FormatError, match="no entry nothing"):
        pin_writer.with_swhid(TEXT, "nothing", "x")
    (tmp_path / "runtime.yaml").write_text(TEXT)
    pin = load_pin(tmp_path)
    with pytest.raises(FormatError):
        pin_writer.rewrite(pin, "no: pin\n")
    assert (tmp_path / "runtime.yaml").read_text() == TEXT
    assert len(list(tmp_path.iterdir())) == 1


# Facts from sources

ARCHITECTURES = """
static const std::map<llm_arch, const char *> LLM_ARCH_NAMES = {
    { LLM_ARCH_CLIP,    "clip"      }, // dummy
    { LLM_ARCH_LLAMA,   "llama"     },
    { LLM_ARCH_COMMAND, "command-r" },
    { LLM_ARCH_UNKNOWN, "(unknown)" },
};

static const std::map<llm_kv, const char *> LLM_KV_NAMES = {
    { LLM_ARCH_NOT, "not this" },
};
"""
TYPES = """
    enum ggml_type {
        GGML_TYPE_F32     = 0,
        GGML_TYPE_F16     = 1,
        // GGML_TYPE_Q4_2 = 4, support has been removed
        GGML_TYPE_Q8_0    = 8, // with a comment
        GGML_TYPE_COUNT   = 9,
    };
    enum ggml_prec { GGML_TYPE_OTHER = 77 };
"""


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_facts_are_read_from_the_sources(tmp_path: Path) -> None:
    write(tmp_path, "src/llama-arch.cpp", ARCHITECTURES)
    write(tmp_path, "ggml/include/ggml.h", TYPES)
    assert knowledge.architectures(tmp_path) == ["clip", "command-r", "llama"]
    assert knowledge.tensor_types(tmp_path) == [0, 1, 8]


def test_sources_of_another_form_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "src/llama-arch.cpp", ARCHITECTURES.replace("LLM_ARCH_NAMES", "NAMES"))
    write(tmp_path, "ggml/include/ggml.h", TYPES.replace("= 9", "= 12"))  # a type that the pattern did not see
    with pytest.raises(FormatError, match="does not list architectures"):
        knowledge.architectures(tmp_path)
    with pytest.raises(FormatError, match="does not list tensor types"):
        knowledge.tensor_types(tmp_path)
