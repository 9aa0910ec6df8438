"""WebAssembly builds as wasmtime has compiled them, in the private cache: compiling takes seconds, a start does not.

What wasmtime compiled is machine code, and it runs whatever it is handed as such. So it is believed only where nobody
but this user can have put it, and only as long as it has the digest that was written down with it (spec/1, 15.5.7).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from llamafile_format.engines.private_folder import judge_file, private_folder, write_private

FOLDER = "compiled"
MAX_COMPILED = 1 << 28  # bytes: a build of 4 MB becomes one of 16 MB
_PATIENCE = 600.0  # seconds for one build
_KEPT = 4  # compiled builds at most; the oldest give way
HOST = Path(__file__).with_name("wasm_host.py")


def compiled_module(module: Path) -> int | None:
    """A descriptor of what the wasmtime at hand makes of ``module``, from the cache or for it; its caller closes it.

    None if there is no cache, no wasmtime, or it refuses the module: then whoever runs it compiles it, or says why not.
    """
    if os.name != "posix":
        return None
    with contextlib.suppress(OSError, importlib.metadata.PackageNotFoundError):
        name = _key(module)
        with private_folder(FOLDER, make=True) as folder:
            found = _opened(folder, name)
            if found is None and (made := _compile(module)) is not None:
                write_private(folder, name, hashlib.sha256(made).digest() + made)
                _sweep(folder)
                found = _opened(folder, name)
            return found
    return None


def _key(module: Path) -> str:
    """The name of a module's compiled form: its own digest, and which wasmtime on which kind of machine compiled it."""
    with module.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    machine = os.uname()
    compiler = f"{importlib.metadata.version('wasmtime')} {machine.sysname} {machine.machine}"
    return f"{digest}-{hashlib.sha256(compiler.encode()).hexdigest()[:16]}"


def _opened(folder: int, name: str) -> int | None:
    """The file ``name``, at the first byte behind its digest; None if it is not there or is not what was written."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=folder)
    except OSError:  # there is none, or a link
        return None
    with open(descriptor, "rb", closefd=False) as file:
        try:
            judge_file(descriptor, MAX_COMPILED)
            if file.read(32) == hashlib.file_digest(file, "sha256").digest():
                os.lseek(descriptor, 32, os.SEEK_SET)
                os.utime(descriptor)
                return descriptor
        except OSError:  # it is another's, or cannot be read: as if there were none
            pass
    os.close(descriptor)
    return None


def _compile(module: Path) -> bytes | None:
    """What wasmtime makes of ``module``, in a process of its own; None if it refuses, or there is too much of it."""
    with tempfile.TemporaryFile() as out:
        command = [sys.executable, "-I", str(HOST), "--compile", str(module)]
        with contextlib.suppress(subprocess.SubprocessError):
            subprocess.run(command, stdout=out, stderr=subprocess.DEVNULL, check=True, timeout=_PATIENCE)
            if out.tell() <= MAX_COMPILED - 32:
                out.seek(0)
                return out.read()
    return None


def _sweep(folder: int) -> None:
    """Keep the newest alone."""
    names = os.listdir(folder)
    times = {name: os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime for name in names}
    for name in sorted(names, key=lambda each: times[each])[:-_KEPT]:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folder)
