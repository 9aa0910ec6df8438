"""A new engine in front of weights that take hours to fetch: what goes over the line is the engine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llamafile_format.exchanging import update
from llamafile_format.packing import prefix_content_of
from llamafile_format.packing.assemble import Content, Labels, assemble
from llamafile_format.packing.inputs import text_content
from llamafile_format.packing.readme import readme_text
from llamafile_format.source import BytesSource, FileSource
from llamafile_format.source.opening import open_remote
from tests.laws.sparse import known_digests, sparse_gguf
from tests.nginx_server import serving
from tests.repack_samples import engine

pytestmark = [pytest.mark.interop, pytest.mark.slow]
MIB = 1 << 20
SIZE = int(os.environ.get("LFF_UPDATE_GIB", "2")) << 30
"""40 on a machine that has the time."""


def made(out: Path, model: Path, prefix: bytes) -> Path:
    """A container with the sparse ``model`` behind ``prefix``."""
    contents = [
        text_content("META-LLAMAFILE/README.txt", "readme", readme_text("", engine=True)),
        Content("model.gguf", "weights", "application/x-gguf", FileSource(model), 65536, known_digests(model)),
    ]
    descriptor = os.open(out, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o755)
    try:
        front = prefix_content_of(BytesSource(prefix), contents, archive=False)
        assemble(descriptor, front, contents, Labels(default="model.gguf"))
    finally:
        os.close(descriptor)
    return out


def test_a_new_engine_in_front_of_many_gigabytes(tool: Callable[[str], Path], tmp_path: Path) -> None:
    sparse_gguf(tmp_path / "model.gguf", SIZE)
    old = made(tmp_path / "old", tmp_path / "model.gguf", engine("old", 300_000, [("zone/a.txt", b"a" * 900)]))
    with serving(tool("nginx"), tmp_path / "nginx") as server:
        prefix = engine("new", 20 * MIB, [("zone/b.txt", b"b" * 90)])
        new = made(server.root / "new", tmp_path / "model.gguf", prefix)
        with open_remote(server.url("new")) as source:
            result = update(old, source)
        sent = sum(int(line.split()[2]) for line in (server.folder / "access").read_text("ascii").splitlines())
    assert result.reused > SIZE - (8 * MIB)
    assert result.fetched <= sent <= len(prefix) + (4 * MIB) + MIB
    assert old.stat().st_size == new.stat().st_size
    assert old.stat().st_blocks * 512 < 64 * MIB  # holes stay holes
    with old.open("rb") as one, new.open("rb") as two:
        for at in (0, 19 * MIB, SIZE // 2, new.stat().st_size - MIB):
            one.seek(at), two.seek(at)
            assert one.read(MIB) == two.read(MIB)
