"""The user's configuration: where it lies, what it may say, that it is named, and that nothing else is read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, CliRunner
from tests.laws.containers import small_container


@pytest.fixture
def home(tmp_path: Path, run_cli: CliRunner) -> Path:
    """A home with a key and a container that it signed, and the folder of the configuration."""
    small_container(tmp_path)
    assert run_cli("keygen", "-o", tmp_path / "a.key", "--no-passphrase").returncode == 0
    name = next(path.name for path in tmp_path.iterdir() if path.suffix == ".llamafile")
    assert run_cli("sign", name, "--key", "a.key").returncode == 0
    folder = tmp_path / "config/llamafile-format"
    folder.mkdir(parents=True)
    (folder / "a.pub").write_bytes((tmp_path / "a.key.pub").read_bytes())
    (tmp_path / name).rename(tmp_path / "m.llamafile")
    return tmp_path


def write(home: Path, text: str, mode: int = 0o600) -> Path:
    path = home / "config/llamafile-format/config.yaml"
    path.write_text(text)
    path.chmod(mode)
    return path


def there(home: Path) -> dict[str, str | None]:
    return {"XDG_CONFIG_HOME": str(home / "config"), "HOME": str(home), "LFF_CACHE": None}


def test_the_key_counts_and_is_named(home: Path, run_cli: CliRunner) -> None:
    path = write(home, "key: a.pub\n")
    result = run_cli("verify", "m.llamafile", env=there(home))
    assert result.returncode == 0
    assert "authentic    yes" in result.stdout
    assert result.stderr == f"note: the key {path.parent / 'a.pub'} is from {path}\n"


def test_what_is_said_wins_and_no_config_leaves_it_out(home: Path, run_cli: CliRunner) -> None:
    write(home, "key: absent.pub\n")
    env = there(home)
    assert run_cli("verify", "m.llamafile", env=env).returncode == 2
    for words in (["--key", "a.key.pub"], ["--no-config"]):
        result = run_cli("verify", "m.llamafile", *words, env=env)
        assert (result.returncode, result.stderr) == (0, ""), words
    assert "authentic" not in run_cli("--no-config", "verify", "m.llamafile", env=env).stdout


def test_a_policy(home: Path, run_cli: CliRunner) -> None:
    write(home, "policy: p.yaml\n")
    signers = "signers:\n- {id: me, roles: [archive], keys: [a.pub]}\n"
    (home / "config/llamafile-format/p.yaml").write_text(
        f"policy: 1\nname: mine\n{signers}require:\n- {{role: archive, threshold: 1}}\n"
    )
    result = run_cli("verify", "m.llamafile", env=there(home))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "policy       yes  mine" in result.stdout
    assert "p.yaml is from" in result.stderr


def test_home_is_where_it_lies_otherwise(home: Path, run_cli: CliRunner) -> None:
    (home / ".config").symlink_to("config")
    write(home, "key: a.pub\n")
    for xdg in (None, "", "config"):  # a relative folder does not count: it would be the working folder's
        result = run_cli("verify", "m.llamafile", env={**there(home), "XDG_CONFIG_HOME": xdg})
        assert "is from" in result.stderr, xdg


def test_nothing_in_the_working_folder_is_read(home: Path, run_cli: CliRunner) -> None:
    for name in ("config.yaml", "llamafile-format/config.yaml", ".config/llamafile-format/config.yaml"):
        (home / "work" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "work" / name).write_text("nonsense: 1\n")
    env = {"XDG_CONFIG_HOME": None, "HOME": str(home / "elsewhere")}
    result = run_cli("verify", "../m.llamafile", cwd=home / "work", env=env)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("polcy: x\n", "did you mean policy?"),
        ("key: [a.pub\n", "not YAML"),
        ("key: 7\n", "key is a path"),
        ("- key\n", "no fields"),
        ("key: a.pub\nkey: b.pub\n", "twice"),
        ("key: a.pub\npolicy: p.yaml\n", "exclude"),
        ("cache: [x]\n", "cache is no path"),
    ],
)
def test_faults_are_told_with_the_way_out(home: Path, run_cli: CliRunner, text: str, told: str) -> None:
    path = write(home, text)
    result = run_cli("verify", "m.llamafile", env=there(home))
    assert result.returncode == 2
    assert told in result.stderr
    assert str(path) in result.stderr
    assert "--no-config" in result.stderr


def test_a_file_that_others_can_write_is_refused(home: Path, run_cli: CliRunner) -> None:
    write(home, "key: a.pub\n", 0o666)
    result = run_cli("verify", "m.llamafile", env=there(home))
    assert result.returncode == 2
    assert "others can write to it" in result.stderr


def test_commands_that_need_none_of_it_do_not_read_it(home: Path, run_cli: CliRunner) -> None:
    write(home, "nonsense: 1\n")
    for words in (["--help"], ["run", "--help"], ["rule", "LF4001"], ["inspect", "m.llamafile"]):
        assert run_cli(*words, env=there(home)).returncode == 0


def program(cache: Path, name: str, size: int = 5000) -> Path:
    path = cache / "llamafile-format/rt" / ("ab" * 32) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(range(250)) * (size // 250))
    return path


_WITHIN = """
import sys
from pathlib import Path
from llamafile_format.__main__ import main
from llamafile_format.engines import cache_contents

everywhere, home = cache_contents.candidates, sys.argv.pop(1)
cache_contents.candidates = lambda: (place for place in everywhere() if place.is_relative_to(home))
main()
"""


def cache_command(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``llamafile-format cache``, blind to the places below /tmp that tests beside this one use."""
    changed = {**there(home), "XDG_CACHE_HOME": str(home / "usual"), "TMPDIR": str(home / "t"), "XDG_RUNTIME_DIR": None}
    env = {key: value for key, value in {**os.environ, "PYTHONPATH": str(ROOT), **changed}.items() if value is not None}
    command = [sys.executable, "-c", _WITHIN, str(home), "cache", *words]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def test_the_cache_is_listed_and_emptied(home: Path) -> None:
    write(home, "cache: here\n")
    cache = home / "config/llamafile-format/here"
    build, old = program(cache, "runtime"), program(cache, f"runtime.{os.uname().nodename}.999999999")
    busy = program(cache, f"runtime.{os.uname().nodename}.{os.getpid()}")
    elsewhere = program(home / "usual", "runtime.another-host.7")
    (cache / "llamafile-format/verified").mkdir()
    (cache / "llamafile-format/compiled").mkdir()
    (cache / "llamafile-format/inputs").mkdir()
    (cache / "llamafile-format/inputs/x").write_text("x")
    shown = cache_command(home, "list").stdout
    assert [line.split()[0] for line in shown.splitlines()[:-1]] == ["build", "leftover", "memory", "compiled", "work"]
    assert "5 items" in shown
    cache_command(home, "clean", "--leftovers", "--dry-run")
    assert old.exists()
    assert "freed" in cache_command(home, "clean", "--leftovers").stdout
    assert (old.exists(), build.exists()) == (False, True)
    cache_command(home, "clean")
    assert not build.exists()
    assert busy.exists(), "its process is alive"
    assert elsewhere.exists(), "another host may be at work on it"
    assert (cache / "llamafile-format/inputs/x").exists()
    cache_command(home, "clean", "--all")
    assert not (cache / "llamafile-format/inputs").exists()
    assert cache_command(home, "clean", "--all", "--leftovers").returncode == 2


def test_links_in_the_cache_lead_nowhere(home: Path) -> None:
    (home / "precious").mkdir()
    (home / "precious/work").write_text("x")
    (home / "usual/llamafile-format/rt").mkdir(parents=True)
    (home / "usual/llamafile-format/rt" / ("cd" * 32)).symlink_to(home / "precious")
    (home / "usual/llamafile-format/inputs").symlink_to(home / "precious")
    cache_command(home, "clean", "--all")
    assert (home / "precious/work").read_text() == "x"
