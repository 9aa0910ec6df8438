"""The hooks and the action of this repository, run as their hosts run them: by pre-commit, and step by step by bash."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.laws.containers import small_container

ROOT = Path(__file__).resolve().parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]

pytestmark = [pytest.mark.slow, pytest.mark.interop]


def _run(command: list[object], folder: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV", "GIT_"))}
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=clean | extra,
        capture_output=True,
        text=True,
        check=False,
        timeout=550,
    )


def _git(folder: Path, *words: object) -> str:
    named = ["-c", "user.name=test", "-c", "user.email=test@example.invalid", "-c", "init.defaultBranch=main"]
    done = _run(["git", *named, *words], folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of its own with the files of this one, whether or not they are committed here."""
    folder = tmp_path_factory.mktemp("source")
    if not (ROOT / ".git").exists():
        pytest.skip("no repository here to take the files of")
    names = _git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.link((ROOT / name).resolve(), folder / name) if _same_disk(folder) else _copy(name, folder)
    _git(folder, "init", "-q")
    _git(folder, "add", "--all", "--force")
    _git(folder, "commit", "-q", "-m", "all")
    return folder


def _same_disk(folder: Path) -> bool:
    return folder.stat().st_dev == ROOT.stat().st_dev


def _copy(name: str, folder: Path) -> None:
    (folder / name).write_bytes((ROOT / name).read_bytes())


def test_pre_commit_lets_good_files_in_and_bad_ones_not(source: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    _git(work, "init", "-q")
    (work / ".pre-commit-config.yaml").write_text(
        f"repos:\n- repo: {source}\n  rev: {_git(source, 'rev-parse', 'HEAD')}\n  hooks:\n  - id: verify-llamafile\n"
    )
    good = small_container(tmp_path).read_bytes()
    (work / "good.llamafile").write_bytes(good)
    (work / "other.txt").write_text("not looked at")
    _git(work, "add", "--all")
    hook = [sys.executable, "-m", "pre_commit", "run", "--all-files", "--verbose"]
    home = {"PRE_COMMIT_HOME": str(tmp_path / "home")}
    passed = _run(hook, work, **home)
    if "Could not find a version" in passed.stdout + passed.stderr:
        pytest.skip("no package index here")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "Passed" in passed.stdout
    (work / "bad.llamafile").write_bytes(good + b"\0")
    _git(work, "add", "--all")
    failed = _run(hook, work, **home)
    assert failed.returncode == 1
    assert "LF2011" in failed.stdout
    assert "good.llamafile" not in failed.stdout


def test_inputs_never_become_commands() -> None:
    for step in STEPS:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"]
    named = set(re.findall(r"\$\{\{ inputs\.([a-z-]+) \}\}", str(STEPS)))
    assert named == set(ACTION["inputs"])


@pytest.fixture(scope="module")
def runner(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a host calls RUNNER_TEMP, with the first step done."""
    folder = tmp_path_factory.mktemp("runner")
    done = _step(STEPS[0], folder, source, {})
    if "Could not find a version" in done.stderr:
        pytest.skip("no package index here")
    assert done.returncode == 0, done.stderr
    return folder


def _step(step: dict[str, Any], runner: Path, source: Path, given: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A step as the host runs it: expressions put into its variables, its text as a file for bash."""
    values = {f"inputs.{name}": given.get(name, row.get("default", "")) for name, row in ACTION["inputs"].items()}
    values["github.action_path"] = str(source)
    told = {
        key: re.sub(r"\$\{\{ ([a-z_.-]+) \}\}", lambda found: values[found[1]], text)
        for key, text in step["env"].items()
    }
    script = runner / "step.sh"
    script.write_text(step["run"])
    told |= {"RUNNER_TEMP": str(runner), "GITHUB_OUTPUT": str(runner / "output"), "HOME": str(runner)}
    told |= {"PIP_CACHE_DIR": str(Path.home() / ".cache" / "pip"), "PIP_NO_COMPILE": "1"}  # time, and nothing else
    return _run(["bash", "--noprofile", "--norc", "-eo", "pipefail", script], runner, **told)


def test_the_action(runner: Path, source: Path, tmp_path: Path) -> None:
    good = small_container(tmp_path)
    odd = tmp_path / "-x $(touch hacked) `id` %0A.llamafile"
    odd.write_bytes(good.read_bytes() + b"\0")

    def verify(files: str, **given: str) -> tuple[int, str]:
        (runner / "output").unlink(missing_ok=True)
        done = _step(STEPS[1], runner, source, {"files": files, **given})
        assert (runner / "output").read_text() == f"exit-code={done.returncode}\n"
        return done.returncode, done.stdout

    assert verify(str(good)) == (0, f"yes            {good}\n")
    code, shown = verify(f"{good}\n\n{odd}\n")
    assert code == 1
    assert "::error file=" in shown
    assert "title=LF2011 " in shown
    assert not (runner / "hacked").exists()
    hostile = tmp_path / "##[stop-commands]x.llamafile"
    hostile.write_bytes(good.read_bytes())
    assert "##[" not in verify(str(hostile))[1]
    lines = verify(str(hostile), format="text")[1].splitlines()
    assert re.fullmatch("::stop-commands::[0-9a-f]{32}", lines[0])
    assert lines[-1] == f"::{lines[0].rpartition(':')[2]}::"
    code, shown = verify(str(odd), format="sarif", report="report.sarif")
    assert (code, shown) == (1, "")
    assert '"LF2011"' in (runner / "report.sarif").read_text()
    assert verify(str(good), level="quick", strict="true")[0] == 1
    assert verify(str(tmp_path / "absent"))[0] == 4
    assert verify(str(good), policy=str(tmp_path / "absent.yaml"))[0] == 2
