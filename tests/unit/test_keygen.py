"""The command keygen, its passphrases, and signers that are commands (spec 13.8.8 to 13.8.10)."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import stat
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from llamafile_format.cli.passphrase import from_file, new_passphrase, passphrase_for, private_keys
from llamafile_format.errors import SourceError, UsageError
from llamafile_format.signing.keys.external import MAX_SIGNATURE, CommandSigner
from llamafile_format.signing.keys.key import PrivateKey
from llamafile_format.signing.keys.key_files import KINDS, generate, read_private, read_public, write_keys

Run = Callable[..., "subprocess.CompletedProcess[str]"]


# The command


def test_default(run_cli: Run, tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("geheim\n")
    done = run_cli("keygen", "-o", "key", "--passphrase-file", "pass")
    assert done.returncode == 0, done.stderr
    (public,) = read_public(tmp_path / "key.pub")
    assert done.stdout.splitlines() == [
        "private  key  (encrypted)",
        "public   key.pub",
        f"key id   {public.key_id}  ecdsa-p384-sha384",
    ]
    assert read_private(tmp_path / "key", lambda: b"geheim")[0].public == public
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_json(run_cli: Run, tmp_path: Path) -> None:
    done = run_cli("keygen", "-o", "key", "--type", "p256+ml-dsa-87", "--no-passphrase", "--json")
    assert done.returncode == 0, done.stderr
    first, second = read_public(tmp_path / "key.pub")
    assert json.loads(done.stdout) == {
        "private": "key",
        "public": "key.pub",
        "encrypted": False,
        "keys": [
            {"algorithm": "ecdsa-p256-sha256", "id": first.key_id, "hint": first.hint},
            {"algorithm": "ml-dsa-87", "id": second.key_id, "hint": second.hint},
        ],
    }
    assert [one.public for one in read_private(tmp_path / "key")] == [first, second]


def test_an_open_key_is_called_open(run_cli: Run) -> None:
    assert "(open: whoever reads it can sign)" in run_cli("keygen", "-o", "key", "--no-passphrase").stdout


def test_every_kind_is_offered(run_cli: Run) -> None:
    done = run_cli("keygen", "-o", "key", "--type", "rsa")
    assert done.returncode == 2
    assert all(kind in done.stderr for kind in KINDS)


def test_nothing_is_replaced(run_cli: Run, tmp_path: Path) -> None:
    assert run_cli("keygen", "-o", "key", "--no-passphrase").returncode == 0
    before = (tmp_path / "key").read_bytes()
    done = run_cli("keygen", "-o", "key", "--no-passphrase")
    assert done.returncode == 2
    assert "never replaced" in done.stderr
    assert (tmp_path / "key").read_bytes() == before


def test_no_public_key_no_private_key(run_cli: Run, tmp_path: Path) -> None:
    (tmp_path / "key.pub").mkdir()
    done = run_cli("keygen", "-o", "key", "--no-passphrase")
    assert done.returncode == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.pub"]


def test_contradiction(run_cli: Run, tmp_path: Path) -> None:
    done = run_cli("keygen", "-o", "key", "--no-passphrase", "--passphrase-file", "pass")
    assert done.returncode == 2
    assert "contradict" in done.stderr


def test_private_even_with_an_open_umask(tmp_path: Path) -> None:
    """No moment in which somebody could open the file: every name that ever appeared had mode 0600."""
    before = os.umask(0)
    try:
        private, public = write_keys(tmp_path / "key", generate("p256"), None)
    finally:
        os.umask(before)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(public.stat().st_mode) == 0o644


# Passphrases


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> list[str]:
    prompts: list[str] = []
    answers = iter(lines)

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return next(answers)

    monkeypatch.setattr(getpass, "getpass", ask)
    return prompts


def test_typed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = typed(monkeypatch, "Größe", "Größe")
    assert new_passphrase(None) == "Größe".encode()
    assert len(prompts) == 2


def test_typed_differently(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "one", "two")
    with pytest.raises(UsageError, match="differ"):
        new_passphrase(None)


def test_typed_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = typed(monkeypatch, "", "")
    with pytest.raises(UsageError, match="empty"):
        new_passphrase(None)
    assert len(prompts) == 1


def test_a_terminal_that_would_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(_prompt: str) -> str:
        warnings.warn("Can not control echo on the terminal.", getpass.GetPassWarning, stacklevel=2)
        pytest.fail("it was asked in the open")

    monkeypatch.setattr(getpass, "getpass", shown)
    with pytest.raises(UsageError, match="no terminal"):
        new_passphrase(None)


def test_no_terminal(tmp_path: Path) -> None:
    """What comes through a pipe is not taken for a passphrase."""
    done = subprocess.run(
        [sys.executable, "-m", "llamafile_format", "keygen", "-o", tmp_path / "key"],
        input="geheim\ngeheim\n",
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "no terminal" in done.stderr
    assert "--passphrase-file" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_real_terminal(tmp_path: Path) -> None:
    """The passphrase is asked for twice and never shown."""
    terminal, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "llamafile_format", "keygen", "-o", tmp_path / "key"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""

    def wait_for(text: bytes) -> None:
        nonlocal seen
        while text not in seen:
            some = os.read(terminal, 4096)  # OSError if the command ends without
            seen += some

    try:
        wait_for(b"Passphrase for the new key: ")
        os.write(terminal, b"geheim\n")
        wait_for(b"The same again: ")
        os.write(terminal, b"geheim\n")
        wait_for(b"ecdsa-p384-sha384")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert b"geheim" not in seen
    assert read_private(tmp_path / "key", lambda: b"geheim")


@pytest.mark.parametrize(("text", "found"), [(b"a b\n", b"a b"), (b"a\r\n", b"a"), (b" a ", b" a "), (b"a\n\n", b"a")])
def test_file_of_a_passphrase(text: bytes, found: bytes, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(text)
    assert from_file(str(tmp_path / "p")) == found
    assert new_passphrase(str(tmp_path / "p")) == found
    assert passphrase_for("key", str(tmp_path / "p"))() == found


@pytest.mark.parametrize("text", [b"", b"\n", b"\r\n", b"a\nb\n", b"x" * 5000])
def test_file_of_no_passphrase(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(text)
    with pytest.raises(UsageError):
        from_file(str(tmp_path / "p"))


def test_warning_of_a_key_that_others_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = write_keys(tmp_path / "key", generate("p256"), None)
    assert private_keys(str(path), None)
    assert capsys.readouterr().err == ""
    path.chmod(0o640)
    assert private_keys(str(path), None)
    assert "others may read" in capsys.readouterr().err


# Signers that are commands

SIGN = """
import sys
from llamafile_format.signing.keys.key_files import read_private
data = sys.stdin.buffer.read()
sys.stdout.buffer.write(read_private(sys.argv[1])[0].sign(data))
"""


@pytest.fixture
def key(tmp_path: Path) -> PrivateKey:
    keys = generate("p384")
    write_keys(tmp_path / "key", keys, None)
    return keys[0]


def python(code: str, *arguments: object) -> str:
    return shlex.join([sys.executable, "-c", code, *map(str, arguments)])


def test_command_signs(key: PrivateKey, tmp_path: Path) -> None:
    signer = CommandSigner(python(SIGN, tmp_path / "key"), key.public)
    data = bytes(300_000)  # more than a pipe holds
    assert signer.sign(data) == key.sign(data)
    assert str(signer).endswith(f"{key.public.key_id})")


def test_command_of_another_key(key: PrivateKey, tmp_path: Path) -> None:
    signer = CommandSigner(python(SIGN, tmp_path / "key"), generate("p384")[0].public)
    with pytest.raises(UsageError, match="no signature by the key") as caught:
        signer.sign(b"data")
    assert "sha384, in DER" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("", UsageError, "returned 0 bytes"),
        ("print('hello')", UsageError, "returned 6 bytes"),
        ("import sys; sys.exit('no token\\n\\x1b[31m in the slot')", SourceError, "exit code 1: no token"),
        ("import os; os.kill(os.getpid(), 9)", SourceError, "exit code -9"),
        (f"print('x' * {MAX_SIGNATURE + 1})", SourceError, "more than a signature"),
        ("while True: print('x' * 10000)", SourceError, "more than a signature"),
        ("import sys; sys.stderr.write('x' * 1000000 + 'end'); sys.exit(3)", SourceError, "xend$"),
    ],
)
def test_commands_that_fail(code: str, error: type[Exception], message: str, key: PrivateKey) -> None:
    with pytest.raises(error, match=message) as caught:
        CommandSigner(python(code), key.public).sign(bytes(300_000))
    assert len(str(caught.value)) < 3000


def test_command_that_hangs(key: PrivateKey) -> None:
    begun = time.monotonic()
    signer = CommandSigner(python("import time; time.sleep(60)"), key.public, timeout=0.5)
    with pytest.raises(SourceError, match=r"within 0\.5 seconds"):
        signer.sign(b"data")
    assert time.monotonic() - begun < 30


def test_command_whose_child_keeps_the_pipe(key: PrivateKey) -> None:
    """The command ends, something that it started does not: we do not wait for it."""
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(8)'])"
    begun = time.monotonic()
    with pytest.raises(UsageError, match="returned 0 bytes"):
        CommandSigner(python(code), key.public).sign(b"data")
    assert time.monotonic() - begun < 8


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("'open", "split"),
        ("no-such-program-here x", "cannot run"),
        ("a\0b", "cannot run"),
    ],
)
def test_no_command(command: str, message: str, key: PrivateKey) -> None:
    with pytest.raises(UsageError, match=message):
        CommandSigner(command, key.public).sign(b"data")


def test_no_shell(key: PrivateKey, tmp_path: Path) -> None:
    code = "import sys; sys.exit(repr(sys.argv[1:]))"
    with pytest.raises(SourceError, match="'; touch here', '\\$HOME', '>', '\\*'"):
        CommandSigner(python(code) + " '; touch here' '$HOME' '>' '*'", key.public).sign(b"data")
