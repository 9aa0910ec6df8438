"""Somebody with a 100 GB file and little memory: the same reads, time apart, as for a small one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import llamafile_format
from llamafile_format.source import FileSource
from tests.laws.sparse import sparse_container

GB = 10**9
BUDGET = 1 << 20  # clause 10.4.1


class CountingSource(FileSource):
    """A file that counts the bytes read from it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.bytes_read = 0

    def read_at(self, offset: int, length: int) -> bytes:
        self.bytes_read += length
        return super().read_at(offset, length)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self.bytes_read += len(buffer)
        super().read_into(offset, buffer)

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return [self.read_at(offset, length) for offset, length in ranges]


@pytest.mark.slow
@pytest.mark.parametrize("size", [GB, 100 * GB])
def test_quick_keeps_its_budget(tmp_path: Path, size: int) -> None:
    path = tmp_path / "big.llamafile"
    sparse_container(path, size)
    source = CountingSource(path)
    report = llamafile_format.verify(source, level="quick")
    assert {f.rule for f in report.findings} == {"LF9001", "LF9006"}
    assert report.exit_code() == 0
    assert report.exit_code(strict=True) == 1
    assert source.bytes_read < BUDGET


@pytest.mark.slow
def test_reads_do_not_grow_with_size(tmp_path: Path) -> None:
    counts = []
    for size in (GB, 100 * GB):
        path = tmp_path / f"{size}.llamafile"
        sparse_container(path, size)
        source = CountingSource(path)
        llamafile_format.verify(source, level="quick")
        counts.append(source.bytes_read)
        path.unlink()
    assert abs(counts[1] - counts[0]) <= 0.2 * counts[0]


@pytest.mark.slow
def test_full_verify_memory(tmp_path: Path) -> None:
    """Peak memory of a whole process that hashes 3 GB stays under 150 MB."""
    path = tmp_path / "big.llamafile"
    sparse_container(path, 3 * GB)
    program = (
        "import re, sys, llamafile_format as lf; r = lf.verify(sys.argv[1], level='full');"
        "print(r.exit_code(), re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    ).stdout
    code, peak = map(int, shown.split())
    assert code == 0
    assert peak < 150 * 1024


def test_resource_limit_is_enough(tmp_path: Path) -> None:
    """Inspecting a container under a 256 MB address space limit works: nothing is mapped or slurped."""
    path = tmp_path / "big.llamafile"
    sparse_container(path, GB)
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20));"
        "import sys, llamafile_format as lf; print(lf.verify(sys.argv[1], level='quick').exit_code())"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert shown.strip() == "0"
