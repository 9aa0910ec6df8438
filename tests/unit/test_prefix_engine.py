"""Engine names and versions read off bytes, within a budget."""

from __future__ import annotations

import pytest

from llamafile_format.prefix.engine import FAMILIES, WINDOW, identify_engine, known_engine
from llamafile_format.source import BytesSource
from llamafile_format.specdata import spec_yaml


def source(*texts: bytes, at: int = 100, size: int = 4096) -> BytesSource:
    data = bytearray(size)
    for text in texts:
        data[at : at + len(text)] = text
        at += len(text) + 50
    return BytesSource(bytes(data))


@pytest.mark.parametrize(
    ("text", "family", "version"),
    [
        (b"\0llamafile v0.9.3\0", "llamafile", "0.9.3"),
        (b"\0llamafile v0.10.0-dev\0", "llamafile", "0.10.0-dev"),
        (b"\0llamafiler v0.8.17\n", "llamafiler", "0.8.17"),
        (b"\0whisperfile v0.9.0 ", "whisperfile", "0.9.0"),
        (b"\0localscore v0.9.1 ", "localscore", "0.9.1"),
        (b"\0llamafile-server v0.1.0 ", "llamafile-server", "0.1.0"),
    ],
)
def test_literal(text: bytes, family: str, version: str) -> None:
    found = source(text)
    engine = identify_engine(found, 0, found.size)
    assert engine is not None
    assert (engine.family, engine.version_text, engine.complete) == (family, version, True)
    assert engine.evidence[0].offset == 101


@pytest.mark.parametrize("at", range(WINDOW - 40, WINDOW + 3, 3))
def test_literal_across_a_window(at: int) -> None:
    found = source(b"llamafile v0.8.16\0", at=at, size=WINDOW + 4096)
    engine = identify_engine(found, 0, found.size)
    assert engine is not None
    assert engine.version == (0, 8, 16)
    assert len(engine.evidence) == 1


def test_most_frequent_literal_wins() -> None:
    found = source(b"llamafile v0.9.3", b"since llamafile v0.6.2", b"llamafile v0.9.3")
    engine = identify_engine(found, 0, found.size)
    assert engine is not None
    assert engine.version == (0, 9, 3)
    assert len(engine.evidence) == 3


@pytest.mark.parametrize("text", [b"myllamafile v0.9.3", b"llamafile v0.9", b"llamafile v0.9.3456", b"file v1.2.3"])
def test_not_a_literal(text: bytes) -> None:
    found = source(text)
    assert identify_engine(found, 0, found.size) is None


def test_budget() -> None:
    found = source(b"llamafile v0.9.3", at=3 << 20, size=4 << 20)
    assert identify_engine(found, 0, found.size, budget=2 << 20) is None
    engine = identify_engine(found, 0, found.size, entries=["ggml-vulkan.so"], budget=2 << 20)
    assert engine is not None
    assert not engine.complete


def test_members_narrow_the_version() -> None:
    found = source()
    engine = identify_engine(found, 0, found.size, entries=["ggml-vulkan.so"])
    assert engine is not None
    assert (engine.family, engine.version, engine.at_least) == ("llamafile", None, (0, 10, 0))
    engine = identify_engine(found, 0, found.size, entries=["llama.cpp/ggml-cuda.cu"], loader_cache=".ape-1.10")
    assert engine is not None
    assert (engine.at_least, engine.at_most) == ((0, 5, 0), (0, 9, 3))


def test_toolchain_alone_proves_no_engine() -> None:
    found = source(b"Cosmopolitan 3.9.7\0")
    assert identify_engine(found, 0, found.size, loader_cache=".ape-1.10") is None
    engine = identify_engine(found, 0, found.size, entries=["llamafile/schema.sql"])
    assert engine is not None
    assert engine.at_least == (0, 8, 17)


def test_many_literals_do_not_fill_the_memory() -> None:
    found = BytesSource(b"llamafile v0.9.3 " * 100_000)
    engine = identify_engine(found, 0, found.size)
    assert engine is not None
    assert len(engine.evidence) <= 64


def test_known_digests() -> None:
    known = known_engine("417BCC3348CD5162C2751812FC0EA2F6E79E89E7BE6F17E8401ED95DE2ED4246")
    assert known is not None
    assert (known.family, known.version, known.variant) == ("llamafile", "0.10.5", "full")
    assert known_engine("0" * 64) is None


def test_registry_names_the_same_families() -> None:
    assert {row["id"] for row in spec_yaml("registry/engines.yaml")["families"]} == set(FAMILIES)
