"""Fetch an input through pip's package indexes: resumed where it stopped, and kept only with the pinned digest."""

from __future__ import annotations

import shutil
import urllib.error
from http.client import HTTPException
from pathlib import Path

from llamafile_format.engines.index import Settings, local_path, open_url, pip_settings, places, without_secrets
from llamafile_format.engines.pin import Input
from llamafile_format.engines.sources import Step, check, from_folder
from llamafile_format.errors import FormatError, SourceError

_PIECE = 1 << 18
_ATTEMPTS = 4  # connections per address; each goes on where the one before stopped


def obtain(source: Input, origin: Path | None, folder: Path, step: Step) -> Path:
    """The file of an input, its digest checked in this run.

    From the offline vault ``origin`` alone if there is one; otherwise from ``folder``, fetched there if it is missing.
    """
    if origin is not None:
        return from_folder(source, origin, step)
    return fetch(source, folder, step)


def fetch(source: Input, folder: Path, step: Step, settings: Settings | None = None) -> Path:
    """The input in ``folder``, fetched if it is not there already. FormatError or SourceError if nobody has it."""
    path = folder / source.file
    if path.is_file():
        step(f"checking {source.file}", 0, 0)
        check(source, path)
        return path
    folder.mkdir(parents=True, exist_ok=True)
    settings = settings or pip_settings()
    failures = []
    for place in places(source, settings):
        partial = path.with_name(f"{path.name}.part")
        try:
            _copy(place, source, partial, settings, step)
            check(source, partial)
        except FormatError as error:
            partial.unlink(missing_ok=True)
            failures.append(str(error))
            continue
        except (OSError, HTTPException) as error:
            failures.append(f"{without_secrets(place)}: {getattr(error, 'reason', None) or error}")
            continue
        partial.replace(path)
        return path
    raise SourceError(f"cannot fetch {source.file}", hint="; ".join(failures))


def _copy(place: str, source: Input, partial: Path, settings: Settings, step: Step) -> None:
    """Make ``partial`` as long as the input, from a path or an address."""
    local = local_path(place)
    if local is not None:
        step(f"copying {source.file}", 0, source.size)
        shutil.copyfile(local, partial)
        return
    for attempt in range(_ATTEMPTS):
        if partial.is_file() and partial.stat().st_size >= source.size:
            return
        try:
            _resume(place, source, partial, settings, step)
        except (urllib.error.URLError, ConnectionError, TimeoutError, HTTPException) as error:
            final = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if final or attempt == _ATTEMPTS - 1:
                raise
    if partial.stat().st_size < source.size:
        raise SourceError("the connection breaks; what arrived is kept, so try again")


def _resume(url: str, source: Input, partial: Path, settings: Settings, step: Step) -> None:
    """Read on where ``partial`` ends; from the beginning if the server knows no ranges."""
    there = partial.stat().st_size if partial.is_file() else 0
    headers = {"Accept-Encoding": "identity"}
    if there:
        headers["Range"] = f"bytes={there}-"
    with open_url(url, settings, headers) as answer:
        goes_on = answer.status == 206
        with open(partial, "ab" if goes_on else "wb") as file:
            done = there if goes_on else 0
            while done < source.size and (piece := answer.read1(min(_PIECE, source.size - done))):
                done += file.write(piece)
                step(f"fetching {source.name} {source.version}", done, source.size)
