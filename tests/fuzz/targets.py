"""Nine readers of hostile bytes, each with what must hold for whatever it is given.

Nothing but errors of ours may come out, within time and memory; and what a reader calls good must be good in another's
eyes as well: it is parsed again, by other code where there is some, and must come out the same.
"""

from __future__ import annotations

import hashlib
import io
import json
import resource
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

import onnx
import safetensors
import yaml
import zstandard
from jinja2 import nodes

import llamafile_format as lf
from llamafile_format.bounded_yaml import parse_yaml
from llamafile_format.checks.prefix import check_prefix
from llamafile_format.checks.signatures import Subject, collect
from llamafile_format.checks.template_lexer import split_template
from llamafile_format.checks.template_tree import deep_stack, parse
from llamafile_format.checks.templates import check_template
from llamafile_format.checks.weights import check_gguf
from llamafile_format.container import Container
from llamafile_format.errors import LlamafileError
from llamafile_format.examining.inspect_model import RowBudget
from llamafile_format.examining.other_weights import bare_weights
from llamafile_format.findings import Finding
from llamafile_format.frozen.layout import Frozen, Row, tail_of
from llamafile_format.frozen.planes import thaw_block
from llamafile_format.manifest.canonical_json import decode, encode
from llamafile_format.manifest.claims import layout_of
from llamafile_format.manifest.model import MANIFEST_PATH
from llamafile_format.manifest.reader import read_manifest
from llamafile_format.prefix.engine import identify_engine
from llamafile_format.prefix.identify import HEAD, identify
from llamafile_format.prefix.impostors import FROZEN, recognise
from llamafile_format.recovery.find import find_slices, sum_of
from llamafile_format.recovery.packets import packets_in
from llamafile_format.recovery.restore import solve_lost
from llamafile_format.recovery.sets import sets_of
from llamafile_format.rules import Layer, Severity, rule
from llamafile_format.signing.keys.algorithms import Agility
from llamafile_format.signing.records.record import Record, RecordKind, record_path
from llamafile_format.signing.trust.evaluate import evaluate
from llamafile_format.signing.trust.evidence import Standing
from llamafile_format.signing.trust.policy import Policy
from llamafile_format.signing.trust.policy_reader import read_policy
from llamafile_format.signing.trust.sight import sights
from llamafile_format.source import BytesSource
from llamafile_format.weights.gguf_model import Gguf
from llamafile_format.weights.litertlm import read_litertlm
from llamafile_format.weights.onnx import read_onnx
from llamafile_format.weights.safetensors import read_safetensors
from spec.vectors.generate import AS_OF, ROOT
from tests.fuzz import seeds

SECONDS = 10.0
"""Of processor time for one input."""
MEGABYTES = 200
"""By which one input may raise the most memory that the process ever had."""

POLICIES = ("curator", "archive", "certificate", "two-ways")
MAX_POLICY = 1 << 20


class Broken(AssertionError):
    """Something that must hold does not."""


def must(holds: object, what: str) -> None:
    """Broken unless ``holds``; unlike assert in every mode of Python."""
    if not holds:
        raise Broken(what)


def judge_archive(data: bytes) -> None:
    """ZIP and manifest. A well-formed container has for Python's own reader the same members, with the same bytes."""
    if data.startswith(b"{"):
        judge_manifest(data)
    report = lf.verify(BytesSource(data), level="exhaustive")
    _render(report.findings, len(data))
    if report.verdicts.get(Layer.WELL_FORMED) is not lf.Verdict.YES:
        return
    again = lf.verify(BytesSource(data), level="exhaustive")
    must(again.findings == report.findings and again.verdicts == report.verdicts, "a second look says something else")
    container = Container(BytesSource(data))
    if container.manifest is None:
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        must([entry.path for entry in container.archive.entries] == archive.namelist(), "zipfile sees other names")
        for name in archive.namelist():
            must(archive.read(name) == container.read(name), f"zipfile reads other bytes of {name}")
        text = archive.read(MANIFEST_PATH)
    value = json.dumps(json.loads(text), sort_keys=True, indent=1, ensure_ascii=False)
    must(value.encode() + b"\n" == text, "the manifest has another spelling than the canonical one")


def judge_manifest(data: bytes) -> None:
    """A manifest, brought into the canonical form first. One without faults is what it comes to when it is written."""
    try:
        text = encode(decode(data, exact=False))
    except LlamafileError:
        return
    manifest, findings = read_manifest(text)
    _render(findings)
    must(manifest is not None or findings, "not read, and nothing is said")
    if manifest is not None:
        layout_of(manifest)
        must(findings or encode(manifest.to_json()) == text, "it comes out differently when it is written again")


def judge_gguf(data: bytes) -> None:
    """GGUF. The header of a good one is what its keys and tensors, written again, come to."""
    gguf, findings = check_gguf(BytesSource(data))
    _render(findings, len(data))
    must(gguf.complete or findings, "not read to its end, and nothing is said")
    if gguf.complete and not _errors(findings):
        must(_written(gguf, data) == data[: gguf.header_length], "it comes out differently when it is written again")


def _written(gguf: Gguf, data: bytes) -> bytes:
    order = "little" if gguf.byte_order == "little" else "big"
    width = 4 if gguf.version == 1 else 8

    def number(value: int, size: int = width) -> bytes:
        """``value`` as the file stores it."""
        return value.to_bytes(size, order)  # type: ignore[arg-type]

    def text(value: str) -> bytes:
        """A length and the text."""
        return number(len(value.encode())) + value.encode()

    parts = [b"GGUF", number(gguf.version, 4), number(len(gguf.tensors)), number(len(gguf.entries))]
    for key, entry in gguf.entries.items():
        parts += [text(key), number(entry.type, 4), data[entry.offset : entry.offset + entry.length]]
    for tensor in gguf.tensors:
        parts += [text(tensor.name), number(len(tensor.dims), 4), *map(number, tensor.dims)]
        parts += [number(tensor.type_id, 4), number(tensor.offset, 8)]
    return b"".join(parts)


def judge_weights(data: bytes) -> None:
    """Weights in other formats. What is without a fault the format's own library reads, and sees the same in it."""
    source = BytesSource(data, "config.bin")
    tensors, model, header = read_safetensors(source), read_onnx(source), read_litertlm(source)
    _render(tensors.findings, len(data))
    _render(model.findings, len(data))
    must(tensors.complete or tensors.findings, "safetensors: not read to its end, and nothing is said")
    must(model.complete or model.findings, "ONNX: not read to its end, and nothing is said")
    must(header.fault or all(0 < each.begin <= each.end <= len(data) for each in header.sections), "a section outside")
    view, found = bare_weights(source, source.name, RowBudget(True, False))
    _render(found, len(data))
    must(view is None or view.size == len(data), "another size")
    if tensors.complete and not _errors(tensors.findings):
        names = {each.name: bytes(data[each.start : each.start + each.size]) for each in tensors.tensors}
        theirs = {name: bytes(each["data"]) for name, each in safetensors.deserialize(data)}
        must(names == theirs, "the safetensors library sees other tensors")
    if model.complete and not any(_counts(each) for each in model.findings):
        graph = onnx.load_model_from_string(data).graph
        named = {each.name for each in model.tensors}
        must(all(each.name in named for each in graph.initializer), "the onnx library sees other tensors")
        must(graph.name == model.graph, "the onnx library sees another graph")


def _counts(finding: Finding) -> bool:
    """True for an error, and for what was not judged."""
    return rule(finding.rule).severity is Severity.ERROR or rule(finding.rule).undetermined


def judge_template(data: bytes) -> None:
    """Chat templates. In the tree of one that is taken nothing reaches behind the language or into other files."""
    findings = check_template(data)
    _render(findings, len(data))
    if _errors(findings):
        return
    source = data.decode("utf-8", "surrogateescape")
    with deep_stack():
        tree = parse(source, split_template(source))
    for node in tree.nodes:
        must(not isinstance(node, nodes.Import | nodes.FromImport | nodes.Include | nodes.Extends), "it loads a file")
        if isinstance(node, nodes.Getattr):
            must(not node.attr.startswith("__"), f"it reaches {node.attr}")


def judge_prefix(data: bytes) -> None:
    """Executables. What is said of one without faults does not depend on the bytes behind it."""
    for size in {len(data), max(HEAD, len(data))}:
        whole = data.ljust(size, b"\0")
        source = BytesSource(whole)
        facts = identify(source)
        findings = list(check_prefix(source, size, facts))
        other = recognise(source)
        _render([*facts.findings, *findings, *([other.finding] if other else [])])
        identify_engine(source, 0, size)
        must(facts.end is None or facts.findings or facts.end <= size, "it ends behind the file")
        if not facts.findings:
            behind = identify(BytesSource(whole + b"PK\3\4" + bytes(26)), limit=size)
            must(behind == facts, "it is something else in front of an archive")


def judge_policy(data: bytes) -> None:
    """Trust policies. One that is taken says the same to a common reader of YAML, and the same the second time."""
    path = Path(_policy_folder().name) / "policy.yaml"
    path.write_bytes(data)
    try:
        policy = read_policy(path)
    except LlamafileError as error:
        must(str(error), "refused without a word")
        return
    value, _ = parse_yaml(data, MAX_POLICY)
    must(repr(value) == repr(yaml.load(data, Loader=yaml.CSafeLoader)), "YAML says something else")
    must(read_policy(path) == policy, "read again, it is another policy")


@cache
def _policy_folder() -> TemporaryDirectory[str]:
    """A folder with the keys that policies of the vectors name; gone when the process ends."""
    folder = TemporaryDirectory(prefix="policies-")
    copytree(ROOT / "trust/keys", Path(folder.name) / "keys")
    return folder


def judge_record(data: bytes) -> None:
    """Signature records, the kind in the first line. None is believed but those that were made with the keys.

    Behind ``KIND:payload`` stands a statement alone, which a genuine bundle is made to carry.
    """
    line, _, body = data.partition(b"\n")
    kind, _, part = line.decode("latin-1").partition(":")
    if kind not in set(RecordKind) or part not in ("", "payload"):
        return
    record_kind = RecordKind(kind)
    if part:
        body = seeds.bundle_around(body)
    claims = seeds.unsigned().claims
    assert claims is not None
    subject = Subject(claims.manifest, claims.data, claims.layout)
    record = Record(1, record_kind, record_path(1, record_kind), subject.covered, subject.covered, body)
    collected = collect(subject, [record])
    _render(collected.findings)
    must(collected.findings or not collected.evidence.broken, "broken, and nothing is said")
    for policy in _policies():
        seen = sights(collected.evidence, policy.authorities, Agility(policy.algorithms), AT)
        outcome = evaluate(seen, policy, required=True)
        _render([*seen.findings, *outcome.findings])
        believed = any(fact.standing is Standing.TRUSTED for fact in outcome.facts) or outcome.established
        must(not believed or kind.encode() + b"\n" + body in _genuine(), "a record that nobody made is believed")


AT = datetime.fromisoformat(AS_OF).replace(tzinfo=UTC)


def judge_recovery(data: bytes) -> None:
    """Recovery sets. What one says is intact has the sums that it names; what it solves has them too."""
    source = BytesSource(data)
    try:
        found = sets_of(packets_in(source))
    except LlamafileError:
        return
    for each in found[:2]:
        geometry = each.geometry
        must(geometry.slices == len(each.sums), "another number of slices than of sums")
        places = find_slices(each, [source], search=[source])
        for index, place in places.items():
            size = geometry.size_of(index)
            right = sum_of(place.source, place.offset, size, geometry.slice_size) == each.sums[index]
            must(right, f"slice {index} is not where it is said to be")
        ends: list[int] = []
        try:
            solve_lost(each, places, lambda at, block, ends=ends: ends.append(at + len(block)))  # type: ignore[misc]
        except LlamafileError:
            continue
        must(all(end <= geometry.length for end in ends), "a solved slice lies outside the range")


def judge_frozen(data: bytes) -> None:
    """Frozen containers, as they are and with right digests. What is read is written the same again, and the planes of
    a block are what zstd's other interface makes of them."""
    for each in {data, seeds.with_right_digests(data)}:
        again = hashlib.sha256(FROZEN)
        table = bytearray()
        try:
            frozen = Frozen(BytesSource(each))
            for number, (row, stored) in enumerate(frozen.stored()):
                block = thaw_block(stored, row.sizes, row.width, frozen.index.length(number)) if row.width else b""
                must(not row.width or len(block) == frozen.index.length(number), "a block of another length")
                _planes(row, stored, block)
                again.update(stored)
                table += row.packed()
        except LlamafileError:
            continue
        report = lf.verify(BytesSource(each))
        _render(report.findings, len(each))
        must(report.exit_code(), "it is taken for a container")
        again.update(table + tail_of(frozen.index))
        must(again.digest() == hashlib.sha256(each).digest(), "it would be written in another way")


def _planes(row: Row, stored: bytes, block: bytes) -> None:
    at = 0
    for first, size in enumerate(row.sizes):
        part, plane, at = stored[at : at + size], block[first :: row.width], at + size
        if size != len(plane):
            part = zstandard.ZstdDecompressor().decompressobj().decompress(part)
        must(part == plane, f"plane {first} is another one")


@cache
def _policies() -> tuple[Policy, ...]:
    return tuple(read_policy(ROOT / "trust" / f"{name}.yaml") for name in POLICIES)


@cache
def _genuine() -> frozenset[bytes]:
    return frozenset(seeds.signed_records())


def _errors(findings: Iterable[Finding]) -> bool:
    return any(rule(finding.rule).severity is Severity.ERROR for finding in findings)


def _render(findings: Iterable[Finding], size: int | None = None) -> None:
    """Every finding can be told, and its place lies in the ``size`` bytes that there are."""
    for finding in findings:
        must(rule(finding.rule).render(finding), f"{finding.rule} says nothing")
        offset = finding.where.offset
        must(size is None or offset is None or 0 <= offset <= size, f"{finding.rule} lies outside, at {offset}")


@dataclass(frozen=True, slots=True)
class Target:
    """``judge`` raises for whatever must not be; ``seeds`` are inputs to begin with."""

    judge: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]

    def __call__(self, data: bytes) -> None:
        """Judge ``data``, within time and memory."""
        before, started = _most(), time.process_time()
        self.judge(data)
        took, used = time.process_time() - started, _most() - before
        must(took <= SECONDS, f"it took {took:.1f} s")
        must(used <= MEGABYTES, f"it took {used:.0f} MB")


def _most() -> float:
    """The most megabytes that this process ever had at once, without what its parent had before it was started."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20) if sys.platform == "darwin" else most / 1024


TARGETS = {
    "archive": Target(judge_archive, seeds.archive_seeds),
    "gguf": Target(judge_gguf, seeds.gguf_seeds),
    "weights": Target(judge_weights, seeds.weights_seeds),
    "template": Target(judge_template, seeds.template_seeds),
    "prefix": Target(judge_prefix, seeds.prefix_seeds),
    "policy": Target(judge_policy, seeds.policy_seeds),
    "record": Target(judge_record, seeds.record_seeds),
    "recovery": Target(judge_recovery, seeds.recovery_seeds),
    "frozen": Target(judge_frozen, seeds.frozen_seeds),
}
