"""Libraries that others built, which an engine loads (spec/1, 14.9): out of their package, by digest; or wheels whole.

Packages are never part of this installation. They are fetched once, by the digest that the pin names, into the folder
where inputs of builds lie; a library is taken out of its package into the private cache.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from llamafile_format.engines.cache import place, work_folder
from llamafile_format.engines.fetch import obtain
from llamafile_format.engines.pin import Input, Library, Pin
from llamafile_format.engines.sources import Step, check
from llamafile_format.errors import FormatError, SourceError

MARK = b"llamafile-libraries/1 "
"""How the list of libraries in a program begins; then the target, a line feed, and a line for each (14.9.3)."""
_LONGEST = 64 << 10  # bytes of a list
_PIECE = 1 << 20


def packages(pin: Pin, target: str = "") -> tuple[Input, ...]:
    """The inputs that hold the libraries of ``pin``, of all targets or of one."""
    wanted = {library.input for library in pin.libraries if target in ("", library.target)}
    return tuple(source for source in pin.inputs if source.id in wanted)


def package_here(pin: Pin, library: Library) -> Path | None:
    """Where the package of ``library`` lies, by its name; nobody has looked into it yet."""
    path = work_folder("inputs") / _package(pin, library).file
    return path if path.is_file() else None


def fetch_packages(pin: Pin, target: str, origin: Path | None, step: Step) -> list[Path]:
    """Fetch what holds the libraries of ``pin``, or take it from the vault ``origin``, into the folder of inputs."""
    folder, found = work_folder("inputs"), []
    for source in packages(pin, target):
        path = obtain(source, origin, folder, step)
        if origin is not None and path.parent != folder:
            path = _kept(path, folder / source.file)
        found.append(path)
    return found


def library_file(pin: Pin, library: Library) -> Path:
    """The library in the private cache, or the whole wheel, its digest checked in this run.

    SourceError that says how to get it.
    """
    package = package_here(pin, library)
    if package is None:
        source = _package(pin, library)
        raise SourceError(
            f"{source.file}, which others built and {pin.key} needs, is not here",
            hint=f"llamafile-format runtimes fetch {pin.key} fetches it by its digest; or put it into "
            f"{work_folder('inputs')}",
        )
    check(_package(pin, library), package)
    if not library.member:  # a wheel is carried whole
        return package
    return place(library.sha256, library.size, lambda: _pieces(package, library), library.name)


def listed(program: bytes) -> tuple[str, ...]:
    """The lines of the list of libraries in ``program``; empty if it has none, or one without an end."""
    at = program.find(MARK)
    end = program.find(b"\0", at, at + _LONGEST) if at >= 0 else -1
    if end < 0:
        return ()
    return tuple(program[at + len(MARK) : end].decode("utf-8", "replace").splitlines())


def list_of(pin: Pin, target: str) -> tuple[str, ...]:
    """What the list in the program for ``target`` has to say."""
    return (target, *(library.line for library in pin.libraries_for(target)))


def _package(pin: Pin, library: Library) -> Input:
    return next(source for source in pin.inputs if source.id == library.input)


def _kept(path: Path, copy: Path) -> Path:
    copy.parent.mkdir(parents=True, exist_ok=True)
    partial = copy.with_name(f"{copy.name}.part")
    partial.write_bytes(path.read_bytes())
    partial.replace(copy)
    return copy


def _pieces(package: Path, library: Library) -> Iterator[bytes]:
    """The bytes of a library, as they come out of its package, and no more than it has."""
    left = library.size + 1
    try:
        with zipfile.ZipFile(package) as archive, archive.open(library.member) as data:
            while left and (piece := data.read(min(_PIECE, left))):
                left -= len(piece)
                yield piece
    except (KeyError, zipfile.BadZipFile) as error:
        raise FormatError(f"{package} does not hold {library.member}: {error}", clause="14.9.2") from error
