"""Files that begin with a real launcher and hold small shell scripts in the place of runtimes."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from llamafile_format.prefix.launcher import LAUNCHER_SIZE, VERSION, LauncherBuild, build_launcher

UNIT = 1 << 16
HOST = f"linux-{platform.machine()}"
WEIGHTS = b"weights"
SHOW = b"""#!/bin/sh
printf '%s|' "FLAVOUR" "$LFF_CONTAINER" "$LFF_WEIGHTS_OFFSET" "$LFF_WEIGHTS_SIZE" "$@"
exit "${SHOW_EXIT:-0}"
"""
"""A runtime that says how it was started."""


def runtime(flavour: str = "native", size: int = 3 * UNIT + 5 * 512 + 7) -> bytes:
    """The script, as large as ``size`` says: by default no count of the second stage is zero."""
    return SHOW.replace(b"FLAVOUR", flavour.encode()).ljust(size, b"\n")


def launchable(
    path: Path,
    programs: Mapping[tuple[str, str], bytes] | None = None,
    *,
    weights: bool = True,
    executable: bool = True,
    version: int = VERSION,
) -> Path:
    """Write launcher, builds by (target, flavour) and a few bytes of weights to ``path``: all but the archive."""
    programs = {(HOST, "native"): runtime()} if programs is None else programs
    at, builds, body = LAUNCHER_SIZE, [], b""
    for (target, flavour), data in programs.items():
        builds.append(LauncherBuild(target, flavour, at, len(data), hashlib.sha256(data).hexdigest()))
        body += data + bytes(-len(data) % UNIT)
        at = LAUNCHER_SIZE + len(body)
    launcher = build_launcher(builds, (at, len(WEIGHTS)) if weights else None, version)
    path.write_bytes(launcher + body + WEIGHTS)
    path.chmod(0o755 if executable else 0o644)
    return path


def cached(cache: Path, data: bytes, name: str = "runtime") -> Path:
    """Where a launcher keeps ``data`` below ``cache``."""
    return cache / "llamafile-format" / "rt" / hashlib.sha256(data).hexdigest() / name


def run(
    command: Sequence[str | os.PathLike[str]],
    env: Mapping[str, str | None] | None = None,
    cwd: Path | str | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run ``command`` with changed environment (None removes); nothing is checked."""
    environment = dict(os.environ)
    for key, value in (env or {}).items():
        environment.pop(key, None)
        if value is not None:
            environment[key] = value
    return subprocess.run(
        [os.fspath(part) for part in command],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def shown(*arguments: str, container: Path, flavour: str = "native", size: int = 3 * UNIT + 5 * 512 + 7) -> str:
    """What :data:`SHOW` prints for a file of one build."""
    offset = LAUNCHER_SIZE + -(-size // UNIT) * UNIT
    return "".join(f"{word}|" for word in (flavour, str(container), str(offset), str(len(WEIGHTS)), *arguments))
