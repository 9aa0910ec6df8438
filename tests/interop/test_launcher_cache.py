"""Where launchers keep a runtime: private, whole or absent, else in another place (spec/1, 14.2.8 to 14.2.10).

Each rule is tried with the second stage in several shells and with the native launcher.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llamafile_format.engines.cache import hold
from llamafile_format.prefix.bootstrap import HEADER_SIZE, Form, slot
from tests.conftest import cannot_mount
from tests.launcher_samples import HOST, UNIT, cached, launchable, run, runtime, shown

pytestmark = pytest.mark.interop

STARTERS = ["dash", "bash", "zsh", "ksh93", "yash", "busybox sh", "elf"]
NATIVE = {"x86_64": Form.ELF_X86_64, "aarch64": Form.ELF_AARCH64}
DAMAGED = f"the build for {HOST} in this file is damaged (wrong SHA-256)"
NOWHERE = "found no private directory that has room and allows programs to run; name one in LFF_CACHE"

Starter = Callable[..., "subprocess.CompletedProcess[str]"]


def convert(file: Path) -> Path:
    """Make ``file`` a native program of this machine, as anybody can with dd."""
    form = NATIVE.get(platform.machine())
    if form is None or sys.platform != "linux":
        pytest.skip("no native launcher for this machine")
    with file.open("r+b") as stream:
        header = slot(stream.read(UNIT), form)
        assert len(header) == HEADER_SIZE
        stream.seek(0)
        stream.write(header)
    return file


@pytest.fixture(params=STARTERS)
def start(request: pytest.FixtureRequest, tool: Callable[[str], Path]) -> Starter:
    """Start a file by one shell, or natively; no variable of the outside says where the cache is."""
    name, *options = request.param.split()
    shell = None if name == "elf" else [str(tool(name)), *options]
    clean = dict.fromkeys(("LFF_CACHE", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "TMPDIR", "LFF_VERIFY", "LFF_FLAVOUR"))

    def starter(file: Path, *arguments: str, **env: str | Path | None) -> subprocess.CompletedProcess[str]:
        if shell is None and file.read_bytes()[:2] == b"MZ":
            convert(file)
        values = {key: None if value is None else os.fspath(value) for key, value in env.items()}
        return run([*(shell or []), file, *arguments], env={**clean, **values})

    return starter


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """``mounted("noexec,size=1m")``: a small file system in memory with these options."""
    done: list[Path] = []

    def mount(options: str) -> Path:
        if sys.platform != "linux" or os.geteuid() != 0:
            cannot_mount("mount", "a mount needs root on Linux")
        target = tmp_path / f"mount-{len(done)}"
        target.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(target)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            cannot_mount("mount", f"no mount here: {result.stderr.strip()}")
        done.append(target)
        return target

    try:
        yield mount
    finally:
        for target in reversed(done):
            subprocess.run(["umount", "-l", str(target)], check=False, capture_output=True)


def _modes(cache: Path) -> set[int]:
    return {stat.S_IMODE(path.lstat().st_mode) for path in cache.rglob("*")}


def test_kept_once_and_private(start: Starter, tmp_path: Path) -> None:
    file, cache = launchable(tmp_path / "a"), tmp_path / "made" / "here"
    for _ in range(2):
        done = start(file, "x", LFF_CACHE=cache)
        assert (done.stdout, done.stderr) == (shown("x", container=file), "")
    kept = cached(cache, runtime())
    assert kept.read_bytes() == runtime()
    assert [path for path in cache.rglob("*") if path.is_file()] == [kept]
    assert _modes(cache) == {0o700}
    before = kept.stat()
    start(file, LFF_CACHE=cache)
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_order_of_places(start: Starter, tmp_path: Path) -> None:
    file = launchable(tmp_path / "a")
    home, xdg, session, chosen = (tmp_path / name for name in ("home", "xdg", "session", "chosen"))
    places: dict[str, Path | str | None] = {"LFF_CACHE": chosen, "XDG_CACHE_HOME": xdg, "HOME": home}
    for kept, name in ((chosen, "LFF_CACHE"), (xdg, "XDG_CACHE_HOME"), (home / ".cache", "HOME")):
        done = start(file, XDG_RUNTIME_DIR=session, TMPDIR=tmp_path, **places)
        assert done.stdout == shown(container=file), done.stderr
        assert cached(kept, runtime()).exists()
        places[name] = "" if name == "HOME" else None  # zsh finds out what HOME is if nobody says
    assert start(file, XDG_RUNTIME_DIR=session, TMPDIR=tmp_path, **places).returncode == 0
    assert cached(session, runtime()).exists()
    assert start(file, TMPDIR=tmp_path, **places).returncode == 0
    assert cached(tmp_path / f"lff-{os.geteuid()}", runtime()).exists()


def test_names_of_caches(start: Starter, tmp_path: Path) -> None:
    file = launchable(tmp_path / "a")
    for name in ("two words", 'it\'s "so"', "-rf", "Küche", "$HOME"):
        done = start(file, LFF_CACHE=tmp_path / name)
        assert done.stdout == shown(container=file), done.stderr
        assert cached(tmp_path / name, runtime()).exists()


def test_damaged_build_is_refused(start: Starter, tmp_path: Path) -> None:
    file, cache = launchable(tmp_path / "a"), tmp_path / "cache"
    data = bytearray(file.read_bytes())
    data[0x40000 + 100_000] ^= 1
    file.write_bytes(data)
    done = start(file, LFF_CACHE=cache)
    assert (done.returncode, done.stdout, done.stderr) == (126, "", f"a: {DAMAGED}\n")
    assert not [path for path in cache.rglob("*") if path.is_file()]
    data[0x40000 + 100_000] ^= 1
    for size in (0x3000, 0x2FFFF, 0x40000 + 100_000):
        cut = tmp_path / "cut"
        cut.write_bytes(data[:size])
        cut.chmod(0o755)
        done = start(cut, LFF_CACHE=cache) if size >= UNIT else run(["sh", cut], env={"LFF_CACHE": str(cache)})
        assert (done.returncode, done.stderr) == (126, "cut: this file is cut off\n")
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_tampered_copy(start: Starter, tmp_path: Path) -> None:
    file, cache = launchable(tmp_path / "a"), tmp_path / "cache"
    start(file, LFF_CACHE=cache)
    kept = cached(cache, runtime())
    kept.write_bytes(runtime() + b"echo grown\n")
    assert start(file, LFF_CACHE=cache).stdout == shown(container=file)
    assert kept.read_bytes() == runtime()
    other = runtime().replace(b"SHOW_EXIT", b"HIDE_EXIT")
    kept.write_bytes(other)
    assert start(file, LFF_CACHE=cache, LFF_VERIFY="0").stdout == shown(container=file)
    assert kept.read_bytes() == other
    assert start(file, LFF_CACHE=cache, LFF_VERIFY="1").stdout == shown(container=file)
    assert kept.read_bytes() == runtime()


@pytest.mark.parametrize("level", ["llamafile-format", "llamafile-format/rt", "leaf"])
@pytest.mark.parametrize("fault", ["writable", "link", "foreign"])
def test_hostile_directories_are_passed_over(start: Starter, level: str, fault: str, tmp_path: Path) -> None:
    """Somebody prepared the place in a shared folder: the launcher goes on to one that is its own."""
    file, shared, home = launchable(tmp_path / "a"), tmp_path / "shared", tmp_path / "home"
    leaf = cached(shared, runtime()).parent
    target = leaf if level == "leaf" else shared / level
    leaf.mkdir(parents=True, mode=0o700)
    for folder in (shared / "llamafile-format", shared / "llamafile-format/rt", leaf):
        folder.chmod(0o700)
    planted = leaf / "runtime"
    planted.write_bytes(b"#!/bin/sh\necho evil\n".ljust(len(runtime()), b"\n"))
    planted.chmod(0o700)
    if fault == "writable":
        target.chmod(0o777)
    elif fault == "link":
        target.rename(tmp_path / "moved")
        target.symlink_to(tmp_path / "moved")
    elif os.geteuid() == 0:
        os.chown(target, 12345, 12345)
    else:
        pytest.skip("giving a folder to somebody else needs root")
    done = start(file, LFF_CACHE=shared, HOME=home)
    assert done.stdout == shown(container=file), done.stderr
    assert cached(home / ".cache", runtime()).exists()


@pytest.mark.parametrize("fault", ["writable", "link", "file"])
def test_shared_folders_are_checked_from_the_top(start: Starter, fault: str, tmp_path: Path) -> None:
    """``lff-UID`` in a temporary folder is used only if it is a directory of ours."""
    file, shared = launchable(tmp_path / "a"), tmp_path / "shared"
    shared.mkdir()
    top = shared / f"lff-{os.geteuid()}"
    if fault == "file":
        top.write_text("in the way")
    else:
        (tmp_path / "moved").mkdir(mode=0o777)
        (tmp_path / "moved").chmod(0o777 if fault == "writable" else 0o700)
        (tmp_path / "moved").rename(top) if fault == "writable" else top.symlink_to(tmp_path / "moved")
    beyond = Path(f"/tmp/lff-{os.geteuid()}")
    was_there = beyond.exists()
    done = start(file, TMPDIR=shared, HOME="")
    assert done.returncode == 0, done.stderr
    if not was_there:
        shutil.rmtree(beyond, ignore_errors=True)
    assert not list(shared.rglob("runtime"))
    assert not list((tmp_path / "moved").rglob("*"))


@pytest.mark.parametrize("fault", ["writable", "group", "foreign", "none", "sticky", "link"])
def test_every_directory_on_the_way_is_judged(start: Starter, fault: str, tmp_path: Path) -> None:
    """A place is used if nobody else can exchange a directory from the root on; links lead to where they lead."""
    file, way, home = launchable(tmp_path / "a"), tmp_path / "way", tmp_path / "home"
    (way / "inner" / "cache").mkdir(parents=True, mode=0o700)
    way.chmod({"writable": 0o777, "link": 0o777, "group": 0o770, "sticky": 0o1777}.get(fault, 0o755))
    place = way / "inner" / "cache"
    if fault == "foreign":
        if os.geteuid():
            pytest.skip("giving a folder to somebody else needs root")
        os.chown(way, 12345, 12345)
    if fault == "link":
        place = tmp_path / "link"
        place.symlink_to(way / "inner" / "cache")
    done = start(file, LFF_CACHE=place, HOME=home)
    assert (done.stdout, done.stderr) == (shown(container=file), "")
    used = fault in ("none", "sticky")
    assert cached(place if used else home / ".cache", runtime()).exists()
    assert used or not list(way.rglob("runtime*"))


@pytest.fixture
def swapped(tmp_path: Path) -> Iterator[Path]:
    """A folder that others may write to, in which somebody exchanges ``llamafile-format`` without end."""
    shared, stop = tmp_path / "shared", threading.Event()
    for name, text in (
        ("llamafile-format", runtime()),
        ("evil", b"#!/bin/sh\necho evil\n".ljust(len(runtime()), b"\n")),
    ):
        leaf = shared / name / "rt" / hashlib.sha256(runtime()).hexdigest()
        leaf.mkdir(parents=True, mode=0o700)
        for folder in (leaf.parent, leaf.parent.parent):
            folder.chmod(0o700)
        (leaf / "runtime").write_bytes(text)
        (leaf / "runtime").chmod(0o700)
    shared.chmod(0o777)
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        pytest.skip("no renameat2 here")
    names = (os.fsencode(shared / "llamafile-format"), os.fsencode(shared / "evil"))

    def exchange() -> None:
        while not stop.wait(0.002):
            renameat2(-100, names[0], -100, names[1], 2)

    thread = threading.Thread(target=exchange)
    thread.start()
    yield shared
    stop.set()
    thread.join()


def test_what_somebody_exchanges_is_never_started(start: Starter, swapped: Path, tmp_path: Path) -> None:
    file, home = launchable(tmp_path / "a"), tmp_path / "home"
    for _ in range(12):
        done = start(file, LFF_CACHE=swapped, HOME=home)
        assert (done.stdout, done.stderr) == (shown(container=file), "")


def test_run_never_starts_what_somebody_exchanges(
    swapped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same place and judgement in the library, for ``run``: the descriptor is that of what was hashed."""
    monkeypatch.setenv("LFF_CACHE", str(swapped))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for _ in range(12):
        path, descriptor = hold(hashlib.sha256(runtime()).hexdigest(), len(runtime()), lambda: [runtime()])
        with open(descriptor, "rb") as file:
            assert file.read() == runtime()
        assert path.is_relative_to(tmp_path / "home")


def test_what_was_left_behind_is_removed(start: Starter, tmp_path: Path) -> None:
    """Of processes of this machine that are no more; whoever is alive, or elsewhere, keeps what it writes."""
    file, cache = launchable(tmp_path / "a"), tmp_path / "cache"
    leaf = cached(cache, runtime()).parent
    start(file, LFF_CACHE=cache)
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = [f"runtime.{platform.node()}.{gone.pid}"]
    kept = [f"runtime.{platform.node()}.{os.getpid()}", f"runtime.elsewhere.{gone.pid}", f"runtime.{platform.node()}.x"]
    for name in (*left, *kept):
        (leaf / name).write_bytes(b"half")
    assert start(file, LFF_CACHE=cache).returncode == 0
    assert sorted(path.name for path in leaf.iterdir()) == sorted([*kept, "runtime"])


def test_variables_of_others_are_not_passed_on(start: Starter, tmp_path: Path) -> None:
    """Only a command that has verified the file gives these; from the outside they are nothing."""
    names = ("LFF_CONTAINER_FD", "LFF_FURTHER_FD", "LFF_WEBUI", "LFF_WEIGHTS_OFFSET")
    tell = "#!/bin/sh\n" + "".join(f'echo "${{{name}-unset}}"\n' for name in names)
    file = launchable(tmp_path / "a", {(HOST, "native"): tell.encode()}, weights=False)
    done = start(file, LFF_CACHE=tmp_path / "cache", **dict.fromkeys(names, "3:1:2"))
    assert done.stdout.split() == ["unset"] * len(names), done.stderr


def test_noexec_is_passed_over(start: Starter, mounted: Callable[[str], Path], tmp_path: Path) -> None:
    file, noexec, home = launchable(tmp_path / "a"), mounted("noexec,size=4m,mode=700"), tmp_path / "home"
    for _ in range(2):
        done = start(file, LFF_CACHE=noexec, HOME=home)
        assert (done.stdout, done.stderr) == (shown(container=file), "")
    assert cached(home / ".cache", runtime()).exists()
    assert not [path for path in noexec.rglob("*") if path.is_file()]


def test_full_disk_is_passed_over(start: Starter, mounted: Callable[[str], Path], tmp_path: Path) -> None:
    file, full, home = launchable(tmp_path / "a"), mounted("size=128k,mode=700"), tmp_path / "home"
    done = start(file, LFF_CACHE=full, HOME=home)
    assert (done.stdout, done.stderr) == (shown(container=file), "")
    assert not [path for path in full.rglob("*") if path.is_file()]


def test_read_only_medium(start: Starter, mounted: Callable[[str], Path], tmp_path: Path) -> None:
    medium, home = mounted("size=4m,mode=755"), tmp_path / "home"
    file = launchable(medium / "a")
    start(file, LFF_CACHE=tmp_path / "first")  # converts it, if it is to be converted
    subprocess.run(["mount", "-o", "remount,ro", str(medium)], check=True, capture_output=True)
    done = start(file, LFF_CACHE=medium, HOME=home)
    assert (done.stdout, done.stderr) == (shown(container=file), "")
    assert cached(home / ".cache", runtime()).exists()


@pytest.mark.parametrize("shell", ["dash", "bash", "zsh", "ksh93", "yash", "busybox sh"])
def test_nowhere(shell: str, tool: Callable[[str], Path], tmp_path: Path) -> None:
    """Every place is on a mount that allows no programs: the message names the way out."""
    if sys.platform != "linux" or os.geteuid() != 0:
        cannot_mount("mount", "a mount needs root on Linux")
    file, root, beyond = launchable(tmp_path / "a"), tmp_path, f"/tmp/lff-{os.geteuid()}"
    while not os.path.ismount(root) and root.parent != Path("/"):
        root = root.parent
    forbid = 'mount --bind "$d" "$d" && mount -o remount,bind,noexec "$d"'
    fresh = f'if [ -d "{beyond}" ]; then mount -t tmpfs -o noexec,mode=700 tmpfs "{beyond}" || exit 77; fi'
    script = f'for d in "$1" /tmp; do {forbid} || exit 77; done; {fresh}; shift; exec "$@"'
    name, *options = shell.split()
    done = run(
        [tool("unshare"), "-m", "sh", "-c", script, "sh", root, tool(name), *options, file],
        env=dict.fromkeys(("LFF_CACHE", "HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "TMPDIR"), str(tmp_path / "c")),
    )
    if done.returncode == 77:
        cannot_mount("mount", f"no mount here: {done.stderr.strip()}")
    assert (done.returncode, done.stdout, done.stderr) == (126, "", f"a: {NOWHERE}\n")


def test_no_tool_for_digests(tool: Callable[[str], Path], tmp_path: Path) -> None:
    file, tools = launchable(tmp_path / "a"), tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "dd", "id", "uname", "ls", "mkdir", "chmod", "rm", "cat"):
        (tools / name).symlink_to(tool(name))
    done = run([tools / "sh", file], env={"PATH": str(tools), "LFF_CACHE": str(tmp_path / "cache")})
    assert (done.returncode, done.stderr) == (126, "a: needs the program mv\n")
    (tools / "mv").symlink_to(tool("mv"))
    done = run([tools / "sh", file], env={"PATH": str(tools), "LFF_CACHE": str(tmp_path / "cache")})
    assert done.returncode == 126
    assert done.stderr == "a: cannot check the build: found none of sha256sum, shasum, sha256, openssl\n"
    (tools / "openssl").symlink_to(tool("openssl"))
    done = run([tools / "sh", file], env={"PATH": str(tools), "LFF_CACHE": str(tmp_path / "cache")})
    assert done.stdout == shown(container=file), done.stderr


def test_no_null_device(tool: Callable[[str], Path], tmp_path: Path) -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        cannot_mount("mount", "a mount needs root on Linux")
    script = 'mount -t tmpfs tmpfs /dev || exit 77; exec sh "$1"'
    file = launchable(tmp_path / "a")
    done = run([tool("unshare"), "-m", "sh", "-c", script, "sh", file], env={"LFF_CACHE": str(tmp_path / "cache")})
    if done.returncode == 77:
        cannot_mount("mount", f"no mount here: {done.stderr.strip()}")
    assert (done.returncode, done.stderr) == (126, "a: needs /dev/null\n")


def test_no_build(start: Starter, tmp_path: Path) -> None:
    file = launchable(tmp_path / "a", {("linux-vax", "native"): b"v", ("windows-x86_64", "native"): b"w"})
    done = start(file, LFF_CACHE=tmp_path)
    message = f"a: no build for {HOST} in this file; it has: linux-vax/native windows-x86_64/native\n"
    assert (done.returncode, done.stdout, done.stderr) == (127, "", message)


@pytest.mark.slow
def test_forty_first_starts_at_once(start: Starter, tmp_path: Path) -> None:
    file, cache = launchable(tmp_path / "a"), tmp_path / "cache"
    if file.read_bytes()[:2] == b"MZ":
        start(file, LFF_CACHE=tmp_path / "other")  # a converted file is converted once
    with ThreadPoolExecutor(40) as pool:
        done = list(pool.map(lambda number: start(file, str(number), LFF_CACHE=cache), range(40)))
    assert [each.stdout for each in done] == [shown(str(number), container=file) for number in range(40)]
    assert {each.stderr for each in done} == {""}
    assert [path for path in cache.rglob("*") if path.is_file()] == [cached(cache, runtime())]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("name", ["dash", "elf"])
def test_killed_at_any_moment(name: str, how: signal.Signals, tool: Callable[[str], Path], tmp_path: Path) -> None:
    """Whatever is left behind, the next start runs the whole build or none."""
    data = runtime(size=24 << 20)
    file = launchable(tmp_path / "a", {(HOST, "native"): data})
    command = [str(tool(name)), str(file)] if name != "elf" else [str(convert(file))]
    partial = 0
    for step in range(30):
        cache = tmp_path / f"cache-{step}"
        environment = {**os.environ, "LFF_CACHE": str(cache)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
        time.sleep(0.004 * step)
        os.killpg(process.pid, how)
        process.wait(60)
        kept = cached(cache, data)
        assert not kept.exists() or kept.read_bytes() == data
        partial += any(path.name.startswith("runtime.") for path in cache.rglob("*"))
        done = run(command, env={"LFF_CACHE": str(cache)})
        assert done.stdout == shown(container=file, size=len(data)), done.stderr
        assert kept.read_bytes() == data
        kept.unlink()
    if how == signal.SIGKILL:
        assert partial, "no moment of the extraction was hit"


@pytest.mark.parametrize("shell", ["dash", "bash", "yash", "elf"])
def test_a_mount_that_later_forbids_programs(
    shell: str, mounted: Callable[[str], Path], tool: Callable[[str], Path], tmp_path: Path
) -> None:
    """What is in the cache cannot be started any more. Other shells do not see it beforehand and say so themselves."""
    place, home = mounted("size=4m,mode=700"), tmp_path / "home"
    file = launchable(tmp_path / "a")
    command = [convert(file)] if shell == "elf" else [tool(shell), file]
    environment = {"LFF_CACHE": str(place), "HOME": str(home), "XDG_CACHE_HOME": None}
    assert run(command, env=environment).returncode == 0
    subprocess.run(["mount", "-o", "remount,noexec", str(place)], check=True, capture_output=True)
    done = run(command, env=environment)
    assert (done.stdout, done.stderr) == (shown(container=file), "")
    assert cached(home / ".cache", runtime()).exists()
