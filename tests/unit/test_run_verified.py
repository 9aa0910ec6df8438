"""What verify refuses does not run; builds are known by digest; what was verified is what runs (spec/1, 14.3)."""

from __future__ import annotations

import hashlib
import os
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import llamafile_format as lf
from llamafile_format.checks.what_will_run import what_will_run
from llamafile_format.engines import handover, known
from llamafile_format.engines.host import host_target
from llamafile_format.errors import FormatError, SourceError, UsageError
from llamafile_format.running import run as running
from llamafile_format.running.builds import Selection
from llamafile_format.running.guard import Demand, Reading
from llamafile_format.running.run import prepare, start
from llamafile_format.signing.trust.policy import Policy, Starting, key_policy
from llamafile_format.specdata import spec_yaml
from spec.vectors.generate import ROOT as VECTORS
from spec.vectors.generate.contents import TFLITE
from spec.vectors.generate.forge import Part, archive
from spec.vectors.generate.load import read_vector
from tests import runtime_server
from tests.conftest import CliRunner
from tests.repack_samples import gguf, write
from tests.runtime_samples import program, use, write_pin
from tests.signing_samples import keys

pytestmark = pytest.mark.skipif(
    host_target() != "linux-x86_64", reason="the tiny runtimes are scripts for linux-x86_64"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a container ``a.llamafile`` that carries a known build."""
    write_pin(tmp_path / "pins")
    use(tmp_path / "pins", monkeypatch)
    write(tmp_path / "model.gguf", gguf("m", 100_000))
    lf.pack([tmp_path / "model.gguf"], tmp_path / "a.llamafile")
    return tmp_path


def damage(path: Path) -> None:
    """Flip a bit in the middle of the weights."""
    with lf.open(path) as container:
        model = next(member for member in container.members if member.role == "weights")
    with path.open("r+b") as file:
        file.seek(model.offset + model.size - 1)
        last = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([last[0] ^ 1]))


def foreign(folder: Path) -> tuple[Path, str]:
    """A container with a build that this installation does not know, and its digest."""
    data = program("foreign", "linux-x86_64")
    write(folder / "build", data)
    lf.repack(
        folder / "a.llamafile",
        folder / "b.llamafile",
        remove=["runtimes/llama.cpp/0.3.36/native/linux-x86_64"],
        include=[lf.Include(folder / "build", "runtimes/llama.cpp/0.9.9/native/linux-x86_64", "runtime")],
    )
    return folder / "b.llamafile", hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("command", [("run",), ("serve",), ("complete", "-p", "x")])
def test_damaged_weights_do_not_run(folder: Path, run_cli: CliRunner, command: tuple[str, ...]) -> None:
    path = folder / "a.llamafile"
    assert run_cli(command[0], path, *command[1:]).returncode == 0
    damage(path)
    refused = run_cli(command[0], path, *command[1:])
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "was not started: model.gguf is damaged" in refused.stderr
    quick = run_cli(command[0], path, *command[1:], "--verify", "quick")
    assert quick.returncode == 0
    assert "weights not read" in quick.stderr


def test_contents_at_fault_do_not_run(folder: Path, run_cli: CliRunner) -> None:
    path = write(folder / "bad.llamafile", _not_valid())
    report = lf.verify(path)
    assert report.verdicts[lf.Layer.WELL_FORMED] is lf.Verdict.YES
    assert report.verdicts[lf.Layer.VALID] is lf.Verdict.NO
    for command in (("run",), ("serve",), ("complete", "-p", "x")):
        refused = run_cli(command[0], path, *command[1:])
        assert (refused.returncode, refused.stdout) == (1, "")
    refused = run_cli("record", path, "--in-place")
    assert refused.returncode == 1


def _not_valid() -> bytes:
    """The payload of a vector that is well-formed and not valid."""
    return read_vector(VECTORS / "runtimes" / "architecture-unknown.vector").payload


def test_what_is_undetermined_starts_with_one_line(folder: Path, run_cli: CliRunner) -> None:
    write(folder / "x.tflite", TFLITE)
    include = [lf.Include(folder / "x.tflite", "x.tflite", "weights")]
    lf.repack(folder / "a.llamafile", folder / "b.llamafile", include=include, force=True)
    shown = run_cli("run", folder / "b.llamafile")
    assert shown.returncode == 0
    (line,) = shown.stderr.splitlines()
    assert line.startswith("note: valid is undetermined: ")
    assert "x.tflite" in line


def test_the_second_start_reads_no_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from llamafile_format.examining import memory

    monkeypatch.setattr(memory, "tells_of_changes", lambda _: True)
    monkeypatch.setattr(memory, "SETTLED", 0)
    levels = []
    seen = running.verified.__wrapped__.__globals__["examine"]  # type: ignore[attr-defined]

    def examined(*args: Any, **options: Any) -> Any:
        levels.append(options["level"].value)
        return seen(*args, **options)

    monkeypatch.setitem(running.verified.__wrapped__.__globals__, "examine", examined)  # type: ignore[attr-defined]
    path = folder / "a.llamafile"
    for _ in range(2):
        prepare(path)
    prepare(path, demand=Demand(Reading.QUICK))
    lf.sign(path, keys("p256"))
    prepare(path)
    trusting = Demand(policy=key_policy([keys("p256")[0].public]))
    prepare(path, demand=trusting)  # a question about trust is answered by bytes
    prepare(path, demand=trusting)
    assert levels == ["full", "quick", "quick", "full", "full", "full"]
    damage(path)
    with pytest.raises(FormatError, match="damaged"):
        prepare(path)


def test_verify_makes_a_memory_and_asks_none(folder: Path, monkeypatch: pytest.MonkeyPatch, run_cli: CliRunner) -> None:
    from llamafile_format.examining import memory

    monkeypatch.setattr(memory, "tells_of_changes", lambda _: True)
    monkeypatch.setattr(memory, "SETTLED", 0)
    path = folder / "a.llamafile"
    monkeypatch.setattr(memory, "recall", None)
    monkeypatch.setattr(memory, "last_verified", None)
    assert lf.verify(path, remember=True).checked_bytes > 100_000
    assert lf.verify(path, remember=True).checked_bytes > 100_000
    monkeypatch.undo()


def test_an_unknown_build_is_not_started(folder: Path, run_cli: CliRunner) -> None:
    path, digest = foreign(folder)
    assert "LF3330" in {finding.rule for finding in lf.verify(path).findings}
    shown = run_cli("run", path)
    assert "flavour=native" in shown.stdout
    assert "it is no build that this installation knows; starting llama.cpp@0.3.36" in shown.stderr
    assert "flavour=foreign" in run_cli("run", path, "--foreign-build", digest.upper()).stdout
    assert "flavour=foreign" in run_cli("complete", path, "-p", "x", "--foreign-build", digest).stdout
    wrong = run_cli("run", path, "--foreign-build", "0" * 64)
    assert wrong.returncode == 2
    assert digest in wrong.stderr
    shutil.rmtree(folder / "pins" / "llama.cpp" / "0.3.36" / "builds")  # nothing could take its place
    refused = run_cli("run", path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"--foreign-build {digest}" in refused.stderr


def test_a_policy_can_make_an_unknown_build_an_error(folder: Path, run_cli: CliRunner) -> None:
    path, _ = foreign(folder)
    (folder / "p.yaml").write_text("policy: 1\nname: mine\nunsigned: allow\nrules: {LF3330: error}\n")
    assert run_cli("verify", path, "--policy", folder / "p.yaml").returncode == 1
    assert run_cli("run", path, "--policy", folder / "p.yaml").returncode == 1
    assert run_cli("run", folder / "a.llamafile", "--policy", folder / "p.yaml").returncode == 0


def test_a_refused_build_is_not_started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, digest = foreign(folder)
    row = {"engine": "llama.cpp", "version": "0.3.35", "sha256": digest, "status": "refused", "reason": "it leaks"}
    row |= {"date": "2026-12-24", "lacks": []}
    monkeypatch.setattr(known, "spec_yaml", lambda _: {"builds": [row]})
    findings = {finding.rule: finding for finding in lf.verify(path).findings}
    assert findings["LF3331"].args["reason"] == "it leaks"
    begin = prepare(path)
    assert not begin.embedded
    assert any("it is refused: it leaks" in note for note in begin.notes)
    asked = prepare(path, wanted=Selection(foreign=digest))
    assert asked.embedded
    assert any("it is refused: it leaks" in note for note in asked.notes)


def test_the_registry_has_every_build_of_every_pin() -> None:
    from llamafile_format.engines.store import pins

    rows = {row["sha256"]: row for row in spec_yaml("registry/engines.yaml")["builds"]}
    for pin in pins():
        for build in pin.builds:
            row = rows[build.sha256]
            assert (row["engine"], row["version"], row["flavour"], row["target"]) == (
                pin.name,
                pin.version,
                build.flavour,
                build.target,
            )
    for row in rows.values():
        assert date.fromisoformat(row["date"])
        assert bool(row["reason"]) == (known.Status(row["status"]) is not known.Status.ACTIVE)
        assert all(known.Guard(each) for each in row["lacks"])


# What was verified is what runs


def _inode(path: str | os.PathLike[str]) -> int:
    return Path(path).stat().st_ino


def test_a_file_that_is_exchanged_is_not_what_runs(folder: Path) -> None:
    path, other = folder / "a.llamafile", folder / "other"
    shutil.copy(path, other)
    begin = prepare(path)
    before = _inode(path)
    other.replace(path)
    assert _inode(path) != before
    assert _inode(begin.environment["LFF_CONTAINER"]) == before
    assert begin.descriptor is not None
    os.close(begin.descriptor)


def test_a_file_that_is_exchanged_while_it_is_read_is_refused(folder: Path) -> None:
    path, other = folder / "a.llamafile", folder / "other"
    shutil.copy(path, other)

    def exchange(_done: int, _total: int) -> None:
        if other.exists():
            other.replace(path)

    with pytest.raises(SourceError, match="changed while it was verified"):
        prepare(path, demand=Demand(progress=exchange))


@pytest.mark.parametrize("policy", [None, key_policy([keys("p256")[0].public])])
def test_a_file_that_is_written_to_meanwhile_is_refused(folder: Path, policy: Policy | None) -> None:
    path = folder / "a.llamafile"
    lf.sign(path, keys("p256"))

    def write_to(_done: int, _total: int) -> None:
        info = path.stat()
        damage(path)
        damage(path)  # and back again
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))

    with pytest.raises(SourceError, match="changed while it was verified"):
        prepare(path, demand=Demand(policy=policy, progress=write_to))


def test_verify_notices_a_change_at_its_end(folder: Path) -> None:
    path = folder / "a.llamafile"
    for level in ("quick", "full"):
        with lf.FileSource(path) as source:
            os.utime(path)
            report = lf.verify(source, level=level)
        assert not report.complete
        assert report.exit_code() == 4
        assert "changed" in report.error
        assert lf.Verdict.YES not in report.verdicts.values()


def test_where_no_descriptor_has_a_path_the_identity_is_compared(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(handover, "path_of_descriptor", lambda _: None)
    path = folder / "a.llamafile"
    assert prepare(path).watched is None
    lf.sign(path, keys("p256"))
    demand = Demand(policy=key_policy([keys("p256")[0].public]))
    begin = prepare(path, ("--exit", "7"), demand=demand)
    assert any("does not prove" in note for note in begin.notes)
    assert start(begin) == 7
    assert f"container={path}" in capfd.readouterr().out
    shutil.copy(path, folder / "other")
    (folder / "other").replace(path)
    with pytest.raises(FormatError, match="no longer, the file that was verified"):
        start(begin)
    assert capfd.readouterr().out == ""


def test_a_program_whose_file_is_exchanged_after_the_start_is_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = b"#!/bin/sh\nmv other a.llamafile\nexec sleep 30\n"
    shutil.rmtree(folder / "pins")
    write_pin(folder / "pins", builds={("native", "linux-x86_64"): script})
    from llamafile_format.engines import store

    store._pins_in.cache_clear()
    lf.pack([folder / "model.gguf"], folder / "a.llamafile", prefix="none", force=True)
    shutil.copy(folder / "a.llamafile", folder / "other")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(handover, "path_of_descriptor", lambda _: None)
    lf.sign(folder / "a.llamafile", keys("p256"))
    begin = prepare(folder / "a.llamafile", demand=Demand(policy=key_policy([keys("p256")[0].public])))
    with pytest.raises(FormatError, match="no longer"):
        start(begin)


# Options, policies, signing


def test_options_of_the_runtime_are_asked_behind_dashes(folder: Path, run_cli: CliRunner) -> None:
    for command in (("run",), ("serve",), ("complete", "-p", "x")):
        refused = run_cli(command[0], folder / "a.llamafile", *command[1:], "--port", "80")
        assert refused.returncode == 2
        assert "behind --: -- --port" in refused.stderr


def test_quick_and_a_policy_exclude_each_other(folder: Path, run_cli: CliRunner) -> None:
    with pytest.raises(UsageError, match="every byte is read"):
        Demand(Reading.QUICK, Policy("x"))
    (folder / "p.yaml").write_text("policy: 1\nname: mine\nunsigned: allow\n")
    both = run_cli("run", folder / "a.llamafile", "--verify", "quick", "--policy", folder / "p.yaml")
    assert both.returncode == 2


def test_a_policy_can_forbid_to_run(folder: Path, run_cli: CliRunner) -> None:
    (folder / "p.yaml").write_text("policy: 1\nname: gate\nunsigned: allow\nrun: forbid\n")
    path = folder / "a.llamafile"
    for command in (("run",), ("serve",), ("complete", "-p", "x")):
        refused = run_cli(command[0], path, *command[1:], "--policy", folder / "p.yaml")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "forbids" in refused.stderr
    tried = run_cli("verify", path, "--try", "--policy", folder / "p.yaml")
    assert tried.returncode == 0
    assert "tried" not in tried.stdout
    assert lf.read_policy(folder / "p.yaml").run is Starting.FORBID


def test_a_plain_gguf_is_checked_as_far_as_it_can_be(folder: Path, run_cli: CliRunner) -> None:
    shown = run_cli("run", folder / "model.gguf")
    assert shown.returncode == 0
    assert "header and tensor table were checked" in shown.stderr
    data = bytearray((folder / "model.gguf").read_bytes())
    data[8:16] = (1 << 60).to_bytes(8, "little")  # more tensors than bytes
    refused = run_cli("run", write(folder / "bad.gguf", bytes(data)))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "was not started" in refused.stderr


def test_a_gguf_in_front_of_an_archive_is_no_plain_one(folder: Path, run_cli: CliRunner) -> None:
    front = (folder / "model.gguf").read_bytes()
    two = archive([Part("other.gguf", front, align=65536)], start=front + bytes(-len(front) % 65536))
    path = write(folder / "two.gguf", two)
    assert "LF3340" in run_cli("verify", path).stdout
    refused = run_cli("run", path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "LF3340" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "first"),
    [(b"--temp\n0\n...\n", "mmproj.gguf"), (b"--alias\n-m\nmmproj.gguf\n...\n", "mmproj.gguf")],
)
def test_the_model_of_a_legacy_file_is_the_one_that_is_shown(arguments: bytes, first: str) -> None:
    models = [Part(name, gguf(), align=65536) for name in (first, "model.gguf")]
    with lf.open(archive([Part(".args", arguments), *models])) as container:
        shown = what_will_run(container).model
        started = running.default_model(container)
    assert shown is not None
    assert started is not None
    assert started.path == shown.member == "model.gguf"


def test_sign_says_what_was_read(folder: Path, run_cli: CliRunner) -> None:
    path = folder / "a.llamafile"
    assert run_cli("keygen", "--type", "p256", "--no-passphrase", "-o", folder / "KEY").returncode == 0
    damage(path)
    blind = run_cli("sign", path, "--key", folder / "KEY", "--detached")
    assert blind.returncode == 0
    assert "weights not read (last verified full: not remembered; the file was written moments before)" in blind.stdout
    refused = run_cli("sign", path, "--key", folder / "KEY", "--verify", "full")
    assert refused.returncode == 1
    assert "was not signed: model.gguf is damaged" in refused.stderr
    damage(path)
    told = run_cli("sign", path, "--key", folder / "KEY", "--verify", "full")
    assert told.returncode == 0
    assert "every byte was read" in told.stdout
    faulty = read_vector(VECTORS / "behaviour" / "no-class.vector").payload
    refused = run_cli("sign", write(folder / "bad", faulty), "--key", folder / "KEY")
    assert refused.returncode == 1
    assert "was not signed: " in refused.stderr


# One start


def test_a_file_that_does_not_start_is_told(folder: Path, run_cli: CliRunner) -> None:
    """The tiny runtimes are no engines: they do not answer as one."""
    tried = run_cli("verify", folder / "a.llamafile", "--try")
    assert tried.returncode == 6
    assert "did not start: " in tried.stdout
    packed = run_cli("pack", folder / "model.gguf", "-o", folder / "c.llamafile", "--try")
    assert packed.returncode == 6
    assert "did not start: " in packed.stdout
    damage(folder / "a.llamafile")
    untried = run_cli("verify", folder / "a.llamafile", "--try")
    assert untried.returncode == 1
    assert "tried" not in untried.stdout
    assert run_cli("verify", folder / "a.llamafile", "--try", "--level", "quick").returncode == 2
    with pytest.raises(UsageError, match="nothing but files"):
        lf.verify((folder / "c.llamafile").read_bytes(), trial=True)


@pytest.mark.slow
def test_the_real_build_runs_on_the_open_file(tmp_path: Path, run_cli: CliRunner) -> None:
    path = runtime_server.pack(tmp_path / "exhibit.llamafile")
    cache = {"LFF_CACHE": os.fspath(tmp_path / "cache")}
    tried = run_cli("verify", path, "--try", env=cache)
    assert tried.returncode == 0, tried.stdout
    assert "gave one token" in tried.stdout
    done = run_cli("complete", path, "-p", "The", "-n", "4", env=cache)
    assert done.returncode == 0
    assert done.stdout.strip()
    shown = run_cli("run", path, "--", "--inspect", env=cache)
    assert shown.stdout.startswith(f"{path}\n")  # named as the user did; what it reads is the descriptor (test_asks)
    damage(path)
    refused = run_cli("complete", path, "-p", "The", "-n", "4", env=cache)
    assert (refused.returncode, refused.stdout) == (1, "")
