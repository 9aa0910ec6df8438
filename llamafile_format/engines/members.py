"""Names of runtime members: engine, version, flavour and target are read from the path (spec/1, 14.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from llamafile_format.engines.pin import Flavour, Kind, Pin

ROOT = "runtimes"
DEFAULT_ENGINE = "llama.cpp"
"""The engine where nobody names one."""
_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._+-]*[A-Za-z0-9])?"
_PATH = re.compile(
    rf"{ROOT}/(?P<engine>{_WORD})/(?P<version>{_WORD})/(?P<flavour>[a-z]+)/(?P<target>[a-z0-9]+-[a-z0-9_]+)"
)


@dataclass(frozen=True, slots=True)
class RuntimeName:
    """What the path of a runtime member says."""

    engine: str
    version: str
    flavour: Flavour
    target: str

    @property
    def key(self) -> str:
        """Engine and version as users write them: ``llama.cpp@0.3.36``."""
        return f"{self.engine}@{self.version}"

    @property
    def path(self) -> str:
        """The member path again."""
        return f"{ROOT}/{self.engine}/{self.version}/{self.flavour}/{self.target}"


def parse_runtime_path(path: str) -> RuntimeName | None:
    """What ``path`` names, or None if it does not have the form of 14.1."""
    match = _PATH.fullmatch(path)
    if match is None or match["flavour"] not in tuple(Flavour):
        return None
    return RuntimeName(match["engine"], match["version"], Flavour(match["flavour"]), match["target"])


def runtime_path(pin: Pin, flavour: Flavour, target: str) -> str:
    """Member path of the build of ``pin`` for ``target``."""
    return RuntimeName(pin.name, pin.version, flavour, target).path


def companion_path(pin: Pin, name: str) -> str:
    """Member path of what goes with the builds of ``pin``: ``webui.tar``, ``LICENCES.txt``, ``runtime.yaml``."""
    return f"{ROOT}/{pin.name}/{pin.version}/{name}"


def kinds_of(paths: Iterable[str]) -> dict[RuntimeName, Kind]:
    """Where the code of each build among the members of these ``paths`` comes from, by what lies beside it."""
    names, beside = [], dict[tuple[str, ...], Kind]()
    for path in paths:
        if (name := parse_runtime_path(path)) is not None:
            names.append(name)
        parts = tuple(path.split("/"))
        if len(parts) == 6 and (parts[0], parts[3]) == (ROOT, "lib"):
            wheel = path.endswith(".whl") and beside.get(parts[:5]) is not Kind.NATIVE_LIBRARY
            beside[parts[:5]] = Kind.PYTHON_WHEELS if wheel else Kind.NATIVE_LIBRARY
    folders = {name: (ROOT, name.engine, name.version, "lib", name.target) for name in names}
    return {name: beside.get(folder, Kind.BUILT) for name, folder in folders.items()}


def is_of_runtime(path: str, engine: str = "") -> bool:
    """True for members that came in with a runtime (of ``engine``, or of any): builds and what goes with them."""
    parts = path.split("/")
    return len(parts) >= 4 and parts[0] == ROOT and engine in ("", parts[1])
