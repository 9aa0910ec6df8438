"""The same inputs give the same bytes: whatever the time zone, locale, umask, hash seed, Python, order or folder."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import llamafile_format
from llamafile_format.packing.inputs import Include
from tests.laws.containers import tiny_gguf

PROGRAM = """
import os, sys, pathlib
os.umask(int(sys.argv[4], 8))
import llamafile_format as lf
here = pathlib.Path(sys.argv[1])
lf.pack([here / "m.gguf"], sys.argv[2], include=[lf.Include(here / "LICENSE")],
        prefix=sys.argv[3], args="-m m.gguf ...", name="Modèle")
"""

ENVIRONMENTS = [
    {},
    {"TZ": "America/Los_Angeles"},
    {"TZ": "Asia/Kathmandu", "LC_ALL": "C"},
    {"LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"},
    {"PYTHONHASHSEED": "4242", "PYTHONUTF8": "1"},
    {"LANG": "tr_TR.UTF-8", "HOME": "/nonexistent"},
]


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "m.gguf").write_bytes(tiny_gguf())
    (folder / "LICENSE").write_bytes(b"CC0-1.0\n")
    (folder / "engine").write_bytes(b"#!/bin/sh\nexit 0\n")
    return folder


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("index", range(len(ENVIRONMENTS)))
def test_environment_does_not_matter(inputs: Path, tmp_path: Path, index: int) -> None:
    digests = set()
    for number, umask in enumerate(("022", "077")):
        out = tmp_path / f"{number}.llamafile"
        keep = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
        env = {**keep, **ENVIRONMENTS[index]} if number else keep
        arguments = [sys.executable, "-c", PROGRAM, str(inputs), str(out), str(inputs / "engine"), umask]
        subprocess.run(arguments, check=True, env=env)
        digests.add(_digest(out))
    assert len(digests) == 1


def test_python_version_does_not_matter(inputs: Path, tmp_path: Path) -> None:
    """Other interpreters, where the machine has them, running the package straight from here."""
    others = [path for name in ("python3.12", "python3.13", "python3.14") if (path := _working(name))]
    if not others:
        pytest.skip("no other Python >= 3.11 on this machine")
    root = Path(llamafile_format.__file__).parents[1]
    outs = []
    for number, python in enumerate([sys.executable, *others]):
        out = tmp_path / f"{number}.llamafile"
        site = Path(sys.modules["yaml"].__file__ or "").parents[1] if "yaml" in sys.modules else root
        env = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{site}"}
        program = PROGRAM.replace(', args="-m m.gguf ..."', "")
        arguments = [python, "-c", program, str(inputs), str(out), "none", "022"]
        subprocess.run(arguments, check=True, env=env)
        outs.append(_digest(out))
    assert len(set(outs)) == 1


def _working(name: str) -> str | None:
    """An interpreter called ``name`` that starts: on the PATH, or installed beside the one that runs the tests."""
    beside = sorted(Path(sys.base_prefix).parent.glob(f"*/bin/{name}"))
    for path in [shutil.which(name), *map(str, beside)]:
        if path is not None and not subprocess.run([path, "-c", "pass"], capture_output=True, check=False).returncode:
            return path
    return None


def test_order_of_inputs_does_not_matter(inputs: Path, tmp_path: Path) -> None:
    extras = {"a.txt": b"a", "Z.txt": b"z", "ä.txt": "ä".encode(), "chat.jinja": b"{{ x }}"}
    for name, data in extras.items():
        (inputs / name).write_bytes(data)
    files = [inputs / name for name in ("m.gguf", *extras)]
    digests = set()
    for number, order in enumerate(itertools.permutations(files)):
        if number % 13:
            continue
        out = tmp_path / "o.llamafile"
        llamafile_format.pack(order, out, prefix="none", force=True)
        digests.add(_digest(out))
    out = tmp_path / "i.llamafile"
    llamafile_format.pack([], out, prefix="none", include=[Include(path) for path in reversed(files)])
    assert digests == {_digest(out)}


def test_source_date_epoch(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    out = tmp_path / "e.llamafile"
    llamafile_format.pack([inputs / "m.gguf"], out, prefix="none")
    with llamafile_format.open(out) as container:
        assert container.manifest is not None
        assert container.manifest.created == "2023-11-14T22:13:20Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(llamafile_format.UsageError):
        llamafile_format.pack([inputs / "m.gguf"], out, prefix="none", force=True)


def test_no_clock_unless_asked(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    out = tmp_path / "n.llamafile"
    llamafile_format.pack([inputs / "m.gguf"], out, prefix="none")
    with llamafile_format.open(out) as container:
        assert container.manifest is not None
        assert container.manifest.created == ""
    llamafile_format.pack([inputs / "m.gguf"], out, prefix="none", created="now", force=True)
    with llamafile_format.open(out) as container:
        assert container.manifest is not None
        assert container.manifest.created.endswith("Z")
