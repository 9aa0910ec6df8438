"""Signature records as ``inspect`` shows them: kinds, and what they claim of their makers (spec/1, 13.1.2).

Read, never checked. No key, certificate or time stamp is decoded here: that would load a cryptography library, and a
claim is no truer for it.
"""

from __future__ import annotations

from llamafile_format.container import Container
from llamafile_format.errors import FormatError
from llamafile_format.examining.inspection import RecordView
from llamafile_format.signing.records.record import RecordKind, parse_record_path

MOST_READ = 64  # records whose claims are read; a file may hold a thousand, of a megabyte each
MAX_READ = 1 << 18  # bytes of one that is read: that of a file with 65,534 members is larger, and is only counted


def record_views(container: Container, paths: tuple[str, ...]) -> tuple[RecordView, ...]:
    """One view for each of ``paths``, in order."""
    return tuple(_view(container, path, read=index < MOST_READ) for index, path in enumerate(paths))


def _view(container: Container, path: str, *, read: bool) -> RecordView:
    parsed = parse_record_path(path)
    if parsed is None:
        return RecordView(path, "")
    kind = parsed[1]
    entry = container.archive.entry(path)
    if not read or entry is None or not entry.located or entry.size > MAX_READ:
        return RecordView(path, kind.value)
    if kind in (RecordKind.TSR, RecordKind.VM):
        return RecordView(path, kind.value)
    from llamafile_format.signing.records.envelope import read_bundle
    from llamafile_format.signing.records.statement import read_statement

    try:
        bundle = read_bundle(container.read(path))
        said = read_statement(bundle.payload).annotations
    except FormatError:
        return RecordView(path, kind.value)
    return RecordView(path, kind.value, bundle.method.value, bundle.keyid, said.declared_time if said else "")
