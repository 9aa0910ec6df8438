"""The shared fixtures keep their word: tools are found or the test is skipped, use is noted, mounts go away."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ToolFinder = Callable[[str], Path]


def test_use_of_a_tool_is_noted(tool: ToolFinder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    notes = tmp_path / "used"
    monkeypatch.setenv("LFF_TOOLS_USED", str(notes))
    assert tool("python").is_file()
    assert notes.read_text(encoding="utf-8") == "used python\n"


def test_absent_tool_skips_with_its_name(tool: ToolFinder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    notes = tmp_path / "used"
    monkeypatch.setenv("LFF_TOOLS_USED", str(notes))
    with pytest.raises(pytest.skip.Exception, match="no-such-tool is not installed"):
        tool("no-such-tool")
    assert not notes.exists()


def test_a_tool_that_ci_installs_is_named_by_a_test(repository: Path) -> None:
    """``.ci/run`` fails after an hour where no test asked for a tool by the name of its row; this says so at once."""
    rows = (repository / ".ci" / "run").read_text(encoding="utf-8").partition("\nwanted=(\n")[2].partition("\n)\n")[0]
    wanted = [row.strip().strip('"').split()[0] for row in rows.splitlines()]
    tests = "\n".join(file.read_text(encoding="utf-8") for file in (repository / "tests").rglob("*.py"))
    assert len(wanted) > 20
    assert [name for name in wanted if f'"{name}"' not in tests] == []


def test_command_runs_in_its_own_process(run_cli: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = run_cli("--version")
    assert done.returncode == 0, done.stderr
    assert "llamafile-format" in done.stdout


@pytest.mark.interop
@pytest.mark.parametrize("kind", ["xfs", "btrfs", "ext4"])
def test_loop_file_system_is_real(
    loop_fs: Callable[[str, int], Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LFF_TOOLS_USED", raising=False)  # trying the fixture is no use that would justify the tool
    where = loop_fs(kind, 16)
    (where / "file").write_bytes(b"x" * 4096)
    table = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    assert [row.split()[2] for row in table if row.split()[1] == str(where)] == [kind]
