"""Python code that others built (spec/1, 14.10): wheels out of a file, read strictly, unpacked into the private cache.

What is unpacked is compared at every start, file by file, with what the wheels say; their own digests are those of a
pin that this installation has. Nothing is imported here: the folder is for a process in the sandbox (``confine``).
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.engines.cache import part_name, sweep
from llamafile_format.engines.pin import Kind, Library, Pin
from llamafile_format.engines.private_folder import folder_path, private_folder
from llamafile_format.engines.private_place import is_own
from llamafile_format.errors import FormatError, RuntimeFailure, SourceError
from llamafile_format.manifest.hashing import sha256_of
from llamafile_format.source import ByteSource
from llamafile_format.zip.contents import blocks, inflate
from llamafile_format.zip.engine_archive import disagreement, is_folder_record
from llamafile_format.zip.entry import Entry
from llamafile_format.zip.names import collisions, name_problems
from llamafile_format.zip.reader import overlapping, read_archive
from llamafile_format.zip.records import STORED

CONFINE = Path(__file__).with_name("confine.py")
"""The program that shuts itself in, and then runs a runner; started, never imported."""
FOLDER = "wheels"
CLAUSE = "14.10.4"
BESIDE = ("config.json", "tokenizer.json")
"""What a runner opens beside the model: its configuration and its tokenizer."""
MOST = 1 << 31  # bytes of everything that is unpacked, and of all files of one wheel
_UNSIGNED = ("RECORD", "RECORD.jws", "RECORD.p7s")
_SELF_STARTING = (".pth",)


@dataclass(frozen=True, slots=True)
class WheelFile:
    """A file in a wheel: where its data lies, and what the wheel's ``RECORD`` says of it (``size`` in bytes)."""

    entry: Entry
    sha256: str
    size: int


def runner_pin(sha256: str) -> Pin | None:
    """The pin here whose build with this SHA-256 is a text that runs Python code of others; None for other builds."""
    from llamafile_format.engines.store import pins

    return next(
        (pin for pin in pins() if pin.kind is Kind.PYTHON_WHEELS and any(one.sha256 == sha256 for one in pin.builds)),
        None,
    )


def wheels_for(pin: Pin, target: str, version: tuple[int, int]) -> tuple[Library, ...]:
    """The wheels of ``pin`` for ``target`` and this Python. RuntimeFailure if one of them has none for it."""
    there = pin.libraries_for(target)
    fitting = [one for one in there if _fits(one.name, version)]
    names = {one.name.split("-")[0] for one in there}
    if missing := sorted(names - {one.name.split("-")[0] for one in fitting}):
        tags = ", ".join(sorted({one.name.split("-")[2] for one in there if one.name.split("-")[0] == missing[0]}))
        raise RuntimeFailure(
            f"{pin.key} has no wheel of {missing[0]} for Python {version[0]}.{version[1]}, which runs this command",
            hint=f"it has wheels for {tags}: start the command with such a Python",
        )
    return tuple(fitting)


def _fits(name: str, version: tuple[int, int]) -> bool:
    """Do the tags of the wheel ``name`` take CPython of ``version``?"""
    python, interface = name.split("-")[2:4]
    own = f"cp{version[0]}{version[1]}"
    if interface == "abi3":
        return python.startswith("cp3") and python[3:].isdigit() and version >= (3, int(python[3:]))
    return (python, interface) in ((own, own), ("py3", "none"))


def read_wheel(source: ByteSource) -> dict[str, WheelFile]:
    """The files of a wheel by name. FormatError if its archive, its names or its ``RECORD`` leave anything open."""
    archive = read_archive(source)
    if not archive.readable or archive.findings or overlapping(archive.entries):
        reason = archive.findings[0].rule if archive.findings else "its entries overlap"
        raise _bad(source, f"its archive is not read strictly: {reason}")
    if archive.tail is None or archive.tail.end != source.size:
        raise _bad(source, "its archive does not end where it does")
    entries = [entry for entry in archive.entries if not is_folder_record(entry)]
    _judge_names(source, entries)
    if sum(entry.size for entry in entries) > MOST:
        raise _bad(source, f"it unpacks to more than {MOST} bytes")
    records = [entry for entry in entries if entry.path.endswith(".dist-info/RECORD") and entry.path.count("/") == 1]
    if len(records) != 1:
        raise _bad(source, f"it has {len(records)} lists of its files")
    listed = _listed(source, b"".join(_contents(source, records[0])))
    found = {}
    for entry in entries:
        own = entry.path.rpartition("/")[0] == records[0].path.rpartition("/")[0]
        if own and entry.path.rpartition("/")[2] in _UNSIGNED:
            listed.pop(entry.path, None)
            continue
        if entry.path not in listed or listed[entry.path][1] != entry.size:
            raise _bad(source, f"{entry.path[:200]} is not as its RECORD says")
        digest, size = listed.pop(entry.path)
        found[entry.path] = WheelFile(entry, digest, size)
    if listed:
        raise _bad(source, f"{min(listed)[:200]} is in its RECORD, and not in it")
    return found


def _judge_names(source: ByteSource, entries: Sequence[Entry]) -> None:
    for entry in entries:
        if reason := disagreement(entry):
            raise _bad(source, f"{entry.path[:200]}: {reason}")
        if name_problems(entry.record.name):
            raise _bad(source, f"the name {entry.path[:200]!r} is not safe")
        if entry.path.endswith(_SELF_STARTING) or entry.path.split("/")[0].endswith(".data"):
            raise _bad(source, f"{entry.path[:200]} would be started or put elsewhere by an installation")
    if found := collisions([entry.path for entry in entries]):
        raise _bad(source, f"{entries[found[0][0]].path[:200]} collides with another name")


def _listed(source: ByteSource, record: bytes) -> dict[str, tuple[str, int]]:
    """What ``RECORD`` says: SHA-256 in hex and bytes of each file but itself."""
    found: dict[str, tuple[str, int]] = {}
    try:
        for name, digest, size in csv.reader(io.StringIO(record.decode("utf-8")), strict=True):
            kind, _, value = digest.partition("=")
            raw = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
            unsigned = name.rpartition("/")[2] in _UNSIGNED and not digest
            if name in found or not (unsigned or (kind == "sha256" and len(raw) == 32 and size.isdecimal())):
                raise ValueError(name)
            found[name] = (raw.hex(), int(size or 0))
    except (ValueError, csv.Error) as error:
        raise _bad(source, f"its RECORD is no list of digests: {str(error)[:200]}") from error
    return found


def _contents(source: ByteSource, entry: Entry) -> Iterator[bytes]:
    """The bytes of ``entry``, never more than it says. FormatError if they do not come to their end."""
    if entry.method != STORED:
        yield from inflate(source, entry, exact=True)
    elif entry.compressed_size != entry.size:
        raise _bad(source, f"{entry.path[:200]} does not have the size that it says")
    else:
        yield from blocks(source, entry.data_offset, entry.size)


def _bad(source: ByteSource, reason: str) -> FormatError:
    return FormatError(f"{source.name} is no wheel that is unpacked: {reason}", clause=CLAUSE)


def unpacked_wheels(pin: Pin, target: str, open_wheel: Callable[[Library], ByteSource]) -> Path:
    """A folder of the private cache with the files of the wheels for this Python, all compared in this run.

    ``open_wheel`` gives the bytes of a wheel, whose digest is compared. FormatError for a wheel that is another or
    is not read strictly, RuntimeFailure where this Python has none, SourceError if no folder takes them.
    """
    wheels = wheels_for(pin, target, sys.version_info[:2])
    sources = {one: open_wheel(one) for one in wheels}
    for wheel, source in sources.items():
        if source.size != wheel.size or sha256_of(source) != wheel.sha256:
            raise FormatError(f"{source.name} is not {wheel.name} as {pin.key} names it", clause=CLAUSE)
    files: dict[str, tuple[ByteSource, WheelFile]] = {}
    for source in sources.values():
        for name, one in read_wheel(source).items():
            if name in files and files[name][1].sha256 != one.sha256:
                raise _bad(source, f"{name[:200]} is in another wheel too")
            files[name] = (source, one)
    if collisions(list(files)) or sum(one.size for _, one in files.values()) > MOST:
        raise FormatError(f"the wheels of {pin.key} do not go into one folder", clause=CLAUSE)
    name = hashlib.sha256("\n".join(wheel.line for wheel in wheels).encode()).hexdigest()
    try:
        with private_folder(FOLDER, make=True):
            pass
        home = folder_path(FOLDER)
        assert home is not None
        sweep(home)
        return _placed(home / name, files)
    except OSError as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"no folder takes the wheels: {error}", hint="name one with LFF_CACHE") from error


def _placed(folder: Path, files: Mapping[str, tuple[ByteSource, WheelFile]]) -> Path:
    """``folder``, which holds exactly ``files``; what lies there and does not is put there anew."""
    wanted = {name: (one.sha256, one.size) for name, (_, one) in files.items()}
    if _holds(folder, wanted):
        return folder
    partial = folder.with_name(part_name(folder.name))
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for name, (source, one) in files.items():
            path = partial / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(path, "xb", opener=_own) as file:
                file.writelines(_contents(source, one.entry))
        if not _holds(partial, wanted):
            raise FormatError("the wheels do not hold what their lists say", clause=CLAUSE)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            partial.rename(folder)
        except OSError:  # another start was faster
            if not _holds(folder, wanted):
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _own(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _holds(folder: Path, wanted: Mapping[str, tuple[str, int]]) -> bool:
    """Is in ``folder`` every file that is ``wanted``, with its digest, this user's alone, and nothing else?"""
    if not folder.is_dir() or folder.is_symlink():
        return False
    seen = set()
    for place, folders, names in os.walk(folder):
        if any(not is_own(os.lstat(os.path.join(place, each))) for each in (".", *folders)):
            return False
        for each in names:
            path = Path(place, each)
            name, info = path.relative_to(folder).as_posix(), path.lstat()
            digest, size = wanted.get(name, ("", -1))
            if not stat.S_ISREG(info.st_mode) or not is_own(info) or info.st_size != size:
                return False
            with open(path, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    return False
            seen.add(name)
    return seen == wanted.keys()
