"""What stands in front of a runner of Python code that others built: the sandbox, closed first (spec/1, 14.10).

The command has verified the file; it tells the runner where in it the model, its configuration and its tokenizer lie.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from llamafile_format.checks.safetensors_sets import SHARD
from llamafile_format.container import Container, MemberFacts
from llamafile_format.engines.host import host_target
from llamafile_format.engines.libraries import library_file
from llamafile_format.engines.members import companion_path
from llamafile_format.engines.pin import Library, Pin
from llamafile_format.engines.wheels import BESIDE, CONFINE, runner_pin, unpacked_wheels
from llamafile_format.errors import RuntimeFailure
from llamafile_format.source import ByteSource, FileSource, Window
from llamafile_format.weights.formats import SAFETENSORS, recognise_format

CONFIG, TOKENIZER = BESIDE
MOST_TEXT = 128 << 20  # bytes of either


def shut_in(container: Container, model: MemberFacts | None, sha256: str, program: Path) -> tuple[str, ...]:
    """The command line that runs the build ``sha256``, which lies at ``program``, in the sandbox; words follow it.

    Empty for builds that are programs. RuntimeFailure if this Python or this machine does not run it, or the model is
    none for it; FormatError for wheels that are not those of the pin.
    """
    pin = runner_pin(sha256)
    if pin is None:
        return ()
    target = host_target() or ""
    if not pin.libraries_for(target):
        raise RuntimeFailure(f"{pin.key} runs on {', '.join(sorted({one.target for one in pin.libraries}))} alone")
    plan = json.dumps(plan_of(container, model))
    site = unpacked_wheels(pin, target, lambda wheel: _wheel(container, pin, wheel))
    return (sys.executable, "-I", "-S", "-B", os.fspath(CONFINE), os.fspath(site), os.fspath(program), sha256, plan)


def plan_of(container: Container, model: MemberFacts | None) -> dict[str, object]:
    """Offsets and sizes (bytes) of the model, all shards of it, and of the two texts beside it."""
    if model is None or recognise_format(_window(container, model)) is not SAFETENSORS:
        raise RuntimeFailure(
            "this engine opens models of safetensors with a config.json beside them, and starts no other"
        )
    folder, shards = model.path.rpartition("/")[0], [model]
    if SHARD.fullmatch(model.path):
        stem = model.path[: -len("00001-of-00001.safetensors")]
        weights = [member for member in container.members if member.role == "weights" and member.offset >= 0]
        shards = [one for one in weights if one.path.startswith(stem) and SHARD.fullmatch(one.path)]
    texts = [_beside(container, folder, name) for name in (CONFIG, TOKENIZER)]
    return {
        "weights": [[one.offset, one.size] for one in shards],
        "config": [texts[0].offset, texts[0].size],
        "tokenizer": [texts[1].offset, texts[1].size],
    }


def _beside(container: Container, folder: str, name: str) -> MemberFacts:
    path = f"{folder}/{name}" if folder else name
    found = next((member for member in container.members if member.path == path), None)
    if found is None or found.offset < 0 or not found.stored or found.size > MOST_TEXT:
        raise RuntimeFailure(f"{path} is not in the file, or longer than {MOST_TEXT} bytes", hint=f"--include {name}")
    return found


def tokenizer_of(container: Container, model: MemberFacts) -> MemberFacts:
    """The tokenizer that goes with ``model``. RuntimeFailure if there is none."""
    return _beside(container, model.path.rpartition("/")[0], TOKENIZER)


def _window(container: Container, member: MemberFacts) -> Window:
    return Window(container.source, member.offset, member.size)


def _wheel(container: Container, pin: Pin, wheel: Library) -> ByteSource:
    """The wheel in the file; where a build of this installation is started on it, the one that its user fetched."""
    path = companion_path(pin, wheel.path)
    inside = next((member for member in container.members if member.path == path), None)
    if inside is not None and inside.stored and inside.offset >= 0:
        return _window(container, inside)
    return FileSource(library_file(pin, wheel))
