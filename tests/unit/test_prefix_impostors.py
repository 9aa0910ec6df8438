"""Files mistaken for llamafiles: each gets its own message; an archive at the end silences them all."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from llamafile_format.prefix.impostors import recognise
from llamafile_format.source import BytesSource, FileSource
from spec.vectors.generate import ape as forge


@pytest.mark.parametrize(
    ("data", "rule", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123\n", "LF1001", "123 bytes"),
        (b"# xet version 0\n", "LF1002", "Xet"),
        (b"\xef\xbb\xbf <!-- x --><html>", "LF1003", "HTML"),
        (b'{"error":"gone"}', "LF1004", "JSON"),
        (b"<?xml version='1.0'?><Error/>", "LF1004", "XML"),
        (b"GGUF\3\0\0\0" + bytes(16), "LF1005", "GGUF"),
        (b"\x1f\x8b\x08" + bytes(20), "LF1007", "gzip"),
        (b"\xfd7zXZ\0" + bytes(20), "LF1007", "xz"),
        (b"", "LF1008", "empty"),
        (bytes(70_000), "LF1009", "zero"),
        (b"PK\3\4" + bytes(100), "LF1010", "cut off"),
        (b"GGUF\3\0", "LF1011", "cut off"),
        (forge.elf(), "LF1012", "ELF"),
        (forge.pe(), "LF1012", "a PE executable"),
        (forge.forge()[:70_000], "LF1010", "APE"),
    ],
)
def test_message(data: bytes, rule: str, words: str) -> None:
    impostor = recognise(BytesSource(data))
    assert impostor is not None
    assert impostor.rule == rule
    assert words in impostor.message
    assert impostor.hint
    assert recognise(BytesSource(forge.archive_end(data))) is None


@pytest.mark.parametrize("data", [b"some text", b"PK", b"GG", b"\xff" * 5000, b"[x]", b"#!/bin/sh\n"])
def test_unknown_is_none(data: bytes) -> None:
    assert recognise(BytesSource(data)) is None


def test_with_its_end_there_nothing_is_cut_off() -> None:
    """An archive whose end record points nowhere is damaged; its end is not missing."""
    whole = b"PK\3\4" + bytes(200) + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, 50, 9999, 0)
    assert recognise(BytesSource(whole)) is None
    cut = recognise(BytesSource(whole[:-22]))
    assert cut is not None
    assert cut.rule == "LF1010"


def test_reads_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with FileSource(path) as source:
        impostor = recognise(source)
    assert impostor is not None
    assert impostor.rule == "LF1009"
