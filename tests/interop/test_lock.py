"""The lock of the development environment: complete in itself, and installable by an old pip and by the newest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements-dev.lock"
_PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?==(?P<version>[^ ;\\]+)(?: *; *(?P<marker>[^\\]+))?", re.MULTILINE
)


def pins() -> dict[str, list[Requirement]]:
    """Every line of the lock, by canonical name; one package may have several, for different systems."""
    found: dict[str, list[Requirement]] = {}
    for match in _PIN.finditer(LOCK.read_text("utf-8")):
        marker = f" ; {match['marker'].strip()}" if match["marker"] else ""
        line = Requirement(f"{match['name']}=={match['version']}{marker}")
        found.setdefault(canonicalize_name(line.name), []).append(line)
    return found


def asked_for() -> Iterator[Requirement]:
    """What the project itself names: its dependencies, and those of development."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    yield from map(Requirement, project["dependencies"])
    for line in (ROOT / "requirements-dev.in").read_text("utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text and not text.startswith("-"):
            yield Requirement(text)


def test_every_requirement_of_every_pinned_package_is_pinned() -> None:
    """Followed through the metadata of what is installed, extras included: pip has nothing left to resolve."""
    locked = pins()
    assert len(locked) > 50
    missing, wrong, seen = [], [], set()
    wanted = (requirement for requirement in asked_for() if requirement.marker is None or requirement.marker.evaluate())
    waiting = [("llamafile-format", requirement) for requirement in wanted]
    while waiting:
        origin, requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name == "llamafile-format":
            continue
        here = [line for line in locked.get(name, []) if line.marker is None or line.marker.evaluate()]
        if not here:
            missing.append(f"{origin} needs {requirement}")
            continue
        (version,) = {next(iter(line.specifier)).version for line in here}
        if not requirement.specifier.contains(Version(version), prereleases=True):
            wrong.append(f"{origin} needs {requirement}, and {version} is pinned")
        for extra in ("", *sorted(requirement.extras)):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                needs = distribution(name).requires or []
            except PackageNotFoundError:
                missing.append(f"{name} is pinned and not installed: run make lint")
                continue
            for text in needs:
                need = Requirement(text)
                if need.marker is None or need.marker.evaluate({"extra": extra}):
                    waiting.append((f"{name}[{extra}]" if extra else name, need))
    assert not missing, missing
    assert not wrong, wrong
    assert len(seen) > 50


def test_every_pin_has_a_digest() -> None:
    text = re.sub(r"\\\n", " ", LOCK.read_text("utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    assert not [line for line in lines if "--hash=sha256:" not in line]


@pytest.mark.slow
@pytest.mark.interop
@pytest.mark.parametrize("pip", ["pip==23.0.1", "pip"])
def test_pip_installs_the_lock_as_it_stands(pip: str, tmp_path: Path) -> None:
    """Debian 12's pip resolves what extras leave open, and stops; with --no-deps it has nothing to resolve."""
    venv.create(tmp_path / "v", with_pip=True)
    python = tmp_path / "v/bin/python"
    got = _run(python, "install", "--quiet", "--upgrade", pip)
    if got.returncode:
        pytest.skip(f"no {pip} from the package index here: {got.stderr.strip().splitlines()[-1:]}")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (options,) = re.findall(r"(--no-deps --require-hashes --requirement requirements-dev\.lock)", makefile)
    result = _run(python, "install", "--dry-run", "--no-input", *options.split())
    assert result.returncode == 0, result.stderr[-2000:]
    assert (
        f"-{pins()['pytest'][0].specifier.__str__().removeprefix('==')}" in result.stdout.rsplit("Would install", 1)[-1]
    )


def _run(python: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=540)


def test_the_environment_that_runs_this_is_whole() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stdout


def test_a_failed_set_up_says_why_last(tmp_path: Path) -> None:
    """Behind all that pip prints, and directly in front of make's own line."""
    environment = {
        **os.environ,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "nothing"),
        "PIP_CONFIG_FILE": os.devnull,
    }
    home = tmp_path / "v"
    command = ["make", f"DEV={home}", f"PYTHON={sys.executable}", str(home / ".ready")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert result.returncode != 0
    *_, cause, _make = result.stderr.strip().splitlines()
    assert cause.startswith(f"The set-up of {home} failed: ERROR: ")
    assert not (home / ".ready").exists()
