"""The status of kept files as text, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llamafile_format.keeping import FileStatus, Status
from llamafile_format.plain_json import plain
from llamafile_format.reports.escape import printable
from llamafile_format.reports.numbers import plural, size_text


def status_value(status: Status) -> dict[str, Any]:
    """Everything in ``status``, for programs."""
    files = [{**plain(file), "protected": file.protected} for file in status.files]
    return {**plain(status), "files": files, "level": status.level}


def status_text(status: Status) -> str:
    """A block of lines for each file, and what it comes to."""
    lines = [line for file in status.files for line in _file(file, status)]
    lines += [f"note: {printable(note)}" for note in status.notes]
    if not status.files and not status.notes:
        return "nothing here is a container, or was recorded as one"
    lines.append(
        f"{plural(len(status.files), 'file')}, {sum(file.protected for file in status.files)} protected; "
        f"NDSA level for integrity: {status.level} of 4"
    )
    return "\n".join(lines)


def _file(file: FileStatus, status: Status) -> Iterator[str]:
    yield f"{printable(file.path)}  {size_text(file.size)}{f'  {file.word}' if file.word else ''}"
    if file.detail:
        yield f"  {printable(file.detail)}"
    yield f"  protected  {protection_of(file)}"
    if status.state:
        yield f"  proven     {proof_of(file)}"
    for due in file.due:
        yield f"  next       {due.day or 'now'}  {due.what}: {printable(due.why)}"
    yield f"  level      {file.level.reached} of 4"
    for lacking in file.level.lacking:
        yield f"             not {file.level.reached + 1}: {lacking}"


def protection_of(file: FileStatus) -> str:
    """Which recovery data a file has."""
    parts = [f"{file.inside} % inside"] if file.inside else []
    if file.beside:
        parts.append(f"{file.beside} % beside{', out of date' if file.outdated else ''}")
    parts.append(f"{plural(file.signatures, 'signature record')}")
    return ", ".join(parts if len(parts) > 1 else ["no recovery data", *parts])


def proof_of(file: FileStatus) -> str:
    """When a file was proven."""
    if file.proven:
        return f"{file.proven} (first {file.first})"
    return f"never whole: {file.read} of {file.size} bytes" if file.read else "never"
