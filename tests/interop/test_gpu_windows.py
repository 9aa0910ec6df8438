"""The GPU on Windows (spec/1, 14.6.16): the native build under wine, whose Vulkan is that of the system below."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import llamafile_format
from llamafile_format.engines.pin import Flavour
from llamafile_format.engines.store import is_here, unpacked
from tests.interop.test_gpu import ASKED, EXHIBIT, PATIENCE, SOFTWARE
from tests.new_engine import KEY, pin_of

pytestmark = [pytest.mark.slow, pytest.mark.interop]

TARGET = "windows-x86_64"
TRYING = "llamafile: trying the GPU\n"


@pytest.fixture(scope="module")
def windows(new_runtimes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the exhibit, its shaders and, as ``runtime.exe``, the build for Windows."""
    pin = pin_of(new_runtimes)
    build = pin.build(TARGET, Flavour.NATIVE)
    if build is None or not is_here(pin, build):
        pytest.skip("the build for Windows is not here")
    folder = tmp_path_factory.mktemp("windows")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LFF_RUNTIMES", str(new_runtimes))
        args = ["--temp", "0", "-c", "512", "..."]
        llamafile_format.pack([EXHIBIT], folder / "x.llamafile", runtime=f"{KEY}:{TARGET}", flavour="gpu", args=args)
        (folder / "runtime.exe").write_bytes(unpacked(pin, build).read_bytes())
    return folder


@pytest.fixture(scope="session", autouse=True)
def screen(tool: Callable[[str], Path]) -> Iterator[str]:
    """A screen, without which wine has no Vulkan. Asked for first, also where there is no build to show on it."""
    program = tool("Xvfb")
    if not SOFTWARE.is_file():
        pytest.skip("needs mesa-vulkan-drivers")
    read, write = os.pipe()
    process = subprocess.Popen(
        [program, "-displayfd", str(write), "-screen", "0", "640x480x24"], pass_fds=[write], stderr=subprocess.DEVNULL
    )
    os.close(write)
    try:
        with os.fdopen(read) as said:
            yield f":{said.readline().strip()}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def start(
    windows: Path, tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Start the build on the exhibit, with variables."""
    wine, prefix = tool("wine64"), tmp_path_factory.mktemp("prefix")
    kept = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "LFF_GPU")}
    container = "Z:" + str(windows / "x.llamafile").replace("/", "\\")
    kept |= {"WINEPREFIX": str(prefix), "WINEDEBUG": "-all", "LFF_CONTAINER": container}

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [wine, windows / "runtime.exe", *arguments],
            env=kept | variables,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    if run("--version").returncode:
        pytest.skip("wine does not start here")
    yield run
    server = next((path for name in ("wineserver64", "wineserver") if (path := wine.parent / name).exists()), None)
    if server is not None:
        subprocess.run([server, "-k"], env=kept, capture_output=True, timeout=60, check=False)
        time.sleep(0.2)


def test_the_exhibit_says_the_same_as_on_the_cpu(
    start: Callable[..., subprocess.CompletedProcess[str]], screen: str
) -> None:
    listed = start("--list-devices", DISPLAY=screen)
    if "LFF_GPU=0  llvmpipe" not in listed.stdout:
        pytest.skip("wine has no Vulkan here")
    cpu, gpu = start(*ASKED, DISPLAY=screen), start(*ASKED, DISPLAY=screen, LFF_GPU="0")
    assert (cpu.returncode, gpu.returncode) == (0, 0), gpu.stderr
    assert gpu.stdout == cpu.stdout
    assert gpu.stdout.strip()
    assert "GPU" not in cpu.stderr  # off unless asked for
    assert TRYING in gpu.stderr
    assert "the CPU is used" not in gpu.stderr


def test_without_a_device_the_cpu_goes_on(start: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    cpu = start(*ASKED)
    for wish in ("auto", "0"):
        told = start(*ASKED, LFF_GPU=wish)
        assert (told.returncode, told.stdout) == (0, cpu.stdout)
        assert TRYING + "llamafile: no such device was found; the CPU is used\n" in told.stderr


def test_the_trace_stays_on_the_cpu(start: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    assert TRYING not in start("--trace", LFF_GPU="0").stderr
    assert TRYING not in start(*ASKED, "-ngl", "0", LFF_GPU="0").stderr
