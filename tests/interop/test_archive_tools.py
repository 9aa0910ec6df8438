"""What we write, real archive programs read: the same members, the same bytes, no complaint."""

from __future__ import annotations

import hashlib
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import llamafile_format
from tests.laws.containers import tiny_gguf
from tests.repack_samples import gguf

pytestmark = pytest.mark.interop
Tool = Callable[[str], str]


def _container(folder: Path, prefix: bytes = b"", **options: object) -> Path:
    model, extra = folder / "model.gguf", folder / "Grüße.txt"
    model.write_bytes(tiny_gguf(values=5000))
    extra.write_text("Grüße\n", "utf-8")
    engine: str | Path = "none"
    if prefix:
        engine = folder / "engine"
        engine.write_bytes(prefix)
    out = folder / "m.llamafile"
    llamafile_format.pack([model, extra], out, prefix=engine, args="-m model.gguf ...", **options)  # type: ignore[arg-type]
    return out


PREFIXES = {"none": b"", "script": b"#!/bin/sh\nexit 0\n", "mz": b"MZ" + bytes(300)}


@pytest.fixture(params=PREFIXES)
def packed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return _container(tmp_path, PREFIXES[request.param])


def _members(path: Path) -> dict[str, str]:
    with llamafile_format.open(path) as container:
        return {m.path: hashlib.sha256(container.read(m.path)).hexdigest() for m in container.members}


def _tree(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


COMMANDS = {
    "unzip": ["unzip", "-q", "{file}", "-d", "{out}"],
    "7z": ["7z", "x", "-y", "-bd", "-tzip", "-o{out}", "{file}"],
    "bsdtar": ["bsdtar", "-x", "-f", "{file}", "-C", "{out}"],
    "busybox": ["busybox", "unzip", "-q", "{file}", "-d", "{out}"],
    "jar": ["jar", "xf", "{file}"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_extracts_identical_bytes(name: str, tool: Tool, packed: Path, tmp_path: Path) -> None:
    program = tool(name)
    out = tmp_path / "out"
    out.mkdir()
    command = [part.format(file=packed, out=out) for part in COMMANDS[name]]
    env = {**os.environ, "LC_ALL": "C.UTF-8"}
    result = subprocess.run([program, *command[1:]], cwd=out, capture_output=True, env=env, check=False, text=True)
    assert result.returncode == 0, result.stderr
    assert _tree(out) == _members(packed)


def test_unzip_tests_clean(tool: Tool, packed: Path) -> None:
    result = subprocess.run([tool("unzip"), "-t", packed], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert "warning" not in (result.stdout + result.stderr).lower()


def test_zip_tests_clean(tool: Tool, packed: Path) -> None:
    result = subprocess.run([tool("zip"), "-T", packed], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.usefixtures("tiny_runtimes")
def test_7zip_reads_what_a_launcher_starts(tool: Tool, tmp_path: Path) -> None:
    """Clause 14.2.13: the ELF header as version 1 kept it misleads 7-Zip, and nothing else does."""
    model, file = tmp_path / "model.gguf", tmp_path / "m.llamafile"
    model.write_bytes(gguf("m"))
    data = bytearray(llamafile_format.pack([model], file).path.read_bytes())

    def seven(command: str, *options: str) -> bool:
        shown = subprocess.run([tool("7z"), command, *options, file], capture_output=True, text=True, check=False)
        return shown.returncode == 0 and ("META-LLAMAFILE/manifest.json" in shown.stdout or command == "t")

    assert all(seven(command, *options) for command in "lt" for options in ((), ("-tzip",)))
    for form in ("elf-x86_64", "elf-aarch64"):
        llamafile_format.convert(file, form)
        assert seven("l", "-tzip")
        llamafile_format.convert(file, "polyglot")
        assert file.read_bytes() == data
    data[0xFE80] ^= 0xFF
    file.write_bytes(data)
    assert data[0xFE80:0xFE84] == b"\x7fELF"
    assert seven("l", "-tzip")
    assert not seven("l")


def test_zipfile_agrees_on_every_member(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive, llamafile_format.open(packed) as container:
        assert [info.filename for info in archive.infolist()] == [m.path for m in container.members]
        for info, member in zip(archive.infolist(), container.members, strict=True):
            assert (info.file_size, info.CRC, info.compress_type) == (member.size, member.crc32, 0)
            assert archive.read(info) == container.read(member.path)
        assert archive.comment == b"llamafile-format/1"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unzip", "7z", "bsdtar", "jar"])
def test_zip64_listing(name: str, tool: Tool, tmp_path: Path) -> None:
    """A sparse model past 4 GiB in front of other members: Zip64 where needed, and everybody finds all of them."""
    import struct

    program = tool(name)
    out = tmp_path / "big.llamafile"
    _sparse_container(out, 5 << 30)
    listing = {
        "unzip": ["-l", out],
        "7z": ["l", "-ba", "-tzip", out],
        "bsdtar": ["-t", "-f", out],
        "jar": ["tf", out],
    }[name]
    shown = subprocess.run([program, *listing], capture_output=True, text=True, check=True).stdout
    for path in ("META-LLAMAFILE/README.txt", "model.gguf", "META-LLAMAFILE/manifest.json"):
        assert path in shown
    with zipfile.ZipFile(out) as archive:
        info = archive.getinfo("model.gguf")
        assert 4 << 30 < info.file_size <= 5 << 30
        assert struct.unpack("<H", archive.getinfo("META-LLAMAFILE/manifest.json").extra[:2]) == (1,)


def _sparse_container(out: Path, size: int) -> None:
    """A container whose weights are a hole: assembled with digests that are known beforehand, so nothing is hashed."""
    from tests.laws.sparse import sparse_container

    sparse_container(out, size)


def test_file_and_manifest_by_hand(tool: Tool, packed: Path) -> None:
    """The procedure of META-LLAMAFILE/README.txt, typed as printed: silent on a good file, one line for a bad byte."""
    unzip = tool("unzip")
    text = subprocess.run(
        [unzip, "-p", packed, "META-LLAMAFILE/README.txt"], capture_output=True, text=True, check=True
    )
    lines = text.stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if "while read" in line)
    end = next(i for i, line in enumerate(lines) if line.strip() == "done")
    script = "\n".join(lines[start : end + 1])
    good = subprocess.run(
        ["sh", "-c", script], env={**os.environ, "F": str(packed)}, capture_output=True, text=True, check=True
    )
    assert good.stdout == ""
    data = bytearray(packed.read_bytes())
    with llamafile_format.open(packed) as container:
        at = next(m.offset for m in container.members if m.role == "weights") + 100
    data[at] ^= 1
    bad = packed.with_name("bad.llamafile")
    bad.write_bytes(data)
    shown = subprocess.run(
        ["sh", "-c", script], env={**os.environ, "F": str(bad)}, capture_output=True, text=True, check=True
    )
    assert "model.gguf" in shown.stdout
    assert shown.stdout.count("damaged") == 1


def test_manifest_names_the_list_digest_by_hand(tool: Tool, packed: Path) -> None:
    tool("unzip")
    text = subprocess.run(
        ["unzip", "-p", packed, "META-LLAMAFILE/README.txt"], capture_output=True, text=True, check=True
    )
    printed = text.stdout.replace("|\n", "| ").splitlines()
    lines = [line.strip() for line in printed if line.startswith("    unzip -p")]
    shown = [
        subprocess.run(
            ["sh", "-c", line], env={**os.environ, "F": str(packed)}, capture_output=True, text=True, check=True
        )
        for line in lines[:2]
    ]
    assert shown[0].stdout.split()[0] == shown[1].stdout.strip().rstrip('",')
