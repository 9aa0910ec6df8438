"""Room is asked for before gigabytes are written, and only where the answer is certain."""

from __future__ import annotations

from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.output import room
from llamafile_format.source import BytesSource, FileSource, Window
from tests.laws.containers import small_container, tiny_gguf


@pytest.fixture
def cramped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain file system with 100,000 bytes left."""
    monkeypatch.setattr(room, "_kind", lambda _folder: "ext4")
    monkeypatch.setattr(room, "free_in", lambda _folder: 100_000)


@pytest.mark.usefixtures("cramped")
def test_every_writer_asks_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "m.gguf"
    model.write_bytes(tiny_gguf(values=50_000))
    with monkeypatch.context() as lifted:
        lifted.setattr(room, "free_in", lambda _folder: None)
        packed = lf.pack([model], tmp_path / "m.llamafile", prefix="none").path
    before = sorted(tmp_path.iterdir())
    out = tmp_path / "o"
    for write in (
        lambda: lf.pack([model], out, prefix="none"),
        lambda: lf.repack(packed, out, name="x"),
        lambda: lf.repack(packed, out),
        lambda: lf.repack(packed, out, to="legacy"),
        lambda: lf.extract(packed, tmp_path, ["m.gguf"], force=True),
    ):
        with pytest.raises(
            lf.SourceError, match=r"no space left in .*: 2\d\d\d\d\d bytes are needed and 100000 are free"
        ):
            write()
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.usefixtures("cramped")
def test_holes_take_no_room(tmp_path: Path) -> None:
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(1 << 30)
    room.require_room(tmp_path, [FileSource(sparse)])
    with pytest.raises(lf.SourceError):
        room.require_room(tmp_path, [FileSource(sparse)], 100_001)


@pytest.mark.usefixtures("cramped")
def test_what_may_be_shared_counts_as_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = FileSource(small_container(tmp_path))
    (tmp_path / "b").write_bytes(bytes(range(256)) * 1000)
    source = Window(FileSource(tmp_path / "b"), 0, 200_000)
    with pytest.raises(lf.SourceError):
        room.require_room(tmp_path, [full, source])
    monkeypatch.setattr(room, "_kind", lambda _folder: "xfs")
    room.require_room(tmp_path, [full, source])
    with pytest.raises(lf.SourceError):
        room.require_room(tmp_path, [source, BytesSource(bytes(100_001))])


def test_nothing_is_refused_where_nobody_can_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_in", lambda _folder: 0)
    for kind in ("", "btrfs", "zfs", "nfs4", "fuse.sshfs"):
        monkeypatch.setattr(room, "_kind", lambda _folder, kind=kind: kind)
        room.require_room(tmp_path, [BytesSource(bytes(9))])


def test_the_kind_of_a_file_system_is_the_kernels_word() -> None:
    assert room._kind(Path("/proc")) == "proc"
    assert room._kind(Path("/no/such/folder")) == ""


def test_what_was_free_is_told_after_cleaning_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The unfinished file is gone before the room is measured."""
    from llamafile_format.output import publish

    seen: list[list[Path]] = []
    monkeypatch.setattr(publish, "free_in", lambda folder: seen.append(list(folder.iterdir())) or 7)
    with pytest.raises(lf.SourceError, match="7 bytes are free"), publish.output(tmp_path / "x"):
        raise OSError(28, "No space left on device")
    assert seen == [[]]
