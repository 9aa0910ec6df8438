"""WebAssembly that wasmtime has compiled, kept for the next time, and believed only where nobody else could put it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from llamafile_format.engines import compiled
from llamafile_format.engines.compiled import compiled_module

wasmtime = pytest.importorskip("wasmtime")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="the cache is judged by owner and mode")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own; no other place counts."""
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    monkeypatch.setattr("llamafile_format.engines.private_folder.candidates", lambda: iter([cache]))
    return cache / "llamafile-format/compiled"


def module(folder: Path, number: int = 0) -> Path:
    path = folder / f"{number}.wasm"
    path.write_bytes(wasmtime.wat2wasm(f'(module (func (export "_start")) (global i32 (i32.const {number})))'))
    return path


def data(descriptor: int | None) -> bytes:
    assert descriptor is not None
    with open(descriptor, "rb") as file:
        return file.read()


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("it was compiled again")


def test_it_is_compiled_once(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = data(compiled_module(module(tmp_path)))
    wasmtime.Module.deserialize(engine(), first)
    monkeypatch.setattr(compiled, "_compile", refuse)
    assert data(compiled_module(module(tmp_path))) == first
    with pytest.raises(AssertionError, match="again"):
        compiled_module(module(tmp_path, 1))
    monkeypatch.setattr("importlib.metadata.version", lambda _: "999.0")
    with pytest.raises(AssertionError, match="again"):
        compiled_module(module(tmp_path))


def engine() -> object:
    config = wasmtime.Config()
    config.wasm_exceptions = True
    return wasmtime.Engine(config)


def damaged(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1] + b"x")


def open_to_others(file: Path) -> None:
    file.chmod(0o666)


def second_name(file: Path) -> None:
    os.link(file, file.parent.parent / "another")


def link(file: Path) -> None:
    file.rename(file.parent.parent / "elsewhere")
    file.symlink_to(file.parent.parent / "elsewhere")


@pytest.mark.parametrize("change", [damaged, open_to_others, second_name, link])
def test_what_cannot_be_believed_is_made_anew(change, place: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    good = data(compiled_module(module(tmp_path)))
    (file,) = place.iterdir()
    change(file)
    assert data(compiled_module(module(tmp_path))) == good
    assert file.stat().st_nlink == 1
    assert file.stat().st_mode & 0o777 == 0o600
    assert not file.is_symlink()


def test_a_folder_that_others_may_enter_holds_nothing(place: Path, tmp_path: Path) -> None:
    data(compiled_module(module(tmp_path)))
    place.chmod(0o755)
    assert compiled_module(module(tmp_path)) is None


def test_the_oldest_give_way(place: Path, tmp_path: Path) -> None:
    for number in range(6):
        data(compiled_module(module(tmp_path, number)))
    assert len(list(place.iterdir())) == 4


def test_what_is_no_module_is_left_to_whoever_runs_it(place: Path, tmp_path: Path) -> None:
    none = tmp_path / "none.wasm"
    none.write_bytes(b"no module")
    assert compiled_module(none) is None
    assert not list(place.iterdir())


def test_without_wasmtime_there_is_none(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert compiled_module(module(tmp_path)) is None
