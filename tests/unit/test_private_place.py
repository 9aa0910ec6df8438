"""The judgement of the private cache: every folder from the root on, by owner and mode (spec/1, 14.2.8)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llamafile_format.engines.cache import has_process, part_name, work_folder
from llamafile_format.engines.cache_contents import contents
from llamafile_format.engines.private_place import firm, is_own
from llamafile_format.examining.memory import memory_folder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="on Windows access lists say who may write")


@pytest.fixture
def way(tmp_path: Path) -> Path:
    (tmp_path / "way" / "inner").mkdir(parents=True, mode=0o700)
    return tmp_path / "way"


@pytest.mark.parametrize(
    ("mode", "passes"),
    [(0o700, True), (0o755, True), (0o1777, True), (0o1770, True), (0o777, False), (0o770, False), (0o702, False)],
)
def test_closed_or_sticky(mode: int, passes: bool, way: Path) -> None:
    for folder in (way, way / "inner"):
        folder.chmod(mode)
        if passes:
            assert firm(way / "inner") == (way / "inner").resolve()
        else:
            with pytest.raises(PermissionError, match="others can exchange what is in"):
                firm(way / "inner")
        folder.chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="giving a folder away needs root")
@pytest.mark.parametrize("mode", [0o700, 0o1777])
def test_folders_of_strangers_are_never_firm(mode: int, way: Path) -> None:
    way.chmod(mode)
    os.chown(way, 12345, 12345)
    with pytest.raises(PermissionError):
        firm(way / "inner")


def test_links_lead_to_what_is_judged(way: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(way / "inner")
    assert firm(link) == (way / "inner").resolve()
    way.chmod(0o777)
    with pytest.raises(PermissionError):
        firm(link)
    with pytest.raises(FileNotFoundError):
        firm(tmp_path / "nowhere")


def test_own(way: Path) -> None:
    file = way / "file"
    for mode, own in ((0o700, True), (0o755, True), (0o720, False), (0o702, False)):
        file.touch()
        file.chmod(mode)
        assert is_own(file.stat()) is own
    file.chmod(0o744)
    assert not is_own(file.stat(), 0o077)


def test_other_rooms_of_the_cache_are_judged_too(way: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remembered verdicts and work folders: whoever can exchange a folder could plant a verdict or a compiler."""
    monkeypatch.setenv("LFF_CACHE", str(way / "inner"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    memories = way / "inner" / "llamafile-format" / "verified"
    memories.mkdir(parents=True, mode=0o700)
    memories.parent.chmod(0o700)
    assert memory_folder() == memories
    assert work_folder("builds").is_relative_to(way.resolve())
    assert any(item.path.is_relative_to(way.resolve()) for item in contents())
    way.chmod(0o777)
    assert memory_folder() != memories
    assert not work_folder("builds").is_relative_to(way.resolve())
    assert not any(item.path.is_relative_to(way.resolve()) for item in contents())


def test_processes() -> None:
    assert has_process(os.getpid())
    assert not has_process(1 << 40)
    assert part_name("runtime").endswith(f".{os.getpid()}")
