"""Tiny pins for tests of packing and running: programs of a few hundred bytes in the place of engines."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.programs import program_for

ROOT = Path(__file__).resolve().parent.parent
REAL = ROOT / "runtimes" / "llama.cpp" / "0.3.36" / "runtime.yaml"

SHOW = b"""\
echo "flavour=%s container=$LFF_CONTAINER offset=$LFF_WEIGHTS_OFFSET size=$LFF_WEIGHTS_SIZE"
for a in "$@"; do printf '<%%s>\\n' "$a"; done
case $1 in --exit) exit "$2";; esac
"""
"""A runtime that says how it was started."""

PAGE = b"a chat page\n" * 100


def program(flavour: str, target: str) -> bytes:
    """The stand-in for a build: where a test can start it, a script of more than one block of the launcher's shell."""
    script = SHOW % flavour.encode() + b"# %s\n" % target.encode()
    return program_for(target, script, 70_001 if target.startswith("linux") else 1000)


NATIVE = ("linux-x86_64", "linux-aarch64", "windows-x86_64")
REFERENCE = ("linux-x86_64", "wasm32-wasi")


def write_pin(
    folder: Path, version: str = "0.3.36", builds: Mapping[tuple[str, str], bytes] | None = None, **changes: Any
) -> Path:
    """A pin ``llama.cpp`` of ``version`` under ``folder``, with compressed builds beside it; its folder."""
    import zstandard

    if builds is None:
        builds = {("native", target): program("native", target) for target in NATIVE}
        builds |= {("reference", target): program("reference", target) for target in REFERENCE}
    place = folder / "llama.cpp" / version
    value = yaml.safe_load(REAL.read_text("utf-8")) | {"version": version}

    def put(name: str, data: bytes) -> dict[str, Any]:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(zstandard.ZstdCompressor(write_content_size=True).compress(data))
        return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "file": name}

    value["builds"] = [
        {"target": target, "flavour": flavour, **put(f"builds/{flavour}/{target}.zst", data)}
        for (flavour, target), data in builds.items()
    ]
    value["webui"] = {**put("builds/webui.tar.zst", PAGE), "reproducible": True}
    value["licences"] = [{"component": "llama.cpp", "spdx": "MIT", "text": "licences/llama.txt"}]
    (place / "licences").mkdir(exist_ok=True)
    (place / "licences" / "llama.txt").write_text("MIT, for tests\n")
    (place / "runtime.yaml").write_text(yaml.safe_dump(value | changes, sort_keys=False), "utf-8")
    return place


def use(folder: Path, monkeypatch: Any) -> None:
    """Let this process, and those that it starts, take pins from ``folder`` and keep programs beside it."""
    cache = folder.parent / "cache"
    cache.mkdir(exist_ok=True)
    monkeypatch.setenv("LFF_RUNTIMES", os.fspath(folder))
    monkeypatch.setenv("LFF_CACHE", os.fspath(cache))
