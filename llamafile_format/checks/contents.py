"""What members contain (spec/1, 7 and 10.5): judged by bytes, name, role and use; none of them removes a check."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from typing import TYPE_CHECKING

from llamafile_format.checks.shards import check_shard_sets
from llamafile_format.checks.subject import Beside, Place, Subject
from llamafile_format.checks.templates import Texts
from llamafile_format.checks.weights_member import QUICK_HEADER, check_weights_member, why_weights
from llamafile_format.errors import FormatError
from llamafile_format.findings import Finding, Where
from llamafile_format.manifest.model import ARGUMENTS_PATH
from llamafile_format.manifest.roles import MODEL_ROLES
from llamafile_format.source import Window
from llamafile_format.zip.records import STORED

if TYPE_CHECKING:
    from llamafile_format.container import Container, MemberFacts
    from llamafile_format.weights.gguf_model import Gguf

MAX_TEXT = 1 << 20  # clause 10.5: templates and arguments beyond this are reported, not read
_CHECKED = MODEL_ROLES | {"template", "arguments", "behaviour"}
_OUR_OWN = frozenset({"manifest", "chunks", "signature-record"})


def check_contents(container: Container, *, deep: bool, only: Collection[str] | None = None) -> Iterator[Finding]:
    """Findings about the contents of all members. ``deep`` allows bodies of arrays and padding to be read.

    ``only`` are the paths of members to look at, if not at all of them: a writer knows what it brought in.
    """
    from llamafile_format.checks.uses import as_weights, uses_of
    from llamafile_format.checks.what_will_run import Use

    @cache
    def places() -> dict[str, Place]:
        """Where the data of each stored member lie."""
        there = (member for member in container.members if member.stored and member.offset >= 0)
        return {member.path: (member.offset, member.size) for member in there}

    uses = uses_of(container)
    texts = Texts()
    beside = Beside(lambda path: places().get(path))
    unread: list[Finding] = []
    for member in container.members:
        if member.role in _OUR_OWN or (only is not None and member.path not in only):
            continue
        used = uses.get(member.path, ())
        why = as_weights(used)
        if member.offset < 0:
            if member.role in _CHECKED or why_weights(member, why):
                yield _unchecked(member, "its data does not lie inside the file")
            continue
        for finding in _weights(container, member, why, texts, beside, deep=deep):
            if finding.rule != "LF9003":
                yield finding
            else:  # what no reader knows may be the data of an ONNX model, which says so elsewhere
                unread.append(finding)
        # Not one of them takes the place of another: a file may name its own arguments as its template.
        if member.role == "template" or Use.TEMPLATE in used:
            yield from _template(container, member, texts)
        if member.role == "arguments" or member.path == ARGUMENTS_PATH:
            yield from _arguments(container, member, deep, texts)
        if member.role in ("card", "recipe"):
            yield from _document(container, member)
        if member.role == "behaviour":
            yield from _behaviour(container, member)
    yield from (finding for finding in unread if finding.where.member not in beside.named)
    yield from check_shard_sets(_shards(container))
    from llamafile_format.checks.safetensors_sets import check_safetensors_sets

    yield from check_safetensors_sets(container)
    from llamafile_format.checks.together import check_members_together

    yield from check_members_together(container, budget=None if deep else QUICK_HEADER)
    manifest = container.manifest
    if manifest is not None:
        from llamafile_format.checks.loose_pages import check_loose_pages

        yield from check_loose_pages(manifest)
    if manifest is not None and (manifest.prefix.kind == "launcher" or manifest.with_role("runtime")):
        from llamafile_format.checks.runtimes import check_runtimes

        yield from check_runtimes(container, deep=deep)


def _weights(
    container: Container, member: MemberFacts, why: tuple[str, ...], texts: Texts, beside: Beside, *, deep: bool
) -> Iterator[Finding]:
    """The member as weights, if it is or should be any."""
    if member.method != STORED:  # reported by the archive checks; compressed weights cannot be read in place
        if why_weights(member, why):
            yield _unchecked(member, "it is compressed")
        return
    yield from check_weights_member(subject_of(container, member, why, texts, beside), deep=deep)


def subject_of(
    container: Container, member: MemberFacts, uses: tuple[str, ...], texts: Texts, beside: Beside | None = None
) -> Subject:
    """``member`` of ``container``, which is stored and lies inside the file, for the checks of contents."""
    return Subject(
        path=member.path,
        role=member.role,
        media_type=member.media_type,
        source=Window(container.source, member.offset, member.size),
        base=member.offset,
        read=lambda budget: container.gguf(member, budget=budget),
        onnx=lambda: container.onnx(member),
        listed=container.manifest is not None and member.role != "engine-asset",
        uses=uses,
        texts=texts,
        beside=beside,
    )


def ggufs_of(container: Container) -> Iterator[tuple[Gguf, int, str]]:
    """Every GGUF that is stored inside, whatever it is called: its header, its first byte, its name."""
    for member in container.members:
        usable = member.stored and member.offset >= 0 and member.size >= 4
        if usable and container.source.read_at(member.offset, 4) == b"GGUF":
            yield container.gguf(member), member.offset, member.path


def _shards(container: Container) -> Iterator[tuple[str, int, Gguf]]:
    """Path, place and header of every GGUF that could be one of several."""
    for member in container.members:
        usable = member.role in MODEL_ROLES and member.stored and member.offset >= 0 and member.size >= 4
        if usable and container.source.read_at(member.offset, 4) == b"GGUF":
            yield member.path, member.offset, container.gguf(member, budget=QUICK_HEADER)


def _template(container: Container, member: MemberFacts, texts: Texts) -> Iterator[Finding]:
    from llamafile_format.checks.templates import check_template

    if member.size > MAX_TEXT:
        yield _unchecked(member, f"it has {member.size} bytes, more than {MAX_TEXT}")
        return
    if texts.exhausted:
        return
    text = _read(container, member)
    if isinstance(text, Finding):
        yield text
        return
    yield from check_template(text, base=member.offset, member=member.path, texts=texts)


def _arguments(container: Container, member: MemberFacts, deep: bool, texts: Texts) -> Iterator[Finding]:
    from llamafile_format.checks.arguments import check_arguments
    from llamafile_format.checks.what_will_run import describe, engines_of

    text = _text(container, member)
    if isinstance(text, Finding):
        yield text
        return

    def read(path: str) -> tuple[int, bytes] | None:
        """The place and text of another member."""
        opened = next((other for other in container.members if other.path == path), None)
        if opened is None or opened.offset < 0 or opened.size > MAX_TEXT:
            return None
        data = _read(container, opened)
        return None if isinstance(data, Finding) else (opened.offset, data)

    archive = describe(container, scan=deep)  # the version of a classic engine stands in the prefix body
    yield from check_arguments(
        text,
        archive.dialect,
        members={entry.path: entry.role for entry in archive.entries},
        engines=engines_of(archive.entries),
        read=read,
        classic=container.manifest is None,
        base_offset=member.offset,
        member=member.path,
        texts=texts,
    )


def _document(container: Container, member: MemberFacts) -> Iterator[Finding]:
    from llamafile_format.checks.metadata import check_document

    data = _text(container, member)
    if isinstance(data, Finding):
        yield data
        return
    yield from check_document(data, member.offset, member.path)


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


def _text(container: Container, member: MemberFacts) -> bytes | Finding:
    """The member as one text, if it is not too large for one; or why it is not looked at."""
    if member.size > MAX_TEXT:
        return _unchecked(member, f"it has {member.size} bytes, more than {MAX_TEXT}")
    return _read(container, member)


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
