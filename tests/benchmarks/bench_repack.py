"""``repack --prefix`` of a large container on xfs, against ``unzip``, ``cp`` of the engine and ``zip -0``.

``LFF_REPACK_GIB`` sets the size of the weights (default 4). Needs root for a loop mount, xfsprogs, unzip and zip, and
about 3.3 times the weights' size of disk.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from tests.benchmarks.measure import CLI, random_file, row, timed
from tests.laws.sparse import ROW, gguf_header

GIB = 1 << 30
TOOLS = ("mkfs.xfs", "mount", "unzip", "zip", "filefrag")
ENGINE = 8 << 20


def main(folder: Path) -> bool:
    """Measure and print; True if the figure is reached, or cannot be measured here."""
    size = int(float(os.environ.get("LFF_REPACK_GIB", "4")) * GIB)
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if missing := [name for name in TOOLS if shutil.which(name) is None] or (["root"] if os.geteuid() else []):
        print(f"skip  repack: needs {', '.join(missing)}")
        return True
    image, target = folder / "repack.img", folder / "repack"
    target.mkdir(exist_ok=True)
    with image.open("wb") as file:
        file.truncate(int(3.3 * size) + GIB)
    subprocess.run(["mkfs.xfs", "-q", "-f", "-m", "reflink=1", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, target], check=True)
    try:
        return _measure(target, size)
    finally:
        subprocess.run(["umount", target], check=True)
        image.unlink()


def _measure(folder: Path, size: int) -> bool:
    container, out = folder / "a.llamafile", folder / "b.llamafile"
    model = _model(folder / "model.gguf", size)
    for name in ("old", "new"):
        engine = random_file(folder / name, ENGINE)
        with engine.open("r+b") as file:
            file.write(b"#!/bin/sh\nexit 0\n" + name.encode())
    timed([*CLI, "pack", model, "--prefix", folder / "old", "--args", "-m model.gguf", "-o", container])
    size = model.stat().st_size
    model.unlink()
    os.sync()
    ours = []
    for _ in range(5):
        out.unlink(missing_ok=True)
        os.sync()
        ours.append(timed([*CLI, "repack", container, "--prefix", folder / "new", "-o", out]))
    mine = sorted(ours)[2]
    shared = _shared(out)
    theirs = _rival(folder, container)
    in_place = timed([*CLI, "repack", container, "--prefix", folder / "new", "--in-place"])
    good = theirs / mine >= 100 and shared >= size - 65536
    gib = f"{size / GIB:g} GiB"
    row(f"repack --prefix, {gib}: weights blocks shared", f"{shared} of {size}", "all", shared >= size - 65536)
    print(f"      repack --in-place, {gib}: {in_place:.3f} s")
    found = f"{theirs:.1f} / {mine:.3f} s = {theirs / mine:.0f} x"
    return row(f"repack --prefix, {gib}, vs unzip + cp + zip", found, ">= 100", good)


def _model(path: Path, size: int) -> Path:
    head = gguf_header(size)
    random_file(path, len(head) + 4 * ROW * ((size - 4096) // (4 * ROW)))
    with path.open("r+b") as file:
        file.write(head)
    return path


def _shared(path: Path) -> int:
    """Bytes in extents that ``path`` shares with another file, as the file system tells."""
    os.sync()
    done = subprocess.run(["filefrag", "-v", "-b4096", path], capture_output=True, text=True, check=True)
    rows = re.findall(r"^ *\d+: *(\d+)\.\. *(\d+):.*shared", done.stdout, re.MULTILINE)
    return sum((int(end) - int(start) + 1) * 4096 for start, end in rows)


def _rival(folder: Path, container: Path) -> float:
    """What people do today: take everything out, put the new engine in front, and zip it again."""
    work, result = folder / "work", folder / "rival.llamafile"
    work.mkdir()
    start = time.perf_counter()
    subprocess.run(["unzip", "-qq", container, "-d", work], check=False, capture_output=True)  # it warns of the prefix
    shutil.copyfile(folder / "new", result)
    with result.open("ab") as file:
        subprocess.run(["zip", "-q", "-0", "-r", "-", "."], cwd=work, check=True, stdout=file)
    descriptor = os.open(result, os.O_RDWR)
    os.fsync(descriptor)
    os.close(descriptor)
    seconds = time.perf_counter() - start
    shutil.rmtree(work)
    result.unlink()
    return seconds
