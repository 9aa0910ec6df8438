"""The sentences that the screen and the page share: what is said about each part of an inspected file.

Texts that come from the file are escaped for a terminal here (:func:`printable`); a page escapes markup on top.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llamafile_format.examining import (
    ArgumentsView,
    BuildView,
    ChosenView,
    Inspection,
    LicenceView,
    ModelView,
    OnnxView,
    OperatorRow,
    PrefixView,
    RecordView,
    TemplateView,
    ValueRow,
    WeightsView,
)
from llamafile_format.findings import Finding
from llamafile_format.reports.escape import printable
from llamafile_format.reports.numbers import grouped, in_words, plural, size_text, span_of
from llamafile_format.rules import Severity, rule
from llamafile_format.weights.facts import ModelFacts
from llamafile_format.weights.purpose import GgufKind

_SAFE = re.compile(r"[\w@%+=:,./${}-]+", re.ASCII)


def kind_text(inspection: Inspection) -> str:
    """``llamafile 1.0, profile archive``; ``legacy llamafile``; ``bare GGUF 3``."""
    file = inspection.file
    if file.kind == "gguf":
        model = inspection.model
        return f"bare GGUF {model.facts.gguf_version}" if model else "bare GGUF"
    if file.kind == "weights" and inspection.other_weights:
        return f"bare {inspection.other_weights[0].format.removeprefix('a ')}"
    if file.kind != "llamafile 1":
        return file.kind
    version = printable(file.version) or "1, manifest not readable"
    return f"llamafile {version}" + (
        f", profile {printable(file.profile)}" if file.profile not in ("", "default") else ""
    )


def counts(findings: tuple[Finding, ...]) -> dict[Severity, int]:
    """How many findings there are of each severity."""
    found = dict.fromkeys(Severity, 0)
    for finding in findings:
        found[rule(finding.rule).severity] += 1
    return found


_NOT_READ = {"LF9004": "contents, which have no digests", "LF9005": "signatures"}


def not_read(findings: tuple[Finding, ...]) -> list[str]:
    """What the quick verification says it left out, in few words."""
    left = []
    for finding in findings:
        row = rule(finding.rule)
        if row.undetermined:
            args = finding.args
            whole = f"all of {args['path']}" if "path" in args else ""
            left.append(printable(str(args.get("what") or whole or _NOT_READ.get(row.id) or row.title)))
    return list(dict.fromkeys(left))


def prefix_text(prefix: PrefixView) -> str:
    """What the file begins with, and which engine that is."""
    if prefix.kind == "none":
        return "none: data only, for a runtime to open"
    words = {
        "ape": "APE",
        "launcher": "launcher of this format",
        "elf": "ELF program",
        "pe": "Windows program",
        "macho": "macOS program",
        "script": f"script for {printable(prefix.interpreter) or 'a shell'}",
        "other": "bytes of unknown kind",
    }
    generation = f" ({printable(prefix.generation)})" if prefix.generation else ""
    if prefix.kind == "launcher" and prefix.generation:
        generation = f" (converted to {printable(prefix.generation)})"
    return f"{words.get(prefix.kind, printable(prefix.kind))}{generation}, {size_text(prefix.engine_size)}"


def engine_text(prefix: PrefixView) -> str:
    """The engine's name and version, with how sure that is; empty if nothing names it."""
    engine = prefix.engine
    if engine is None:
        return ""
    name = printable(engine.family)
    if engine.version:
        text = f"{name} {printable(engine.version)}, read off its bytes"
    elif engine.at_least and engine.at_most:
        text = f"{name} {engine.at_least} to {engine.at_most}, by its assets"
    elif engine.at_least or engine.at_most:
        bound = f"{engine.at_least} or later" if engine.at_least else f"{engine.at_most} or earlier"
        text = f"{name} {bound}, by its assets"
    else:
        text = name
    if engine.release:
        text += f"; digest recorded is that of the release {printable(engine.release)}"
    return text + ("" if engine.complete or engine.version else " (only its first 64 MiB were searched)")


_SYSTEMS = ("linux", "macos", "windows", "freebsd", "netbsd", "openbsd")


def systems(prefix: PrefixView) -> list[str]:
    """``linux, macos on x86_64 and aarch64``: the systems that the prefix can run on, by the processors they share."""
    machines: dict[str, list[str]] = {}
    for system, machine in prefix.runs_on:
        machines.setdefault(system, []).append(machine)
    order = [name for name in _SYSTEMS if name in machines] + [name for name in machines if name not in _SYSTEMS]
    alike: dict[str, list[str]] = {}
    for system in order:
        *most, last = sorted(machines[system], reverse=True)
        alike.setdefault(f"{', '.join(most)} and {last}" if most else last, []).append(system)
    return [printable(f"{', '.join(names)} on {processors}") for processors, names in alike.items()]


def kind_of_model(facts: ModelFacts) -> str:
    """What the weights are, as the beginning of a sentence: ``A language model of llama architecture``."""
    if facts.kind is GgufKind.MODEL:
        return f"A language model of {facts.architecture} architecture"
    if facts.kind in {GgufKind.DIFFUSION, GgufKind.DECODER, GgufKind.SPEECH, GgufKind.LORA}:
        return f"Not a language model: {facts.kind.value}"
    return f"Not a whole model: {facts.kind.value}"


def model_title(model: ModelView) -> str:
    """Architecture, name and size: ``llama, 292,800 parameters in 48 tensors``."""
    facts = model.facts
    parts = [] if facts.kind.value == "model" else [facts.kind.value]
    parts.append(printable(facts.architecture or "architecture not stated"))
    if facts.tensors:
        parts.append(f"{in_words(facts.parameters)} parameters in {plural(facts.tensors, 'tensor')}")
    else:
        parts.append("no tensors")
    if facts.experts:
        parts.append(f"{facts.experts_used or '?'} of {facts.experts} experts at a time")
    if facts.split and facts.split.shards:
        parts.append(f"part {(facts.split.number or 0) + 1} of {facts.split.shards}")
    return ", ".join(parts)


def weights_text(view: WeightsView) -> list[str]:
    """Weights that are no GGUF: format, what they hold, what is said of them."""
    name = f"{printable(view.member)}: " if view.member else ""
    parts = [f"{name}{view.family or view.format.removeprefix('a ')}"]
    parts += [] if view.read else ["not read, so undetermined"]
    parts += [f"{plural(view.tensors, 'tensor')}"] if view.tensors is not None else []
    parts += [f"{row.type} {size_text(row.size)}" for row in view.types[:3]]
    if view.onnx is not None:
        parts += _onnx_words(view.onnx)
    parts += [plural(len(view.sections), "section")] if view.sections else []
    parts += [printable(text) for text in view.facts]
    if view.claims_qat:
        parts.append("claims QAT in name only")
    if not view.complete:
        parts.append("not read to its end")
    return parts


def _onnx_words(onnx: OnnxView) -> list[str]:
    sets = " ".join(f"{printable(domain)} {version}" for domain, version in list(onnx.opsets.items())[:3])
    outside = [f"data in {plural(len(onnx.outside), 'file')} beside it"] if onnx.outside else []
    return [plural(onnx.nodes, "operator"), *([f"of {sets}"] if sets else []), *outside]


def onnx_rows(onnx: OnnxView) -> list[tuple[str, list[str]]]:
    """What goes in and comes out, the most frequent operators, and where data lie: labels and texts."""
    operators = [f"{_operator(row)} {row.nodes}" for row in onnx.operators]
    outside = [f"{printable(row.location)} {size_text(row.size)}" for row in onnx.outside]
    rows = [("inputs", [*map(_value, onnx.inputs)]), ("outputs", [*map(_value, onnx.outputs)])]
    return [(label, texts) for label, texts in (*rows, ("operators", operators), ("data in", outside)) if texts]


def _operator(row: OperatorRow) -> str:
    domain = "" if row.domain == "ai.onnx" else f"{row.domain}."
    return printable(f"{domain}{row.name}")


def _value(value: ValueRow) -> str:
    shape = f" [{' x '.join(map(printable, value.shape))}]" if value.shape is not None else ""
    return f"{printable(value.name)} {printable(value.type)}{shape}"


def model_shape(model: ModelView) -> list[str]:
    """The numbers that make up the architecture."""
    facts = model.facts
    shape = []
    if facts.context_length:
        shape.append(f"context {grouped(facts.context_length)}")
    if facts.layers:
        shape.append(plural(facts.layers, "layer"))
    if facts.heads:
        shape.append(f"{span_of(facts.heads)} heads" + (f" ({span_of(facts.kv_heads)} KV)" if facts.kv_heads else ""))
    if facts.embedding:
        shape.append(f"embedding {grouped(facts.embedding)}")
    if facts.feed_forward:
        shape.append(f"feed-forward {span_of(facts.feed_forward)}")
    if facts.sliding_window:
        shape.append(f"window {grouped(facts.sliding_window)}")
    if facts.vocabulary is not None:
        kind = "/".join(printable(text) for text in (facts.tokenizer_model, facts.tokenizer_pre) if text)
        shape.append(f"vocabulary {grouped(facts.vocabulary)}" + (f" ({kind})" if kind else ""))
    if facts.languages:
        shape.append("languages " + " ".join(printable(text) for text in facts.languages))
    return shape + _special_shape(model)


def _special_shape(model: ModelView) -> list[str]:
    facts = model.facts
    shape = []
    if facts.adapter:
        rank = f", rank {facts.adapter.rank}" if facts.adapter.rank else ""
        shape.append(f"{printable(facts.adapter.type)} on {plural(facts.adapter.targets, 'tensor')}{rank}")
    if facts.projector:
        senses = [
            word for word, there in (("vision", facts.projector.vision), ("audio", facts.projector.audio)) if there
        ]
        shape.append(
            f"{' and '.join(senses) or 'no'} encoder"
            + (f", {printable(facts.projector.type)}" if facts.projector.type else "")
        )
        if facts.projector.image_size:
            shape.append(f"images of {facts.projector.image_size} pixels in patches of {facts.projector.patch_size}")
    return shape


def quantisation(model: ModelView) -> list[str]:
    """``4.83 bits a weight, file type Q4_K_M, imatrix calibration.txt``."""
    facts = model.facts
    if facts.bits_per_weight is None:
        return ["no tensors"]
    parts = [f"{facts.bits_per_weight:.2f} bits a weight"]
    if facts.file_type:
        parts.append(f"file type {printable(facts.file_type)}")
    if facts.imatrix:
        origin = facts.imatrix.dataset or facts.imatrix.file
        parts.append("imatrix" + (f" {printable(origin)}" if origin else ""))
    if facts.quantised_by:
        parts.append(f"by {printable(facts.quantised_by)}")
    if model.qat_in_name_only:
        parts.append("claims QAT in name only")
    return parts


def template_text(template: TemplateView) -> str:
    """Name, size, features and findings of a template; the digest is shown beside it."""
    name = f"{printable(template.name)}: " if template.name else ""
    parts = [f"{name}{size_text(template.size)}"]
    if template.features:
        parts.append("mentions " + ", ".join(template.features))
    if not template.checked:
        parts.append("too long to be checked")
    elif template.findings:
        parts.append(f"RISKS: {' '.join(template.findings[:6])}")
    else:
        parts.append("no risk found in its text")
    return "; ".join(parts)


def licence_text(licence: LicenceView) -> str:
    """Who says what, and whether a text is there."""
    manifest, weights = printable(licence.manifest), printable(licence.weights)
    if manifest and weights and manifest.lower() != weights.lower():
        said = f"{manifest} (manifest), {weights} (weights)"
    else:
        said = manifest or weights or "not stated"
    if licence.link and not licence.texts:
        said += f", {printable(licence.link)}"
    if licence.texts:
        more = f" and {len(licence.texts) - 2} more" if len(licence.texts) > 2 else ""
        return f"{said}; text in {', '.join(printable(path) for path in licence.texts[:2])}{more}"
    return f"{said}; no licence text in the file"


ROLE_WORDS = {"engine-asset": "engine", "publisher-signature": "signature", "signature-record": "signature"}
"""Shorter words for roles, where a column is narrow."""


def memory_totals(model: ModelView) -> list[str]:
    """``context 4,096: 5.31 GiB`` for each context; one reason where there is no estimate."""
    memory = model.memory
    if not memory.rows:
        return [f"no estimate: {printable(memory.reason)}"]
    return [f"{size_text(row.total)} at {grouped(row.context)}" for row in memory.rows]


def memory_formula(model: ModelView) -> list[str]:
    """The sum behind the totals, in the model's own numbers; empty without an estimate."""
    memory = model.memory
    if not memory.rows or memory.scratch is None:
        return []
    row = memory.rows[0]
    a_token = row.cache // row.context if row.context else 0
    return [
        f"= weights {size_text(memory.weights)}",
        f"+ context x {size_text(a_token)} KV cache (F16)",
        f"+ scratch {size_text(memory.scratch)} (512 tokens a batch)",
    ]


_WHY = {
    "default": "the default",
    "first": "the first",
    "companion": "with the model",
    "option": "named in .args",
    "inline": "in .args itself",
    "name": "found by name",
}


def will_run_text(inspection: Inspection) -> list[str]:
    """What the file will run, in words: one text for each thing and why it is this one (clause 14.7)."""
    will = inspection.will_run
    if will is None:
        return []
    parts = [f"model {_chosen(will.model)}"] if will.model else ["no model"]
    if will.template is not None and will.template.why != "in-model":
        parts.append(f"template {_chosen(will.template)}")
    parts += [f"projector {_chosen(will.projector)}"] if will.projector else []
    parts += [f"adapter {_chosen(adapter)}" for adapter in will.adapters]
    parts += [f"draft {_chosen(will.draft)}"] if will.draft else []
    parts += [f"grammar {_chosen(will.grammar)}"] if will.grammar else []
    return parts


def started_text(inspection: Inspection) -> list[str]:
    """What ``./FILE`` starts: the builds inside by kind and number of systems, or what stands in front."""
    will = inspection.will_run
    if will is None:
        return []
    if inspection.prefix.kind != "launcher":
        return ["nothing: there is no program in front" if inspection.prefix.kind == "none" else "the engine in front"]
    starts = [build for build in will.builds if build.starts]
    kinds = dict.fromkeys(_kind(build.member) for build in starts)
    parts = [f"{printable(kind)} on {plural(_targets(starts, kind), 'system')}" for kind in kinds]
    seconds = sum(build.why == "gpu" for build in will.builds)  # started by the native one, where a device answers
    parts += [f"gpu on {plural(seconds, 'system')}"] if seconds else []
    parts += ["by commands only"] if any(build.shut_in for build in starts) else []
    parts += ["libraries prebuilt by others, not rebuilt"] if any(build.prebuilt for build in starts) else []
    return [*parts, *(["its page"] if will.page else [])] or ["nothing: there is no build inside"]


def here_text(inspection: Inspection) -> list[str]:
    """What ``run`` starts here, and why it is this one (clause 14.7.11)."""
    here = inspection.will_run.here if inspection.will_run is not None else None
    if here is None:
        return []
    if not here.build:
        return [f"nothing: there is no build for {here.target}"]
    kind = printable(_kind(here.build))
    reasons = {
        "own": "the file's own",
        "newer": "of this installation, newer than the file's own",
        "absent": f"of this installation: the file has none for {here.target}",
        "barred": "of this installation: the file's own is not known here, or refused",
    }
    refuses = [f"which refuses its {' '.join(map(printable, here.refuses[:4]))}"] if here.refuses else []
    return [f"{kind}, {reasons[here.why]}", *refuses]


def _kind(member: str) -> str:
    """Engine, version and flavour in the path of a build."""
    return "/".join(member.split("/")[1:4])


def _targets(starts: Sequence[BuildView], kind: str) -> int:
    return sum(build.member.startswith(f"runtimes/{kind}/") for build in starts)


def _chosen(chosen: ChosenView) -> str:
    if chosen.why == "outside":
        return f"{printable(chosen.text)} (named in .args, not in this file)"
    name = f"{printable(chosen.member)} " if chosen.member else ""
    return f"{name}({_WHY.get(chosen.why, chosen.why)})"


def arguments_text(arguments: ArgumentsView) -> list[str]:
    """The arguments as one would type them; ``...`` where the user's own go in."""
    words = [
        token if _SAFE.fullmatch(token) else "'" + printable(token).replace("'", "'\\''") + "'"
        for token in arguments.tokens
    ]
    if arguments.rest is not None:
        words.insert(arguments.rest, "...")
    return words


_RECORDS = (
    (("oms", "sig"), "signature"),
    (("cnt",), "countersignature"),
    (("att",), "attestation"),
    (("tsr",), "time stamp"),
    (("vm",), "record of certificates"),
    (("",), "record of no known kind"),
)
_KEYS_SHOWN = 2


def statements_text(inspection: Inspection) -> str:
    """Signatures and behaviour records: how many of which kind there are, and that nobody looked."""
    statements = inspection.statements
    parts = []
    for kinds, word in _RECORDS:
        if count := sum(record.kind in kinds for record in statements.records):
            parts.append(f"{count} records{word[6:]}" if count > 1 and "record" in word else plural(count, word))
    if statements.publisher_signatures:
        parts.append(plural(len(statements.publisher_signatures), "publisher signature"))
    if statements.behaviour:
        parts.append(plural(len(statements.behaviour), "behaviour record"))
    if parts:
        return ", ".join(parts) + "; not checked here"
    return "none in the file; no record of behaviour either"


def claims_text(inspection: Inspection) -> str:
    """``claimed, not checked: keys 3f2a9c41be07, 77aabbcc0102``: what signatures say of their makers, if anything."""
    records = [record for record in inspection.statements.records if record.method]
    keys = list(dict.fromkeys(record.claimed_key_id[:12] for record in records if record.claimed_key_id))
    named = ["key" + "s" * (len(keys) > 1) + " " + ", ".join(keys[:_KEYS_SHOWN])] if keys else []
    if len(keys) > _KEYS_SHOWN:
        named.append(f"{len(keys) - _KEYS_SHOWN} more")
    named += [f"a {method}" for method in ("certificate", "sigstore identity") if _claimed(records, method.split()[0])]
    return f"claimed, not checked: {' and '.join(named)}" if named else ""


def _claimed(records: Sequence[RecordView], method: str) -> bool:
    return any(record.method == method for record in records)
