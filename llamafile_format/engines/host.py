"""What this machine is, in the words of pins: ``linux-x86_64``."""

from __future__ import annotations

import platform

_SYSTEMS = {
    "linux": "linux",
    "windows": "windows",
    "darwin": "macos",
    "freebsd": "freebsd",
    "netbsd": "netbsd",
    "openbsd": "openbsd",
}
_PROCESSORS = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64", "riscv64": "riscv64"}


def host_target(system: str = "", processor: str = "") -> str | None:
    """The target of this machine (or of the ``system`` and ``processor`` given), None if there is no name for it."""
    name = _SYSTEMS.get((system or platform.system()).lower())
    kind = _PROCESSORS.get((processor or platform.machine()).lower())
    return f"{name}-{kind}" if name and kind else None
