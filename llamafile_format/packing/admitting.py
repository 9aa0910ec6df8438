"""What may come in (spec/1, 8.1.8): a file that a user names is judged by its bytes before anything is written.

The finished container is judged as a whole (:mod:`llamafile_format.packing.judging`); this is the early word, with the
message that fits the file on disk: a pointer is fetched, a page is downloaded again, an archive is unpacked.
"""

from __future__ import annotations

from collections.abc import Sequence

from llamafile_format.checks.subject import Subject
from llamafile_format.checks.weights_member import check_weights_member
from llamafile_format.engines.members import is_of_runtime
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.findings import Finding
from llamafile_format.manifest.roles import MODEL_ROLES
from llamafile_format.packing.assemble import Content
from llamafile_format.packing.judging import TOLD
from llamafile_format.prefix.impostors import has_end_record, recognise, recognise_instead
from llamafile_format.rules import Severity, rule
from llamafile_format.source import put_down
from llamafile_format.weights.gguf import read_gguf

NEVER = frozenset({"LF5001", "LF5085", "LF3034", "LF3036"})
"""Rules that not even ``--force`` overrides for a file that is named: it is not what it is packed as."""

_ARCHIVE = "an archive with an end of its own, such as a llamafile, and no model"
_UNPACK = "a llamafile is changed with `llamafile-format repack`; its model comes out with `llamafile-format extract`"
_NAMED = 3  # files that a message names, where none of them is a model


def admit(contents: Sequence[Content], *, force: bool = False) -> None:
    """Raise FormatError for the first of ``contents`` that must not go in, by the rule that it breaks.

    With ``force`` a model whose header or tensors are at fault may; what is no model at all never.
    """
    for content in contents:
        for finding in findings_of(content):
            if rule(finding.rule).severity is Severity.ERROR and (finding.rule in NEVER or not force):
                refuse(content, finding)
        put_down(content.source)


def findings_of(content: Content) -> list[Finding]:
    """What is to be said about ``content`` as weights; vocabularies are left to the judgement of the whole."""
    subject = Subject(
        path=content.path,
        role=content.role,
        media_type=content.media_type,
        source=content.source,
        base=0,
        read=lambda budget: read_gguf(content.source, member=content.path, budget=budget),
    )
    return list(check_weights_member(subject, deep=False))


def refuse(content: Content, finding: Finding) -> None:
    """Raise FormatError with the rule that ``finding`` names, or the one of what stands in its place."""
    row = rule(finding.rule)
    instead = str(finding.args.get("rule", finding.rule))
    if instead == "LF5001" and has_end_record(content.source):
        raise FormatError(f"{content.path} is {_ARCHIVE}", clause=instead, hint=_UNPACK)
    if instead == finding.rule:
        message, remedy = row.render(finding), row.remedy.rstrip(".")
        insist = "" if finding.rule in NEVER else TOLD
        named = message if content.path in message else f"{content.path}: {message}"
        raise FormatError(named, offset=finding.where.offset or None, clause=finding.rule, hint=remedy + insist)
    what, remedy = str(finding.args["what"]), rule(instead).remedy
    raise FormatError(f"{content.path}: {what}", clause=instead, hint=remedy)


def require_model(contents: Sequence[Content], *, engine: bool, engine_only: bool) -> None:
    """Refuse a container that an engine stands in front of, or inside, with nothing to start (clause 8.1.9).

    Says first what the files that were named are, if one of them is no more than the husk of a model.
    """
    if any(content.role in MODEL_ROLES for content in contents):
        return
    contents = [content for content in contents if not is_of_runtime(content.path)]
    for content in contents:
        if content.role == "asset" and (impostor := recognise_instead(content.source)) is not None:
            raise FormatError(f"{content.path}: {impostor.message}", clause=impostor.rule, hint=impostor.hint)
        put_down(content.source)
    if engine and contents and not engine_only:
        _refuse_containers(contents)
        named = ", ".join(content.path for content in contents[:_NAMED])
        more = f" and {len(contents) - _NAMED} more" if len(contents) > _NAMED else ""
        raise UsageError(
            f"there is an engine and no model: {named}{more}",
            hint="name a GGUF file, or say that it is meant: --engine-only",
        )


def _refuse_containers(contents: Sequence[Content]) -> None:
    """Refuse a llamafile, whole or cut off, that was named in the place of a model."""
    for content in contents:
        if content.role != "asset":
            continue
        cut = recognise(content.source)
        if cut is not None and cut.rule == "LF1010":
            raise FormatError(f"{content.path}: {cut.message}", clause=cut.rule, hint=cut.hint)
        if cut is None and has_end_record(content.source):
            raise UsageError(
                f"{content.path} is {_ARCHIVE}",
                hint=_UNPACK,
            )
        put_down(content.source)
