"""Signing does not grow with the file: 100 GB are signed in an instant, and the weights are not read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.signing.keys.key_files import write_keys
from tests.laws.sparse import sparse_container
from tests.signing_samples import container, keys

GB = 10**9
MOST = 8 << 20  # bytes that signing may read

_PROGRAM = """
import sys, time
from pathlib import Path
from llamafile_format.vouching.sign import sign

def read():
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])

small, key, *large = sys.argv[1:]
sign(small, key)  # imports everything, so that only what is read of files is counted below
for path in large:
    before, start = read(), time.process_time()
    sign(path, key)
    print(read() - before, time.process_time() - start)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["p384", "p384+ml-dsa-65"])
def test_a_hundred_gigabytes(kind: str, tmp_path: Path) -> None:
    """As the kernel counts: bytes read by the process, and its processor seconds."""
    if not Path("/proc/self/io").exists():
        pytest.skip("no /proc/self/io")
    key, small = tmp_path / "KEY", container(tmp_path / "small")
    write_keys(key, keys(kind), None)
    paths = []
    for size in (GB, 100 * GB):
        paths.append(tmp_path / f"{size}.llamafile")
        sparse_container(paths[-1], size)
    blocks = [path.stat().st_blocks for path in paths]
    shown = subprocess.run(
        [sys.executable, "-c", _PROGRAM, small, key, *paths], capture_output=True, text=True, check=True
    ).stdout
    one, hundred = [(int(count), float(seconds)) for count, seconds in map(str.split, shown.splitlines())]
    assert hundred[0] < MOST
    assert hundred[0] - one[0] < 65536
    assert hundred[1] < 1
    for path, before in zip(paths, blocks, strict=True):
        assert path.stat().st_blocks - before < 256  # what is written is the tail
        assert lf.verify(path, level="quick").exit_code() == 0
