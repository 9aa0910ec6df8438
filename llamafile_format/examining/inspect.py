"""``inspect``: everything worth knowing about a file, without running a byte of it (spec/1, 10.10).

    inspection = inspect("model.llamafile")
    print(inspection.model.facts.architecture, inspection.report.verdicts)

Reads are bounded: structure, manifest, headers of weights, short texts, and at most 64 MiB of an engine for its
version. Weights themselves are never read. Bad bytes never raise; they are findings of the quick verification.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Set
from itertools import islice

from llamafile_format.checks.canonical import signature_entries
from llamafile_format.checks.verdict import Level, Report
from llamafile_format.checks.what_will_run import Chosen, Use, WillRun, what_will_run
from llamafile_format.container import CUT_OFF, Container, Kind, MemberFacts, Openable
from llamafile_format.engines.members import is_of_runtime, kinds_of
from llamafile_format.engines.pin import Kind as EngineKind
from llamafile_format.errors import NotALlamafile, SourceError
from llamafile_format.examining.inspect_model import RowBudget, bare_model, member_model, template_member
from llamafile_format.examining.inspection import (
    ArgumentsView,
    BuildView,
    ChosenView,
    EngineView,
    ExecutableView,
    FileIdentity,
    HereView,
    Inspection,
    LicenceView,
    MemberView,
    ModelView,
    PrefixView,
    RecordView,
    StatementsView,
    WeightsView,
    WillRunView,
    default_model,
)
from llamafile_format.examining.verify import examine
from llamafile_format.manifest.model import ARGUMENTS_PATH, MANIFEST_PATH
from llamafile_format.manifest.roles import HOLDING_WEIGHTS, MODEL_ROLES
from llamafile_format.prefix.arguments import Dialect
from llamafile_format.prefix.impostors import PROGRAMS, Impostor
from llamafile_format.source import ByteSource, open_source
from llamafile_format.spans import Span, SpanKind
from llamafile_format.zip.records import DEFLATED, STORED

MAX_MODELS = 64  # models described; a file may hold thousands of headers of a megabyte each
MAX_TEXT = 1 << 20  # clause 10.5.3: templates and arguments beyond this are not read
MAX_BOUNDARY = 1 << 16
_OWN_ROLES = frozenset({"readme", "chunks", "manifest", "signature-record", "engine-asset"})
_GGUF = b"GGUF"


def inspect(what: Openable, *, tensors: bool = False, kv: bool = False) -> Inspection:
    """Look at ``what``: a container, a legacy llamafile, or weights alone, a GGUF or others.

    ``tensors`` and ``kv`` add the rows of every tensor table and every key. Raises NotALlamafile with a plain sentence
    if it is something else, SourceError if it cannot be read.
    """
    source = open_source(what)
    with Container(source, owned=source is not what) as container:
        budget = RowBudget(tensors, kv)
        if container.kind is Kind.OTHER:
            impostor = container.impostor
            if impostor is None or impostor.rule not in PROGRAMS:
                return _bare(source, impostor, budget)
        return _inspect(container, budget)


def refuse_other(source: ByteSource, impostor: Impostor | None) -> None:
    """Raise the error that says what ``source`` is instead of a llamafile."""
    if impostor is None:
        raise NotALlamafile(f"{source.name} is not a llamafile", hint="it has no archive with weights at its end")
    error = SourceError if impostor.rule in CUT_OFF else NotALlamafile
    raise error(f"{source.name}: {impostor.message}", hint=impostor.hint)


def _bare(source: ByteSource, impostor: Impostor | None, budget: RowBudget) -> Inspection:
    """Weights without a container: no verdicts are given (10.1.2), but the model is worth a look."""
    model: ModelView | None = None
    others: tuple[WeightsView, ...] = ()
    if source.size >= 24 and source.read_at(0, 4) == _GGUF:
        model, findings = bare_model(source, budget)
    else:
        from llamafile_format.examining.other_weights import bare_weights

        other, findings = bare_weights(source, source.name, budget)
        if other is None:
            refuse_other(source, impostor)
        else:
            others = (other,)
    kind = "gguf" if model is not None else "weights"
    identity = FileIdentity(source.name, source.size, kind, span_bytes={SpanKind.DATA.value: source.size})
    return Inspection(
        file=identity,
        report=Report(source.name, source.size, Kind.OTHER, Level.QUICK, {}, findings),
        prefix=PrefixView("none", 0, 0),
        members=(),
        models=(model,) if model is not None else (),
        models_left_out=0,
        templates=(),
        licence=_licence("", model, ()),
        arguments=(),
        statements=StatementsView(),
        history=(),
        map=(Span(SpanKind.DATA, 0, source.size),),
        other_weights=others,
    )


def _inspect(container: Container, budget: RowBudget) -> Inspection:
    report = examine(container, level=Level.QUICK)
    members = container.members
    will = what_will_run(container)
    loaded = {path for path, use in will.uses if use in (Use.MODEL, Use.PROJECTOR, Use.ADAPTER, Use.DRAFT)}
    gguf_members = [member for member in members if _holds_gguf(container, member, loaded)]
    models = tuple(member_model(container, member, report, budget) for member in gguf_members[:MAX_MODELS])
    manifest = container.manifest
    model = default_model(models, will.model.member if will.model else "")
    size = next((member.size for member in members if member.path == ARGUMENTS_PATH), 0)
    return Inspection(
        file=_identity(container),
        report=report,
        prefix=_prefix(container),
        members=_members(container),
        models=models,
        models_left_out=len(gguf_members) - len(models),
        templates=tuple(
            template_member(container, member, report)
            for member in members
            if member.role == "template" and member.offset >= 0 and member.size <= MAX_TEXT
        ),
        licence=_licence(
            manifest.license if manifest else "",
            model,
            tuple(member.path for member in members if member.role == "license" and not is_of_runtime(member.path)),
        ),
        arguments=_arguments(will, size),
        statements=_statements(container),
        history=manifest.history if manifest else (),
        map=container.spans,
        will_run=_will_run(will, _here(container, will), {member.path for member in container.members}),
        other_weights=tuple(islice(_others(container, budget), MAX_MODELS)),
    )


def _others(container: Container, budget: RowBudget) -> Iterator[WeightsView]:
    """Weights that are no GGUF: their readers are loaded where something could be any."""
    if any(member.stored and member.role in HOLDING_WEIGHTS for member in container.members):
        from llamafile_format.examining.other_weights import other_weights

        yield from other_weights(container, budget)


def manifest_sha256(container: Container) -> str:
    """The digest of the manifest's bytes, the name of this very file (6.4.4); empty without a manifest."""
    return hashlib.sha256(container.manifest_bytes).hexdigest() if container.manifest_bytes else ""


def _holds_gguf(container: Container, member: MemberFacts, loaded: Set[str]) -> bool:
    if member.role not in MODEL_ROLES and member.role != "tokenizer" and member.path not in loaded:
        return False
    if member.offset < 0 or member.method != STORED or not 24 <= member.size <= container.size - member.offset:
        return False
    return container.source.read_at(member.offset, 4) == _GGUF


def _identity(container: Container) -> FileIdentity:
    manifest = container.manifest
    entry = container.archive.entry(MANIFEST_PATH)
    counts: dict[str, int] = {}
    for span in container.spans:
        counts[span.kind.value] = counts.get(span.kind.value, 0) + span.length
    mine = sum(member.stored_size for member in container.members if member.role not in _OWN_ROLES)
    return FileIdentity(
        name=container.name,
        size=container.size,
        kind="program" if container.kind is Kind.OTHER else container.kind.value,
        version=manifest.version if manifest else "",
        profile=manifest.profile if manifest else "",
        title=manifest.name if manifest else "",
        created=manifest.created if manifest else "",
        license=manifest.license if manifest else "",
        source=manifest.source if manifest else "",
        default=manifest.default if manifest else "",
        critical=manifest.critical if manifest else (),
        manifest_offset=entry.data_offset if entry and entry.located else None,
        manifest_size=len(container.manifest_bytes),
        manifest_sha256=manifest_sha256(container),
        overhead=max(0, container.size - container.engine_size - mine),
        span_bytes={kind.value: counts[kind.value] for kind in SpanKind if kind.value in counts},
    )


def _prefix(container: Container) -> PrefixView:
    facts = container.prefix
    recorded = container.manifest.prefix if container.manifest else None
    directory = recorded.directory if recorded else None
    return PrefixView(
        kind=facts.kind.value,
        size=recorded.size if recorded else container.engine_size,
        engine_size=container.engine_size,
        sha256=recorded.sha256 if recorded else "",
        engine_sha256=recorded.engine_sha256 if recorded else "",
        generation=facts.generation,
        interpreter=facts.interpreter,
        engine=_engine(container, recorded.engine_sha256 if recorded else ""),
        runs_on=facts.runs_on,
        executables=tuple(
            ExecutableView(item.format.value, item.systems, item.machine, item.offset, item.size)
            for item in facts.executables
        ),
        loaders=len(facts.loaders),
        assets=sum(member.role == "engine-asset" for member in container.members),
        dropped=tuple(path for path, _ in directory.dropped) if directory else (),
        opaque=recorded.opaque if recorded else "",
    )


def _engine(container: Container, recorded_sha256: str) -> EngineView | None:
    """The engine's name and version; None where there is no native code or nothing names one."""
    if not container.engine_size or container.prefix.kind.value in ("none", "script", "launcher"):
        return None
    engine = container.engine
    if engine is None:
        return None
    from llamafile_format.prefix.engine import known_engine

    known = known_engine(recorded_sha256) if recorded_sha256 else None
    return EngineView(
        family=engine.family,
        version=engine.version_text,
        at_least=_dotted(engine.at_least),
        at_most=_dotted(engine.at_most),
        evidence=tuple(f"{item.what}: {item.says}" for item in engine.evidence[:8]),
        complete=engine.complete,
        release=f"{known.family} {known.version} ({known.variant})" if known else "",
    )


def _dotted(version: tuple[int, int, int] | None) -> str:
    return ".".join(map(str, version)) if version else ""


def _members(container: Container) -> tuple[MemberView, ...]:
    """All members, with the digests that the manifest records, engine assets included."""
    directory = container.manifest.prefix.directory if container.manifest else None
    digests = {asset.path: asset.sha256 for asset in directory.assets} if directory else {}
    digests[MANIFEST_PATH] = manifest_sha256(container)
    methods: Mapping[int, str] = {STORED: "stored", DEFLATED: "deflated"}
    return tuple(
        MemberView(
            path=member.path,
            role=member.role,
            media_type=member.media_type,
            offset=member.offset,
            size=member.size,
            stored_size=member.stored_size,
            method=methods.get(member.method, f"method {member.method}"),
            alignment=member.alignment,
            boundary=_boundary(member.offset),
            crc32=f"{member.crc32:08x}",
            sha256=member.sha256 or digests.get(member.path, ""),
        )
        for member in container.members
    )


def _boundary(offset: int) -> int:
    """The largest power of two up to MAX_BOUNDARY that divides ``offset``; 0 if there is no offset."""
    if offset <= 0:
        return MAX_BOUNDARY if offset == 0 else 0
    return min(offset & -offset, MAX_BOUNDARY)


def _arguments(will: WillRun, size: int) -> tuple[ArgumentsView, ...]:
    """The default arguments that count: what a runtime takes for them, whatever the role."""
    if will.arguments is None:
        return ()
    parsed = will.parsed
    return (ArgumentsView(will.arguments.member, will.dialect.value, parsed.texts, parsed.rest, size),)


def _here(container: Container, will: WillRun) -> HereView | None:
    """What starts here; None where this machine is none of the targets, or the file nothing that could be started."""
    from llamafile_format.checks.run_here import installation_of, run_here
    from llamafile_format.engines.host import host_target

    target = host_target()
    if target is None or container.kind is Kind.OTHER:
        return None
    found = run_here(will.builds, installation_of(container, target))
    if found is None:
        return HereView(target, "", "", "none", "")
    refused: tuple[str, ...] = ()
    if not found.member and will.dialect is Dialect.NATIVE:
        from llamafile_format.checks.arguments import judge_arguments

        roles = {member.path: member.role for member in container.members}
        judged = judge_arguments(will.parsed, roles, [(found.name.engine, found.name.version)])
        refused = tuple(dict.fromkeys(each.option.written for each in judged.objections))
    return HereView(target=target, refuses=refused, **found.to_json())


def _will_run(will: WillRun, here: HereView | None, paths: Collection[str]) -> WillRunView:
    """What will run, of a file with members of these ``paths``."""
    kinds = kinds_of(paths)

    def view(chosen: Chosen | None) -> ChosenView | None:
        """One choice."""
        return None if chosen is None else ChosenView(chosen.member, chosen.why.value, chosen.text)

    return WillRunView(
        arguments=view(will.arguments),
        dialect=will.dialect.value,
        tokens=will.parsed.texts,
        rest=will.parsed.rest,
        model=view(will.model),
        template=view(will.template),
        projector=view(will.projector),
        adapters=tuple(ChosenView(each.member, each.why.value, each.text) for each in will.adapters),
        draft=view(will.draft),
        grammar=view(will.grammar),
        page=view(will.page),
        builds=tuple(
            BuildView(
                each.member,
                each.why.value,
                each.starts,
                each.page,
                prebuilt=kinds.get(each.name, EngineKind.BUILT) is not EngineKind.BUILT,
                shut_in=kinds.get(each.name) is EngineKind.PYTHON_WHEELS,
            )
            for each in will.builds
        ),
        here=here,
    )


def _statements(container: Container) -> StatementsView:
    def paths(role: str) -> tuple[str, ...]:
        """Paths of the members of ``role``, in file order."""
        return tuple(member.path for member in container.members if member.role == role)

    signatures = tuple(entry.path for entry in signature_entries(container.archive))
    records: tuple[RecordView, ...] = ()
    if signatures:
        from llamafile_format.examining.inspect_records import record_views

        records = record_views(container, signatures)
    return StatementsView(
        signature_records=signatures,
        publisher_signatures=paths("publisher-signature"),
        behaviour=paths("behaviour"),
        records=records,
    )


def _licence(manifest: str, model: ModelView | None, texts: tuple[str, ...]) -> LicenceView:
    facts = model.facts if model else None
    said = [text for text in (facts.licence, facts.licence_name) if text] if facts else []
    return LicenceView(manifest, " / ".join(dict.fromkeys(said)), (facts.licence_link or "") if facts else "", texts)
