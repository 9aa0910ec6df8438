"""Run a WebAssembly build under wasmtime: ``python -I wasm_host.py MODULE FOLDER GUEST WORD...``

A program of its own, so that a build that hangs or takes all memory is stopped like any other. It imports nothing of
this package. The module sees one folder, FOLDER, as GUEST and cannot write to it.
"""

from __future__ import annotations

import os
import sys

_PASSED_ON = ("LFF_CONTAINER", "LFF_WEIGHTS_OFFSET", "LFF_WEIGHTS_SIZE")


def main(module: str, folder: str, guest: str, words: list[str]) -> int:
    """Run ``module`` with the standard streams of this process; its exit code."""
    try:
        import wasmtime
    except ImportError:
        sys.stderr.write("the Python package wasmtime is not installed: pip install wasmtime\n")
        return 1
    config = wasmtime.Config()
    config.wasm_exceptions = True
    engine = wasmtime.Engine(config)
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
        instance = linker.instantiate(store, wasmtime.Module.from_file(engine, module))
        begin = instance.exports(store)["_start"]
        begin(store)  # type: ignore[operator]
    except wasmtime.ExitTrap as end:
        return int(end.code)
    except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
        sys.stderr.write(f"wasmtime: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
