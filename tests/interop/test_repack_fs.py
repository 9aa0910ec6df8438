"""repack on real file systems: shared blocks where they can be shared, moved blocks where they can be moved."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.changing.journal import pending
from llamafile_format.errors import SourceError
from tests.repack_samples import engine, gguf, sound, write
from tests.unit.test_repack_in_place import kill_at

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("tiny_runtimes")]
Mounter = Callable[[str, int], Path]
MODEL = gguf("m", 6 << 20)


def sample(folder: Path) -> Path:
    """A container in ``folder`` beside the engines ``old``, ``long`` and ``short``."""
    for name, size in (("old", 200_000), ("long", 400_000), ("short", 10_000)):
        write(folder / name, engine(name, size))
    write(folder / "model.gguf", MODEL)
    lf.pack([folder / "model.gguf"], folder / "a", prefix=folder / "old", args="-m model.gguf")
    (folder / "model.gguf").unlink()
    return folder / "a"


def shared_bytes(path: Path, tool: Callable[[str], Path]) -> int:
    """Bytes of ``path`` in extents that it shares with another file, as the file system itself tells."""
    os.sync()
    done = subprocess.run([tool("filefrag"), "-v", "-b4096", path], capture_output=True, text=True, check=True)
    rows = re.findall(r"^ *\d+: *(\d+)\.\. *(\d+):.*shared", done.stdout, re.MULTILINE)
    return sum((int(end) - int(start) + 1) * 4096 for start, end in rows)


def _where(folder: Path, prefix: str) -> str | Path:
    return prefix if prefix in ("none", "launcher") else folder / prefix


@pytest.mark.parametrize("kind", ["xfs", "btrfs", "ext4"])
def test_new_file(loop_fs: Mounter, kind: str, tool: Callable[[str], Path]) -> None:
    folder = loop_fs(kind, 64)
    path = sample(folder)
    for prefix in ("long", "short", "none", "launcher"):
        result = lf.repack(path, folder / "b", prefix=_where(folder, prefix), force=True)
        with sound(folder / "b") as container:
            assert container.read("model.gguf") == MODEL
        if kind == "ext4":
            assert result.shared == 0
        else:
            assert result.shared >= len(MODEL) - 65536
            assert shared_bytes(folder / "b", tool) >= len(MODEL) - 65536


@pytest.mark.parametrize("kind", ["xfs", "btrfs", "ext4"])
def test_in_place(loop_fs: Mounter, kind: str) -> None:
    folder = loop_fs(kind, 64)
    path = sample(folder)
    for prefix in ("long", "short", "launcher", "none", "old"):
        where = _where(folder, prefix)
        lf.repack(path, folder / "b", prefix=where, force=True)
        result = lf.repack(path, in_place=True, prefix=where)
        assert result.method == ("replaced" if kind == "btrfs" else "in place"), result.notes
        assert path.read_bytes() == (folder / "b").read_bytes()


@pytest.mark.parametrize("kind", ["xfs", "ext4"])
@pytest.mark.parametrize("prefix", ["long", "short"])
def test_killed_in_place(loop_fs: Mounter, kind: str, prefix: str) -> None:
    folder = loop_fs(kind, 64)
    path = sample(folder)
    old = path.read_bytes()
    lf.repack(path, folder / "b", prefix=folder / prefix)
    new = (folder / "b").read_bytes()
    for step in range(7):
        for back in (False, True):
            write(path, old)
            kill_at(step, lambda: lf.repack(path, in_place=True, prefix=folder / prefix))
            lf.recover(path, back=back)
            assert path.read_bytes() == (old if back else new)


@pytest.mark.parametrize("in_place", [False, True])
def test_full_disk_leaves_the_original(loop_fs: Mounter, in_place: bool) -> None:
    folder = loop_fs("ext4", 24)
    path = sample(folder)
    old = path.read_bytes()
    fill(folder, leave=(60 if in_place else 2000) << 10)
    with pytest.raises(SourceError, match=r"[Nn]o space") as caught:
        lf.repack(path, None if in_place else folder / "b", in_place=in_place, prefix=folder / "long")
    assert caught.value.exit_code == 4
    assert path.read_bytes() == old
    assert not pending(path)
    assert sorted(item.name for item in folder.iterdir() if item.is_file()) == ["a", "fill", "long", "old", "short"]


def test_full_disk_between_journal_and_change_undoes_it(loop_fs: Mounter) -> None:
    folder = loop_fs("ext4", 24)
    path = sample(folder)
    old = path.read_bytes()
    kill_at(0, lambda: lf.repack(path, in_place=True, prefix=folder / "long"))
    fill(folder, leave=8 << 10)
    assert lf.recover(path).outcome == "rolled back"
    assert path.read_bytes() == old


def fill(folder: Path, leave: int) -> None:
    """Fill the file system of ``folder`` to the last block, then free about ``leave`` bytes of it."""
    size = 0
    with open(folder / "fill", "wb", buffering=0) as file:
        for step in (1 << 16, 1 << 12):
            try:
                while True:
                    size += file.write(b"x" * step)
                    os.fsync(file.fileno())
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        file.truncate(max(0, size - leave))
    os.sync()
