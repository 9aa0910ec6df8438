"""``convert``: 64 bytes there and back, under lock and journal, and what verify, inspect and repack make of it."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.changing import surgery
from llamafile_format.changing.convert import FORMS, convert
from llamafile_format.changing.recover import recover
from llamafile_format.checks.verdict import Verdict
from llamafile_format.container import open_container
from llamafile_format.errors import FormatError, SourceError, UsageError
from llamafile_format.packing.assemble import Content, Labels, assemble
from llamafile_format.packing.runtime_members import launcher_prefix
from llamafile_format.prefix.bootstrap import INDEX_OFFSET, SLOTS_OFFSET, Form
from llamafile_format.source import BytesSource, FileSource
from llamafile_format.source.pending import journal_path
from tests.launcher_samples import HOST, runtime
from tests.laws.containers import small_container, tiny_gguf
from tests.laws.sparse import known_digests, sparse_gguf
from tests.repack_samples import unfinished

NATIVE = [form for form in FORMS if form != "polyglot"]
GIB = 1 << 30


def _container(path: Path, model: Content | None = None) -> Path:
    """A container with a launcher, one build and one model."""
    build = f"runtimes/llama.cpp/0.0.1/native/{HOST}"
    model = model or Content("tiny.gguf", "weights", "application/x-gguf", BytesSource(tiny_gguf()), 65536)
    contents = [Content(build, "runtime", "application/octet-stream", BytesSource(runtime()), 65536), model]
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o755)
    try:
        assemble(descriptor, launcher_prefix(contents, model.path), contents, Labels(default=model.path))
    finally:
        os.close(descriptor)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return _container(tmp_path / "a.llamafile")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _rules(path: Path, level: str = "full") -> set[str]:
    report = lf.verify(path, level=level)
    # The sample has no README: what is said of that is not the point here.
    return {finding.rule for finding in report.findings if finding.rule.startswith("LF1")}


@pytest.mark.parametrize("form", NATIVE)
def test_there_and_back(form: str, file: Path) -> None:
    before = file.read_bytes()
    result = convert(file, form)
    assert (result.before, result.after, result.changed, result.size) == ("polyglot", form, True, len(before))
    assert file.read_bytes()[:4] == b"\x7fELF"
    assert file.read_bytes()[64:] == before[64:]
    assert not convert(file, form).changed
    other = next(each for each in NATIVE if each != form)
    assert convert(file, other).before == form
    back = convert(file, "polyglot")
    assert (back.before, back.changed) == (other, True)
    assert file.read_bytes() == before
    assert not journal_path(file).exists()


@pytest.mark.parametrize("form", NATIVE)
def test_new_file(form: str, file: Path, tmp_path: Path) -> None:
    before, out, back = _digest(file), tmp_path / "out", tmp_path / "back"
    assert convert(file, form, out).path == out
    assert _digest(file) == before
    assert os.access(out, os.X_OK)
    assert convert(out, "polyglot", back).before == form
    assert _digest(back) == before
    with pytest.raises(UsageError, match="exists"):
        convert(file, form, back)
    assert convert(file, form, back, force=True).changed
    with pytest.raises(UsageError, match="input itself"):
        convert(file, form, file, force=True)


@pytest.mark.parametrize("form", NATIVE)
def test_verify_reads_the_unconverted_form(form: str, file: Path) -> None:
    plain = {level: lf.verify(file, level=level) for level in ("quick", "full", "exhaustive")}
    convert(file, form)
    for level, before in plain.items():
        after = lf.verify(file, level=level)
        assert after.verdicts == before.verdicts
        assert after.manifest_sha256 == before.manifest_sha256
        assert {f.rule for f in after.findings} - {f.rule for f in before.findings} == {"LF1103"}
        (note,) = (finding for finding in after.findings if finding.rule == "LF1103")
        assert note.args == {"form": form}
        assert after.exit_code() == before.exit_code()
    with open_container(file) as container:
        assert container.form is Form(form)
        assert container.source.read_at(0, 4) == b"MZ=;"


def test_damage_in_a_converted_file_is_found(file: Path) -> None:
    convert(file, "elf-x86_64")
    data = bytearray(file.read_bytes())
    data[24] ^= 1  # the entry point: no longer the header of the slot
    file.write_bytes(data)
    assert "LF1015" in _rules(file)
    assert lf.verify(file).verdicts[lf.rules.Layer.WELL_FORMED] is Verdict.NO


@pytest.mark.parametrize(
    ("offset", "rules"),
    [
        (0x60, {"LF1101"}),
        (INDEX_OFFSET + 24, {"LF1101"}),
        (INDEX_OFFSET + 192 + 32, {"LF1101", "LF1102"}),
        (INDEX_OFFSET + 8, {"LF1027"}),
        (0x1800, {"LF1101"}),
        (0x3100, {"LF1101"}),
        (SLOTS_OFFSET + 192, {"LF1101"}),
        (0x10100, {"LF1101"}),
        (0x3FFFF, {"LF1101"}),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_every_region_is_compared(form: str, offset: int, rules: set[str], file: Path) -> None:
    if form == "elf-aarch64" and offset == SLOTS_OFFSET + 192:
        rules = {"LF1015"}  # the slot differs from byte 0: this is no conversion
    convert(file, form)
    data = bytearray(file.read_bytes())
    data[offset] ^= 1
    file.write_bytes(data)
    assert rules <= _rules(file)
    if offset < 0x10000:
        assert rules <= _rules(file, "quick")
    assert lf.verify(file).verdicts[lf.rules.Layer.WELL_FORMED] is Verdict.NO


def test_refusals(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown form"):
        convert(file, "macho")
    without = small_container(tmp_path)
    with pytest.raises(UsageError, match="does not begin with a launcher"):
        convert(without, "elf-x86_64")
    damaged = tmp_path / "damaged"
    data = bytearray(file.read_bytes())
    data[SLOTS_OFFSET + 128 + 24] ^= 1
    damaged.write_bytes(data)
    with pytest.raises(FormatError, match="not the right one"):
        convert(damaged, "elf-x86_64")
    unknown = tmp_path / "unknown"
    data = bytearray(file.read_bytes())
    data[INDEX_OFFSET + 8] = 9
    unknown.write_bytes(data)
    with pytest.raises(FormatError, match="does not know the launcher"):
        convert(unknown, "elf-x86_64")
    unfinished(file)
    for out in (None, tmp_path / "out"):
        with pytest.raises(SourceError):
            convert(file, "elf-x86_64", out)


class Crash(BaseException):
    """The machine stops here."""


@pytest.mark.parametrize("stop", ["shift", "noted", "patch", "truncated", "synced"])
@pytest.mark.parametrize("back", [False, True])
def test_a_crash_at_any_step(stop: str, back: bool, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    def checkpoint(step: str) -> None:
        if step == stop:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(surgery, "checkpoint", checkpoint)
        with pytest.raises(Crash):
            convert(file, "elf-x86_64")
    with pytest.raises(SourceError):
        lf.verify(file)
    result = recover(file, back=back)
    assert result.outcome == ("rolled back" if back else "finished")
    assert (file.read_bytes() == before) is back
    assert file.read_bytes()[64:] == before[64:]
    assert _rules(file) == (set() if back else {"LF1103"})


def test_a_full_medium_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()
    calls = 0

    def checkpoint(step: str) -> None:
        nonlocal calls
        calls += 1
        if step == "patch":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(surgery, "checkpoint", checkpoint)
    with pytest.raises(SourceError, match="it is as it was"):
        convert(file, "elf-x86_64")
    assert calls
    assert file.read_bytes() == before
    assert not journal_path(file).exists()


def test_a_hundred_gigabytes_at_once(tmp_path: Path) -> None:
    """In place, 64 bytes are written; with -o, holes stay holes."""
    model = tmp_path / "model.gguf"
    sparse_gguf(model, 100 * GIB)
    source = FileSource(model)
    known = known_digests(model)
    file = _container(
        tmp_path / "large.llamafile", Content("model.gguf", "weights", "application/x-gguf", source, 65536, known)
    )
    model.unlink()
    start = time.monotonic()
    convert(file, "elf-x86_64")
    convert(file, "elf-aarch64", tmp_path / "copy.llamafile")
    convert(file, "polyglot")
    assert time.monotonic() - start < 30
    assert (tmp_path / "copy.llamafile").stat().st_blocks * 512 < GIB
    assert _rules(file, "quick") == set()
    assert _rules(tmp_path / "copy.llamafile", "quick") == {"LF1103"}


def test_repack_starts_from_the_unconverted_form(file: Path, tmp_path: Path) -> None:
    plain, converted = tmp_path / "plain", tmp_path / "converted"
    lf.repack(file, plain, name="x", created="2026-01-01T00:00:00Z")
    convert(file, "elf-x86_64")
    lf.repack(file, converted, name="x", created="2026-01-01T00:00:00Z")
    assert _digest(plain) == _digest(converted)
    result = lf.repack(file, in_place=True, name="x", created="2026-01-01T00:00:00Z")
    assert any("converted" in note for note in result.notes)
    assert _digest(file) == _digest(plain)


def test_command(file: Path, run_cli: Callable[..., object]) -> None:
    done = run_cli("convert", file, "--to", "elf-x86_64")
    assert done.stdout == f"{file}  elf-x86_64  (was polyglot)\n"
    done = run_cli("convert", file, "--to", "elf-x86_64")
    assert done.stdout == f"{file}  elf-x86_64  (nothing to change)\n"
    shown = run_cli("inspect", file).stdout
    assert "launcher of this format (converted to elf-x86_64)" in shown
    assert "linux on x86_64" in shown
    done = run_cli("convert", file, "--to", "polyglot", "--json")
    assert json.loads(done.stdout) == {
        "path": str(file),
        "size": file.stat().st_size,
        "before": "elf-x86_64",
        "after": "polyglot",
        "changed": True,
    }
    assert run_cli("convert", file, "--to", "macho").returncode == 2
    assert run_cli("convert", file.parent, "--to", "polyglot").returncode == 4
