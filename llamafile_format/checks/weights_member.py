"""What a member is by its bytes, and whether name, role and use agree with that (spec/1, 7.13 and 10.5).

A name, a role or a use can only ask for more: whatever begins like weights is judged as weights, whatever it is called,
and whatever is called or used so must begin like weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from llamafile_format.checks.subject import Subject
from llamafile_format.findings import Finding, Where
from llamafile_format.manifest.roles import MODEL_ROLES, known
from llamafile_format.prefix.impostors import Impostor, recognise_instead, recognise_pointer
from llamafile_format.weights.formats import (
    GGUF,
    ONNX,
    SAFETENSORS,
    Format,
    begins_like_onnx,
    named_format,
    promises,
    recognise_format,
)
from llamafile_format.weights.gguf_model import Gguf
from llamafile_format.weights.purpose import GgufKind, recognise_kind
from llamafile_format.weights.recognised import recognise_more

QUICK_HEADER = 64 << 20  # clause 10.4.1: four times the largest header in use

ROLES_OF: dict[GgufKind, frozenset[str]] = {
    GgufKind.MODEL: frozenset({"weights", "draft"}),
    GgufKind.SHARD: frozenset({"weights", "draft"}),
    GgufKind.ADAPTER: frozenset({"adapter"}),
    GgufKind.CONTROL_VECTOR: frozenset({"adapter"}),
    GgufKind.PROJECTOR: frozenset({"projector"}),
    GgufKind.IMATRIX: frozenset({"asset", "document"}),
    GgufKind.VOCABULARY: frozenset({"tokenizer"}),
    GgufKind.LORA: frozenset({"asset", "document"}),
    GgufKind.DIFFUSION: frozenset({"weights"}),
    GgufKind.SPEECH: frozenset({"weights"}),
    GgufKind.DECODER: frozenset({"asset", "document"}),
    GgufKind.OTHER: frozenset({"asset", "document"}),
}
"""The roles that a GGUF of each kind may have (clause 7.9.1); the first of 7.9.1 is the one that writers give."""

DATA = ("document", "application/octet-stream")
"""Role and media type of data that no check understands and no engine opens (clause 8.1.8)."""


def check_weights_member(subject: Subject, *, deep: bool) -> Iterator[Finding]:
    """Findings about ``subject`` as weights, or about its not being any. ``deep`` reads vocabulary and padding too."""
    found = recognise_format(subject.source)
    promised = named_format(subject.path)
    if found is GGUF:
        yield from _gguf(subject, deep)
    elif found is SAFETENSORS or found is ONNX:
        yield from _safetensors(subject) if found is SAFETENSORS else _onnx(subject)
        yield from _role_of_other(subject, found)
    elif found is not None:
        yield from _other_format(subject, found)
    else:
        yield from _none(subject, promised)
    if found is not None and promised is not None and not promises(promised, found):
        yield _instead(subject, f"its bytes are {found.name}")


class Claimed(Protocol):
    """What is said about a member."""

    @property
    def path(self) -> str:
        """Its name."""

    @property
    def role(self) -> str:
        """Its role, as claimed."""

    @property
    def media_type(self) -> str:
        """Its media type, as claimed."""


def why_weights(member: Claimed, uses: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Why ``member`` should be weights, whatever its bytes: phrases that continue "it is taken for weights by"."""
    promised = named_format(member.path)
    name = (f"its name, which promises {promised.name}",) if promised else ()
    role = (f"its role, {member.role}",) if member.role in MODEL_ROLES else ()
    media = (f"its media type, {member.media_type}",) if member.media_type == GGUF.media_type else ()
    return (*name, *(role or media), *uses)


def _gguf(subject: Subject, deep: bool) -> Iterator[Finding]:
    from llamafile_format.checks.weights import check_gguf

    gguf = subject.read(None if deep else QUICK_HEADER)
    _, findings = check_gguf(
        subject.source, base=subject.base, member=subject.path, deep=deep, gguf=gguf, texts=subject.texts
    )
    yield from findings
    if _claims_role(subject) and gguf.stopped != "fault":
        yield from _role_of(subject, gguf)
    if not deep:
        left = f"beyond {QUICK_HEADER} bytes of the header" if gguf.stopped == "budget" else "vocabulary and padding"
        yield Finding("LF9006", _where(subject), {"path": subject.path, "what": left})


def _is_model(subject: Subject) -> bool:
    """True if the role says that it is a model: then it may be one of a format that nobody here knows yet."""
    return subject.role in MODEL_ROLES


def _claims_role(subject: Subject) -> bool:
    """True if somebody gave the role and this version knows what it means; another one may mean what it does not."""
    return subject.listed and known(subject.role)


def _role_of(subject: Subject, gguf: Gguf) -> Iterator[Finding]:
    kind = recognise_kind(gguf)
    if gguf.stopped == "budget" and kind in (GgufKind.OTHER, GgufKind.VOCABULARY):
        return  # what tells the kind may stand behind the budget
    if subject.role not in ROLES_OF[kind]:
        yield _role(subject, f"a GGUF that is {_article(kind)}", " or ".join(sorted(ROLES_OF[kind], reverse=True)))


def _article(kind: GgufKind) -> str:
    text = {GgufKind.OTHER: "no model, adapter or projector", GgufKind.VOCABULARY: "a vocabulary only"}.get(kind)
    return text or f"{'an' if kind.value[0] in 'aeiou' else 'a'} {kind.value}"


def _safetensors(subject: Subject) -> Iterator[Finding]:
    from llamafile_format.weights.safetensors import read_safetensors

    yield from read_safetensors(subject.source, base=subject.base, member=subject.path).findings


def _onnx(subject: Subject) -> Iterator[Finding]:
    from llamafile_format.checks.metadata import check_words
    from llamafile_format.checks.onnx_data import check_onnx_data
    from llamafile_format.weights.onnx import read_onnx

    if subject.onnx is not None:
        model = subject.onnx()
    else:
        model = read_onnx(subject.source, base=subject.base, member=subject.path)
    yield from model.findings
    yield from check_words(model, subject.source, subject.base, subject.path)
    if subject.beside is not None and model.complete:
        yield from check_onnx_data(model, subject.path, subject.base, subject.beside)


def _other_format(subject: Subject, found: Format) -> Iterator[Finding]:
    args = {"path": subject.path, "format": found.name}
    yield Finding("LF5087" if found.obsolete else "LF5086", _where(subject), args)
    yield from _role_of_other(subject, found)


def _role_of_other(subject: Subject, found: Format) -> Iterator[Finding]:
    if _claims_role(subject) and subject.role not in MODEL_ROLES:
        yield _role(subject, found.name, "weights, adapter, projector or draft")


def _none(subject: Subject, promised: Format | None) -> Iterator[Finding]:
    """What does not begin like weights: fine, unless something says that it is."""
    reasons = why_weights(subject, subject.uses)
    if not reasons:
        yield from _data(subject)
        return
    known = recognise_more(subject.source, subject.path)
    impostor = recognise_instead(subject.source) if known is None else None
    if impostor is not None:
        yield _instead(subject, impostor.message, impostor=impostor)
    elif promised is GGUF or subject.media_type == GGUF.media_type or (subject.uses and not _is_model(subject)):
        from llamafile_format.checks.weights import check_gguf

        _, findings = check_gguf(
            subject.source, base=subject.base, member=subject.path, deep=False, texts=subject.texts
        )
        yield from findings
    elif promised is SAFETENSORS and subject.source.read_at(0, min(9, subject.source.size))[8:] == b"{":
        yield from _safetensors(subject)  # its header is there, and its length is not that of a header that fits
    elif promised is ONNX and begins_like_onnx(subject.source):
        yield from _onnx(subject)  # a model by its first field, and not one by those behind it
    elif promised is not None:
        yield _instead(subject, "its bytes are something else")
    else:
        reason = f"this version has no reader for {known.name if known else subject.media_type}"
        yield Finding("LF9003", _where(subject), {"path": subject.path, "reason": reason})


def _data(subject: Subject) -> Iterator[Finding]:
    pointer = recognise_pointer(subject.source)
    if pointer is not None:
        args = {"path": subject.path, "what": pointer.message, "rule": pointer.rule}
        yield Finding("LF3036", _where(subject), args)
    elif (subject.role, subject.media_type) == DATA:
        yield Finding("LF3035", _where(subject), {"path": subject.path})


def _instead(subject: Subject, what: str, *, impostor: Impostor | None = None) -> Finding:
    why = " and ".join(why_weights(subject, subject.uses))
    args = {"path": subject.path, "why": why, "what": what, "rule": impostor.rule if impostor else "LF5085"}
    return Finding("LF5085", _where(subject), args)


def _role(subject: Subject, what: str, allowed: str) -> Finding:
    args = {"path": subject.path, "role": subject.role, "what": what, "allowed": allowed}
    return Finding("LF3034", _where(subject), args)


def _where(subject: Subject) -> Where:
    return Where(subject.base, subject.source.size, subject.path)
