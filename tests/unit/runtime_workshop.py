"""A pin whose compiler and build tools are shell scripts: what the driver does can be watched in a second."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import yaml

from llamafile_format.engines.pin import Pin
from llamafile_format.engines.pin_reader import load_pin
from llamafile_format.engines.swhid import of_path

CMAKE = """#!/bin/sh
# "configures": notes the command line and the environment in the build folder
while [ $# -gt 0 ]; do case $1 in -B) b=$2;; -S) s=$2;; esac; a="$a$1
"; shift; done
mkdir -p "$b"; printf '%s' "$a" >"$b/arguments"; env | sort >"$b/environment"; cp "$s/text" "$b/text"
"""
NINJA = """#!/bin/sh
# "compiles": the program is what the project says, and how often this ran in the build folder
b=$2; echo run >>"$b/runs"
echo "[1/2] Compiling"; echo "[2/2] Linking"
if grep -q fail "$b/text"; then echo "error: no such thing"; exit 3; fi
cat "$b/text" >"$b/runtime"
"""

_HEADER = struct.pack("<4s5B7xHHI24xI6H", b"\x7fELF", 2, 1, 1, 0, 0, 2, 62, 1, 0, 64, 56, 0, 64, 0, 0)
PROGRAM = _HEADER.decode() + "a program\n"
"""A header that says what a build for Linux on x86-64 is, and a text."""


def wheel(files: dict[str, str]) -> bytes:
    """An archive of programs."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, text)
    return data.getvalue()


def sources(files: dict[str, str]) -> bytes:
    """A source distribution."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return data.getvalue()


INPUTS = {
    "engine": ("engine-1.0.tar.gz", sources({"engine-1.0/src/a.c": "int a;\n", "engine-1.0/docs/b": "not needed\n"})),
    "tools": ("tools-2.0-py3-none-any.whl", wheel({"t/cmake": CMAKE, "t/ninja": NINJA, "t/zig": "#!/bin/sh\n"})),
}


def make_pin(folder: Path, text: str = PROGRAM, **changes: Any) -> Pin:
    """A pin in ``folder`` with its own project beside it, and a vault of its inputs in ``folder/vault``."""
    home = folder / "runtimes" / "engine" / "1.0"
    (home.parent / "source").mkdir(parents=True, exist_ok=True)
    (home.parent / "source" / "text").write_text(text, "utf-8")
    (folder / "vault").mkdir(exist_ok=True)
    home.mkdir(exist_ok=True)
    for file, data in INPUTS.values():
        (folder / "vault" / file).write_bytes(data)
    value = {
        "format": "llamafile-runtime/1",
        "name": "engine",
        "version": "1.0",
        "title": "an engine for tests",
        "upstream": {
            "url": "https://example.org/engine",
            "commit": "0" * 40,
            "release": "1.0",
            "folder": "{engine}/engine-1.0",
            "tree": "swh:1:dir:" + "0" * 40,
        },
        "inputs": [
            {
                "id": name,
                "name": name,
                "version": file.split("-")[1].removesuffix(".tar.gz"),
                "file": file,
                "sha256": hashlib.sha256(data).hexdigest(),
                "size": len(data),
                "parts": ["engine-1.0/src"] if name == "engine" else [],
            }
            for name, (file, data) in INPUTS.items()
        ],
        "own": [{"id": "project", "path": "../source", "swhid": of_path(home.parent / "source")}],
        "recipe": {
            "version": 1,
            "host": "linux-x86_64",
            "uses": ["engine", "tools", "project"],
            "project": "{project}",
            "goal": "runtime",
            "tools": {"zig": "{tools}/t/zig", "cmake": "{tools}/t/cmake", "ninja": "{tools}/t/ninja"},
            "definitions": {"SOURCE": "{engine}/engine-1.0", "KIND": "{flavour} for {target}"},
            "toolchain": {"CMAKE_X": "{toolchain}/ar"},
            "flags": ["-ffile-prefix-map={work}=/work"],
            "link": ["-s"],
        },
        "flavours": {"native": {}, "reference": {"processor": "generic", "flags": ["-O2"]}},
        "targets": [
            {
                "name": "linux-x86_64",
                "zig": "x86_64-linux-musl",
                "system": "Linux",
                "processor": "x86_64",
                "result": "runtime",
                "flavours": ["native", "reference"],
                "flags": ["-mcpu=x"],
            }
        ],
        "builds": [],
        "licences": [],
        "type_registry": "ggml",
        "tensor_types": [],
        "architectures": [],
    }
    (home / "runtime.yaml").write_text(yaml.safe_dump(value | changes, sort_keys=False))
    return load_pin(home)
