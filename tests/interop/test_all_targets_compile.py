"""What asks about the system in our sources of the newest engine compiles for every target of its pin (14.5.5).

Builds are made target by target and late; a source that one system does not know must not wait for that day. Where the
pin names a build the day has come: its sources are frozen, and were compiled whole.
"""

from __future__ import annotations

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llamafile_format.engines.cache import work_folder
from llamafile_format.engines.pin import Flavour
from llamafile_format.engines.toolchain import fill
from llamafile_format.engines.work import Workshop, prepare
from tests.new_engine import RUNTIMES, pin_of, zig

PIN = pin_of(RUNTIMES)
SOURCE = PIN.folder / "source"
ASKS = re.compile(
    r"_WIN32|__linux__|__APPLE__|_BSD|BSD__|__wasi__|__aarch64__|__riscv|__has_include|<(sys/|unistd|windows|winsock|poll|signal)"
)
SOURCES = sorted(path for path in SOURCE.glob("*.cpp") if ASKS.search(path.read_text()))
PROCESSOR = re.compile(
    r"__(aarch64|riscv|x86_64|wasm)|_M_(X64|ARM64|AMD64)|LFF_LEVEL|<(immintrin|cpuid|arm_)|levels\.inc|cpu_words\.h"
)
BUILT = {build.target for build in PIN.builds}
NAMES = [target.name for target in PIN.targets if target.name not in BUILT]
LEVEL = {"x86_64": "v1", "aarch64": "v8_2", "riscv64": "rv64gc"}  # one that each build of the family has

pytestmark = [pytest.mark.slow, pytest.mark.interop]


def _of_server() -> set[str]:
    """Sources that only builds with the server have."""
    listed = re.search(
        r"include\(cmake/server\.cmake\)\s+list\(APPEND sources ([^)]+)\)", (SOURCE / "CMakeLists.txt").read_text()
    )
    assert listed
    library = re.findall(r"add_library\(\S+ STATIC ([^)]+)\)", (SOURCE / "cmake/server.cmake").read_text())
    return {*listed[1].split(), *" ".join(library).split(), "levels.cpp", "cpu_words.cpp"}


def _sources_of(name: str) -> list[Path]:
    """What asks about the system; where a target in front of it has the same, only what asks about the processor."""
    before = NAMES[: NAMES.index(name)]
    known = any(other.partition("-")[0] == name.partition("-")[0] for other in before)
    return [path for path in SOURCES if not known or PROCESSOR.search(path.read_text())]


@pytest.fixture(scope="module")
def llama() -> Path:
    shop = Workshop(work_folder("build", "new-engine"), work_folder("inputs"))
    places, _ = prepare(PIN, ["llama"], shop)
    return Path(fill(PIN.recipe.definitions["LFF_LLAMA_SOURCE"], places))


@pytest.mark.parametrize("name", NAMES)
def test_own_sources_compile(name: str, llama: Path, tmp_path: Path) -> None:
    target = next(one for one in PIN.targets if one.name == name)
    served = Flavour.NATIVE in target.flavours
    (tmp_path / "levels.inc").write_text(f"LFF_LEVEL({LEVEL.get(name.rpartition('-')[2], '')})\n")
    folders = ["common", "vendor", "src", "include", "ggml/include", "tools/server", "tools/mtmd", "."]
    words = {"ENGINE_VERSION": '"0"', "TARGET": f'"{name}"', "FLAVOUR": '"native"', "CPU_LEVEL": '""'}
    options = [
        *("-target", target.zig, *target.flags, "-std=gnu++17", "-O0", "-fno-sanitize=undefined", "-w"),
        *(f"-DLFF_{key}={value}" for key, value in words.items()),
        f"-DLFF_HAS_SERVER={int(served)}",
        *(part for folder in (SOURCE, tmp_path, *(llama / each for each in folders)) for part in ("-I", str(folder))),
    ]
    compiler = str(zig())
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(work_folder("build", "all-targets"))}

    def compiled(source: Path) -> str:
        command = [compiler, "c++", *options, "-c", str(source), "-o", str(tmp_path / f"{source.stem}.o")]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=environment)
        return "" if ran.returncode == 0 else f"{source.name}:\n{ran.stderr}"

    wanted = [path for path in _sources_of(name) if served or path.name not in _of_server()]
    assert wanted
    with ThreadPoolExecutor(2) as pool:
        failed = [text for text in pool.map(compiled, wanted) if text]
    assert not failed, "\n".join(failed)
