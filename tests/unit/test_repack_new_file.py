"""repack to a new file: what changes, what stays, what is refused."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.errors import FormatError, SourceError, UsageError
from llamafile_format.zip.records import EOCD
from tests.repack_samples import contents, engine, gguf, sound, write

MODEL = gguf("m", 200_000)
OLD = engine("old", 100_000, [("usr/share/help.txt", b"help " * 500), ("llamafile/x.cu", b"kernel " * 300)], "0.8.0")
NEW = engine("new", 300_000, [("usr/share/help.txt", b"new help " * 500)], "0.9.3")


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A container with engine, arguments, licence and weights."""
    write(tmp_path / "model.gguf", MODEL)
    write(tmp_path / "LICENSE.txt", b"CC0")
    write(tmp_path / "old", OLD)
    write(tmp_path / "new", NEW)
    lf.pack(
        [tmp_path / "model.gguf", tmp_path / "LICENSE.txt"],
        tmp_path / "a.llamafile",
        prefix=tmp_path / "old",
        args="-m model.gguf --temp 0",
        name="Sample",
        license="CC0-1.0",
    )
    return tmp_path / "a.llamafile"


def test_prefix_is_replaced_and_weights_stay(sample: Path, tmp_path: Path) -> None:
    result = lf.repack(sample, tmp_path / "b", prefix=tmp_path / "new")
    with sound(tmp_path / "b") as new, lf.open(sample) as old:
        assert new.manifest is not None
        assert old.manifest is not None
        assert new.read("model.gguf") == MODEL
        assert new.read("usr/share/help.txt") == b"new help " * 500
        assert new.manifest.prefix.engine_sha256 == hashlib.sha256(NEW).hexdigest()
        assert new.manifest.member("model.gguf") is not None
        assert new.manifest.history == (
            {
                "action": "repack",
                "manifest_sha256": hashlib.sha256(old.manifest_bytes).hexdigest(),
                "changes": [dict(change) for change in new.manifest.history[0]["changes"]],
            },
        )
    assert result.changed
    assert result.changes[0].startswith("prefix replaced")
    assert (tmp_path / "b").stat().st_mode & 0o111


def test_arguments_move_to_the_new_dialect_and_back(sample: Path, tmp_path: Path) -> None:
    lf.repack(sample, tmp_path / "b", args=["-m", "model.gguf", "-r", "it's a $test"], prefix=tmp_path / "new")
    assert contents(tmp_path / "b")[".args"] == b"-m\nmodel.gguf\n-r\n'it'\\''s a $test'\n...\n"
    lf.repack(tmp_path / "b", tmp_path / "c", prefix=tmp_path / "old")
    assert contents(tmp_path / "c")[".args"] == b"-m\nmodel.gguf\n-r\nit's a $test\n...\n"
    lf.repack(tmp_path / "c", tmp_path / "d", prefix=tmp_path / "new")
    assert contents(tmp_path / "d")[".args"] == contents(tmp_path / "b")[".args"]


def test_hand_written_arguments_come_back(sample: Path, tmp_path: Path) -> None:
    hand = b"# mine\n-m model.gguf   --temp 0\n...\n"
    write(tmp_path / "args", hand)
    lf.repack(sample, tmp_path / "b", prefix=tmp_path / "new", include=[lf.Include(tmp_path / "args", ".args")])
    lf.repack(tmp_path / "b", tmp_path / "c", prefix="none")
    assert contents(tmp_path / "c")[".args"] != hand
    lf.repack(tmp_path / "c", tmp_path / "d", prefix=tmp_path / "new")
    assert contents(tmp_path / "d")[".args"] == hand
    lf.repack(tmp_path / "c", tmp_path / "e", rename={"model.gguf": "x.gguf"})
    lf.repack(tmp_path / "e", tmp_path / "f", prefix=tmp_path / "new")
    assert b"x.gguf" in contents(tmp_path / "f")[".args"]


def test_none_removes_the_engine_and_readme_follows(sample: Path, tmp_path: Path) -> None:
    result = lf.repack(sample, tmp_path / "b", prefix="none")
    with sound(tmp_path / "b") as container:
        assert container.manifest is not None
        assert container.manifest.prefix.size == 0
        assert b"has no engine" in container.read("META-LLAMAFILE/README.txt")
        assert "usr/share/help.txt" not in [member.path for member in container.members]
    assert any("README" in change for change in result.changes)


def test_members_come_go_and_change_names(sample: Path, tmp_path: Path) -> None:
    card = write(tmp_path / "README.md", b"# card")
    lf.repack(
        sample,
        tmp_path / "b",
        include=[lf.Include(card)],
        remove=["LICENSE.txt"],
        rename={"model.gguf": "tiny/model.gguf"},
    )
    with sound(tmp_path / "b") as container:
        assert container.manifest is not None
        assert container.manifest.default == "tiny/model.gguf"
        assert container.read(".args") == b"-m\ntiny/model.gguf\n--temp\n0\n...\n"
        paths = [member.path for member in container.manifest.members]
        assert paths[:4] == ["META-LLAMAFILE/README.txt", "README.md", ".args", "tiny/model.gguf"]
        what = [change["what"] for change in container.manifest.history[0]["changes"]]
        assert what == ["remove", "rename", "include", "arguments"]


def test_alignment_and_profile(sample: Path, tmp_path: Path) -> None:
    lf.repack(sample, tmp_path / "b", align=4096, profile="archive")
    with sound(tmp_path / "b") as container:
        member = container.manifest.member("model.gguf") if container.manifest else None
        assert member is not None
        assert (member.alignment, member.offset % 4096) == (4096, 0)
        assert member.sha512 == hashlib.sha512(MODEL).hexdigest()
        assert container.manifest is not None
        assert {"first_computed": ["sha512"], "from": "default", "to": "archive", "what": "profile"} in list(
            container.manifest.history[0]["changes"]
        )
    lf.repack(tmp_path / "b", tmp_path / "c", align=65536, profile="default")
    with sound(tmp_path / "c") as back, lf.open(sample) as first:
        assert back.manifest is not None
        assert first.manifest is not None
        assert back.manifest.members[:-1] == first.manifest.members[:-1]
        assert back.manifest.prefix == first.manifest.prefix


def test_archive_profile_refuses_damaged_bytes(sample: Path, tmp_path: Path) -> None:
    _flip(sample, "model.gguf", 5000)
    with pytest.raises(UsageError, match=r"model\.gguf is damaged"):
        lf.repack(sample, tmp_path / "b", profile="archive")
    assert not (tmp_path / "b").exists()


def test_archive_profile_refuses_a_damaged_prefix(sample: Path, tmp_path: Path) -> None:
    data = bytearray(sample.read_bytes())
    data[5000] ^= 1
    sample.write_bytes(data)
    with pytest.raises(SourceError, match="prefix is damaged"):
        lf.repack(sample, tmp_path / "b", profile="archive")
    assert not (tmp_path / "b").exists()


def test_damage_is_not_laundered(sample: Path, tmp_path: Path) -> None:
    """Digests are carried over, so damage in the weights is still damage in the new file."""
    _flip(sample, "model.gguf", 5000)
    lf.repack(sample, tmp_path / "b", prefix=tmp_path / "new")
    assert any(f.rule == "LF4001" for f in lf.verify(tmp_path / "b").findings)


@pytest.mark.parametrize("path", ["META-LLAMAFILE/chunks.txt", "META-LLAMAFILE/manifest.json"])
def test_damaged_digests_are_refused(sample: Path, tmp_path: Path, path: str) -> None:
    _flip(sample, path, 40)
    with pytest.raises(FormatError, match=r"damaged|not canonical|fit|lower-case"):
        lf.repack(sample, tmp_path / "b", prefix=tmp_path / "new")


def test_damaged_structure_is_refused(sample: Path, tmp_path: Path) -> None:
    data = bytearray(sample.read_bytes())
    data[-EOCD.size - 18 - 60] ^= 1
    sample.write_bytes(data)
    with pytest.raises(FormatError, match="damaged"):
        lf.repack(sample, tmp_path / "b", prefix=tmp_path / "new")


def test_nothing_to_change_gives_the_same_bytes(sample: Path, tmp_path: Path) -> None:
    result = lf.repack(sample, tmp_path / "b", prefix=tmp_path / "old", name="Sample", remove=[])
    assert not result.changed
    assert (tmp_path / "b").read_bytes() == sample.read_bytes()


def test_old_signatures_become_history(sample: Path, tmp_path: Path) -> None:
    signed = write(tmp_path / "signed", with_record(sample))
    lf.repack(signed, tmp_path / "same", prefix=tmp_path / "old")
    assert (tmp_path / "same").read_bytes() == signed.read_bytes()
    result = lf.repack(signed, tmp_path / "b", name="Other")
    assert result.unsigned == ("0001.oms.json",)
    digest = lf.repack(sample, tmp_path / "x", prefix=tmp_path / "old").manifest_sha256
    with sound(tmp_path / "b") as container, lf.open(sample) as old:
        folder = f"META-LLAMAFILE/history/{digest}/"
        assert container.read(folder + "0001.oms.json") == RECORD
        assert container.read(folder + "manifest.json") == old.manifest_bytes
        assert not [m for m in container.members if m.path.startswith("META-LLAMAFILE/signatures/")]
    with pytest.raises(UsageError, match="signed"):
        lf.repack(signed, in_place=True, name="Other")
    assert lf.repack(signed, in_place=True, name="Other", force=True).changed
    assert signed.read_bytes() == (tmp_path / "b").read_bytes()


def test_unknown_fields_survive(sample: Path, tmp_path: Path) -> None:
    """A newer tool's facts are not lost by an older one (clause 5.6)."""
    write(tmp_path / "newer", with_field(sample))
    lf.repack(tmp_path / "newer", tmp_path / "b", name="Other")
    with lf.open(tmp_path / "b") as container:
        assert container.manifest is not None
        assert container.manifest.extra == {"x-catalogue": "MS 42"}


def test_created_is_recorded_when_asked(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    lf.repack(sample, tmp_path / "b", name="Other")
    lf.repack(sample, tmp_path / "c", name="Other", created="2026-11-20T01:00:00+01:00")
    with lf.open(tmp_path / "b") as plain, lf.open(tmp_path / "c") as dated:
        assert plain.manifest is not None
        assert dated.manifest is not None
        assert plain.manifest.created == ""
        assert dated.manifest.history[0]["created"] == dated.manifest.created == "2026-11-20T00:00:00Z"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"remove": ["nothing.gguf"]}, "no member nothing"),
        ({"rename": {"nothing.gguf": "b.gguf"}}, "no member nothing"),
        ({"rename": {"model.gguf": "LICENSE.txt"}}, "LICENSE.txt already"),
        ({"rename": {"model.gguf": "../x.gguf"}}, "cannot be a member name"),
        ({"rename": {"model.gguf": "META-LLAMAFILE/x"}}, "reserved"),
        ({"rename": {"model.gguf": "license.TXT"}}, "one file on some systems"),
        ({"remove": ["META-LLAMAFILE/README.txt"]}, "belongs to the format"),
        ({"remove": ["model.gguf"], "prefix": "none"}, "nothing would be left"),
        ({"remove": ["LICENSE.txt"], "rename": {"LICENSE.txt": "L"}}, "named twice"),
        ({"align": 3}, "power of two"),
        ({"name": "x" * 5000}, "more than 4096"),
        ({"profile": "gold"}, "unknown profile"),
        ({"default": "other.gguf"}, "not a model"),
        ({"to": "2.0"}, "unknown form"),
        ({"created": "yesterday"}, "not a time"),
    ],
)
def test_contradictions_are_refused(sample: Path, tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        lf.repack(sample, tmp_path / "b", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "b").exists()


def test_outputs_are_guarded(sample: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="input itself"):
        lf.repack(sample, sample, name="x")
    os.link(sample, tmp_path / "link")
    with pytest.raises(UsageError, match="input itself"):
        lf.repack(sample, tmp_path / "link", name="x", force=True)
    write(tmp_path / "b", b"precious")
    with pytest.raises(UsageError, match="exists"):
        lf.repack(sample, tmp_path / "b", name="x")
    assert (tmp_path / "b").read_bytes() == b"precious"
    with pytest.raises(UsageError, match="no output"):
        lf.repack(sample, name="x")
    with pytest.raises(UsageError, match="no other output"):
        lf.repack(sample, tmp_path / "c", in_place=True)


def test_bytes_and_open_files_can_be_repacked(sample: Path, tmp_path: Path) -> None:
    lf.repack(sample, tmp_path / "b", name="x")
    lf.repack(sample.read_bytes(), tmp_path / "c", name="x")
    with open(sample, "rb") as file:
        lf.repack(file, tmp_path / "d", name="x")
    assert (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes() == (tmp_path / "d").read_bytes()


def test_split_weights(sample: Path, tmp_path: Path) -> None:
    folder = tmp_path / "windows"
    folder.mkdir()
    result = lf.repack(sample, folder / "tiny.llamafile", split_weights=True)
    assert result.extra == (folder / "model.gguf",)
    assert (folder / "model.gguf").read_bytes() == MODEL
    with sound(folder / "tiny.llamafile") as container:
        assert "model.gguf" not in [member.path for member in container.members]
        assert container.read(".args") == b"-m\nmodel.gguf\n--temp\n0\n...\n"
        assert container.manifest is not None
        change = container.manifest.history[0]["changes"][0]
        assert change["sha256"] == [hashlib.sha256(MODEL).hexdigest()]
    with pytest.raises(UsageError, match="exists"):
        lf.repack(sample, folder / "other.llamafile", split_weights=True)
    assert not (folder / "other.llamafile").exists()
    write(folder / "m", sample.read_bytes())
    lf.repack(folder / "m", folder / "model.gguf", force=True, prefix=tmp_path / "new")
    with pytest.raises(UsageError, match="input itself"):
        lf.repack(folder / "model.gguf", folder / "x", split_weights=True, force=True)
    lf.repack(sample, tmp_path / "bare", prefix="none")
    with pytest.raises(UsageError, match="no engine"):
        lf.repack(tmp_path / "bare", tmp_path / "c", split_weights=True)


def test_split_weights_adds_the_missing_argument(sample: Path, tmp_path: Path) -> None:
    lf.repack(sample, tmp_path / "b", remove=[".args"], rename={"model.gguf": "deep/er/m.gguf"})
    folder = tmp_path / "windows"
    folder.mkdir()
    lf.repack(tmp_path / "b", folder / "b", split_weights=True)
    assert contents(folder / "b")[".args"] == b"-m\nm.gguf\n...\n"
    assert (folder / "m.gguf").read_bytes() == MODEL


RECORD = json.dumps({"signature": "of a stranger"}).encode()


def with_record(path: Path) -> bytes:
    """The container at ``path`` with a signature record in its tail."""
    import zlib

    from llamafile_format.checks.canonical import check_structure
    from llamafile_format.zip.writer import directory_record, end_records, local_header, place

    with lf.open(path) as container:
        claims, archive, data = container.claims, container.archive, path.read_bytes()
        assert claims is not None
        end = claims.layout.manifest(len(claims.data)).end
        placed = place(end, "META-LLAMAFILE/signatures/0001.oms.json", len(RECORD), 1)
        directory = data[archive.directory_offset : archive.directory_offset + archive.directory_size]
        directory += directory_record(placed, zlib.crc32(RECORD), 0o100644)
        tail = local_header(placed, zlib.crc32(RECORD)) + RECORD + directory
        signed = data[:end] + tail + end_records(placed.end, len(directory), len(archive.entries) + 1)
    with lf.open(signed) as again:
        assert again.claims is not None
        assert not list(check_structure(again.source, again.archive, again.claims))
    return signed


def with_field(path: Path) -> bytes:
    """The container at ``path`` with a manifest field that this version does not know."""
    import io
    import tempfile
    from dataclasses import replace

    from llamafile_format.changing.changes import plan_changes
    from llamafile_format.changing.order import Order
    from llamafile_format.packing.assemble import assemble
    from llamafile_format.packing.carry import carry

    with lf.open(path) as container, tempfile.TemporaryFile() as file:
        plan = plan_changes(carry(container), Order())
        labels = replace(plan.labels, extra={"x-catalogue": "MS 42"})
        assemble(file.fileno(), plan.prefix, plan.contents, labels)
        file.seek(0)
        return io.BytesIO(file.read()).getvalue()


def _flip(path: Path, member: str, at: int) -> None:
    with lf.open(path) as container:
        offset = container.entry(member).data_offset + at
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
