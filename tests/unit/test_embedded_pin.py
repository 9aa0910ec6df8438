"""The pin inside a container is a stranger's text: read within limits, or refused, and never more than that."""

from __future__ import annotations

import pytest

from llamafile_format.engines.embedded import MAX_PIN, is_pin_path, read_embedded
from llamafile_format.errors import FormatError
from tests.runtime_samples import REAL

PATH = "runtimes/llama.cpp/0.3.36/runtime.yaml"


def test_our_own_pin_is_read() -> None:
    pin = read_embedded(REAL.read_bytes(), PATH)
    assert pin.key == "llama.cpp@0.3.36"
    assert {"llama", "qwen3"} <= pin.architectures


@pytest.mark.parametrize(
    "text",
    [
        "- " * 400_000 + "x",
        "[" * 400_000,
        "? " * 400_000,
        "".join(" " * depth + "a:\n" for depth in range(1000)),
        "a: &b [c]\nd: *b\n",
        "x: ['" + "a" * 1000,
        "!!python/object/apply:os.system ['x']",
        "--- x\n" * 1000,
        "name: llama.cpp\n",
        "\udcff",
        "#" * (MAX_PIN + 1),
    ],
    ids=lambda text: text[:12],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        read_embedded(text.encode("utf-8", "surrogateescape"), PATH)


def test_a_pin_stands_under_its_own_name() -> None:
    with pytest.raises(FormatError, match=r"pin of llama\.cpp@0\.3\.36"):
        read_embedded(REAL.read_bytes(), PATH.replace("0.3.36", "0.3.37"))
    assert is_pin_path(PATH)
    assert not is_pin_path("runtimes/llama.cpp/0.3.36/native/runtime.yaml")
