"""What members contain (spec/1.0, 7 and 10.5): weights, templates and arguments, each by the check of its role."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llamafile_format.errors import FormatError
from llamafile_format.findings import Finding, Where
from llamafile_format.manifest.roles import MODEL_ROLES
from llamafile_format.source import Window
from llamafile_format.zip.records import STORED

if TYPE_CHECKING:
    from llamafile_format.container import Container, MemberFacts

QUICK_HEADER = 64 << 20  # clause 10.4.1: four times the largest header in use
MAX_TEXT = 1 << 20  # clause 10.5: templates and arguments beyond this are reported, not read
_CHECKED = MODEL_ROLES | {"template", "arguments", "behaviour"}
_GGUF = (b"GGUF", b"ggml")


def check_contents(container: Container, *, deep: bool) -> Iterator[Finding]:
    """Findings about the contents of all members. ``deep`` allows bodies of arrays and padding to be read."""
    for member in container.members:
        if member.role in ("engine-asset", "manifest", "chunks", "signature-record"):
            continue
        if member.offset < 0:
            if member.role in _CHECKED:
                yield _unchecked(member, "its data does not lie inside the file")
            continue
        if member.role in MODEL_ROLES or (member.role == "tokenizer" and member.media_type == "application/x-gguf"):
            yield from _weights(container, member, deep)
        elif member.role == "template":
            yield from _template(container, member)
        elif member.role == "arguments":
            yield from _arguments(container, member, deep)
        elif member.role == "behaviour":
            yield from _behaviour(container, member)
    from llamafile_format.checks.together import check_members_together

    yield from check_members_together(container, budget=None if deep else QUICK_HEADER)
    manifest = container.manifest
    if manifest is not None and (manifest.prefix.kind == "launcher" or manifest.with_role("runtime")):
        from llamafile_format.checks.runtimes import check_runtimes

        yield from check_runtimes(container, deep=deep)


def _weights(container: Container, member: MemberFacts, deep: bool) -> Iterator[Finding]:
    from llamafile_format.checks.weights import check_gguf

    if member.method != STORED:  # reported by the archive checks; compressed weights cannot be read in place
        yield _unchecked(member, "it is compressed")
        return
    window = Window(container.source, member.offset, member.size)
    magic = window.read_at(0, min(4, window.size))
    if member.media_type != "application/x-gguf" and magic not in _GGUF:
        yield _unchecked(member, f"this version has no reader for {member.media_type}")
        return
    gguf = container.gguf(member, budget=None if deep else QUICK_HEADER)
    _, findings = check_gguf(window, base=member.offset, member=member.path, deep=deep, gguf=gguf)
    yield from findings
    if not deep:
        left = f"beyond {QUICK_HEADER} bytes of the header" if gguf.stopped == "budget" else "vocabulary and padding"
        where = Where(member.offset, member.size, member.path)
        yield Finding("LF9006", where, {"path": member.path, "what": left})


def _template(container: Container, member: MemberFacts) -> Iterator[Finding]:
    from llamafile_format.checks.templates import check_template

    if member.size > MAX_TEXT:
        yield _unchecked(member, f"it has {member.size} bytes, more than {MAX_TEXT}")
        return
    text = _read(container, member)
    if isinstance(text, Finding):
        yield text
        return
    yield from check_template(text, base=member.offset, member=member.path)


def _arguments(container: Container, member: MemberFacts, deep: bool) -> Iterator[Finding]:
    from llamafile_format.checks.arguments import check_arguments
    from llamafile_format.prefix.arguments import dialect_of

    if member.size > MAX_TEXT:
        yield _unchecked(member, f"it has {member.size} bytes, more than {MAX_TEXT}")
        return
    text = _read(container, member)
    if isinstance(text, Finding):
        yield text
        return
    names = [other.path for other in container.members]
    engine = container.engine if container.engine_size and deep else None  # its version stands in the prefix body
    dialect = dialect_of(engine, container.prefix.kind)
    yield from check_arguments(text, dialect, member_names=names, base_offset=member.offset, member=member.path)


def _behaviour(container: Container, member: MemberFacts) -> Iterator[Finding]:
    from llamafile_format.checks.behaviour import check_record, too_large

    if too_large(member.size):
        where = Where(member.offset, member.size, member.path)
        yield Finding("LF9100", where, {"path": member.path, "reason": f"it has {member.size} bytes"})
        return
    data = _read(container, member)
    if isinstance(data, Finding):
        yield data
        return
    there = [other.sha256 for other in container.members if other.role == "weights"]
    yield from check_record(data, member=member.path, base=member.offset, there=there)


def _read(container: Container, member: MemberFacts) -> bytes | Finding:
    """The member's contents, or why they cannot be had."""
    try:
        return container.read(member.path)
    except FormatError as error:
        return _unchecked(member, error.message)


def _unchecked(member: MemberFacts, reason: str) -> Finding:
    located = member.offset >= 0
    where = Where(member.offset if located else None, member.size if located else None, member.path)
    return Finding("LF9003", where, {"path": member.path, "reason": reason})
