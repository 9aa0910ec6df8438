"""The GPU from the same file (spec/1, 14.6.16), on software Vulkan, and with a driver that misbehaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

import llamafile_format
from llamafile_format.engines.cache import work_folder
from llamafile_format.engines.pin import Flavour
from llamafile_format.engines.work import Workshop
from tests.interop.test_two_processes import answered
from tests.new_engine import KEY, RUNTIMES, TARGET, pin_of
from tests.runtime_server import EXHIBIT, cache_of, environment, run, served, typed

pytestmark = [pytest.mark.slow, pytest.mark.interop]

SOFTWARE = Path("/usr/lib/x86_64-linux-gnu/libvulkan_lvp.so")
FAKE = Path(__file__).with_name("fake_driver.c")
ASKED = ("--complete", "-p", "a brass astrolabe", "-n", "12", "-t", "1")
PATIENCE = 900  # seconds: software compiles a shader in as many milliseconds as it has instructions
GPU = {"LFF_GPU": "0", "LFF_WATCHDOG": str(PATIENCE)}  # and tells nothing meanwhile
TRYING = "llamafile: trying the GPU; what comes out is remembered\n"


def pack(runtimes: Path, out: Path, model: Path = EXHIBIT) -> Path:
    """``model`` with the native build and the gpu build for this machine."""
    if pin_of(runtimes).build(TARGET, Flavour.GPU) is None:
        pytest.skip("the gpu build is not built here")
    patch = pytest.MonkeyPatch()
    patch.setenv("LFF_RUNTIMES", str(runtimes))
    try:
        llamafile_format.pack(
            [model], out, runtime=f"{KEY}:{TARGET}", flavour="gpu", args=["--temp", "0", "-c", "512", "..."]
        )
    finally:
        patch.undo()
    return out


@pytest.fixture(scope="session", autouse=True)
def software(tool: Callable[[str], Path]) -> None:
    """The software device; skips where there is none."""
    tool("vulkaninfo")
    if not SOFTWARE.is_file():
        pytest.skip("needs mesa-vulkan-drivers")


@pytest.fixture(scope="module")
def packed(new_runtimes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exhibit with both builds."""
    return pack(new_runtimes, tmp_path_factory.mktemp("gpu") / "x.llamafile")


@pytest.fixture
def fresh(packed: Path, tmp_path: Path) -> Path:
    """A copy of the exhibit whose cache remembers nothing."""
    copy = tmp_path / "x.llamafile"
    os.link(packed, copy)
    return copy


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What makes a loader take the driver that misbehaves, in front of the software device."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("driver")
    pin, shop = pin_of(RUNTIMES), Workshop(work_folder("work"), work_folder("inputs"))
    headers = shop.unpack(next(source for source in pin.inputs if source.id == "vulkan")) / "usr" / "include"
    subprocess.run([compiler, "-shared", "-fPIC", "-I", headers, FAKE, "-o", folder / "fake.so", "-ldl"], check=True)
    library = {"library_path": str(folder / "fake.so"), "api_version": "1.3.230"}
    (folder / "fake.json").write_text(json.dumps({"file_format_version": "1.0.0", "ICD": library}))
    return {"VK_DRIVER_FILES": str(folder / "fake.json"), "FAKE_REAL": str(SOFTWARE)}


@pytest.mark.parametrize("form", ["f32", "f16", "q8_0"])
def test_the_exhibit_says_the_same_as_on_the_cpu(new_runtimes: Path, tmp_path: Path, form: str) -> None:
    file = pack(new_runtimes, tmp_path / "x.llamafile", EXHIBIT.with_name(f"exhibit-{form}.gguf"))
    cpu, gpu = run(file, *ASKED, env={"LFF_GPU": "off"}), run(file, *ASKED, env=GPU, timeout=PATIENCE)
    assert (cpu.returncode, gpu.returncode) == (0, 0), gpu.stderr
    assert gpu.stdout == cpu.stdout
    assert gpu.stdout.strip()
    assert (cpu.stderr, gpu.stderr) == ("", TRYING)


def test_a_story_is_the_same_as_on_the_cpu(new_runtimes: Path, shared_data: Path, tmp_path: Path) -> None:
    file = pack(new_runtimes, tmp_path / "x.llamafile", shared_data / "gguf" / "stories260K.gguf")
    asked = ("--complete", "-p", "Once upon a time", "-n", "24", "-t", "1")
    assert run(file, *asked, env=GPU, timeout=PATIENCE).stdout == run(file, *asked, env={"LFF_GPU": "off"}).stdout


def test_the_line_and_the_properties_name_the_device(packed: Path) -> None:
    with served(packed, "--no-browser", env=GPU, wait=PATIENCE) as server:
        assert re.search(r"chat at \S+ \(on llvmpipe .*; Ctrl\+C stops; .*; sandboxed: ", server.output())
        assert server.request("GET", "/props").json()["device"].startswith("llvmpipe")
        assert Path(f"/proc/{server.pid}/exe").readlink() == Path(f"/proc/{server.engine}/exe").readlink()
        status = Path(f"/proc/{server.engine}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
        answer = server.ask("a brass astrolabe")
    with served(packed, "--no-browser", env={"LFF_GPU": "off"}) as server:
        assert server.request("GET", "/props").json()["device"] == "cpu"
        assert server.ask("a brass astrolabe") == answer


def test_a_software_device_is_never_taken_by_itself(fresh: Path) -> None:
    told = run(fresh, *ASKED)
    assert told.returncode == 0
    assert "GPU failed" not in told.stderr
    listed = run(fresh, "--list-devices")
    assert re.search(r"^LFF_GPU=0  llvmpipe .*in software, taken only by its number", listed.stdout, re.MULTILINE)


@pytest.mark.parametrize("arguments", [("-ngl", "0"), ("--device", "none"), ("--trace",)])
def test_what_stays_on_the_cpu(fresh: Path, arguments: tuple[str, ...]) -> None:
    if arguments == ("--trace",):
        request = json.dumps({"prompt": "a", "tokens": 1})
        told = run(fresh, *arguments, env=GPU, stdin=request)
    else:
        told = run(fresh, *ASKED, *arguments, env=GPU)
    assert TRYING not in told.stderr


def test_another_value_is_wrong_usage(packed: Path) -> None:
    told = run(packed, *ASKED, env={"LFF_GPU": "yes"})
    assert told.returncode == 2
    assert "LFF_GPU is auto, off or the number" in told.stderr


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("none", "LFF_GPU=0: no such device was found; the CPU is used"),
        ("crash", "LFF_GPU=0: the driver of the GPU crashed when it was tried; the CPU is used"),
        ("hang", "LFF_GPU=0: the driver of the GPU did not answer when it was tried; the CPU is used"),
        ("lost:1", "LFF_GPU=0: no such device was found; the CPU is used"),
    ],
)
def test_a_driver_that_fails_the_probe(fresh: Path, driver: Mapping[str, str], fault: str, line: str) -> None:
    expected = run(fresh, *ASKED, env={"LFF_GPU": "off"})
    told = run(fresh, *ASKED, env={**GPU, **driver, "FAKE_DRIVER": fault})
    assert (told.returncode, told.stdout) == (0, expected.stdout)
    assert told.stderr == f"{TRYING}llamafile: {line}\n"


@pytest.mark.parametrize("fault", ["lost", "dies"])
def test_a_device_that_is_lost_later(fresh: Path, driver: Mapping[str, str], fault: str) -> None:
    expected = run(fresh, *ASKED, env={"LFF_GPU": "off"})
    told = run(fresh, *ASKED, env={**GPU, **driver, "FAKE_DRIVER": f"{fault}:4"}, timeout=PATIENCE)
    assert (told.returncode, told.stdout) == (0, expected.stdout), told.stderr
    lines = [line for line in told.stderr.removeprefix(TRYING).splitlines() if line.startswith("llamafile:")]
    assert len(lines) == 1
    assert lines[0].startswith("llamafile: the GPU failed")
    assert lines[0].endswith("the CPU is used")


def test_a_server_goes_on_without_its_device(fresh: Path, driver: Mapping[str, str]) -> None:
    run(fresh, *ASKED, env={**GPU, **driver, "FAKE_DRIVER": "lost:100000"}, timeout=PATIENCE)
    with served(fresh, "--no-browser", env={**GPU, **driver, "FAKE_DRIVER": "lost:40"}, wait=PATIENCE) as server:
        with suppress(OSError, AssertionError):  # this one is lost, and nobody after it
            server.ask("a brass astrolabe")
        answered(server)
        assert server.request("GET", "/props").json()["device"] == "cpu"
        assert server.ask("a brass astrolabe")
        assert server.output().count("the GPU failed") == 1


def test_shaders_that_are_others_leave_the_cpu(packed: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.llamafile"
    shutil.copyfile(packed, file)
    file.chmod(0o755)
    data = bytearray(file.read_bytes())
    at = data.index(b"\x28\xb5\x2f\xfd")  # the magic number of a Zstandard frame
    data[at + 4096] ^= 1
    file.write_bytes(data)
    told = run(file, *ASKED, env=GPU)
    assert told.returncode == 0
    assert told.stdout.strip()
    assert told.stderr == f"{TRYING}llamafile: LFF_GPU=0: no such device was found; the CPU is used\n"


def test_nothing_is_looked_for_without_a_node(fresh: Path, tmp_path: Path) -> None:
    if any(Path("/dev").glob("dri/renderD*")) or any(Path("/dev").glob("nvidia*")):
        pytest.skip("this machine has a node of a device")
    log = tmp_path / "calls"
    wrapper = ["strace", "-f", "-qq", "-e", "trace=openat,execve", "-o", str(log)]
    assert run(fresh, *ASKED, wrapper=wrapper).returncode == 0
    calls = log.read_text()
    assert "vulkan" not in calls
    assert not list(cache_of(fresh).rglob("gpu.*"))


def test_weights_are_read_in_place_and_the_probe_is_remembered(fresh: Path, tmp_path: Path) -> None:
    assert run(fresh, *ASKED, env=GPU, timeout=PATIENCE).stderr == TRYING
    log = tmp_path / "calls"
    told = subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=mmap,openat", "-o", str(log), *typed(fresh, *ASKED)],
        env=environment(cache_of(fresh), GPU),
        cwd=fresh.parent,
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    assert told.stderr == b""
    weights = next(m for m in llamafile_format.inspect(fresh).members if m.role == "weights")
    mapped = [line for line in log.read_text().splitlines() if "PROT_READ, MAP_SHARED" in line and "mmap(" in line]
    assert any(int(line.rsplit(",", 1)[1].split(")")[0], 16) == weights.offset & ~0xFFFF for line in mapped), mapped
