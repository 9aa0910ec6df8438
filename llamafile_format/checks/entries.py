"""One directory record against its local header, and both against what is allowed (spec/1, 4.3 and 4.6)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from llamafile_format.findings import Finding, Value, Where
from llamafile_format.zip.entry import Entry, apply_zip64, extra_fields, extra_is_whole, local_sizes
from llamafile_format.zip.names import is_weights_name
from llamafile_format.zip.records import (
    DEFLATED,
    EXTRA_UNICODE_PATH,
    EXTRA_ZIP64,
    FLAG_DATA_DESCRIPTOR,
    FLAG_ENCRYPTED,
    FLAG_MASKED_HEADERS,
    FLAG_STRONG_ENCRYPTION,
    FLAG_UTF8,
    SENTINEL32,
    STORED,
    LocalHeader,
)
from llamafile_format.zip.writer import CANONICAL, VERSION_MADE, VERSION_STORED, VERSION_ZIP64

EXTRA_UNICODE_COMMENT = 0x6375
EXTRA_AES = 0x9901
_CODE_PAGES = ("utf-8", "cp437", "cp850", "cp1252", "latin-1")  # what ZIP tools wrote names in before UTF-8
_SECRET = FLAG_ENCRYPTED | FLAG_STRONG_ENCRYPTION | FLAG_MASKED_HEADERS
_TYPE, _REGULAR, _FOLDER = 0o170000, 0o100000, 0o040000
_DOS_FOLDER = 0x10
_MODES = (0o100644, 0o100755)


def check_entry(entry: Entry, *, canonical: bool) -> list[Finding]:
    """Findings about one entry. ``canonical`` also demands the one encoding that this format's writer emits."""
    findings = [*_check_flags(entry), *_check_method(entry, canonical=canonical)]
    if entry.header is not None:
        findings += _check_agreement(entry, entry.header)
    findings += _check_extras(entry, canonical=canonical)
    findings += _check_type(entry, canonical=canonical)
    if canonical:
        findings += _check_fields(entry, {finding.rule for finding in findings})
    return findings


def _at_record(entry: Entry, field: str) -> Where:
    return Where(entry.record_offset, entry.record.length, entry.path, field)


def _at_header(entry: Entry, field: str) -> Where:
    length = entry.header.length if entry.header else None
    return Where(entry.header_offset, length, entry.path, field)


def _check_flags(entry: Entry) -> Iterator[Finding]:
    flags = entry.record.flags | (entry.header.flags if entry.header else 0)
    if flags & _SECRET:
        yield Finding("LF2021", _at_record(entry, "flags"), {"path": entry.path, "flags": f"0x{flags:04x}"})
    if flags & FLAG_DATA_DESCRIPTOR:
        yield Finding("LF2022", _at_record(entry, "flags"), {"path": entry.path})


def _check_method(entry: Entry, *, canonical: bool) -> Iterator[Finding]:
    stored_only = canonical or is_weights_name(entry.path)
    allowed = (STORED,) if stored_only else (STORED, DEFLATED)
    if entry.method not in allowed:
        names = " or ".join(map(str, allowed))
        args: dict[str, Value] = {"path": entry.path, "method": entry.method, "allowed": names}
        yield Finding("LF2023", _at_record(entry, "method"), args)
    if entry.method == STORED and entry.size != entry.compressed_size and not _sentinels_unresolved(entry):
        args = {"path": entry.path, "size": entry.size, "compressed": entry.compressed_size}
        yield Finding("LF2024", _at_record(entry, "compressed_size"), args)


def _sentinels_unresolved(entry: Entry) -> bool:
    record = entry.record
    return apply_zip64(record.extra, record.size, record.compressed_size, record.header_offset) is None


def _check_agreement(entry: Entry, header: LocalHeader) -> Iterator[Finding]:
    """Every field that both headers carry must say the same: some readers believe one, some the other."""
    record = entry.record
    if header.name != record.name:
        args = {"path": entry.path, "local": repr(header.name)[1:80]}
        yield Finding("LF2019", _at_header(entry, "name"), args)
    if header.method != record.method:
        args = {"path": entry.path, "local": str(header.method), "directory": str(record.method)}
        yield Finding("LF2017", _at_header(entry, "method"), args)
    if header.flags != record.flags:
        args = {"path": entry.path, "local": f"0x{header.flags:04x}", "directory": f"0x{record.flags:04x}"}
        yield Finding("LF2020", _at_header(entry, "flags"), args)
    sizes = local_sizes(header)
    if sizes is None:
        yield Finding("LF2012", _at_header(entry, "size"), {"what": "a local header"})
        return
    deferred = header.flags & FLAG_DATA_DESCRIPTOR and (header.crc32, *sizes) == (0, 0, 0)
    if (header.crc32, *sizes) != (entry.crc32, entry.size, entry.compressed_size) and not deferred:
        local = f"{sizes[0]}/{sizes[1]}/{header.crc32:08x}"
        directory = f"{entry.size}/{entry.compressed_size}/{entry.crc32:08x}"
        yield Finding("LF2018", _at_header(entry, "size"), {"path": entry.path, "local": local, "directory": directory})


def _check_extras(entry: Entry, *, canonical: bool) -> Iterator[Finding]:
    record = entry.record
    values = (record.size, record.compressed_size, record.header_offset)
    yield from _check_extra(entry, _at_record(entry, "extra"), record.extra, values, canonical=canonical)
    if entry.header is not None:
        values_ = (entry.header.size, entry.header.compressed_size)
        yield from _check_extra(entry, _at_header(entry, "extra"), entry.header.extra, values_, canonical=canonical)
    if canonical and EXTRA_ZIP64 in (kind for kind, _ in extra_fields(record.extra)):
        large = entry.size >= SENTINEL32 or entry.header_offset >= SENTINEL32
        if not large:
            yield Finding("LF2002", _at_record(entry, "extra"), {"what": entry.path})


def _check_extra(
    entry: Entry, where: Where, extra: bytes, values: tuple[int, ...], *, canonical: bool
) -> Iterator[Finding]:
    """The extra field of one header whose 32-bit ``values`` may be sentinels."""
    if not extra:
        return
    fields = list(extra_fields(extra))
    if not extra_is_whole(extra) and (canonical or extra.strip(b"\0")):
        yield Finding("LF2025", where, {"path": entry.path, "why": "does not end with a whole field"})
        return
    wide = [body for kind, body in fields if kind == EXTRA_ZIP64]
    needed = 8 * values.count(SENTINEL32)
    if len(wide) > 1:
        yield Finding("LF2025", where, {"path": entry.path, "why": "holds the Zip64 field twice"})
    elif wide and len(wide[0]) > needed:
        why = "holds Zip64 values for fields that have their own value"
        yield Finding("LF2025" if canonical else "LF7022", where, {"path": entry.path, "why": why})
    for kind, body in fields:
        if kind in (EXTRA_UNICODE_PATH, EXTRA_UNICODE_COMMENT):
            same = not canonical and kind == EXTRA_UNICODE_PATH and _says_the_same(body, entry.record.name)
            yield Finding("LF7023" if same else "LF2026", where, {"path": entry.path})
        elif kind == EXTRA_AES:
            yield Finding("LF2021", where, {"path": entry.path, "flags": "AES"})
        elif canonical and kind != EXTRA_ZIP64:
            yield Finding("LF2027", where, {"path": entry.path, "kind": f"0x{kind:04x}"})


def _says_the_same(body: bytes, name: bytes) -> bool:
    """True if a Unicode path field holds ``name`` itself, in UTF-8.

    Info-ZIP writes the field beside a name in the code page of its day; another name in it would be a second face.
    """
    if len(body) < 6 or body[0] != 1 or int.from_bytes(body[1:5], "little") != zlib.crc32(name):
        return False
    try:
        unicode = body[5:].decode("utf-8")
    except UnicodeDecodeError:
        return False
    return any(name == _encoded(unicode, page) for page in _CODE_PAGES)


def _encoded(text: str, page: str) -> bytes | None:
    try:
        return text.encode(page)
    except UnicodeEncodeError:
        return None


def _check_type(entry: Entry, *, canonical: bool) -> Iterator[Finding]:
    """File, folder or link: name, mode and DOS bits must agree. Slash names are judged with the names."""
    record = entry.record
    mode = record.external_attributes >> 16 if record.version_made >> 8 == 3 else 0
    kind = mode & _TYPE
    folder = entry.path.endswith("/")
    why = ""
    if kind not in (0, _REGULAR, _FOLDER):
        why = "its mode makes it a link or a device"
    elif folder and entry.size:
        why = "its name makes it a folder, yet it has data"
    elif not folder and (kind == _FOLDER or record.external_attributes & _DOS_FOLDER):
        why = "its attributes make it a folder, its name a file"
    elif folder and kind == _REGULAR and not canonical:
        why = "its name makes it a folder, its mode a file"
    if why:
        yield Finding("LF2030", _at_record(entry, "external_attributes"), {"path": entry.path, "why": why})


def _check_fields(entry: Entry, reported: set[str]) -> Iterator[Finding]:
    """Fields of both headers that have one canonical value, unless another rule has spoken of them already."""
    record, header = entry.record, entry.header
    quiet_flags = bool(reported & {"LF2020", "LF2021", "LF2022"})
    large = EXTRA_ZIP64 in (kind for kind, _ in extra_fields(record.extra))
    needed = VERSION_ZIP64 if large else VERSION_STORED
    odd = [
        ("version_made", record.version_made == VERSION_MADE),
        ("version_needed", record.version_needed == needed),
        ("flags", record.flags == FLAG_UTF8 or quiet_flags),
        ("dos_time", (record.dos_time, record.dos_date) == (CANONICAL.dos_time, CANONICAL.dos_date)),
        ("disk", record.disk == 0),
        ("internal_attributes", record.internal_attributes == 0),
        ("external_attributes", _canonical_mode(record.external_attributes) or "LF2030" in reported),
        ("comment", not record.comment),
    ]
    fields = [name for name, good in odd if not good]
    if fields:
        yield Finding("LF2028", _at_record(entry, fields[0]), {"path": entry.path, "fields": ", ".join(fields)})
    if header is None:
        return
    local_large = EXTRA_ZIP64 in (kind for kind, _ in extra_fields(header.extra))
    odd = [
        ("version_needed", header.version_needed == (VERSION_ZIP64 if local_large else VERSION_STORED)),
        ("flags", header.flags == FLAG_UTF8 or quiet_flags or header.flags == record.flags),
        ("dos_time", (header.dos_time, header.dos_date) == (CANONICAL.dos_time, CANONICAL.dos_date)),
    ]
    fields = [name for name, good in odd if not good]
    if fields:
        args = {"path": entry.path, "fields": ", ".join(f"local {name}" for name in fields)}
        yield Finding("LF2028", _at_header(entry, fields[0]), args)


def _canonical_mode(attributes: int) -> bool:
    return attributes & 0xFFFF == 0 and attributes >> 16 in _MODES
