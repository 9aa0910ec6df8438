"""Builds and the private cache: only whole programs with their digest, only in folders that nobody else can enter."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from llamafile_format.engines import cache, store
from llamafile_format.engines.cache import place
from llamafile_format.engines.host import host_target
from llamafile_format.engines.members import RuntimeName, companion_path, parse_runtime_path, runtime_path
from llamafile_format.engines.packed import compress, pieces
from llamafile_format.engines.pin import Flavour
from llamafile_format.errors import FormatError, SourceError, UsageError
from tests.runtime_samples import program, use, write_pin

DATA = b"#!/bin/sh\necho started\n" * 100
DIGEST = hashlib.sha256(DATA).hexdigest()
posix = pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX's")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "shared"))
    monkeypatch.setenv("LFF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put(data: bytes = DATA, digest: str = DIGEST, size: int = len(DATA)) -> Path:
    return place(digest, size, lambda: [data[:50], data[50:]])


# Pins and builds


def test_pins_of_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pin(tmp_path / "pins", "0.9.2")
    write_pin(tmp_path / "pins", "0.10.1")
    use(tmp_path / "pins", monkeypatch)
    assert [pin.key for pin in store.pins()] == ["llama.cpp@0.10.1", "llama.cpp@0.9.2"]
    assert store.find_pin("llama.cpp").version == "0.10.1"
    with pytest.raises(UsageError) as caught:
        store.find_pin("bitnet.cpp")
    assert caught.value.hint == "there is: llama.cpp@0.10.1, llama.cpp@0.9.2"
    monkeypatch.delenv("LFF_RUNTIMES")
    assert store.find_pin("llama.cpp").version != "0.10.1"


def test_a_pin_that_lacks_builds_is_taken_by_its_version_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = write_pin(tmp_path / "pins", "0.3.36+1")
    targets = yaml.safe_load((lacking / "runtime.yaml").read_text("utf-8"))["targets"]
    whole = write_pin(tmp_path / "pins", "0.3.36", {("reference", t["name"]): b"x" for t in targets})
    use(tmp_path / "pins", monkeypatch)
    assert [pin.complete for pin in store.pins()] == [False, True]
    assert store.find_pin("llama.cpp").version == "0.3.36"
    assert store.find_pin("llama.cpp@0.3.36+1").version == "0.3.36+1"
    whole.rename(tmp_path / "away")
    store._pins_in.cache_clear()
    assert store.find_pin("llama.cpp").version == "0.3.36+1", "the newest, if none is complete"


def test_a_build_is_unpacked_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pin(tmp_path / "pins")
    use(tmp_path / "pins", monkeypatch)
    pin = store.find_pin("llama.cpp")
    build = pin.build("linux-x86_64", Flavour.NATIVE)
    assert build is not None
    path = store.unpacked(pin, build)
    assert path.read_bytes() == store.read_build(pin, build) == program("native", "linux-x86_64")
    assert store.webui(pin).name == "webui.tar"
    (pin.folder / build.file).write_bytes(compress(b"x" * build.size))
    with pytest.raises(FormatError, match="damaged"):
        store.read_build(pin, build)
    assert store.unpacked(pin, build) == path  # what the cache has is still right
    path.unlink()
    with pytest.raises(FormatError, match="damaged"):
        store.unpacked(pin, build)
    (pin.folder / build.file).write_bytes(b"no frame")
    with pytest.raises(FormatError, match="damaged"):
        store.unpacked(pin, build)
    (pin.folder / build.file).unlink()
    assert not store.is_here(pin, build)
    with pytest.raises(SourceError, match="is not here") as caught:
        store.unpacked(pin, build)
    assert "runtimes build llama.cpp@0.3.36" in caught.value.hint


def test_compression_round_trip(tmp_path: Path) -> None:
    data = os.urandom(1000) + bytes(3_000_000)
    assert compress(data) == compress(data)
    (tmp_path / "x").write_bytes(compress(data))
    assert b"".join(pieces(tmp_path / "x", len(data))) == data
    assert len(b"".join(pieces(tmp_path / "x", 100))) == 101  # a frame that holds more is not read to its end


# The cache


@posix
def test_a_program_is_placed_once(own_cache: Path) -> None:
    path = put()
    assert path == own_cache / "llamafile-format" / "rt" / DIGEST / "runtime"
    assert path.stat().st_mode & 0o777 == 0o700
    assert path.parent.stat().st_mode & 0o777 == 0o700
    before = path.stat().st_ino
    assert put() == path
    assert path.stat().st_ino == before
    assert subprocess.run([path], capture_output=True, check=True).stdout.startswith(b"started")


def test_a_damaged_program_is_replaced() -> None:
    path = put()
    path.write_bytes(DATA[:-1] + b"!")
    assert put().read_bytes() == DATA


def test_wrong_bytes_are_never_placed(own_cache: Path) -> None:
    with pytest.raises(FormatError, match="damaged"):
        put(DATA[:-1])
    with pytest.raises(FormatError, match="damaged"):
        put(DATA + b"more")
    assert list((own_cache / "llamafile-format" / "rt" / DIGEST).iterdir()) == []


@posix
def test_folders_of_others_are_passed_over(own_cache: Path, tmp_path: Path) -> None:
    folder = own_cache / "llamafile-format" / "rt" / DIGEST
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert put() == tmp_path / "home" / ".cache" / "llamafile-format" / "rt" / DIGEST / "runtime"


@posix
def test_a_link_is_not_followed(own_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (own_cache / "llamafile-format" / "rt").mkdir(parents=True)
    (own_cache / "llamafile-format" / "rt" / DIGEST).symlink_to(tmp_path / "elsewhere")
    assert put().is_relative_to(tmp_path / "home")


@posix
def test_a_shared_folder_of_somebody_else_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LFF_CACHE")
    monkeypatch.delenv("HOME")
    trap = tmp_path / "shared" / f"lff-{os.getuid()}"
    trap.mkdir(parents=True)
    trap.chmod(0o777)
    monkeypatch.setattr(cache, "candidates", lambda: iter([trap, tmp_path / "last"]))
    assert put().is_relative_to(tmp_path / "last")


@posix
def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = os.getuid()
    expected = [tmp_path / "cache", tmp_path / "home/.cache", tmp_path / f"shared/lff-{user}", Path(f"/tmp/lff-{user}")]
    if sys.platform != "darwin":
        assert list(cache.candidates()) == expected
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert list(cache.candidates())[1] == tmp_path / "xdg"


@posix
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may write everywhere")
def test_a_read_only_cache_is_passed_over(own_cache: Path, tmp_path: Path) -> None:
    own_cache.mkdir()
    own_cache.chmod(0o500)
    assert put().is_relative_to(tmp_path / "home")


def test_no_folder_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(cache, "candidates", lambda: iter([tmp_path / "file" / "x"]))
    with pytest.raises(SourceError, match="no folder takes the program") as caught:
        put()
    assert "LFF_CACHE" in caught.value.hint


def test_forty_first_starts_at_once(own_cache: Path) -> None:
    code = (
        "import hashlib,sys;from llamafile_format.engines.cache import place;"
        "d=b'#!/bin/sh\\necho ok\\n'*5000;"
        "p=place(hashlib.sha256(d).hexdigest(),len(d),lambda:[d]);sys.exit(p.read_bytes()!=d)"
    )
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(8)]
    assert [process.wait() for process in running] == [0] * 8
    (folder,) = (own_cache / "llamafile-format" / "rt").iterdir()
    assert len(list(folder.iterdir())) == 1


def test_what_another_command_put_there_first_stays(own_cache: Path) -> None:
    """Somebody may be reading it: a file that is exchanged looks like one that changed."""

    def slow() -> Iterator[bytes]:
        yield DATA[:50]
        target = own_cache / "llamafile-format" / "rt" / DIGEST / "runtime"
        target.write_bytes(DATA)
        target.chmod(0o700)
        seen.append(target.stat())
        yield DATA[50:]

    seen: list[os.stat_result] = []
    path = place(DIGEST, len(DATA), slow)
    (before,) = seen
    assert (path.stat().st_ino, path.stat().st_ctime_ns) == (before.st_ino, before.st_ctime_ns)
    assert [file.name for file in path.parent.iterdir()] == ["runtime"]


# Names


def test_member_paths(tmp_path: Path) -> None:
    from llamafile_format.engines.pin_reader import load_pin

    pin = load_pin(write_pin(tmp_path))
    path = runtime_path(pin, Flavour.REFERENCE, "wasm32-wasi")
    assert path == "runtimes/llama.cpp/0.3.36/reference/wasm32-wasi"
    name = RuntimeName("llama.cpp", "0.3.36", Flavour.REFERENCE, "wasm32-wasi")
    assert parse_runtime_path(path) == name
    assert (name.path, name.key) == (path, "llama.cpp@0.3.36")
    assert companion_path(pin, "webui.tar") == "runtimes/llama.cpp/0.3.36/webui.tar"


@pytest.mark.parametrize(
    "path",
    [
        "runtimes/llama.cpp/0.3.36/native/linux-x86_64/x",
        "runtimes/llama.cpp/0.3.36/debug/linux-x86_64",
        "runtimes/llama.cpp/0.3.36/native/linux",
        "runtimes/../0.3.36/native/linux-x86_64",
        "runtimes/llama.cpp//native/linux-x86_64",
        "runtimes/llama.cpp/0.3.36/webui.tar",
        "Runtimes/llama.cpp/0.3.36/native/linux-x86_64",
        "runtimes/llama.cpp/0.3.36/native/linux-x86_64\n",
    ],
)
def test_other_paths_name_no_runtime(path: str) -> None:
    assert parse_runtime_path(path) is None


@pytest.mark.parametrize(
    ("system", "processor", "target"),
    [
        ("Linux", "x86_64", "linux-x86_64"),
        ("Linux", "riscv64", "linux-riscv64"),
        ("Darwin", "arm64", "macos-aarch64"),
        ("Windows", "AMD64", "windows-x86_64"),
        ("FreeBSD", "amd64", "freebsd-x86_64"),
        ("OpenBSD", "amd64", "openbsd-x86_64"),
        ("Plan9", "amd64", None),
        ("Linux", "s390x", None),
    ],
)
def test_targets_of_machines(system: str, processor: str, target: str | None) -> None:
    assert host_target(system, processor) == target
