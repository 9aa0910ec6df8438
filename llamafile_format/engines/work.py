"""The folder in which builds are made: inputs unpacked, our own sources copied, tools that see nothing of this machine.

What was unpacked before is not unpacked again, so that work which was interrupted goes on where it stopped.
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.engines import swhid
from llamafile_format.engines.fetch import obtain
from llamafile_format.engines.host import host_target
from llamafile_format.engines.pin import Input, Pin
from llamafile_format.engines.sources import Step, stage, unpack
from llamafile_format.engines.store import read_build
from llamafile_format.errors import LlamafileError, SourceError, UsageError

SHADERS = "shaders"
"""What a recipe uses that is neither an input nor ours: the pin's own shaders, compiled once."""
_TAIL = 12  # lines of the log that a failure shows


class BuildFailed(LlamafileError):
    """A tool of the build gave up; the message has its last words, the hint the whole log."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where and how work is done.

    Inputs come from the offline vault ``origin``; without one they are kept in ``inputs`` and fetched there if need be.
    ``jobs`` compilers run at once, as many as there are processors if 0. ``step`` hears how far things are.
    """

    folder: Path
    inputs: Path
    origin: Path | None = None
    jobs: int = 0
    step: Step = lambda _what, _done, _total: None

    def obtain(self, source: Input) -> Path:
        """The file of an input, its digest checked in this run."""
        return obtain(source, self.origin, self.inputs, self.step)

    def unpack(self, source: Input) -> Path:
        """Where an input lies unpacked."""
        return unpack(source, self.obtain(source), self.folder / source.id, self.step)


def prepare(pin: Pin, uses: Sequence[str], shop: Workshop) -> tuple[dict[str, str], bool]:
    """Put what a build ``uses`` into the workshop: where each thing is, and whether ours is as the pin says."""
    if host_target() != pin.recipe.host:
        raise UsageError(
            f"{pin.key} is built on {pin.recipe.host}, whose tools it pins; this machine is {host_target()}",
            hint="builds for every target are made there; the programs themselves run where they are meant to",
        )
    work = shop.folder
    work.mkdir(parents=True, exist_ok=True)
    places = {"work": str(work), "version": pin.version}
    as_pinned = True
    with locked(work / "lock"):
        if SHADERS in uses:
            places |= _shaders(pin, work / SHADERS)
        for source in pin.inputs:
            if source.id in uses:
                places[source.id] = str(shop.unpack(source))
        for own in pin.own:
            if own.id in uses:
                stage(pin.folder / own.path, work / own.id)
                places[own.id] = str(work / own.id)
                as_pinned &= swhid.of_path(work / own.id) == own.swhid
    return places, as_pinned


def _shaders(pin: Pin, folder: Path) -> dict[str, str]:
    """Unpack the shaders that the pin names: where they are, their digest and size."""
    made = pin.shaders
    if made is None:
        raise UsageError(f"{pin.key} has no shaders", hint=f"runtimes build {pin.key} --shaders --record makes them")
    stamp = folder.with_name(f"{folder.name}.unpacked")
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != made.sha256:
        stamp.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        with tarfile.open(fileobj=io.BytesIO(read_build(pin, made)), mode="r:") as archive:
            archive.extractall(folder, filter="data")
        stamp.write_text(made.sha256, encoding="utf-8")
    return {SHADERS: str(folder), "shaders_sha256": made.sha256, "shaders_size": str(made.size)}


def environment(work: Path) -> dict[str, str]:
    """All that the tools get to see of this machine."""
    for name in ("tmp", "home", "zig-cache"):
        (work / name).mkdir(exist_ok=True)
    return {
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": "315532800",  # 1980, the first year that a ZIP can name
        "HOME": str(work / "home"),
        "TMPDIR": str(work / "tmp"),
        "GIT_DIR": "/nonexistent",  # or ggml names the commit of whatever repository the work folder lies in
        "ZIG_GLOBAL_CACHE_DIR": str(work / "zig-cache"),
        "ZIG_LOCAL_CACHE_DIR": str(work / "zig-cache"),
    }


def run(
    command: Sequence[str],
    seen: Mapping[str, str],
    log: Path,
    heard: Callable[[str], None] | None = None,
    folder: Path | None = None,
) -> None:
    """Run a tool to its end, its output into ``log``; BuildFailed with its last words if it fails.

    ``seen`` is its whole environment; ``heard`` is told every line of its output; ``folder`` is where it starts.
    """
    with open(log, "a", buffering=1, encoding="utf-8") as record:
        record.write(f"$ {' '.join(command)}\n")
        record.flush()
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(seen),
                cwd=folder,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise SourceError(f"cannot start {command[0]}: {error.strerror}") from error
        last: list[str] = []
        try:
            assert process.stdout is not None
            for line in process.stdout:
                record.write(line)
                last = [*last[1 - _TAIL :], line]
                if heard is not None:
                    heard(line)
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if code:
        raise BuildFailed(
            f"{Path(command[0]).name} failed with exit code {code}:\n{''.join(last)}", hint=f"the whole log is {log}"
        )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process at a time does this in the folder of ``path``."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
