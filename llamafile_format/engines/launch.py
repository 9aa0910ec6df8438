"""Start a runtime build and talk to it through pipes: here, or through an emulator for foreign builds (spec/1, 15.5).

The program gets an environment of its own, a folder of its own, and no more time and output than it was given. Nothing
of it is left running: it is started in a process group, and the whole group is stopped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from llamafile_format.engines.compiled import HOST, compiled_module
from llamafile_format.engines.handover import Handover, hand_over, takes_descriptor
from llamafile_format.errors import RuntimeFailure, UsageError
from llamafile_format.source import FileSource
from llamafile_format.source.pending import real_path

VIAS = ("qemu", "wine", "wasmtime")
MAX_LINE = 1 << 24  # bytes of one event: a prompt that fills the largest context
MAX_ANSWER = 1 << 28  # bytes of all events
_COMPLAINT = 2000  # bytes of standard error that a message quotes
_WINE = ("wine64", "wine", "/usr/lib/wine/wine64")
_GUEST = "/container"  # where WebAssembly sees the container's folder


@dataclass(frozen=True, slots=True)
class Via:
    """What a foreign build is run by: ``qemu``, ``wine``, ``wasmtime``, or nothing. ``cpu`` is for qemu alone."""

    name: str = ""
    cpu: str = ""

    def __str__(self) -> str:
        return f"{self.name}:{self.cpu}" if self.cpu else self.name


HERE = Via()


def parse_via(text: str) -> Via:
    """``qemu``, ``qemu:CPU``, ``wine``, ``wasmtime``, or an empty text. Raises UsageError."""
    name, colon, cpu = text.partition(":")
    if not text:
        return HERE
    if name not in VIAS or (colon and (name != "qemu" or not cpu)):
        raise UsageError(f"unknown way to run a build: {text!r}", hint="ways: qemu, qemu:CPU, wine, wasmtime")
    return Via(name, cpu)


def _failure(message: str, hint: str = "") -> RuntimeFailure:
    return RuntimeFailure(message, hint=hint)


@dataclass(slots=True)
class Running:
    """A runtime that was started. Use it as :func:`start` gives it."""

    process: subprocess.Popen[bytes]
    timeout: float
    expired: bool = False
    _complaint: bytearray = field(default_factory=bytearray)
    _threads: list[threading.Thread] = field(default_factory=list)

    def lines(self) -> Iterator[bytes]:
        """The lines of its answer. Raises RuntimeFailure where there is no end to them."""
        assert self.process.stdout is not None
        total = 0
        while line := self.process.stdout.readline(MAX_LINE + 1):
            total += len(line)
            if len(line) > MAX_LINE or total > MAX_ANSWER:
                raise _failure(f"the runtime's answer is longer than {MAX_ANSWER} bytes, or one line than {MAX_LINE}")
            if not line.endswith(b"\n"):
                raise _failure("the runtime stopped in the middle of a line")
            yield line

    def finish(self) -> None:
        """Wait for its end, which must be a good one."""
        code = self._code()
        if code:
            raise self.blame(_failure(f"the runtime gave all answers and ended with code {code}"))

    def blame(self, error: RuntimeFailure) -> RuntimeFailure:
        """``error`` with what the process did and said, or the true reason where that is a deeper one."""
        code = self._code(1.0)
        text = self.complaint()
        said = f"; its last words: {text}" if text else ""
        if self.expired:
            return _failure(f"the runtime took more than {self.timeout:g} seconds and was stopped{said}")
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return _failure(f"the runtime was ended by {signal.Signals(-code).name}{said}")
        return _failure(f"{error.message}{said}")

    def complaint(self) -> str:
        """The end of what it wrote to standard error."""
        for thread in self._threads:
            thread.join(1.0)
        return bytes(self._complaint).decode("utf-8", "backslashreplace").strip()

    def _code(self, patience: float | None = None) -> int | None:
        try:
            return self.process.wait(min(self.timeout, patience or 30.0))
        except subprocess.TimeoutExpired:
            return None

    def serve(self, request: bytes) -> None:
        """Begin to write the request and to collect complaints, each in a thread, so that no pipe fills up."""
        self._threads = [
            threading.Thread(target=self._write, args=(request,), daemon=True),
            threading.Thread(target=self._listen, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _write(self, request: bytes) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it need not read its request to the end before it fails
            self.process.stdin.write(request)
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with contextlib.suppress(OSError, ValueError):
            while block := self.process.stderr.read1(1 << 16):  # type: ignore[attr-defined]
                self._complaint += block
                del self._complaint[:-_COMPLAINT]

    def expire(self) -> None:
        """Time is up."""
        self.expired = True
        self.stop()

    def stop(self) -> None:
        """Stop the process and whatever it has started."""
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()


@contextlib.contextmanager
def start(
    via: Via,
    program: Path,
    words: Sequence[str],
    container: Path,
    request: bytes,
    *,
    weights: tuple[int, int] | None = None,
    opened: FileSource | None = None,
    timeout: float,
) -> Iterator[Running]:
    """Run ``program`` with ``words`` on ``container``, its standard input ``request``; stop it at the end of the block.

    ``weights`` is (offset, size) in bytes of the default model's data; ``opened`` is the file, open, which a program
    that runs without an emulator gets in place of its path where it can. Raises RuntimeFailure if it cannot be started.
    """
    container = real_path(container)
    with _told_to_end(), tempfile.TemporaryDirectory(prefix="llamafile-run-") as folder:
        compiled = compiled_module(program) if via.name == "wasmtime" else None
        argv, inside = _command(via, program, words, container, compiled)
        handed = _handed(opened, program, container) if via == HERE else None
        inherited = [each for each in (handed.descriptor if handed else None, compiled) if each is not None]
        environment = _environment(via, Path(folder), inside, weights) | (handed.environment if handed else {})
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env=environment,
                pass_fds=inherited,
                start_new_session=True,
            )
        except OSError as error:
            raise _failure(f"{argv[0]} cannot be started: {error.strerror or error}", _advice(error, via)) from error
        finally:
            for descriptor in inherited:
                os.close(descriptor)
        running = Running(process, timeout)
        timer = threading.Timer(timeout, running.expire)
        timer.daemon = True
        timer.start()
        try:
            running.serve(request)
            yield running
        finally:
            timer.cancel()
            running.stop()
            process.wait()
            running.complaint()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()


def _handed(opened: FileSource | None, program: Path, container: Path) -> Handover | None:
    """How ``program`` gets the open file. One of the cache lies in a folder that is called by its digest (14.2.8)."""
    if opened is None or os.name == "nt":
        return None
    return hand_over(opened, container, takes=takes_descriptor(program.parent.name))


class _ToldToEnd(BaseException):
    """SIGTERM arrived while a runtime was running."""


def _put_off(_number: int, _frame: FrameType | None) -> None:
    raise _ToldToEnd


@contextlib.contextmanager
def _told_to_end() -> Iterator[None]:
    """Put off SIGTERM until what is inside has been cleaned up, so that no runtime outlives the command."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not ours:
        yield
        return

    signal.signal(signal.SIGTERM, _put_off)
    try:
        yield
    except _ToldToEnd:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _advice(error: OSError, via: Via) -> str:
    if via == HERE and error.errno == 8:  # ENOEXEC: a program, and not for this machine
        return "it is a build for another machine: see --via"
    return ""


def _command(
    via: Via, program: Path, words: Sequence[str], container: Path, compiled: int | None
) -> tuple[list[str], str]:
    """The command line, and the container's path as the runtime sees it. ``compiled`` is for wasmtime alone."""
    if via.name == "qemu":
        cpu = ["-cpu", via.cpu] if via.cpu else []
        return [_tool(f"qemu-{_processor(program)}-static"), *cpu, str(program), *words], str(container)
    if via.name == "wine":
        return [_tool(*_WINE), str(program), *words], "Z:" + str(container).replace("/", "\\")
    if via.name == "wasmtime":
        module = [str(program), "-" if compiled is None else str(compiled)]
        rest = [str(HOST), *module, str(container.parent), _GUEST, *words]
        return [sys.executable, "-I", *rest], f"{_GUEST}/{container.name}"
    return [str(program), *words], str(container)


_MACHINES = {62: "x86_64", 183: "aarch64", 243: "riscv64"}  # e_machine of ELF


def _processor(program: Path) -> str:
    """The processor that an ELF program is for, in qemu's words."""
    with program.open("rb") as file:
        head = file.read(20)
    machine = int.from_bytes(head[18:20], "little")
    if head[:4] != b"\x7fELF" or machine not in _MACHINES:
        raise _failure(f"{program.name} is not a Linux program that qemu is asked to run")
    return _MACHINES[machine]


def _tool(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    raise _failure(f"{names[0]} is not installed", f"install {names[0]}, or replay on a machine that needs none")


def _environment(via: Via, folder: Path, container: str, weights: tuple[int, int] | None) -> dict[str, str]:
    """All that the runtime may know: nothing of the user's own settings reaches it."""
    values = {
        "LFF_CONTAINER": container,
        "LFF_GPU": "off",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LC_ALL": "C.UTF-8",
    }
    if os.name == "nt":  # without it a Windows program has no sockets and no random numbers
        values |= {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    if weights is not None:
        values |= {"LFF_WEIGHTS_OFFSET": str(weights[0]), "LFF_WEIGHTS_SIZE": str(weights[1])}
    if via.name == "wine":
        values |= {"WINEPREFIX": str(wine_prefix()), "WINEDEBUG": "-all", "PATH": os.environ.get("PATH", os.defpath)}
    return values


def wine_prefix() -> Path:
    """The folder that wine keeps its own Windows in: ours alone, made once, because making it takes wine a while.

    Two that begin to make it at the same time would spoil it, so one waits for the other.
    """
    import fcntl

    from llamafile_format.engines.cache import work_folder

    folder = work_folder("wine")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(folder / ".lock", "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "system.reg").exists():
            wine = _tool(*_WINE)
            own = {"WINEPREFIX": str(folder), "WINEDEBUG": "-all", "HOME": str(folder)}
            path = {"PATH": os.environ.get("PATH", os.defpath)}
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    [wine, "wineboot", "--init"], env={**own, **path}, capture_output=True, timeout=300, check=False
                )
    return folder
