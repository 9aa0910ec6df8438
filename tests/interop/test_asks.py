"""What a file may ask of the newest engine, and which file it reads (spec/1, 14.6.7 to 14.6.10): the very program."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import llamafile_format as lf
from llamafile_format.checks.what_will_run import what_will_run
from llamafile_format.container import Container
from llamafile_format.engines.handover import VARIABLE, hand_over, takes_descriptor, value_of
from llamafile_format.engines.pin import Flavour
from llamafile_format.engines.pin_reader import load_pin
from llamafile_format.engines.store import read_build
from llamafile_format.source import BytesSource, FileSource
from spec.vectors.generate.forge import Part, Spec, container, gguf
from spec.vectors.generate.load import read_vector
from tests.conftest import ROOT, CliRunner, ToolFinder
from tests.new_engine import RUNTIMES, TARGET, pin_of
from tests.repack_samples import engine, legacy, write
from tests.signing_samples import keys
from tests.unit.test_what_will_run import FILES

pytestmark = [pytest.mark.slow, pytest.mark.interop]
EXHIBIT = ROOT / "examples" / "exhibit" / "exhibit-f16.gguf"
VECTORS = ROOT / "spec" / "vectors"
FORM = {"LF3001", "LF3002", "LF3003"}
ASKED = {f"LF61{number}" for number in range(19, 26)} | {"LF3029"}
OWN_TABLE = {"unknown-engine-other-option"}
"""Where verify asks what every engine allows, because one of the file's is unknown to it; a program knows itself."""

Ask = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="module")
def ask(new_runtimes: Path, tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """``ask(FILE, ARGUMENTS...)``: the program itself on FILE, as a launcher starts it."""
    pin = pin_of(new_runtimes)
    build = pin.build(TARGET, Flavour.NATIVE)
    assert build is not None
    program = tmp_path_factory.mktemp("program") / "runtime"
    program.write_bytes(read_build(pin, build))
    program.chmod(0o755)

    def run(
        file: Path | None,
        *arguments: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        before: Sequence[str] = (),
    ) -> subprocess.CompletedProcess[bytes]:
        named = {} if file is None else {"LFF_CONTAINER": os.fspath(file)}
        home = {"HOME": os.fspath(program.parent), "PATH": os.defpath}
        return subprocess.run(
            [*before, program, *arguments],
            input=stdin,
            capture_output=True,
            env=home | named | dict(env or {}),
            pass_fds=pass_fds,
            timeout=120,
            check=False,
        )

    return run


def answered(value: Any) -> bytes:
    """An answer of 14.7 as clause 14.6.10 has it printed."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def packed(tmp_path: Path, arguments: bytes, *more: Part, name: str = "x.llamafile") -> Path:
    """A container without prefix: arguments, a model, and more."""
    members = [Part(".args", arguments, "arguments", "text/plain")]
    members += [Part("m.gguf", EXHIBIT.read_bytes(), "weights", "application/x-gguf", align=65536), *more]
    path = tmp_path / name
    path.write_bytes(container(Spec(members, labels={"default": "m.gguf"})))
    return path


# What will run


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_both_answer_every_vector_alike(path: Path, ask: Ask) -> None:
    value = json.loads(path.read_text("utf-8"))
    done = ask(None, "--what-will-run", stdin=json.dumps(value["archive"]).encode())
    assert done.returncode == 0, done.stderr
    assert done.stdout == answered(value["answer"])


def test_both_answer_a_file_alike(tmp_path: Path, ask: Ask) -> None:
    arguments = b"-m\n/zip/n.gguf\n--chat-template\n'a\xff\"\\\x01'\n--lora\n/zip/a,/b\n...\n-c 1"
    file = packed(tmp_path, arguments, Part("n.gguf", gguf(), "weights", "application/x-gguf", align=32))
    with Container(BytesSource(file.read_bytes())) as opened:
        expected = what_will_run(opened).to_json()
    assert ask(file, "--what-will-run").stdout == answered(expected)


# Form


@pytest.mark.parametrize("path", sorted((VECTORS / "manifest").glob("*.vector")), ids=lambda path: path.stem)
def test_a_manifest_is_canonical_or_refused(path: Path, ask: Ask, tmp_path: Path) -> None:
    vector = read_vector(path)
    file = tmp_path / "x"
    file.write_bytes(vector.payload)
    done = ask(file, "--what-will-run")
    if FORM & set(vector.rules):
        assert done.returncode == 1
        assert done.stderr.count(b"\n") == 1
        assert b"manifest" in done.stderr
    elif vector.well_formed == "yes":
        assert done.returncode in (0, 2), done.stderr  # 2: a prefix that is somebody else's
        assert b"canonical" not in done.stderr


# Arguments


@pytest.mark.parametrize("path", sorted((VECTORS / "options").glob("*.vector")), ids=lambda path: path.stem)
def test_the_program_refuses_what_verify_refuses(path: Path, ask: Ask, tmp_path: Path) -> None:
    vector = read_vector(path)
    file = tmp_path / "x"
    file.write_bytes(vector.payload)
    done = ask(file, "--trace", stdin=b"{}")
    refused = bool(ASKED & set(vector.rules)) and path.stem not in OWN_TABLE
    assert (done.returncode == 2) == refused, done.stderr
    assert (b".args" in done.stderr) == refused


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--log-file\n/tmp/x", "--log-file"),
        ("--log_file\n/tmp/x", "--log_file"),
        ("--ui_mcp_proxy", "--ui_mcp_proxy"),
        ("--temp=0", "--temp"),
        ("--temp\n1e3", "--temp"),
        ("--temp", "--temp"),
        ("--temp\n...\n0", "--temp"),
        ("--unheard-of", "--unheard-of"),
        ("stray", "stray"),
        ("-m\nm.gguf", "-m"),
        ("-m\n/zip/.args", "-m"),
        ("--chat-template-file\n/etc/passwd", "--chat-template-file"),
        ("--repeat-last-n\n2147483647", "--repeat-last-n"),
        ("--temp\n0\n--host\n0.0.0.0", "--host"),
        ("--no-sandbox", "--no-sandbox"),
        ("--accept-args\n--host", "--accept-args"),
        ("--json-schema\n'-x'", "--json-schema"),
        ("--reasoning-budget-message\n'a\u202eb'", "--reasoning-budget-message"),
    ],
)
def test_one_line_names_what_a_file_may_not_ask_for(arguments: str, named: str, ask: Ask, tmp_path: Path) -> None:
    rest = "" if "..." in arguments else "\n..."
    done = ask(packed(tmp_path, f"{arguments}{rest}\n".encode()), "--trace", stdin=b"{}")
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert f" {named} ".encode() in done.stderr


def test_arguments_count_under_their_own_role_alone(ask: Ask, tmp_path: Path) -> None:
    model = Part("m.gguf", gguf(), "weights", "application/x-gguf", align=32)
    for members in (
        [Part(".args", b"--temp\n0\n...\n", "document", "text/plain"), model],
        [Part("x.args", b"--temp\n0\n...\n", "arguments", "text/plain"), model],
    ):
        (tmp_path / "x").write_bytes(container(Spec(members, labels={"default": "m.gguf"})))
        done = ask(tmp_path / "x", "--trace", stdin=b"{}")
        assert done.returncode == 2
        assert b"role" in done.stderr


def test_a_users_own_command_line_gives_anything(ask: Ask, tmp_path: Path) -> None:
    file = packed(tmp_path, b"--temp\n0\n-c\n256\n...\n")
    plain = ask(file, "--complete", "-p", "Visitor:", "-n", "8", "-t", "1")
    other = ask(file, "--complete", "--prompt=Visitor:", "--n_predict=8", "--threads", "1", "--log_disable")
    assert plain.returncode == other.returncode == 0, other.stderr
    assert plain.stdout == other.stdout != b""
    lacking = ask(file, "--complete", "-p")
    assert lacking.returncode == 2
    assert b"-p wants a value" in lacking.stderr


def test_an_options_name_as_a_value_is_none(ask: Ask, tmp_path: Path) -> None:
    done = ask(packed(tmp_path, b"...\n"), "--complete", "-n", "4", "-t", "1", "-p", "--trace")
    assert done.returncode == 0
    assert b"event" not in done.stdout


def test_configuration_files_of_upstream_are_not_asked_for(ask: Ask, tmp_path: Path, tool: ToolFinder) -> None:
    """Upstream's parser of options begins with them; the program says what options it has by that parser."""
    (tmp_path / "llama.cpp").mkdir()
    (tmp_path / "llama.cpp" / "config.ini").write_text("[*]\nhost = 256.256.256.256\n")
    log = tmp_path / "log"
    before = (os.fspath(tool("strace")), "-f", "-qq", "-e", "trace=file", "-o", os.fspath(log))
    file = packed(tmp_path, b"...\n")
    done = ask(file, "--server-help", env={"XDG_CONFIG_HOME": os.fspath(tmp_path)}, before=before)
    assert b"--ctx-size" in done.stdout or b"--host" in done.stderr  # that parser was at work
    seen = log.read_text("utf-8", "replace")
    assert "x.llamafile" in seen
    assert "config.ini" not in seen


# The descriptor


@pytest.fixture
def handed(tmp_path: Path) -> tuple[Path, FileSource]:
    """A container, and the same open."""
    file = packed(tmp_path, b"--temp\n0\n-c\n256\n...\n")
    return file, FileSource(file)


def said(ask: Ask, value: str, *fds: int, file: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """What the program completes with the descriptor that ``value`` names."""
    asked = ("--complete", "-p", "Visitor:", "-n", "8", "-t", "1")
    return ask(file, *asked, env={VARIABLE: value}, pass_fds=fds)


def test_what_was_handed_over_is_read_whatever_the_path_leads_to(ask: Ask, handed: tuple[Path, FileSource]) -> None:
    file, source = handed
    value = value_of(source.fd, source.identity)
    first = ask(file, "--complete", "-p", "Visitor:", "-n", "8", "-t", "1")
    assert first.returncode == 0
    assert said(ask, value, source.fd, file=file).stdout == first.stdout
    moved = file.with_name("moved")
    os.link(file, moved)  # what the descriptor is open on keeps a name; its status time moves, so ask anew
    with FileSource(moved) as again:
        file.unlink()
        again_value = value_of(again.fd, type(again.identity).of(os.fstat(again.fd)))
        file.write_bytes(b"another file")
        done = said(ask, again_value, again.fd, file=file)
    assert done.stdout == first.stdout
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("field", range(1, 6))
def test_a_number_that_differs_is_refused(field: int, ask: Ask, handed: tuple[Path, FileSource]) -> None:
    file, source = handed
    parts = value_of(source.fd, source.identity).split(":")
    parts[field] = str(int(parts[field]) + 1)
    done = said(ask, ":".join(parts), source.fd, file=file)
    assert done.returncode == 1
    assert b"not, or no longer" in done.stderr
    assert done.stdout == b""


def test_a_value_that_is_malformed_is_refused_and_nothing_opened_instead(
    ask: Ask, handed: tuple[Path, FileSource]
) -> None:
    file, source = handed
    good = value_of(source.fd, source.identity)
    for value in (
        "x",
        good + ":",
        good + ":1",
        ":" + good,
        "0" + good,
        " " + good,
        good.replace(":", ";", 1),
        good.rpartition(":")[0],
        "-" + good,
        "0x3" + good[1:],
        good.replace(":", "::", 1),
        "99999999999999999999999" + good[good.index(":") :],
    ):
        done = said(ask, value, source.fd, file=file)
        assert done.returncode == 1, value
        assert b"LFF_CONTAINER_FD" in done.stderr
        assert done.stdout == b""


def test_a_descriptor_that_is_closed_or_cannot_be_read_is_refused(ask: Ask, handed: tuple[Path, FileSource]) -> None:
    file, source = handed
    assert said(ask, value_of(source.fd, source.identity), file=file).returncode == 1  # closed
    writing = os.open(file, os.O_WRONLY)
    folder = os.open(file.parent, os.O_RDONLY)
    for fd in (writing, folder):
        done = said(ask, value_of(fd, source.identity), fd, file=file)
        assert done.returncode == 1
        assert b"no open file to read" in done.stderr
        os.close(fd)


def test_a_write_between_verifying_and_starting_is_refused(ask: Ask, handed: tuple[Path, FileSource]) -> None:
    file, source = handed
    with open(file, "r+b") as writing:
        writing.seek(70_000)
        writing.write(b"x")
    done = said(ask, value_of(source.fd, source.identity), source.fd, file=file)
    assert done.returncode == 1
    assert b"no longer" in done.stderr


def test_the_path_is_never_opened(ask: Ask, handed: tuple[Path, FileSource], tool: ToolFinder, tmp_path: Path) -> None:
    """Not even where it is right: all that a runtime reads and maps comes from the descriptor."""
    file, source = handed
    log = tmp_path / "log"
    before = (os.fspath(tool("strace")), "-f", "-qq", "-e", "trace=openat,open,mmap,execve", "-o", os.fspath(log))
    asked = ("--complete", "-p", "Visitor:", "-n", "8", "-t", "1")
    value = value_of(source.fd, source.identity)
    traced = ask(file, *asked, env={VARIABLE: value}, pass_fds=(source.fd,), before=before)
    assert traced.returncode == 0, traced.stderr
    assert traced.stdout == ask(file, *asked).stdout
    seen = log.read_text("utf-8", "replace")
    opened = [line for line in seen.splitlines() if "open" in line and "x.llamafile" in line and "O_PATH" not in line]
    assert opened == []
    assert f", {source.fd}, 0x" in seen  # mapped by it


# From the command


@pytest.fixture
def complete(run_cli: CliRunner, new_runtimes: Path, tmp_path: Path) -> CliRunner:
    """``complete(FILE, ...)``: the command, which starts the newest engine of this installation."""

    def run(file: Path, *options: str, behind: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        env = {"LFF_RUNTIMES": os.fspath(new_runtimes), "LFF_CACHE": os.fspath(tmp_path / "cache")}
        (tmp_path / "cache").mkdir(mode=0o700, exist_ok=True)
        asked = ("-p", "Visitor:", "-n", "8", "-t", "1", *options, "--", *behind)
        return run_cli("complete", file, *asked, env=env)

    return run


def test_the_command_hands_over_what_it_verified(ask: Ask, complete: CliRunner, tmp_path: Path) -> None:
    file = packed(tmp_path, b"--temp\n0\n-c\n256\n...\n")
    lf.sign(file, keys("p256"))
    key = tmp_path / "key.pem"
    key.write_text(keys("p256")[0].public.pem, encoding="ascii")
    done = complete(file, "--key", os.fspath(key))
    assert done.returncode == 0, done.stderr
    assert "does not prove" not in done.stderr
    assert done.stdout.encode() == ask(file, "--complete", "-p", "Visitor:", "-n", "8", "-t", "1").stdout
    other = complete(file, "--key", os.fspath(key), behind=("-m", os.fspath(EXHIBIT)))
    assert other.returncode == 1
    assert "was not verified" in other.stderr
    assert other.stdout == ""


def test_a_program_that_takes_a_descriptor_is_told_by_its_digest(new_runtimes: Path, tmp_path: Path) -> None:
    build = pin_of(new_runtimes).build(TARGET, Flavour.NATIVE)
    assert build is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LFF_RUNTIMES", os.fspath(new_runtimes))
        assert takes_descriptor(build.sha256)
        assert not takes_descriptor("0" * 64)
        old = RUNTIMES / "llama.cpp" / "0.3.36"
        assert not any(takes_descriptor(each.sha256) for each in load_pin(old).builds)
        file = packed(tmp_path, b"...\n")
        with FileSource(file) as source:
            given = hand_over(source, file, takes=True)
            assert given.descriptor is not None
            assert given.environment == {
                "LFF_CONTAINER": os.fspath(file),
                VARIABLE: value_of(given.descriptor, source.identity),
            }
            os.close(given.descriptor)


def test_a_users_word_lets_a_classic_engines_file_set_an_option(complete: CliRunner, tmp_path: Path) -> None:
    arguments = b"-m\nm.gguf\n--threads\n1\n--temp\n0\n...\n"
    old = legacy(engine("old", 70_000, version="0.8.0"), [("m.gguf", EXHIBIT.read_bytes()), (".args", arguments)])
    file = write(tmp_path / "legacy.llamafile", old)
    refused = complete(file)
    assert refused.returncode == 1
    assert "--threads" in refused.stderr
    accepted = complete(file, "--accept-args", "--threads")
    assert accepted.returncode == 0, accepted.stderr
    assert len(accepted.stdout) > 4
