"""``record``: ask the model in a container a few things, write down exactly what it did, and put that into the file.

The class of the record is established, not claimed: everything is asked again, once in the same way and once with
another number of threads, and the worst agreement counts (spec/1, 15.7). Adding the record is a repack that moves no
weights.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from llamafile_format.changing import RepackResult, repack
from llamafile_format.checks.canonical import signature_entries
from llamafile_format.container import Container, Kind, open_container
from llamafile_format.engines.ask import trace
from llamafile_format.engines.behaviour import (
    Agreement,
    Environment,
    Part,
    Record,
    Recorded,
    RecordedText,
    Run,
    Subject,
    member_of,
    sha256,
    texts,
    worst,
)
from llamafile_format.engines.behaviour_compare import compare
from llamafile_format.engines.behaviour_reader import NAME, read_record
from llamafile_format.engines.behaviour_yaml import record_bytes
from llamafile_format.engines.host import host_target
from llamafile_format.engines.prompts import Prompts, default_prompts, read_prompts
from llamafile_format.engines.trace import TIMEOUT, Prompt, Request, Trace
from llamafile_format.errors import FormatError, RuntimeFailure, UsageError
from llamafile_format.packing import Include, split_sets
from llamafile_format.progress import Progress
from llamafile_format.running.choose_runtime import Chosen, Wanted, choose_runtime
from llamafile_format.running.guard import Demand, Reading, verified
from llamafile_format.running.replay import damaged_weights, path_of, source_of
from llamafile_format.running.shut_in import tokenizer_of
from llamafile_format.weights.formats import GGUF, ONNX, SAFETENSORS
from llamafile_format.weights.onnx import read_onnx
from llamafile_format.weights.tokenizer_digest import onnx_digests, template_digest, tokenizer_digest

if TYPE_CHECKING:
    from llamafile_format.signing.keys.key import Signer
    from llamafile_format.vouching import SignResult

SHORT = 8  # steps of a run with another number of threads (15.7.3)


@dataclass(frozen=True, slots=True)
class RecordResult:
    """What ``record`` did: the record, the member that holds it, and the repack that put it there.

    An attested record is called ``attested/NNNN`` by its number; then nothing was repacked, ``repacked`` tells what
    became of the file, and ``signed`` who vouches for the record. ``notes`` are sentences about what was not verified.
    """

    record: Record
    member: str
    data: bytes
    repacked: RepackResult
    signed: SignResult | None = None
    notes: tuple[str, ...] = ()


def record(
    what: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    in_place: bool = False,
    prompts: str | os.PathLike[str] | Prompts | None = None,
    name: str = "",
    wanted: Wanted | None = None,
    threads: int | None = None,
    attest: Sequence[Signer] = (),
    reading: Reading | str = Reading.FULL,
    force: bool = False,
    timeout: float = TIMEOUT,
    progress: Progress | None = None,
) -> RecordResult:
    """Record the behaviour of the container at ``what`` and write it, with the record, as ``out`` or in place.

    ``prompts`` is a prompts file (15.7) or None for the default questions; ``name`` names the record (default: the
    flavour of the build). ``force`` replaces an existing ``out``, and is needed for a signed file, unless ``attest``
    names signers: then the record becomes an attestation of theirs in the signature tail, and manifest and signatures
    stay as they are. ``reading`` says how much of the file is verified first, ``timeout`` is seconds for each run, and
    ``progress`` counts runs.

    Raises UsageError for contradictions, FormatError if weights or build are damaged, RuntimeFailure if the build does
    not do its work.
    """
    asked = prompts if isinstance(prompts, Prompts) or prompts is None else read_prompts(Path(prompts))
    if name and not NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a record", hint="use small letters, digits and hyphens")
    if in_place == bool(out):
        raise UsageError("say where to write: -o OUT or --in-place")
    if attest and name:
        raise UsageError("an attested record has no name of its own", hint="it gets the number of its signature record")
    with open_container(what) as container:  # better said before everything is read
        _check(container, force=force or bool(attest))
    with verified(Path(what), Demand(Reading(reading))) as (container, notes):
        if attest:  # better said before the model has run three times
            from llamafile_format.vouching import open_checked

            open_checked(container)
        subject = _subject(container)
        asked = asked or default_prompts(chat=bool(subject[2]))
        chosen = choose_runtime(container, wanted or Wanted())
        notes += (chosen.note,) if chosen.note else ()
        made = _record(container, chosen, subject, asked, threads=threads, timeout=timeout, progress=progress)
    data = record_bytes(made)
    if (back := read_record(data)).record != made:  # what cannot be read again must not be written
        raise RuntimeFailure(f"the record cannot be read back: {back.reason or back.faults[:1]}")
    if attest:
        return replace(_attest(what, out, made, data, attest, force=force), notes=notes)
    member = member_of(name or chosen.runtime.flavour)
    with tempfile.TemporaryDirectory(prefix="llamafile-record-") as folder:
        path = Path(folder) / "record.yaml"
        path.write_bytes(data)
        include = Include(path, member, "behaviour")
        result = repack(what, out, in_place=in_place, include=[include], force=force)
    return RecordResult(made, member, data, result, notes=notes)


def _attest(
    what: str | os.PathLike[str],
    out: str | os.PathLike[str] | None,
    made: Record,
    data: bytes,
    signers: Sequence[Signer],
    *,
    force: bool,
) -> RecordResult:
    """Append the record, signed, to the tail; nothing in front of it changes."""
    from llamafile_format.vouching import attestation_of, sign

    signed = sign(what, signers, out, attest=attestation_of(data), force=force)
    told = [*signed.records, *signed.already][0]
    number = told.rpartition("/")[2].partition(".")[0]
    method, changed = signed.method, bool(signed.records)
    repacked = RepackResult(signed.path, signed.size, signed.manifest_sha256, changed, method=method)
    return RecordResult(made, f"attested/{number}", data, repacked, signed)


def _check(container: Container, *, force: bool) -> None:
    if container.kind is not Kind.CONTAINER or container.manifest is None:
        raise UsageError(
            f"{container.name} is not a 1.0 container", hint="make one of it first: `llamafile-format repack`"
        )
    if signature_entries(container.archive) and not force:
        raise UsageError(
            f"{container.name} is signed, and the file with the record would not be",
            hint="record first and sign then, or add --force",
        )


_Subject = tuple[tuple[Part, ...], str, str]


def _subject(container: Container) -> _Subject:
    """Weights, tokenizer digest and template digest of the default model."""
    manifest = container.manifest
    assert manifest is not None
    weights = {member.path: member for member in container.members if member.role == "weights"}
    sets = split_sets(weights)
    shards = sets.get(manifest.default) or next(iter(sets.values()), None)
    if shards is None:
        raise UsageError("there is no model in the file that could behave")
    first = weights[shards[0]]
    parts = tuple(Part(path, weights[path].sha256, weights[path].size) for path in shards)
    if first.media_type == ONNX.media_type:
        return parts, *onnx_digests(read_onnx(container.window(first.path)))
    if first.media_type == SAFETENSORS.media_type:
        return parts, tokenizer_of(container, first).sha256, ""
    if first.media_type != GGUF.media_type:
        raise UsageError(f"{first.path} is no GGUF, ONNX or safetensors, and this version runs no other models")
    gguf, window = container.gguf(first), container.window(first.path)
    return parts, tokenizer_digest(gguf, window), template_digest(gguf, window)


def _record(
    container: Container,
    chosen: Chosen,
    found: _Subject,
    asked: Prompts,
    *,
    threads: int | None,
    timeout: float,
    progress: Progress | None,
) -> Record:
    """Run three times and compare (15.7.3)."""
    subject = Subject(*found, chosen.runtime)
    if damaged := damaged_weights(container, subject):
        raise FormatError(f"{damaged} is damaged: its bytes do not have the recorded SHA-256", clause="LF4004")
    first = 1 if chosen.via.name == "wasmtime" else threads or asked.threads
    request = Request(asked.prompts, first, asked.context, asked.batch, likelihood=texts().get(asked.likelihood))
    again = [request]
    if chosen.via.name != "wasmtime":  # it has one thread
        again.append(replace(request, prompts=_cut(request.prompts), threads=2 if first == 1 else 1))
    weights = next(member for member in container.members if member.path == found[0][0].path)
    answers: list[Trace] = []
    for index, what in enumerate([request, *again]):
        if progress:
            progress(index, 1 + len(again))
        answers.append(
            trace(
                chosen.program,
                path_of(container),
                what,
                via=chosen.via,
                weights=(weights.offset, weights.size),
                opened=source_of(container),
                before=chosen.before,
                timeout=timeout,
            )
        )
    _check_answer(answers[0], chosen)
    base = _record_of(answers[0], subject, chosen, asked)
    runs = tuple(
        Run(answer.identity.threads, compare(_begun(base, what.prompts), answer).agreement)
        for what, answer in zip(again, answers[1:], strict=True)
    )
    return replace(base, runs=runs, agreement=_class(runs, chosen))


def _cut(prompts: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
    """Prompts with few steps: threads that get in one another's way are slow, and a difference shows at once."""
    return tuple(replace(prompt, max_tokens=min(prompt.max_tokens, SHORT)) for prompt in prompts)


def _begun(base: Record, prompts: tuple[Prompt, ...]) -> Record:
    """``base`` as it would be if ``prompts`` had been asked, which have fewer steps."""
    found = []
    for item, prompt in zip(base.prompts, prompts, strict=True):
        cut = len(item.said.steps) > prompt.max_tokens
        said = replace(item.said, steps=item.said.steps[: prompt.max_tokens], end="length") if cut else item.said
        found.append(Recorded(prompt, said))
    return replace(base, prompts=tuple(found))


def _record_of(answer: Trace, subject: Subject, chosen: Chosen, asked: Prompts) -> Record:
    likelihood = None
    if answer.likelihood is not None:
        text = texts()[asked.likelihood]
        likelihood = RecordedText(asked.likelihood, sha256(text.encode()), answer.likelihood)
    where = answer.identity
    return Record(
        subject=subject,
        environment=Environment(host_target() or "unknown", str(chosen.via), where.cpu),
        agreement=Agreement.EXACT,
        runs=(),
        tolerance=asked.tolerance,
        vocabulary=where.vocabulary,
        context=where.context,
        batch=where.batch,
        threads=where.threads,
        prompts=tuple(Recorded(prompt, said) for prompt, said in zip(asked.prompts, answer.prompts, strict=True)),
        likelihood=likelihood,
    )


def _class(runs: tuple[Run, ...], chosen: Chosen) -> Agreement:
    """The worst of the runs; and what repeats itself bit for bit here need not do so on another processor."""
    found = worst(run.agreement for run in runs)
    if found is Agreement.NONE:
        raise RuntimeFailure(
            "the runs do not agree with one another, not even within the tolerance",
            hint="a build whose answers change from run to run has no behaviour to record",
        )
    promised = Agreement.EXACT if chosen.runtime.flavour == "reference" else Agreement.NEAR
    return worst((found, promised))


def _check_answer(answer: Trace, chosen: Chosen) -> None:
    """The build must be what its path says, and must have said something."""
    told = answer.identity
    for name in ("engine", "version", "flavour", "target"):
        if getattr(told, name) != getattr(chosen.runtime, name):
            raise RuntimeFailure(
                f"the runtime says that its {name} is {getattr(told, name)}, its path {getattr(chosen.runtime, name)}"
            )
    for prompt in answer.prompts:
        if not prompt.steps:
            raise RuntimeFailure(f"prompt {prompt.id} leaves no room in a context of {told.context} tokens")
