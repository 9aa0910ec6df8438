"""The inputs of a build: found in a folder or fetched, checked by digest, unpacked once (spec/1, 14.5.4)."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from llamafile_format.engines.pin import Input
from llamafile_format.engines.swhid import LEFT_BY_PYTHON
from llamafile_format.errors import FormatError, SourceError, UsageError

Step = Callable[[str, int, int], None]
"""Told what is being done, how far it is, and how far it goes: ``("unpacking zig", 512, 19525)``."""

_PIECE = 1 << 20
_AR, _AR_HEADER = b"!<arch>\n", 60  # bytes of a header in an ar archive


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def from_folder(source: Input, origin: Path, step: Step) -> Path:
    """The input in an offline vault: there, or in its folder ``inputs``. UsageError if it is missing or differs."""
    for path in (origin / "inputs" / source.file, origin / source.file):
        if path.is_file():
            step(f"checking {source.file}", 0, 0)
            check(source, path)
            return path
    raise UsageError(
        f"{origin} does not have {source.file}",
        hint=f"it needs {source.name} {source.version}, SHA-256 {source.sha256}",
    )


def check(source: Input, path: Path) -> None:
    """Raise FormatError unless ``path`` holds the very bytes that the pin names."""
    size = path.stat().st_size
    if size != source.size:
        raise FormatError(f"{path} is not the pinned {source.file}: {size} bytes instead of {source.size}")
    found = file_digest(path)
    if found != source.sha256:
        raise FormatError(
            f"{path} is not the pinned {source.file}", found=found, allowed=source.sha256, hint="fetch it again"
        )


def unpack(source: Input, archive: Path, folder: Path, step: Step) -> Path:
    """Unpack what is needed of ``archive`` at ``folder``; nothing to do if that happened before. The folder."""
    stamp = folder.with_name(f"{folder.name}.unpacked")
    wanted = "\n".join((source.sha256, *source.parts, ""))
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return folder
    partial = folder.with_name(f"{folder.name}.partial")
    for leftover in (partial, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    stamp.unlink(missing_ok=True)
    partial.mkdir(parents=True)
    opened = {".whl": _zip, ".zip": _zip, ".deb": _deb}.get(archive.suffix, _tar)
    for name, mode, data, link, done, total in opened(archive):
        step(f"unpacking {source.id}", done, total)
        if source.parts and not any(name == part or name.startswith(f"{part}/") for part in source.parts):
            continue
        path = partial / _inside(name, archive)
        path.parent.mkdir(parents=True, exist_ok=True)
        if data is None:
            _inside(str(PurePosixPath(name).parent / link), archive)
            path.symlink_to(link)
            continue
        with open(path, "xb") as file:
            shutil.copyfileobj(data, file, _PIECE)
        path.chmod(0o755 if mode & 0o100 else 0o644)
    partial.rename(folder)
    stamp.write_text(wanted, encoding="utf-8")
    return folder


_Entry = tuple[str, int, IO[bytes] | None, str, int, int]


def _zip(archive: Path) -> Iterator[_Entry]:
    """Files of a wheel: name, mode, data, link (never), how many were seen, how many there are."""
    with zipfile.ZipFile(archive) as wheel:
        entries = wheel.infolist()
        for index, entry in enumerate(entries):
            if not entry.is_dir():
                with wheel.open(entry) as data:
                    yield entry.filename, entry.external_attr >> 16, data, "", index, len(entries)


def _tar(archive: Path) -> Iterator[_Entry]:
    """Files and links of a source distribution; how far it is counts in bytes of the archive."""
    with open(archive, "rb") as raw:
        yield from _tar_in(raw, archive.stat().st_size)


def _tar_in(raw: IO[bytes], total: int) -> Iterator[_Entry]:
    with tarfile.open(fileobj=raw, mode="r:*") as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if member.isfile():
                yield name, member.mode, tar.extractfile(member), "", raw.tell(), total
            elif member.issym():
                yield name, member.mode, None, member.linkname, raw.tell(), total


def _deb(archive: Path) -> Iterator[_Entry]:
    """Files and links that a Debian package installs: of the tar in its ar archive that is called ``data``."""
    data = archive.read_bytes()
    at = len(_AR)
    while data.startswith(_AR) and at + _AR_HEADER <= len(data):
        name, size = data[at : at + 16].decode("latin-1"), data[at + 48 : at + 58].strip()
        at += _AR_HEADER
        if not size.isdigit():
            break
        if name.startswith("data.tar"):
            yield from _tar_in(io.BytesIO(data[at : at + int(size)]), int(size))
            return
        at += int(size) + int(size) % 2
    raise FormatError(f"{archive.name} is no Debian package")


def _inside(name: str, archive: Path) -> str:
    """``name`` if it stays inside of the folder it is unpacked in."""
    depth = 0
    for part in PurePosixPath(name).parts:
        depth += -1 if part == ".." else part != "."
        if depth < 0 or part == "/":
            raise FormatError(f"{archive.name} names a file outside of itself: {name!r:.100}")
    return name


def stage(path: Path, copy: Path) -> None:
    """Make ``copy`` equal to the file or folder ``path``; what is equal already keeps its time, for ninja's sake.

    What Python leaves beside sources is not copied, and goes if it is there.
    """
    if path.is_dir():
        copy.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in path.iterdir()} - LEFT_BY_PYTHON
        for leftover in [entry for entry in copy.iterdir() if entry.name not in names]:
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        for name in sorted(names):
            stage(path / name, copy / name)
    elif path.is_file():
        data = path.read_bytes()
        if not copy.is_file() or copy.read_bytes() != data:
            copy.parent.mkdir(parents=True, exist_ok=True)
            partial = copy.with_name(f"{copy.name}.partial")
            partial.write_bytes(data)
            partial.replace(copy)
        copy.chmod(0o755 if os.access(path, os.X_OK) else 0o644)
    else:
        raise SourceError(f"{path} is missing: this installation cannot build")
