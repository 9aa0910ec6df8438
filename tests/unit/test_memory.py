"""The memory of verification: what is kept, when it counts, and that anything odd means that there is none (14.3.8)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llamafile_format as lf
from llamafile_format.checks.verdict import Report
from llamafile_format.container import Container
from llamafile_format.examining import memory
from llamafile_format.examining.memory import KEPT, Memory, last_verified, memory_folder, recall, watch
from llamafile_format.source import FileSource, Identity
from llamafile_format.source.filesystem import tells_of_changes
from spec.vectors.generate.forge import good

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there is no memory elsewhere")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good container, on a file system that tells of changes, changed long ago; and a cache of the test's own."""
    monkeypatch.setenv("LFF_CACHE", os.fspath(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path / "xdg"))
    monkeypatch.setattr(memory, "tells_of_changes", lambda _: True)
    monkeypatch.setattr(memory, "SETTLED", 0)
    path = tmp_path / "a.llamafile"
    path.write_bytes(good())
    return path


def manifest_of(source: FileSource) -> str:
    with Container(source, owned=False) as container:
        return sha256(container.manifest_bytes).hexdigest()


def remember(path: Path, change: Callable[[Report], Report] = lambda report: report) -> None:
    with FileSource(path) as source:
        watched = watch(source)
        assert watched is not None
        watched.keep(change(lf.verify(source)))


def recalled(path: Path) -> Memory | None:
    with FileSource(path) as source:
        return recall(source, manifest_of(source))


def kept() -> Path:
    """The one file that holds a memory."""
    folder = memory_folder()
    assert folder is not None
    (found,) = folder.iterdir()
    return found


def test_a_memory_counts_for_the_file_as_it_was(file: Path) -> None:
    assert memory_folder() is None
    assert recalled(file) is None
    remember(file)
    found = recalled(file)
    assert found is not None
    assert found.verdicts == {"well-formed": "yes", "valid": "yes"}
    assert found.level == "full"
    assert kept().stat().st_mode & 0o777 == 0o600
    assert kept().parent.stat().st_mode & 0o777 == 0o700


def test_no_other_state_of_the_file_is_remembered(file: Path, tmp_path: Path) -> None:
    remember(file)
    info = file.stat()
    data = bytearray(file.read_bytes())
    file.write_bytes(data)
    os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))  # anybody can; ctime moves all the same
    assert file.stat().st_mtime_ns == info.st_mtime_ns
    assert recalled(file) is None
    remember(file)
    other = tmp_path / "other"
    other.write_bytes(data)
    other.replace(file)
    assert recalled(file) is None
    remember(file)
    (tmp_path / "link").hardlink_to(file)  # the same file has another name: its status has changed
    assert recalled(file) is None


def test_an_inode_that_is_used_again_is_another_file(file: Path) -> None:
    remember(file)
    before = Identity.of(file.stat())
    path = kept()
    data = file.read_bytes()
    file.unlink()
    file.write_bytes(data)
    after = Identity.of(file.stat())
    path.rename(path.with_name(f"{after.device:x}-{after.inode:x}.json"))
    assert after != before
    assert recalled(file) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda report: replace(report, complete=False),
        lambda report: replace(report, verdicts={}),
        lambda report: replace(report, level=lf.Level.QUICK),
        lambda report: replace(report, verdicts={**report.verdicts, lf.Layer.VALID: lf.Verdict.NO}),
        lambda report: replace(report, kind=lf.Kind.OTHER),
    ],
)
def test_only_a_full_verification_without_a_no_is_kept(file: Path, change: Callable[[Report], Report]) -> None:
    remember(file, change)
    assert memory_folder() is None


def test_a_file_that_changes_meanwhile_is_not_remembered(file: Path) -> None:
    with FileSource(file) as source:
        watched = watch(source)
        assert watched is not None
        report = lf.verify(source)
        os.utime(file)
        watched.keep(report)
    assert memory_folder() is None


def test_what_may_have_changed_a_moment_ago_is_not_watched(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SETTLED", 2 * 10**9)
    os.utime(file)
    with FileSource(file) as source:
        assert watch(source) is None
    monkeypatch.setattr(time, "time_ns", lambda: file.stat().st_ctime_ns + 2 * 10**9)
    with FileSource(file) as source:
        assert watch(source) is not None


def test_other_file_systems_have_no_memory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(file)
    monkeypatch.setattr(memory, "tells_of_changes", lambda _: False)
    assert recalled(file) is None
    with FileSource(file) as source:
        assert watch(source) is None
        assert last_verified(source) is None


def test_file_systems_that_make_things_up_do_not_tell() -> None:
    for name in ("/proc/self/status", "/dev/shm", "/sys/kernel/ostype"):
        if Path(name).exists():
            descriptor = os.open(name, os.O_RDONLY)
            try:
                assert not tells_of_changes(descriptor)
            finally:
                os.close(descriptor)


def _rewritten(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def plant(path: Path) -> None:
        value = json.loads(path.read_bytes())
        change(value)
        path.write_bytes(json.dumps(value, sort_keys=True).encode() + b"\n")

    return plant


def _elsewhere(path: Path) -> None:
    path.rename(path.parent.parent / "planted")
    path.symlink_to(path.parent.parent / "planted")


def _folder_elsewhere(path: Path) -> None:
    path.parent.rename(path.parent.parent / "planted")
    path.parent.symlink_to(path.parent.parent / "planted")


def _whole_cache_elsewhere(path: Path) -> None:
    ours = path.parent.parent
    ours.rename(ours.parent / "planted")
    ours.symlink_to(ours.parent / "planted")


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


PLANTED: dict[str, Callable[[Path], object]] = {
    "expired": _rewritten(lambda value: value.update(time=int(time.time()) - KEPT - 1)),
    "of tomorrow": _rewritten(lambda value: value.update(time=int(time.time()) + 60)),
    "by other rules": _rewritten(lambda value: value.update(rules="1.0.0 " + "0" * 64)),
    "of another manifest": _rewritten(lambda value: value.update(manifest_sha256="0" * 64)),
    "a level that reads no weights": _rewritten(lambda value: value.update(level="quick")),
    "no level": _rewritten(lambda value: value.update(level="thorough")),
    "a verdict that is no": _rewritten(lambda value: value["verdicts"].update(valid="no")),  # type: ignore[attr-defined]
    "a verdict too few": _rewritten(lambda value: value["verdicts"].pop("valid")),  # type: ignore[attr-defined]
    "a field too many": _rewritten(lambda value: value.update(trusted=True)),
    "a field too few": _rewritten(lambda value: value.pop("rules")),
    "a number that is none": _rewritten(lambda value: value.update(time=True)),
    "another spelling": lambda path: path.write_bytes(b" " + path.read_bytes()),
    "two lines": lambda path: path.write_bytes(path.read_bytes() * 2),
    "nothing": lambda path: path.write_bytes(b""),
    "too much": lambda path: path.write_bytes(b"[" * 5000),
    "deep": lambda path: path.write_bytes(b"[" * 4000),
    "a link": _elsewhere,
    "a second name": lambda path: (path.parent.parent / "planted").hardlink_to(path),
    "a FIFO": _fifo,
    "writable by others": lambda path: path.chmod(0o666),
    "a folder for all": lambda path: path.parent.chmod(0o755),
    "a folder that is a link": _folder_elsewhere,
    "a cache that is a link": _whole_cache_elsewhere,
}


@pytest.mark.parametrize("how", PLANTED)
def test_anything_odd_means_that_there_is_none(file: Path, how: str) -> None:
    remember(file)
    assert recalled(file) is not None
    PLANTED[how](kept())
    assert recalled(file) is None
    remember(file)  # never an error, whatever is in the way


def test_places_that_do_not_work_are_passed_over(file: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder was meant")
    remember(file)
    assert kept().is_relative_to(tmp_path / "xdg")
    assert recalled(file) is not None


memories = st.builds(
    Memory,
    st.builds(Identity, *[st.integers(0, 2**63)] * 5),
    st.sampled_from(["", "ab" * 32]),
    st.sampled_from(["full", "exhaustive"]),
    st.fixed_dictionaries(dict.fromkeys(("well-formed", "valid"), st.sampled_from(["yes", "undetermined"]))),
    st.text(max_size=80),
    st.integers(0, 2**40),
)


@given(memories)
def test_what_is_written_is_read(value: Memory) -> None:
    assert memory._decode(value.encode()) == value


@given(memories, st.data())
def test_no_edit_goes_unseen(value: Memory, data: st.DataObject) -> None:
    """What is read after an edit is exactly what stands there, or nothing."""
    text = bytearray(value.encode())
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    found = memory._decode(bytes(text))
    assert found is None or found.encode() == bytes(text)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux")
def test_a_store_through_a_mapping_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process has dirtied a page: until it is written back, a further store would move no time at all."""
    import mmap

    path = tmp_path / "mapped"
    path.write_bytes(bytes(8192))
    with path.open("r+b") as writer, mmap.mmap(writer.fileno(), 8192) as mapping, FileSource(path) as probe:
        if not tells_of_changes(probe.fd):
            pytest.skip("this file system does not tell of changes")
        mapping[0] = 1
        monkeypatch.setattr(memory, "SETTLED", 0)
        time.sleep(0.05)
        with FileSource(path) as source:
            assert watch(source) is not None
            time.sleep(0.05)
            mapping[1] = 1
            assert source.changed()
