"""Appending records: the bytes that the chapter demands, in place and as a new file, and after a crash at any step."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.changing import surgery
from llamafile_format.changing.convert import convert
from llamafile_format.changing.recover import recover
from llamafile_format.checks.signatures import read_records
from llamafile_format.container import Container
from llamafile_format.errors import FormatError, SourceError, UsageError
from llamafile_format.signing.records.record import MAX_RECORD, MAX_RECORDS, Record, RecordKind
from llamafile_format.source.pending import journal_path, pending
from llamafile_format.vouching.append import append_records, detached_path, records_beside, write_detached
from llamafile_format.vouching.sign import sign
from tests.repack_samples import kill_at, legacy, steps_of, unfinished, write
from tests.signing_samples import TIME, container, keys


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return container(tmp_path / "a.llamafile")


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An attestation about the sample; any number of them may stand in a file."""
    from llamafile_format.vouching.sign import Attestation

    path = container(tmp_path_factory.mktemp("tail") / "a")
    sign(path, keys(), attest=Attestation("urn:example:1", {"is": "so"}), declared_time=TIME)
    return _records(path)[0].data


def _records(path: Path) -> tuple[Record, ...]:
    with lf.open(path) as found:
        return read_records(found.source, found.archive)


def test_only_the_tail_is_written(file: Path, record: bytes) -> None:
    before = file.read_bytes()
    with lf.open(file) as found:
        end = found.archive.directory_offset
    inode = file.stat().st_ino
    result = append_records(file, [(RecordKind.ATT, record)])
    after = file.read_bytes()
    assert after[:end] == before[:end]
    assert result.size == len(after)
    assert file.stat().st_ino == inode
    assert not journal_path(file).exists()
    path = b"META-LLAMAFILE/signatures/0001.att.json"
    header = struct.pack("<IHHHHHIIIHH", 0x04034B50, 10, 0x0800, 0, 0, 0x21, 0, len(record), len(record), len(path), 0)
    assert after[end : end + 14] == header[:14]
    assert after[end + 18 : end + 30] == header[18:]
    assert after[end + 30 :].startswith(path + record + b"PK\1\2")
    assert [(each.number, each.kind, each.data) for each in _records(file)] == [(1, RecordKind.ATT, record)]
    assert lf.verify(file, level="exhaustive").exit_code() == 0


def test_new_file_has_the_bytes_of_the_changed_one(file: Path, record: bytes, tmp_path: Path) -> None:
    before = file.read_bytes()
    out = tmp_path / "out"
    made = [(RecordKind.ATT, record), (RecordKind.ATT, record)]
    assert append_records(file, made, out).method == "new file"
    assert file.read_bytes() == before
    assert append_records(file, made).method == "in place"
    assert file.read_bytes() == out.read_bytes()
    assert [each.path[-13:] for each in _records(out)] == ["0001.att.json", "0002.att.json"]
    with pytest.raises(UsageError, match="exists"):
        append_records(file, made, out)
    append_records(file, made, out, force=True)
    assert len(_records(out)) == 4
    with pytest.raises(UsageError, match="input itself"):
        append_records(file, made, file, force=True)


def test_one_after_the_other_is_both_at_once(file: Path, record: bytes, tmp_path: Path) -> None:
    append_records(file, [(RecordKind.ATT, record)] * 3, tmp_path / "all")
    for _ in range(3):
        append_records(file, [(RecordKind.ATT, record)])
    assert file.read_bytes() == (tmp_path / "all").read_bytes()


def test_the_maker_sees_what_is_there(file: Path, record: bytes) -> None:
    seen: list[tuple[int, int]] = []

    def make(found: Container, records: tuple[Record, ...], number: int) -> list[tuple[RecordKind, bytes]]:
        assert found.claims is not None
        seen.append((len(records), number))
        return [(RecordKind.ATT, record)]

    append_records(file, make)
    append_records(file, make)
    assert seen == [(0, 1), (1, 2)]


def test_nothing_to_append(file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    assert append_records(file, []).method == "nothing to do"
    assert append_records(file, [], tmp_path / "same").method == "new file"
    assert (tmp_path / "same").read_bytes() == before == file.read_bytes()


def test_permissions_and_links_stay(file: Path, record: bytes, tmp_path: Path) -> None:
    file.chmod(0o640)
    (tmp_path / "link").symlink_to(file)
    append_records(tmp_path / "link", [(RecordKind.ATT, record)])
    assert (tmp_path / "link").is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640
    assert len(_records(file)) == 1


@pytest.mark.parametrize("form", ["elf-x86_64", "elf-aarch64"])
def test_a_converted_launcher_stays_converted(form: str, tmp_path: Path) -> None:
    plain, out = container(tmp_path / "plain", launcher=True), tmp_path / "out"
    converted = container(tmp_path / "converted", launcher=True)
    convert(converted, form)
    head = converted.read_bytes()[:64]
    sign(plain, keys(), declared_time=TIME)
    sign(converted, keys(), out, declared_time=TIME)
    sign(converted, keys(), declared_time=TIME)
    assert converted.read_bytes() == out.read_bytes() == head + plain.read_bytes()[64:]
    assert os.access(out, os.X_OK)
    assert {f.rule for f in lf.verify(converted).findings} >= {"LF1103"}
    convert(converted, "polyglot")
    assert converted.read_bytes() == plain.read_bytes()


def test_what_is_malformed_is_not_signed(file: Path, record: bytes, tmp_path: Path) -> None:
    whole = file.read_bytes()
    with lf.open(file) as found:
        at = found.archive.directory_offset
    for offset, bit in ((at + 12, 1), (len(whole) - 30, 1), (at - 5, 1)):
        data = bytearray(whole)
        data[offset] ^= bit
        damaged = write(tmp_path / "damaged", data)
        for out in (None, tmp_path / "out"):
            with pytest.raises(FormatError, match="not well-formed"):
                append_records(damaged, [(RecordKind.ATT, record)], out)
        with pytest.raises(FormatError, match="not well-formed"):
            write_detached(damaged, [(RecordKind.ATT, record)])
        assert damaged.read_bytes() == data
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.llamafile", "damaged"]


def test_what_would_be_malformed_is_not_written(file: Path, record: bytes, tmp_path: Path) -> None:
    """Records of another file, records that say nothing, records of the wrong kind."""
    before = file.read_bytes()
    other = container(tmp_path / "other", name="Other")
    sign(other, keys(), declared_time=TIME)
    theirs = _records(other)[0].data
    for kind, data in (
        (RecordKind.OMS, theirs),
        (RecordKind.OMS, record),
        (RecordKind.OMS, b"{}\n"),
        (RecordKind.ATT, record + b"\n"),
        (RecordKind.TSR, record),
        (RecordKind.VM, record),
        (RecordKind.ATT, b""),
    ):
        with pytest.raises(FormatError, match="would not be well-formed"):
            append_records(file, [(RecordKind.ATT, record), (kind, data)])
    assert file.read_bytes() == before


def test_what_is_no_container(tmp_path: Path, record: bytes) -> None:
    old = write(tmp_path / "old", legacy(b"#!/bin/sh\n", [("model.gguf", b"GGUF" + bytes(60))]))
    with pytest.raises(UsageError, match=r"1\.0 container"):
        append_records(old, [(RecordKind.ATT, record)])
    with pytest.raises(SourceError):
        append_records(tmp_path / "absent", [(RecordKind.ATT, record)])


def test_limits(file: Path, record: bytes) -> None:
    before = file.read_bytes()
    for made, message in (
        ([(RecordKind.ATT, bytes(MAX_RECORD + 1))], "1048576"),
        ([(RecordKind.ATT, bytes(MAX_RECORD))] * 17, "16777216"),
        ([(RecordKind.ATT, record)] * (MAX_RECORDS + 1), "1024"),
    ):
        with pytest.raises(FormatError, match=message):
            append_records(file, made)
    assert file.read_bytes() == before


def test_locked_and_pending(file: Path, record: bytes, tmp_path: Path) -> None:
    import fcntl

    with open(file, "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(SourceError, match="locked"):
            append_records(file, [(RecordKind.ATT, record)])
    unfinished(file)
    for out in (None, tmp_path / "out"):
        with pytest.raises(SourceError, match="journal") as caught:
            append_records(file, [(RecordKind.ATT, record)], out)
        assert caught.value.exit_code == 4
    journal_path(file).unlink()
    unfinished(write(tmp_path / "out", b"older"))
    with pytest.raises(SourceError, match="journal"):
        append_records(file, [(RecordKind.ATT, record)], tmp_path / "out")


def test_killed_at_every_step(file: Path, record: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From more than one piece of the journal, so that a crash comes between patches too."""
    made = [(RecordKind.ATT, record), (RecordKind.ATT, _long(record))]
    old = file.read_bytes()
    copy = write(tmp_path / "copy", old)
    steps = steps_of(lambda: append_records(copy, made), monkeypatch)
    new = copy.read_bytes()
    assert steps.count("patch") > 1
    assert (steps[0], steps[-1]) == ("journal", "removed")
    for number, step in enumerate(steps):
        for back in (False, True):
            write(file, old)
            kill_at(number, lambda: append_records(file, made))
            assert pending(file) == (step != "removed")
            if step == "removed":
                assert file.read_bytes() == new
                continue
            for call in (lf.verify, lambda path: append_records(path, made)):
                with pytest.raises(SourceError, match="journal"):
                    call(file)
            outcome = recover(file, back=back).outcome
            assert outcome == ("rolled back" if back else "finished")
            assert file.read_bytes() == (old if back else new), (step, number, back)


def test_killed_while_recovering(file: Path, record: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [(RecordKind.ATT, record)]
    old = file.read_bytes()
    kill_at(3, lambda: append_records(file, made))
    half, journal = file.read_bytes(), journal_path(file).read_bytes()
    recover(file)
    new = file.read_bytes()
    for back in (False, True):
        write(file, half)
        write(journal_path(file), journal)
        count = len(steps_of(lambda back=back: recover(file, back=back), monkeypatch))
        for second in range(count):
            for finally_back in (back, not back):
                write(file, half)
                write(journal_path(file), journal)
                kill_at(second, lambda back=back: recover(file, back=back))
                recover(file, back=finally_back)
                assert file.read_bytes() == (old if finally_back else new)


def test_no_room_leaves_the_old_file(file: Path, record: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()
    for step in ("journal", "patch", "truncated", "synced"):
        with monkeypatch.context() as patch:
            _fail_at(patch, step)
            with pytest.raises(SourceError, match="as it was"):
                append_records(file, [(RecordKind.ATT, record)])
        assert file.read_bytes() == before
        assert not pending(file)
    with monkeypatch.context() as patch:
        _fail_at(patch, "truncated", "unpatch")
        with pytest.raises(SourceError, match="half changed") as caught:
            append_records(file, [(RecordKind.ATT, record)])
    assert "recover" in caught.value.hint
    recover(file, back=True)
    assert file.read_bytes() == before


def test_the_journal_knows_its_file(file: Path, record: bytes) -> None:
    old = file.read_bytes()
    kill_at(2, lambda: append_records(file, [(RecordKind.ATT, record)]))
    with lf.open(write(file.with_name("old"), old)) as found:
        at = found.archive.directory_offset - 10
    write(file, old[:at] + b"?" + old[at + 1 :])
    with pytest.raises(SourceError, match="cannot be those of the file"):
        recover(file)


def test_detached(file: Path, record: bytes) -> None:
    before = file.read_bytes()
    assert write_detached(file, [(RecordKind.ATT, record)]).method == "detached"
    assert detached_path(file, 1, RecordKind.ATT).read_bytes() == record
    assert detached_path(file, 1, RecordKind.ATT).name == "a.llamafile.0001.att.json"
    assert file.read_bytes() == before
    append_records(file, [(RecordKind.ATT, record)] * 2)
    assert write_detached(file, [(RecordKind.ATT, record)] * 2).records[0].number == 3
    file.with_name("a.llamafile.0009.tsr.der").write_bytes(b"?")
    file.with_name("a.llamafile.0012.tsr.json").write_bytes(b"no record's name")
    file.with_name("a.llamafile.0013.att.json").mkdir()
    file.with_name("b.llamafile.0014.att.json").write_bytes(b"of another file")
    assert [each.number for each in records_beside(file)] == [1, 3, 4, 9]
    (made,) = write_detached(file, [(RecordKind.ATT, record)]).records
    assert (made.number, made.detached, made.path) == (10, True, f"{file}.0010.att.json")


def _long(record: bytes) -> bytes:
    """An attestation of more than 64 KiB."""
    from llamafile_format.signing.records.envelope import encode_bundle, pae, read_bundle
    from llamafile_format.signing.records.statement import attestation, read_statement

    annotations = read_statement(read_bundle(record).payload).annotations
    assert annotations is not None
    payload = attestation("urn:example:1", {"long": "x" * 100_000}, annotations)
    (key,) = keys()
    return encode_bundle(payload, key.sign(pae(payload)), public=key.public)


def _fail_at(patch: pytest.MonkeyPatch, *steps: str) -> None:
    def checkpoint(passed: str) -> None:
        if passed in steps:
            raise OSError(28, "No space left on device")

    patch.setattr(surgery, "checkpoint", checkpoint)
