"""``scrub.jsonl``: a line for each run, as an event of PREMIS; added to and never changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

from llamafile_format.errors import SourceError
from llamafile_format.keeping.outcome import Scrubbed
from llamafile_format.output.publish import sync_folder

NAME = "scrub.jsonl"


def add_run(folder: Path, result: Scrubbed) -> None:
    """Write down ``result``. A last line that a crash has cut stays as it is, and the new one begins behind it."""
    value = {"kind": "fixity check", "moment": result.ended, "outcome": "pass" if result.success else "fail"}
    line = json.dumps({**value, **result.value()}, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"
    path = folder / NAME
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            if size:
                os.lseek(descriptor, size - 1, os.SEEK_SET)
                line = line if os.read(descriptor, 1) == b"\n" else b"\n" + line
            view = memoryview(line)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SourceError(f"cannot write to {path}: {error.strerror}") from error
    sync_folder(folder)
