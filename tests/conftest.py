"""Shared fixtures: the tools of other people, the real data beside the checkout, loop mounts, and our own command.

A test whose tool is absent is skipped with the reason. When ``LFF_TOOLS_USED`` names a file, each tool that a test got
is noted there (``used NAME``), and so is each that this machine cannot let a test use (``blocked NAME: reason``):
``.ci/run`` fails if it installed a tool that no test used.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

# Machines are shared and noisy: no test fails for being slow, and the same examples run everywhere.
settings.register_profile("shared", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

ROOT = Path(__file__).resolve().parent.parent
MIB = 1 << 20
sys.path.insert(0, str(ROOT))  # the generators under spec/ are programs of the checkout, not of the installed package

ToolFinder = Callable[[str], Path]
LoopMounter = Callable[[str, int], Path]
CliRunner = Callable[..., "subprocess.CompletedProcess[str]"]


def note(line: str) -> None:
    """Append one line to the file that LFF_TOOLS_USED names; short appends of parallel workers do not mix."""
    path = os.environ.get("LFF_TOOLS_USED")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def pytest_configure() -> None:
    """A shell starts programs in the background with SIGINT ignored, and they keep that: tests of it would hang."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def find_tool(name: str) -> Path:
    """The program ``name`` from this Python's environment, PATH or the system folders; skips the test if absent."""
    beside = Path(sysconfig.get_path("scripts"))
    path = os.pathsep.join([str(beside), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", "/usr/lib/wine"])
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"{name} is not installed")
    note(f"used {name}")
    return Path(found)


@pytest.fixture(scope="session")
def tool() -> ToolFinder:
    """``tool("unzip")``: the path of a program that is not ours, or a skip that names it."""
    return find_tool


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real model files beside the checkout; skips where the checkout stands alone."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside this checkout")
    return folder


@pytest.fixture(scope="session")
def new_runtimes() -> Path:
    """A folder of pins with the newest one: the repository's own, or another that ``LFF_NEW_ENGINE`` names."""
    from llamafile_format.engines.host import host_target
    from tests.new_engine import RUNTIMES, TARGET

    if host_target() != TARGET:
        pytest.skip(f"tests start the newest engine on {TARGET} only")
    return Path(os.environ.get("LFF_NEW_ENGINE") or RUNTIMES)


@pytest.fixture
def run_cli(tmp_path: Path) -> CliRunner:
    """``run_cli("inspect", path, env={...}, cwd=..., timeout=60)``: our command in a new process, output as text.

    ``env`` adds to the environment, and None as a value removes a variable. Nothing is checked: look at ``returncode``.
    """

    def run(
        *args: str | os.PathLike[str],
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
        timeout: float = 120,
        stdin: str = "",
    ) -> subprocess.CompletedProcess[str]:
        changed = {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "100", "SOURCE_DATE_EPOCH": None, **(env or {})}
        environment = os.environ | {key: value for key, value in changed.items() if value is not None}
        for key in (key for key, value in changed.items() if value is None):
            environment.pop(key, None)
        return subprocess.run(
            [sys.executable, "-m", "llamafile_format", *(os.fspath(arg) for arg in args)],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            cwd=cwd or tmp_path,
            timeout=timeout,
            check=False,
        )

    return run


MAKERS: dict[str, tuple[Sequence[str], int]] = {
    "xfs": (("mkfs.xfs", "-q", "-f", "-m", "reflink=1"), 320),
    "btrfs": (("mkfs.btrfs", "-q", "-f"), 128),
    "ext4": (("mkfs.ext4", "-q", "-F"), 8),
}
"""How to make each file system, and the smallest size in MiB that its tool accepts."""


@pytest.fixture
def loop_fs(tmp_path: Path) -> Iterator[LoopMounter]:
    """``loop_fs("xfs", 512)``: the mount point of a new file system of at least so many MiB in a sparse file.

    For xfs (with reflink), btrfs and ext4. Skips where mounting is not possible. Unmounted when the test ends.
    """
    mounted: list[Path] = []

    def make(kind: str, size_mib: int) -> Path:
        command, least = MAKERS[kind]
        maker = shutil.which(command[0], path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
        if maker is None:
            pytest.skip(f"{command[0]} is not installed")
        if sys.platform != "linux" or os.geteuid() != 0:
            cannot_mount(command[0], "a loop mount needs root on Linux")
        image, target = tmp_path / f"{kind}-{len(mounted)}.img", tmp_path / f"{kind}-{len(mounted)}"
        with open(image, "wb") as file:
            file.truncate(max(size_mib, least) * MIB)
        target.mkdir()
        subprocess.run([maker, *command[1:], str(image)], check=True, capture_output=True, timeout=120)
        mount = subprocess.run(
            ["mount", "-o", "loop", "-t", kind, str(image), str(target)],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if mount.returncode != 0:
            cannot_mount(command[0], f"no {kind} loop mount here: {mount.stderr.strip()}")
        mounted.append(target)
        note(f"used {command[0]}")
        return target

    try:
        yield make
    finally:
        for target in reversed(mounted):
            # Lazily if something still holds a file open: a stale mount would break every later clean-up of tmp.
            if subprocess.run(["umount", str(target)], check=False, capture_output=True, timeout=120).returncode != 0:
                subprocess.run(["umount", "-l", str(target)], check=False, capture_output=True, timeout=120)


def cannot_mount(name: str, reason: str) -> NoReturn:
    """Skip for a reason that lies in this machine, and tell ``.ci/run`` so."""
    note(f"blocked {name}: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def tiny_runtimes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Tiny programs in the place of the pinned runtimes, for this module's tests and what they start."""
    from tests.runtime_samples import use, write_pin

    folder = tmp_path_factory.mktemp("runtimes") / "pins"
    write_pin(folder)
    with pytest.MonkeyPatch.context() as patch:
        use(folder, patch)
        yield folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What compiles for minutes goes first: it keeps one worker busy while the other one's tests wait for something."""
    items.sort(key=lambda item: "test_runtimes_rebuild" not in item.nodeid)
