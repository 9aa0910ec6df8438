"""A language model with a projector, both in one file: it answers about a picture, and neither is copied."""

from __future__ import annotations

import base64
import importlib.util
import re
import socket
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import llamafile_format
from tests.conftest import note
from tests.runtime_server import EXHIBIT, ROOT, Server, open_links, pack, run, served

pytestmark = [pytest.mark.slow, pytest.mark.interop]

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "grey": (128, 128, 128)}


def _maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_vision_model", ROOT / "examples/vision/make_vision_model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exhibit with its eye, packed; nothing says which of the two files is what."""
    folder = tmp_path_factory.mktemp("vision")
    _maker().write(folder / "eye.gguf")
    return pack(folder / "seeing.llamafile", EXHIBIT, folder / "eye.gguf", name="seeing")


@pytest.fixture(scope="module")
def server(seeing: Path) -> Iterator[Server]:
    """It, served."""
    with served(seeing) as started:
        yield started


def _png(colour: tuple[int, int, int], side: int = 28) -> bytes:
    """A square picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes(colour) * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _about(picture: bytes) -> list[dict[str, Any]]:
    address = "data:image/png;base64," + base64.b64encode(picture).decode()
    return [
        {"type": "text", "text": "Tell me about the"},
        {"type": "image_url", "image_url": {"url": address}},
        {"type": "text", "text": "."},
    ]


def test_it_is_made_the_same_way_every_time(tmp_path: Path) -> None:
    maker = _maker()
    maker.write(tmp_path / "a.gguf")
    maker.write(tmp_path / "b.gguf")
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_the_roles_are_found_by_themselves(seeing: Path) -> None:
    with llamafile_format.open(seeing) as opened:
        roles = {member.path: member.role for member in opened.members}
    assert (roles["exhibit-f16.gguf"], roles["eye.gguf"]) == ("weights", "projector")


@pytest.mark.parametrize(("colour", "word"), [("red", "kettle"), ("green", "lantern"), ("blue", "compass")])
def test_it_answers_about_what_it_sees(colour: str, word: str, server: Server) -> None:
    assert word in server.ask(_about(_png(COLOURS[colour]))).lower()


def test_other_pictures_have_other_answers(server: Server) -> None:
    answers = {name: server.ask(_about(_png(rgb))) for name, rgb in COLOURS.items()}
    assert len(set(answers.values())) == len(answers)
    assert server.ask(_about(_png(COLOURS["red"], 99))) == answers["red"]


def test_it_says_that_it_can_see(server: Server) -> None:
    assert server.request("GET", "/props").json()["modalities"]["vision"] is True


def test_a_picture_from_elsewhere_is_not_fetched(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.5)
        address = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/red.png"
        content = [{"type": "image_url", "image_url": {"url": address}}]
        answer = server.request("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": content}]})
        with pytest.raises(TimeoutError):
            elsewhere.accept()
    assert answer.status == 400
    assert "nothing is fetched" in answer.json()["error"]["message"]


def test_a_picture_from_this_disk_is_not_read(server: Server, seeing: Path) -> None:
    for address in (seeing.as_uri(), "file:///etc/hostname"):
        content = [{"type": "image_url", "image_url": {"url": address}}]
        answer = server.request("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": content}]})
        assert answer.status == 400


def test_both_are_read_where_they_lie(server: Server, seeing: Path) -> None:
    """The model is mapped; the engine reads a projector into memory, from its place in the file and from no other."""
    with llamafile_format.open(seeing) as opened:
        weights = next(member for member in opened.members if member.role == "weights")
    mapped = [
        line.split() for line in Path(f"/proc/{server.engine}/maps").read_text().splitlines() if str(seeing) in line
    ]
    assert mapped
    assert all(weights.offset <= int(fields[2], 16) <= weights.offset + weights.size for fields in mapped)
    links = open_links(server.engine)
    assert {name for name in links if name.endswith((".gguf", "(deleted)"))} == set()
    assert not list(seeing.parent.rglob("cache/**/*.gguf"))


def test_nothing_is_written_while_it_starts(seeing: Path, tool: Callable[[str], Path], tmp_path: Path) -> None:
    trace = tmp_path / "calls"
    calls = "trace=openat,open,creat,memfd_create,pread64,preadv"
    wrapper = [str(tool("strace")), "-D", "-f", "--seccomp-bpf", "-qq", "-e", calls, "-o", str(trace)]
    if subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode != 0:
        note("blocked strace: this machine does not let a test trace a program")
        pytest.skip("this machine does not let a test trace a program")
    run(seeing, "--version")  # unpacks the program
    with served(seeing, wrapper=wrapper) as server:
        assert server.ask(_about(_png(COLOURS["red"])))
    lines = trace.read_text().splitlines()
    assert any(f'"{seeing}"' in line for line in lines)
    writing = [line for line in lines if re.search(r"O_WRONLY|O_RDWR|O_CREAT|memfd_create|creat\(", line)]
    assert [line for line in writing if '"/dev/' not in line] == []
