"""The chat templates of a file, compared with those that are known, where a policy asks (spec/1, 16.7.12).

A template that nobody knows is no fault; a sentence that no template of its family has is what a person should read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from llamafile_format.checks.template_family import descent, known_template
from llamafile_format.checks.templates import SIZE_MAX, TEXTS_MAX
from llamafile_format.checks.weights_member import QUICK_HEADER
from llamafile_format.findings import Finding, Value, Where
from llamafile_format.manifest.roles import MODEL_ROLES
from llamafile_format.signing.trust.policy import Templates

if TYPE_CHECKING:
    from llamafile_format.container import Container, MemberFacts
    from llamafile_format.signing.trust.policy import Policy

MAX_LITERALS = 16  # of a template that are reported
_SHOWN = 80  # characters
_NAME = re.compile(r"[A-Za-z0-9._-]+")  # of a template that the engine has itself


class _Text(NamedTuple):
    """A template, the member that has it, and where it starts in the file; ``offset`` None if it is in arguments."""

    data: bytes
    member: str
    offset: int | None
    field: str = ""


def check_policy_templates(container: Container, policy: Policy, *, deep: bool) -> Iterator[Finding]:
    """LF8418 to LF8420 for each different template; LF8417 for what could not be read. ``deep``: not at quick."""
    if policy.templates is Templates.ANY:
        return
    seen: set[bytes] = set()
    for text in _texts(container, deep=deep):
        if isinstance(text, Finding):
            yield text
        elif text.data not in seen:
            seen.add(text.data)
            if len(seen) > TEXTS_MAX or len(text.data) > SIZE_MAX:
                yield _unread(text.member)
                return
            yield from _judge(text, policy)


def _judge(text: _Text, policy: Policy) -> Iterator[Finding]:
    source = text.data.decode("utf-8", "surrogateescape")
    if known_template(source) is not None:
        return
    where = Where(text.offset, None, text.member, text.field)
    if policy.templates is Templates.KNOWN:
        yield Finding("LF8420", where, {"path": text.member})
    try:
        found = descent(source)
    except ValueError:  # LF6014 says why
        yield _unread(text.member)
        return
    if not found.families:
        yield Finding("LF8418", where, {"path": text.member})
    for literal in found.foreign[:MAX_LITERALS]:
        at = None if text.offset is None else text.offset + len(source[: literal.at].encode("utf-8", "surrogateescape"))
        args: dict[str, Value] = {"path": text.member, "families": " or ".join(found.families)}
        yield Finding("LF8419", Where(at, None, text.member, text.field), args | {"literal": literal.text[:_SHOWN]})


def _texts(container: Container, *, deep: bool) -> Iterator[_Text | Finding]:
    """Every template that the file brings: in weights, as a member, in the arguments that count."""
    for member in container.members:
        if member.role not in MODEL_ROLES and member.role != "template":
            continue
        entry = container.archive.entry(member.path)
        if entry is None or not entry.located or not member.stored:
            yield _unread(member.path)
        elif member.role == "template":
            yield _Text(
                container.source.read_at(member.offset, min(member.size, SIZE_MAX + 1)), member.path, member.offset
            )
        else:
            yield from _of_weights(container, member, budget=None if deep else QUICK_HEADER)
    yield from _of_arguments(container, scan=deep)


def _of_weights(container: Container, member: MemberFacts, *, budget: int | None) -> Iterator[_Text | Finding]:
    from llamafile_format.checks.weights import templates_of

    gguf = container.gguf(member, budget=budget)
    for key, offset, data in templates_of(gguf):
        yield _Text(data, member.path, member.offset + offset, key)
    if not gguf.complete:
        yield _unread(member.path)


def _of_arguments(container: Container, *, scan: bool) -> Iterator[_Text]:
    from llamafile_format.checks.what_will_run import what_will_run

    will = what_will_run(container, scan=scan)
    if will.arguments is None:
        return
    for option in will.options:
        if option.row is None or option.row.kind != "template" or not option.values:
            continue
        if not _NAME.fullmatch(option.values[0]):
            data = option.values[0].encode("utf-8", "surrogateescape")
            yield _Text(data, will.arguments.member, None, option.name)


def _unread(path: str) -> Finding:
    return Finding("LF8417", Where(member=path), {"path": path, "what": "chat templates"})
