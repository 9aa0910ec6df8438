"""ONNX Runtime where this machine's processor or system is another's: under qemu and wine (spec/1, 14.9)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import llamafile_format
from llamafile_format.engines.pin import Flavour
from llamafile_format.engines.store import unpacked
from tests.conftest import ROOT, ToolFinder
from tests.prebuilt_engines import fetched

pytestmark = [
    pytest.mark.slow,
    pytest.mark.interop,
    pytest.mark.skipif(sys.platform != "linux", reason="qemu-user and these name spaces are Linux's"),
]
GUIDE = ROOT / "examples" / "onnx"
LLAMAFILE = "A llamafile is one file that holds a language model and the program which runs it."
ENGINE = "Here ONNX Runtime computes; its library lies inside, named by digest."
ARM, WINDOWS = "linux-aarch64", "windows-x86_64"
Start = Callable[..., subprocess.CompletedProcess[str]]


def packed(target: str, folder: Path) -> tuple[Path, Path]:
    """The guide with the engine for ``target`` alone, and that engine's program."""
    pin = fetched("onnxruntime", target)
    files = [GUIDE / "guide.onnx", GUIDE / "guide.onnx.data"]
    file = llamafile_format.pack(files, folder / "guide.exe", runtime=f"{pin.key}:{target}", name="guide").path
    build = pin.build(target, Flavour.NATIVE)
    assert build is not None
    return file, unpacked(pin, build)


@pytest.fixture(scope="module")
def arm(tool: ToolFinder, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Start the program for ARM64.

    Its library ends with a crash where it finds this machine's processors in /sys, so they are hidden from it; and it
    needs the C library and C++ library of a system of ARM64.
    """
    loader, folder = tool("/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"), tmp_path_factory.mktemp("arm")
    if not (loader.parent / "libstdc++.so.6").exists():
        pytest.skip("libstdc++6-arm64-cross is not installed")
    hidden = 'mount -t tmpfs none /sys/devices/system/cpu && exec "$@"'
    inside = [str(tool("unshare")), "--mount", *(["--map-root-user"] if os.geteuid() else []), "sh", "-c", hidden, "sh"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine gives a test no mounts of its own")
    file, program = packed(ARM, folder)
    emulated = [str(tool("qemu-aarch64-static")), str(loader), "--library-path", str(loader.parent), str(program)]
    (folder / "cache").mkdir()
    environment = os.environ | {"LFF_CONTAINER": str(file), "LFF_CACHE": str(folder / "cache")}

    def start(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [*inside, *emulated, *arguments]
        return subprocess.run(
            command, env=environment, input=stdin, capture_output=True, text=True, timeout=300, check=False
        )

    return start


@pytest.fixture(scope="module")
def windows(tool: ToolFinder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, dict[str, str]]]:
    """The file itself, wine, and the environment to start it in; all of wine's processes are ended at the end."""
    wine, folder = tool("wine64"), tmp_path_factory.mktemp("windows")
    file, _ = packed(WINDOWS, folder)
    cache = "Z:" + str(folder / "cache").replace("/", "\\")
    kept = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
    kept |= {"WINEPREFIX": str(folder / "prefix"), "WINEDEBUG": "-all", "LFF_CACHE": cache}
    if subprocess.run([wine, "wineboot", "-i"], env=kept, capture_output=True, timeout=300, check=False).returncode:
        pytest.skip("wine does not start here")
    yield file, wine, kept
    server = next((path for name in ("wineserver64", "wineserver") if (path := wine.parent / name).exists()), None)
    if server is not None:
        subprocess.run([server, "-k"], env=kept, capture_output=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def under_wine(windows: tuple[Path, Path, dict[str, str]]) -> Start:
    """Start the file by its launcher, as its user on Windows would."""
    file, wine, environment = windows

    def start(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [wine, file, *arguments]
        return subprocess.run(
            command, env=environment, input=stdin, capture_output=True, text=True, timeout=300, check=False
        )

    return start


@pytest.mark.parametrize("place", ["arm", "under_wine"])
def test_it_answers(place: str, request: pytest.FixtureRequest) -> None:
    start: Start = request.getfixturevalue(place)
    done = start("--complete", "--chat", "-p", "What is a llamafile?")
    assert (done.returncode, done.stdout) == (0, LLAMAFILE + "\n"), done.stderr
    assert start("-p", "<user>engine<bot>", "-t", "2").stdout == ENGINE + "\n"
    told = start("--version").stdout.split()
    assert told[0] == "onnxruntime"
    assert told[2] == {"arm": ARM, "under_wine": WINDOWS}[place]


@pytest.mark.parametrize("place", ["arm", "under_wine"])
def test_its_steps_are_told(place: str, request: pytest.FixtureRequest) -> None:
    """A trace is read from standard input and told line by line, the same on every system but for the last bits."""
    start: Start = request.getfixturevalue(place)
    asked = {"version": 1, "prompts": [{"id": "a", "text": "<user>engine<bot>", "max_tokens": 40, "top": 1}]}
    done = start("--trace", stdin=json.dumps(asked))
    assert done.returncode == 0, done.stdout
    steps = [event for line in done.stdout.splitlines() if (event := json.loads(line))["event"] == "step"]
    said = b"".join(bytes.fromhex(step["piece"]) for step in steps).decode()
    assert said.startswith(ENGINE)
    assert "\r" not in done.stdout


def test_another_library_is_not_loaded_under_wine(
    windows: tuple[Path, Path, dict[str, str]], under_wine: Start
) -> None:
    """What lies in the cache is hashed at every start; somebody changed it."""
    assert under_wine("-p", "<user>engine<bot>").returncode == 0
    (kept,) = (windows[0].parent / "cache").rglob("onnxruntime.dll")
    with kept.open("r+b") as library:
        library.seek(kept.stat().st_size // 2)
        library.write(b"changed!")
    assert under_wine("-p", "<user>engine<bot>").stdout == ENGINE + "\n"
    with kept.open("rb") as library:
        library.seek(kept.stat().st_size // 2)
        assert library.read(8) != b"changed!"


def test_any_number_may_start_at_once_under_wine(windows: tuple[Path, Path, dict[str, str]]) -> None:
    """14.2.9: one of them puts the library there, and holds it; the others take it. No folder was made for them."""
    file, wine, environment = windows
    place = file.parent / "made" / "for" / "them"
    started = environment | {"LFF_CACHE": "Z:" + str(place).replace("/", "\\")}
    command = [wine, file, "-p", "<user>engine<bot>"]
    processes = [
        subprocess.Popen(command, env=started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    try:
        said = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert said == [ENGINE + "\n"] * 6
    assert [path.name for path in place.rglob("onnxruntime.dll*")] == ["onnxruntime.dll"]
    assert not (file.parent / "llamafile-format").exists()


def address(process: subprocess.Popen[str]) -> str:
    """Where the server says that it is."""
    assert process.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
    assert found
    return found[0]


def test_servers_under_wine_have_ports_of_their_own(windows: tuple[Path, Path, dict[str, str]]) -> None:
    file, wine, environment = windows
    processes = [subprocess.Popen([wine, file], env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        places = [address(process) for process in processes]
        assert places[0] != places[1]
        body = {"messages": [{"role": "user", "content": "Which engine runs?"}], "temperature": 0}
        headers = {"Content-Type": "application/json"}
        for place in places:
            asked = urllib.request.Request(f"{place}v1/chat/completions", json.dumps(body).encode(), headers)
            with urllib.request.urlopen(asked, timeout=120) as answer:
                assert json.load(answer)["choices"][0]["message"]["content"] == ENGINE
    finally:
        for process in processes:
            process.kill()
            process.communicate()
