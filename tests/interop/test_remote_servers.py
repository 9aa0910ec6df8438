"""The promise about remote files (spec/1, 10.12.5), counted by servers that are not ours."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import llamafile_format as lf
from llamafile_format.packing.assemble import Content, Labels, PrefixContent, assemble
from llamafile_format.packing.inputs import text_content
from llamafile_format.packing.readme import readme_text
from llamafile_format.source import BytesSource
from llamafile_format.source.opening import open_remote
from tests.conftest import CliRunner, ToolFinder
from tests.laws.sparse import sparse_container
from tests.nginx_server import Nginx, serving
from tests.remote_samples import remote_container

GB, MIB, KIB = 10**9, 1 << 20, 1 << 10


@pytest.fixture(scope="module")
def nginx(tool: ToolFinder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with serving(tool("nginx"), tmp_path_factory.mktemp("nginx") / "server") as running:
        yield running


@dataclass
class Cost:
    """What a quick verification took, by our own count."""

    requests: int
    rounds: int
    bytes: int
    report: lf.Report


def quick(nginx: Nginx, name: str) -> Cost:
    """Verify ``name`` at level quick; what nginx counted is what we counted."""
    with open_remote(nginx.url(name)) as source:
        report = lf.verify(source, level="quick")
        traffic = source.traffic
    assert report.complete, report.error
    log = nginx.log(traffic.requests)
    assert {(method, status) for method, status, *_ in log} == {("GET", "206")}
    assert sum(int(row[2]) for row in log) == traffic.bytes
    local = lf.verify(nginx.root / name, level="quick")
    assert (report.verdicts, report.findings) == (local.verdicts, local.findings)
    return Cost(traffic.requests, traffic.rounds, traffic.bytes, report)


def within_promise(cost: Cost, *, aligned: int, structure: int = 0, headers: tuple[int, ...] = ()) -> None:
    """10.12.5, as it is written."""
    doublings = sum(math.ceil(math.log2(length / MIB + 1)) for length in headers)
    assert cost.rounds <= 4 + doublings
    assert cost.requests <= 3 + aligned - 1 + doublings
    assert cost.bytes <= MIB + 128 * KIB * aligned + structure + 2 * sum(headers)


@pytest.mark.interop
def test_a_file_of_400_gb(nginx: Nginx) -> None:
    sparse_container(nginx.root / "huge.llamafile", 400 * GB)
    cost = quick(nginx, "huge.llamafile")
    within_promise(cost, aligned=1)
    assert (cost.requests, cost.rounds) == (3, 2)


@pytest.mark.interop
@pytest.mark.parametrize("aligned", [1, 2, 12])
def test_a_request_for_each_aligned_member(nginx: Nginx, aligned: int) -> None:
    name = f"{aligned}.llamafile"
    remote_container(nginx.root / name, aligned=aligned)
    within_promise(quick(nginx, name), aligned=aligned)


def long_header(length: int) -> bytes:
    """A GGUF whose vocabulary takes about ``length`` bytes."""

    def text(value: bytes) -> bytes:
        return struct.pack("<Q", len(value)) + value

    tokens = [b"%064d" % index for index in range(length // 72)]
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 2)
    head += text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")
    head += text(b"tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, len(tokens)) + b"".join(map(text, tokens))
    head += text(b"token_embd.weight") + struct.pack("<IQQIQ", 2, 32, len(tokens), 0, 0)
    return head + bytes(-len(head) % 32) + bytes(4 * 32 * len(tokens))


@pytest.mark.interop
@pytest.mark.parametrize("lengths", [(5 * MIB,), (15 * MIB,), (3 * MIB, 9 * MIB)])
def test_a_round_for_each_doubling_of_a_long_header(nginx: Nginx, lengths: tuple[int, ...]) -> None:
    name = f"{'-'.join(map(str, lengths))}.llamafile"
    contents = [text_content("META-LLAMAFILE/README.txt", "readme", readme_text("", engine=False))]
    for index, length in enumerate(lengths):
        source = BytesSource(long_header(length))
        contents.append(Content(f"{index}.gguf", "weights", "application/x-gguf", source, 65536))
    descriptor = os.open(nginx.root / name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    assemble(descriptor, PrefixContent("none", BytesSource(b"")), contents, Labels(default="0.gguf"))
    os.close(descriptor)
    within_promise(quick(nginx, name), aligned=len(lengths), headers=lengths)


@pytest.mark.interop
def test_the_command_and_nginx(nginx: Nginx, run_cli: CliRunner) -> None:
    remote_container(nginx.root / "model.llamafile")
    url = nginx.url("model.llamafile")
    for level in ("quick", "full", "exhaustive"):
        assert run_cli("verify", url, "--level", level).returncode == 0
    assert run_cli("inspect", url).returncode == 0
    (nginx.root / "empty").touch()
    for name, code in (("none", 4), ("empty", 3)):
        result = run_cli("verify", nginx.url(name))
        assert result.returncode == code, result.stderr
