"""``verify --resume``: what a journal spares, and what it never says (spec/1, 10.12.9)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import llamafile_format as lf
from llamafile_format.cli.main import cli
from llamafile_format.examining import resume_journal, resuming
from llamafile_format.source.address import read_address
from tests.fault_server import FaultServer
from tests.remote_samples import remote_container

MIB = 1 << 20
SOME = 30 * MIB
"""The byte from which on a run that is ended gets no chunks."""

STRUCTURE = 2 * MIB
"""More than both ends, and what lies between chunks."""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="nobody can be asked there who may write a journal")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return remote_container(tmp_path_factory.mktemp("resume") / "model.llamafile", filler=24 * MIB)


@pytest.fixture
def server(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    monkeypatch.setenv("LFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    (tmp_path / "cache").mkdir(mode=0o700)
    with FaultServer(sample.read_bytes()) as running:
        yield running


def resume(url: str, *more: str) -> tuple[int, dict[str, object], str]:
    """Exit code, report, and what was said beside it."""
    result = CliRunner().invoke(cli, ["verify", url, "--resume", "--format", "json", *more])
    if isinstance(result.exception, lf.LlamafileError):
        return result.exception.exit_code, {}, str(result.exception)
    assert result.stdout, result.exception
    return result.exit_code, json.loads(result.stdout), result.stderr


def ended(server: FaultServer, *more: str) -> Path:
    """Its journal, after a run that was ended by a server that gives no chunks from ``SOME`` on."""
    server.most = SOME
    code, report, said = resume(server.url("failing"), *more)
    assert (code, report["complete"], report["verdicts"]) == (
        4,
        False,
        {"well-formed": "undetermined", "valid": "undetermined"},
    )
    assert "begun anew" in said
    server.most, server.sent = None, 0
    return journal(Path(os.environ["LFF_CACHE"]))


def journal(cache: Path) -> Path:
    (found,) = (cache / "llamafile-format" / "resumed").glob("*.journal")
    return found


def begun_anew(server: FaultServer, why: str) -> None:
    """A run that takes nothing from the journal, reads all, and says why."""
    server.sent = 0
    code, report, said = resume(server.url("failing"))
    assert (code, report["resumed_bytes"]) == (0, 0)
    assert f"begun anew: {why}" in said
    assert server.sent >= len(server.data)


def test_after_a_kill_only_what_was_left_is_fetched(server: FaultServer, sample: Path) -> None:
    cache = Path(os.environ["LFF_CACHE"])
    server.most = SOME
    command = [sys.executable, "-m", "llamafile_format", "verify", server.url("tiring"), "--resume", "--format", "json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(1200):
            lines = journal(cache).read_bytes().count(b"\n") if list(cache.rglob("*.journal")) else 0
            if lines > 4:
                break
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    server.most, server.sent = None, 0
    code, report, said = resume(server.url("tiring"))
    assert code == 0
    assert "goes on:" in said
    left = sample.stat().st_size - int(str(report["resumed_bytes"]))
    assert int(str(report["resumed_bytes"])) >= 2 * 4 * MIB
    assert server.sent <= left + STRUCTURE
    assert not list(cache.rglob("*.journal")), "nothing is left to go on with"
    whole = lf.verify(sample)
    assert report["checked_bytes"] == whole.checked_bytes
    assert {finding["rule"] for finding in report["findings"]} == {finding.rule for finding in whole.findings}  # type: ignore[attr-defined]


def test_what_was_ended_by_the_server_goes_on(server: FaultServer) -> None:
    ended(server)
    code, report, _ = resume(server.url("failing"))
    assert (code, report["complete"]) == (0, True)
    assert int(str(report["resumed_bytes"])) >= 2 * 4 * MIB
    assert server.sent < 44 * MIB


def test_the_text_says_what_an_earlier_run_has_done(server: FaultServer) -> None:
    ended(server)
    result = CliRunner().invoke(cli, ["verify", server.url("failing"), "--resume"])
    assert "of them by an earlier run" in result.stdout


def test_another_state_of_the_object_begins_anew(server: FaultServer, sample: Path) -> None:
    ended(server)
    changed = bytearray(sample.read_bytes())
    changed[9 * MIB] ^= 1
    server.data = bytes(changed)
    code, report, said = resume(server.url("failing"))
    assert "begun anew: the object is another one or has changed since" in said
    assert (code, report["resumed_bytes"]) == (1, 0)
    assert report["verdicts"]["well-formed"] == "no"  # type: ignore[index]


def test_damage_is_found_again_and_never_kept(server: FaultServer, sample: Path) -> None:
    damaged = bytearray(sample.read_bytes())
    damaged[5 * MIB] ^= 1
    server.data = bytes(damaged)
    ended(server)
    code, report, _ = resume(server.url("failing"))
    assert (code, report["complete"]) == (1, True)
    assert int(str(report["resumed_bytes"])) > 0
    local = sample.with_name("damaged.llamafile")
    local.write_bytes(damaged)
    assert [f["rule"] for f in report["findings"]] == [f.rule for f in lf.verify(local).findings]  # type: ignore[attr-defined]


def test_numbers_of_tensors_are_remembered(server: FaultServer, sample: Path) -> None:
    """A model of which a tensor is broken in a chunk that was read in the first run only."""
    ended(server, "--tensors", "all")
    _, report, _ = resume(server.url("failing"), "--tensors", "all")
    assert int(str(report["resumed_bytes"])) > 0
    assert "LF5094" not in {finding["rule"] for finding in report["findings"]}  # type: ignore[attr-defined]
    ended(server, "--tensors", "all")
    begun = resume(server.url("failing"), "--tensors-budget", "1MiB")[2]
    assert "begun anew: something else was asked for" in begun


@pytest.mark.parametrize("fault", ["no-tag", "weak"])
def test_without_a_version_nothing_is_kept(server: FaultServer, fault: str) -> None:
    code, report, said = resume(server.url(fault))
    assert (code, report["resumed_bytes"]) == (0, 0)
    assert "names no ETag or version" in said
    assert not list(Path(os.environ["LFF_CACHE"]).rglob("*.journal"))


def test_what_the_query_names_is_another_object(server: FaultServer, sample: Path) -> None:
    """Servers that number states by object: a copy that is damaged has the size and the ETag of the whole one."""
    server.tag = "1"
    server.most = SOME
    resume(server.url("failing") + "?id=1")
    server.most, data = None, sample.read_bytes()
    server.data = data[: 5 * MIB] + bytes([data[5 * MIB] ^ 1]) + data[5 * MIB + 1 :]
    code, report, said = resume(server.url("failing") + "?id=2")
    assert (code, report["resumed_bytes"]) == (1, 0), said


def test_a_new_signature_asks_for_the_same_object(server: FaultServer) -> None:
    signed = server.url("failing") + "?id=1&X-Amz-Date={0}&X-Amz-Signature={0}"
    server.most = SOME
    resume(signed.format("monday"))
    server.most = None
    code, report, _ = resume(signed.format("tuesday"))
    assert code == 0
    assert int(str(report["resumed_bytes"])) > 0


@given(st.text("ab&=?%", max_size=12), st.text("ab&=?%", max_size=12))
def test_only_signatures_are_left_out_of_what_is_asked_for(first: str, second: str) -> None:
    one, other = (read_address(f"https://h.example/m?{query}") for query in (first, second))
    assert (one.digest() == other.digest()) == (one.url == other.url)
    assert one.digest() != one.digest("elsewhere")
    signed = read_address(f"https://h.example/m?{first}&sig=x&se=1&sp=r")
    assert signed.digest() == read_address(f"https://h.example/m?sp=w&{first}&se=2&SIG=y").digest()
    assert read_address("https://h.example/m?se=1").digest() != read_address("https://h.example/m?se=2").digest()


# What is done to a journal


def test_a_torn_line_ends_it(server: FaultServer) -> None:
    path = ended(server)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]) + lines[4][:-20])
    code, report, _ = resume(server.url("failing"))
    assert code == 0
    assert 0 < int(str(report["resumed_bytes"])) <= 2 * 4 * MIB


def test_lines_made_up_without_the_key_are_none(server: FaultServer, sample: Path) -> None:
    """Damage, and a journal that says that the damaged chunk was right: with every digest, but without the key."""
    path = ended(server)
    true = path.read_bytes()
    key = path.with_name("key")
    key.write_bytes(bytes(32))  # another user's, or another machine's
    begun_anew(server, "there is no journal of it that this user has written")
    path.write_bytes(true)
    begun_anew(server, "there is no journal")


def test_a_journal_of_another_version_is_none(server: FaultServer) -> None:
    """True lines, whose first one has fields that this version has not, or lacks some."""
    path = ended(server)
    first = json.loads(path.read_bytes().splitlines()[1].partition(b" ")[2])
    with resume_journal.opened("x", path) as mine:
        os.ftruncate(mine._fd, 0)
        text = json.dumps({name: said for name, said in first.items() if name != "identity"}).encode() + b"\n"
        mine._write(resume_journal._MAGIC + mine._mac(text) + b" " + text)
    begun_anew(server, resume_journal.OTHER_VERSION)


def test_lines_of_another_object_are_none(server: FaultServer, sample: Path) -> None:
    path = ended(server)
    lines = path.read_bytes().splitlines(keepends=True)
    server.data = sample.read_bytes()[: 9 * MIB] + b"!" + sample.read_bytes()[9 * MIB + 1 :]
    other = ended(server)
    assert other == path
    mixed = other.read_bytes().splitlines(keepends=True)[:2] + lines[2:]
    path.write_bytes(b"".join(mixed))
    code, report, _ = resume(server.url("failing"))
    assert (code, report["resumed_bytes"]) == (1, 0)


def test_whatever_is_changed_in_a_journal_it_only_loses_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LFF_CACHE", str(tmp_path))
    with resume_journal.opened("x", None) as mine:
        mine.begin(resume_journal.About("x", "i", 1, "r", "rules", "full", "m", "t"), 1)
        for number in range(20):
            mine.add([number, "digest"])
        told, data = list(mine.read()), mine.path.read_bytes()
        assert len(told) == 21
        begin = data.index(b"\n") + 1
        for place in range(begin, len(data), 7):
            mine.path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
            left = list(mine.read())
            assert left == told[: len(left)]
            assert len(left) < len(told)
        for place in range(0, len(data), 11):
            mine.path.write_bytes(data[:place])
            left = list(mine.read())
            assert left == told[: len(left)]
            mine.add("more")
            assert list(mine.read())[: len(left)] == left


def test_who_may_write_a_journal(server: FaultServer, tmp_path: Path) -> None:
    path = ended(server)
    for change in (
        lambda: path.chmod(0o622),
        lambda: (path.chmod(0o600), os.link(path, tmp_path / "another name")),
        lambda: ((tmp_path / "another name").unlink(), path.rename(tmp_path / "x"), path.symlink_to(tmp_path / "x")),
    ):
        change()
        code, report, _ = resume(server.url("failing"))
        assert (code, report["complete"]) == (4, False)
        assert report["error"]
    path.unlink()
    path.parent.chmod(0o755)
    code, report, _ = resume(server.url("failing"))
    assert code == 0  # another place takes it, or none
    assert report["resumed_bytes"] == 0


def test_a_journal_in_a_place_of_ones_own(server: FaultServer, tmp_path: Path, sample: Path) -> None:
    mine = tmp_path / "mine"
    server.most = SOME
    assert resume(server.url("failing"), "--journal", str(mine))[0] == 4
    assert mine.stat().st_mode & 0o777 == 0o600
    server.most = None
    assert int(str(resume(server.url("failing"), "--journal", str(mine))[1]["resumed_bytes"])) > 0
    assert not mine.exists()
    other = tmp_path / "letter"
    other.write_bytes(b"Dear Alice")
    code, report, _ = resume(server.url("failing"), "--journal", str(other))
    assert code == 4
    assert "is no journal" in str(report["error"])
    assert other.read_bytes() == b"Dear Alice"


def test_two_runs_do_not_share_one(server: FaultServer, tmp_path: Path) -> None:
    with resume_journal.opened("x", tmp_path / "mine"):
        code, report, _ = resume(server.url("failing"), "--journal", str(tmp_path / "mine"))
    assert code == 4
    assert "another run" in str(report["error"])


def test_an_old_journal_is_left(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    ended(server)
    monkeypatch.setattr(resuming, "KEPT", -1)
    begun_anew(server, "its journal is older")


def test_no_secret_of_an_address_is_in_it(server: FaultServer) -> None:
    server.most = SOME
    assert resume(server.url("failing") + "?sig=s3cret")[0] == 4
    path = journal(Path(os.environ["LFF_CACHE"]))
    assert b"s3cret" not in path.read_bytes()
    server.most = None
    _, report, _ = resume(server.url("failing") + "?sig=another")
    assert int(str(report["resumed_bytes"])) > 0, "a new signature is the same object"


def test_what_it_does_not_go_with(server: FaultServer, sample: Path) -> None:
    for wrong in (
        ["verify", str(sample), "--resume"],
        ["verify", server.url(), "--resume", "--level", "quick"],
        ["verify", server.url(), "--resume", "--level", "exhaustive"],
        ["verify", server.url(), "--journal", "x"],
        ["verify", server.url(), server.url(), "--resume"],
        ["inspect", server.url(), "--resume"],
        ["extract", server.url(), "--resume"],
        ["diff", server.url(), server.url(), "--resume"],
        ["explain", server.url(), "--resume"],
        ["sbom", server.url(), "--resume"],
    ):
        result = CliRunner().invoke(cli, wrong)
        code = getattr(result.exception, "exit_code", result.exit_code)
        assert code == 2, wrong
    assert not server.requests
