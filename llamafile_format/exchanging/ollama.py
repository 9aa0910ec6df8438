"""The store of Ollama: where it lies, what its models are called, and whether somebody is using it.

    manifests/HOST/NAMESPACE/MODEL/TAG     an image manifest, exactly four levels deep
    blobs/sha256-HEX                       configuration and layers, by their digests

Ollama itself compares no blob with its name when it loads one. Its server removes, when it starts, every blob that no
manifest names.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from llamafile_format.errors import UsageError

KIND = "application/vnd.ollama.image."
CONFIG = "application/vnd.docker.container.image.v1+json"
WHAT = "the store of Ollama"
PORT = 11434

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
_NAMED = re.compile(r"(?:(?:(?P<host>[^/]+)/)?(?P<namespace>[^/]+)/)?(?P<model>[^/:]+)(?::(?P<tag>[^/:]+))?")
_ADDRESS = re.compile(
    r"(?:\w+://)?(?:\[(?P<six>[0-9a-fA-F:.]*)\]|(?P<host>[^:/\[\]]*))(?::(?P<port>[0-9]{1,5}))?(?:/.*)?"
)
_DISCARD = 9  # any port does: nothing is sent


@dataclass(frozen=True, slots=True)
class Named:
    """A model as Ollama names it; what is left out has a default."""

    host: str
    namespace: str
    model: str
    tag: str

    @property
    def steps(self) -> tuple[str, ...]:
        """Where its manifest lies in the store."""
        return "manifests", self.host, self.namespace, self.model, self.tag

    @property
    def whole(self) -> str:
        """All four parts."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    def __str__(self) -> str:
        """As short as Ollama shows it."""
        return f"{self.whole.removeprefix('registry.ollama.ai/').removeprefix('library/')}"


def read_named(text: str) -> Named:
    """The model ``[HOST/][NAMESPACE/]MODEL[:TAG]``. UsageError if a part could not be a name, or a file's."""
    found = _NAMED.fullmatch(text)
    if found is not None:
        host, namespace = found["host"] or "registry.ollama.ai", found["namespace"] or "library"
        named = Named(host, namespace, found["model"], found["tag"] or "latest")
        if _HOST.fullmatch(host) and all(_PART.fullmatch(part) for part in named.steps[2:]):
            return named
    raise UsageError(f"{text!r} is no name of a model for Ollama", hint="[HOST/][NAMESPACE/]MODEL[:TAG]")


def models_of_ollama(settings: Mapping[str, str]) -> Path:
    """Where the store is: ``store``, ``OLLAMA_MODELS``, the user's, or that of the service where only that is there."""
    for name in ("store", "OLLAMA_MODELS"):
        if where := settings.get(name, "").strip():
            return Path(where)
    mine = Path(settings.get("HOME") or Path.home()) / ".ollama" / "models"
    service = Path("/usr/share/ollama/.ollama/models")
    return service if service.is_dir() and not mine.is_dir() else mine


def refuse_in_use(root: Path, settings: Mapping[str, str]) -> None:
    """UsageError if a server of Ollama answers on this machine, or some program has a file of the store open.

    Nobody else is asked, and no name is looked up, wherever ``OLLAMA_HOST`` leads.
    """
    hint = "stop it (`systemctl stop ollama`, or quit the application), export, and start it again"
    for host, port in _places(settings.get("OLLAMA_HOST", "")):
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            raise UsageError(f"Ollama is running: something answers on this machine at port {port}", hint=hint)
    if pid := _who_has_open(root):
        raise UsageError(f"{WHAT} {root} is in use: process {pid} has a file of it open", hint=hint)


def _places(address: str) -> list[tuple[str, int]]:
    """Where a server may listen on this machine: loopback at the usual port and at that of ``OLLAMA_HOST``, whatever
    address stands before it, and that address if it is this machine's own."""
    found = _ADDRESS.fullmatch(address.strip().strip("'\""))
    host = (found["six"] or found["host"] or "") if found else ""
    port = int(found["port"] or PORT) if found else PORT
    ports = sorted(each for each in {PORT, port} if 0 < each < 1 << 16)
    places = [(loopback, each) for each in ports for loopback in ("127.0.0.1", "::1")]
    return [*places, (host, port)] if port in ports and _is_own(host) else places


def _is_own(host: str) -> bool:
    """True if ``host`` is an address of this machine: then the way there begins at that very address. To ask for the
    way sends nothing. A name is none, as looking it up would tell others of it."""
    try:
        machine = ip_address(host)
        family = socket.AF_INET6 if machine.version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as way:
            way.connect((host, _DISCARD))
            return machine.is_loopback or ip_address(way.getsockname()[0]) == machine
    except (ValueError, OSError):
        return False


def _who_has_open(root: Path) -> int:
    """A process that has a file below ``root`` open, as far as this user may see and the system tells; else 0."""
    below = f"{root.resolve()}{os.sep}"
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        with contextlib.suppress(OSError):
            for each in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    where = str(each.readlink())
                    if where.startswith(below) and Path(where).is_file():
                        return int(process.name)
    return 0
