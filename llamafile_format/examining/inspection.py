"""What ``inspect`` finds out, as data. Sizes and offsets are bytes, offsets absolute; digests are lower-case hex.

Texts that the file says about itself stand here as they are, unverified and unescaped: escape them on output. Empty
texts and None mean that the file does not say. Field names are the keys of the JSON form
(``spec/schemas/inspect.schema.json``) and are never removed within version 1. Named tuples and not dataclasses,
because they are made six times faster, and a command that starts cold makes all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from llamafile_format.checks.verdict import Report
from llamafile_format.plain_json import plain, plain_fields
from llamafile_format.spans import Span
from llamafile_format.weights.facts import ModelFacts
from llamafile_format.weights.memory import MemoryEstimate

Scalar = int | float | bool | str


class FileIdentity(NamedTuple):
    """The file as a whole. ``kind`` is ``llamafile 1``, ``legacy llamafile``, or, without a container, ``gguf`` or
    ``weights`` (of another format).

    ``version`` to ``default`` are the manifest's. ``overhead`` counts the bytes that are neither the engine nor a
    member that somebody put in; ``span_bytes`` the bytes of each kind of span, which add up to ``size``.
    """

    name: str
    size: int
    kind: str
    version: str = ""
    profile: str = ""
    title: str = ""
    created: str = ""
    license: str = ""
    source: str = ""
    default: str = ""
    critical: tuple[str, ...] = ()
    manifest_offset: int | None = None
    manifest_size: int = 0
    manifest_sha256: str = ""
    overhead: int = 0
    span_bytes: Mapping[str, int] = MappingProxyType({})

    @property
    def bare(self) -> bool:
        """True for weights without a container."""
        return self.kind in ("gguf", "weights")


class EngineView(NamedTuple):
    """The engine, read off its bytes and never run. Versions are texts such as ``0.9.3``.

    ``release`` names the known release whose digest the manifest records for the engine. ``complete`` is False if the
    search for a version stopped at its budget.
    """

    family: str
    version: str
    at_least: str
    at_most: str
    evidence: tuple[str, ...]
    complete: bool
    release: str = ""


class ExecutableView(NamedTuple):
    """A native program in the prefix: ``format`` is elf, pe or macho; its header lies at ``offset``."""

    format: str
    systems: tuple[str, ...]
    machine: str
    offset: int
    size: int


class PrefixView(NamedTuple):
    """The bytes in front of the archive. ``size`` includes padding, ``engine_size`` does not.

    ``runs_on`` lists (system, machine) pairs that the bytes provide for; ``assets`` counts the files of the engine's
    own archive, ``dropped`` those that were not carried over, ``opaque`` says why none were.
    """

    kind: str
    size: int
    engine_size: int
    sha256: str = ""
    engine_sha256: str = ""
    generation: str = ""
    interpreter: str = ""
    engine: EngineView | None = None
    runs_on: tuple[tuple[str, str], ...] = ()
    executables: tuple[ExecutableView, ...] = ()
    loaders: int = 0
    assets: int = 0
    dropped: tuple[str, ...] = ()
    opaque: str = ""


class MemberView(NamedTuple):
    """A member of the archive. ``offset`` is where its data starts (-1: not inside the file), ``size`` unpacked.

    ``alignment`` is what the manifest demands, ``boundary`` the largest power of two, up to 64 KiB, that divides
    ``offset``. ``method`` is ``stored``, ``deflated`` or ``method N``. ``sha256`` is what
    the manifest records of the unpacked data, empty if nothing is recorded; of the manifest itself it was computed.
    """

    path: str
    role: str
    media_type: str
    offset: int
    size: int
    stored_size: int
    method: str
    alignment: int
    boundary: int
    crc32: str
    sha256: str


class TensorRow(NamedTuple):
    """A tensor: ``dims`` fastest first, ``offset`` of its data in the file, ``size`` None where the type hides it."""

    name: str
    type: str
    dims: tuple[int, ...]
    elements: int
    offset: int
    size: int | None


class KeyRow(NamedTuple):
    """A metadata entry. ``type`` is ``uint32``, ``string``, ``array of string`` and so on.

    ``length`` is the number of elements of an array, or of bytes of a string, None for other values. ``value`` is the
    value, the beginning of a long text, or the first elements of an array.
    """

    key: str
    type: str
    value: Scalar | tuple[Scalar, ...]
    length: int | None
    offset: int


class TemplateView(NamedTuple):
    """A chat template; ``name`` is empty for the default one, or the member's path for one beside the weights.

    ``features`` are words such as ``tools`` that its text reveals, ``findings`` the rule ids that it broke.
    ``checked`` is False if the text was too long to look at.
    """

    name: str
    sha256: str
    size: int
    features: tuple[str, ...]
    findings: tuple[str, ...]
    checked: bool = True


class ModelView(NamedTuple):
    """One GGUF: a weights member, or the whole file (``member`` empty). ``complete`` is False if its header is faulty.

    ``qat_in_name_only`` is True if its name claims quantisation-aware training: GGUF has no field that could say so.
    """

    member: str
    role: str
    offset: int
    size: int
    complete: bool
    keys: int
    data_offset: int
    tensor_alignment: int
    facts: ModelFacts
    memory: MemoryEstimate
    templates: tuple[TemplateView, ...] = ()
    qat_in_name_only: bool = False
    tensors: tuple[TensorRow, ...] | None = None
    kv: tuple[KeyRow, ...] | None = None


class TypeRow(NamedTuple):
    """One type of numbers in weights that are no GGUF."""

    type: str
    tensors: int
    elements: int
    size: int


class OperatorRow(NamedTuple):
    """How many nodes of an ONNX model are this operator, those in its functions included."""

    domain: str
    name: str
    nodes: int


class ValueRow(NamedTuple):
    """An input or output of an ONNX model; ``shape`` is None where none is said, ``?`` in it a free dimension."""

    name: str
    type: str
    shape: tuple[str, ...] | None


class OutsideRow(NamedTuple):
    """A file beside an ONNX model that its data lie in: how many tensors, how many bytes."""

    location: str
    tensors: int
    size: int


class SectionRow(NamedTuple):
    """A section of a LiteRT-LM file, in bytes from its beginning."""

    kind: str
    begin: int
    end: int


class OnnxView(NamedTuple):
    """What an ONNX model says beside its tensors. ``operators`` are the 256 most frequent ones."""

    ir_version: int
    producer: str
    graph: str
    opsets: Mapping[str, int]
    nodes: int
    functions: int
    operators: tuple[OperatorRow, ...]
    inputs: tuple[ValueRow, ...]
    outputs: tuple[ValueRow, ...]
    outside: tuple[OutsideRow, ...]


class WeightsView(NamedTuple):
    """Weights that are no GGUF: a member, or the whole file (``member`` empty).

    ``read`` says that a reader judged them (7.16, 7.17); otherwise they are recognised by ``basis`` and their content
    is undetermined. ``complete`` is False if a header is faulty or beyond a cap. ``family`` is ``MLX`` or empty.
    ``claims_qat``: a name or the metadata claim quantisation-aware training. ``rows`` are there if asked for, with
    the slowest dimension first, and the offset -1 for data that lie elsewhere or are spelt out.
    """

    member: str
    role: str
    offset: int
    size: int
    format: str
    basis: str
    read: bool
    complete: bool = True
    family: str = ""
    facts: tuple[str, ...] = ()
    tensors: int | None = None
    types: tuple[TypeRow, ...] = ()
    metadata: Mapping[str, str] = MappingProxyType({})
    onnx: OnnxView | None = None
    sections: tuple[SectionRow, ...] = ()
    claims_qat: bool = False
    rows: tuple[TensorRow, ...] | None = None


class LicenceView(NamedTuple):
    """Who says which licence: the manifest, the default model's weights; and where its text is in the file."""

    manifest: str
    weights: str
    link: str
    texts: tuple[str, ...]


class ArgumentsView(NamedTuple):
    """Default arguments as the engine would read them; the user's own go in before ``tokens[rest]``."""

    member: str
    dialect: str
    tokens: tuple[str, ...]
    rest: int | None
    size: int


class ChosenView(NamedTuple):
    """Something that will be used: ``member`` is empty if it is no member, ``why`` a word of clause 14.7.2.

    ``text`` is what the arguments say of it.
    """

    member: str
    why: str
    text: str


class BuildView(NamedTuple):
    """A build in the order of the launcher; ``starts`` if it is the one for its target. ``page`` is what it serves.

    ``prebuilt`` if it loads libraries from the file that others built (14.9, 14.10); ``shut_in`` if only a command
    that shuts it in starts it, and the file itself says how (14.10).
    """

    member: str
    why: str
    starts: bool
    page: str
    prebuilt: bool = False
    shut_in: bool = False


class HereView(NamedTuple):
    """The build that a command of this installation starts the file with (clause 14.7.11), on the system ``target``.

    ``build`` has the form of a member's path and is empty if there is none; ``origin`` is file or installation, ``why``
    a word of that clause. ``instead`` is the member in whose place it starts. ``refuses`` are options of the file that
    are not accepted of a file that it reads.
    """

    target: str
    build: str
    origin: str
    why: str
    instead: str
    refuses: tuple[str, ...] = ()


class WillRunView(NamedTuple):
    """What the file will run (clause 14.7): the one answer that runtimes, checks and this screen share."""

    arguments: ChosenView | None
    dialect: str
    tokens: tuple[str, ...]
    rest: int | None
    model: ChosenView | None
    template: ChosenView | None
    projector: ChosenView | None
    adapters: tuple[ChosenView, ...]
    draft: ChosenView | None
    grammar: ChosenView | None
    page: ChosenView | None
    builds: tuple[BuildView, ...]
    here: HereView | None = None


class RecordView(NamedTuple):
    """A signature record, unchecked: ``kind`` is oms, sig, att, cnt, tsr, vm, or empty for none of these.

    Claims, empty where it makes none: ``method`` is key, certificate or sigstore, ``claimed_key_id`` that of the key,
    ``claimed_time`` like ``2026-11-21T14:00:00Z``.
    """

    path: str
    kind: str
    method: str = ""
    claimed_key_id: str = ""
    claimed_time: str = ""


class StatementsView(NamedTuple):
    """Signatures and recorded behaviour that are in the file; ``inspect`` counts them and checks none.

    ``records`` say of ``signature_records``, one by one, what they claim to be.
    """

    signature_records: tuple[str, ...] = ()
    publisher_signatures: tuple[str, ...] = ()
    behaviour: tuple[str, ...] = ()
    checked: bool = False
    records: tuple[RecordView, ...] = ()


class Inspection(NamedTuple):
    """Everything that ``inspect`` knows. ``report`` is a quick verification; of a bare GGUF, without verdicts.

    ``models`` are the first 64 GGUFs, ``models_left_out`` how many more there are; ``other_weights`` the first 64 in
    other formats.
    """

    file: FileIdentity
    report: Report
    prefix: PrefixView
    members: tuple[MemberView, ...]
    models: tuple[ModelView, ...]
    models_left_out: int
    templates: tuple[TemplateView, ...]
    licence: LicenceView
    arguments: tuple[ArgumentsView, ...]
    statements: StatementsView
    history: tuple[Mapping[str, Any], ...]
    map: tuple[Span, ...]
    will_run: WillRunView | None = None
    other_weights: tuple[WeightsView, ...] = ()

    @property
    def model(self) -> ModelView | None:
        """The model that starts, or the first one that there is."""
        starts = self.will_run.model if self.will_run is not None else None
        return default_model(self.models, starts.member if starts is not None else self.file.default)

    def to_json(self) -> dict[str, Any]:
        """The facts as a JSON object (without ``$schema`` and ``tool``, which name the program that printed it)."""
        value = plain_fields(self, "report")
        report = self.report
        value["report"] = {
            "level": report.level.value,
            "complete": report.complete,
            "error": report.error,
            "verdicts": {layer.value: verdict.value for layer, verdict in report.verdicts.items()},
            "findings": plain(report.findings),
        }
        for model in value["models"]:
            for key in ("tensors", "kv"):  # there only if asked for: "not asked" must not look like "none"
                if model[key] is None:
                    del model[key]
        for weights in value["other_weights"]:
            if weights["rows"] is None:
                del weights["rows"]
        return value


def default_model(models: Sequence[ModelView], default: str) -> ModelView | None:
    """The model whose member is ``default``, else the first with role weights, else the first."""
    named = next((model for model in models if model.member == default), None)
    weights = next((model for model in models if model.role == "weights"), None)
    return named or weights or (models[0] if models else None)
