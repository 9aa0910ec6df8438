"""Run a WebAssembly build under wasmtime: ``python -I wasm_host.py MODULE COMPILED FOLDER GUEST WORD...``

A program of its own, so that a build that hangs or takes all memory is stopped like any other. It imports nothing of
this package. The module sees one folder, FOLDER, as GUEST and cannot write to it. COMPILED is the number of a
descriptor from which the module can be read as this wasmtime has compiled it, or ``-``. With ``--compile MODULE`` in
place of all that, the compiled module is written to standard output.
"""

from __future__ import annotations

import contextlib
import os
import sys

try:
    import wasmtime
except ImportError:
    sys.stderr.write("the Python package wasmtime is not installed: pip install wasmtime\n")
    raise SystemExit(1) from None

_PASSED_ON = ("LFF_CONTAINER", "LFF_WEIGHTS_OFFSET", "LFF_WEIGHTS_SIZE")


def _engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    config.wasm_exceptions = True
    return wasmtime.Engine(config)


def write_compiled(path: str) -> int:
    """Write the module at ``path`` to standard output as this wasmtime compiles it."""
    sys.stdout.buffer.write(wasmtime.Module.from_file(_engine(), path).serialize())
    return 0


def _module(engine: wasmtime.Engine, path: str, compiled: str) -> wasmtime.Module:
    """The module, compiled already if this wasmtime takes it so."""
    if compiled != "-":
        with open(int(compiled), "rb") as file, contextlib.suppress(wasmtime.WasmtimeError):
            return wasmtime.Module.deserialize(engine, file.read())
    return wasmtime.Module.from_file(engine, path)


def main(module: str, compiled: str, folder: str, guest: str, words: list[str]) -> int:
    """Run ``module`` with the standard streams of this process; its exit code."""
    engine = _engine()
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    store = wasmtime.Store(engine)
    wasi = wasmtime.WasiConfig()
    wasi.argv = [os.path.basename(module), *words]
    wasi.env = [(name, os.environ[name]) for name in _PASSED_ON if name in os.environ]
    wasi.inherit_stdin()
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    wasi.preopen_dir(folder, guest, fs_mutable=False)
    store.set_wasi(wasi)
    try:
        instance = linker.instantiate(store, _module(engine, module, compiled))
        begin = instance.exports(store)["_start"]
        begin(store)  # type: ignore[operator]
    except wasmtime.ExitTrap as end:
        return int(end.code)
    except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
        sys.stderr.write(f"wasmtime: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "--compile":
        raise SystemExit(write_compiled(sys.argv[2]))
    MODULE, COMPILED, FOLDER, GUEST, *WORDS = sys.argv[1:]
    raise SystemExit(main(MODULE, COMPILED, FOLDER, GUEST, WORDS))
