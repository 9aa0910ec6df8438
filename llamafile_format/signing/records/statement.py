"""What is signed: in-toto statements about the manifest, and through it about every byte (spec/1, 13.3)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from llamafile_format.errors import FormatError
from llamafile_format.manifest.canonical_json import decode, encode
from llamafile_format.manifest.model import MANIFEST_PATH, SIGNATURES_FOLDER, Manifest
from llamafile_format.plain_json import plain, stated_fields
from llamafile_format.signing.records.strict_json import fields_of, wrong

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
OMS_PREDICATE = "https://model_signing/signature/v1.0"  # OpenSSF Model Signing v1.0
COUNTERSIGNATURE = "urn:llamafile-format:countersignature:1.0"
REPORT = "urn:llamafile-format:report:1.0"  # a verification report (13.12)
FORMAT = "llamafile/1.0"
GIT_NAMES = (".git", ".gitattributes", ".github", ".gitignore")  # what OMS tools pass over unless told otherwise
UNNAMED = "llamafile"  # the subject of a container without a name: OMS wants one
MAX_REVISION = (1 << 63) - 1
CLAUSE = "13.3.5"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_mapping = partial(fields_of, clause=CLAUSE)
_wrong = partial(wrong, clause=CLAUSE)


@dataclass(frozen=True, slots=True, order=True)
class Resource:
    """A file by name and lower-case hex digest, as it comes out of an ordinary unzip."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Signed:
    """An earlier record, as a countersignature names it; ``size`` is bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Annotations:
    """What our statements add to OMS: which manifest, how much it covers (bytes [0, covered)), which revision of the
    model, who else is meant to sign (key ids), and the time that the signer claims."""

    manifest_sha256: str
    covered: int
    revision: int = 0
    cosigners: tuple[str, ...] = ()
    declared_time: str = ""

    def to_json(self) -> dict[str, Any]:
        """The JSON object."""
        return {**stated_fields(self), "cosigners": sorted(self.cosigners), "format": FORMAT}


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that was read strictly; what it says is for :mod:`checks.signatures` to compare with the file."""

    predicate_type: str
    name: str
    subject_sha256: str
    annotations: Annotations | None
    resources: tuple[Resource, ...] = ()
    records: tuple[Signed, ...] = ()
    predicate: Mapping[str, Any] = field(default_factory=dict)


def covered_resources(manifest: Manifest, manifest_bytes: bytes) -> tuple[Resource, ...]:
    """Members, engine assets that are files, and the manifest itself, by code point: what a statement must name."""
    assets = manifest.prefix.directory.assets if manifest.prefix.directory else ()
    named = [(member.path, member.sha256) for member in manifest.members]
    named += [(asset.path, asset.sha256) for asset in assets if not asset.is_folder]
    named.append((MANIFEST_PATH, hashlib.sha256(manifest_bytes).hexdigest()))
    return tuple(sorted(Resource(name, digest) for name, digest in named))


def root_digest(resources: Iterable[Resource]) -> str:
    """OMS's digest of all resources: SHA-256 over their raw digests, in the order given."""
    return hashlib.sha256(b"".join(bytes.fromhex(resource.sha256) for resource in resources)).hexdigest()


def oms_statement(resources: Sequence[Resource], annotations: Annotations, *, name: str = "") -> bytes:
    """The payload of an ``oms`` or ``sig`` record; ``resources`` sorted by code point."""
    top = {resource.name.split("/")[0] for resource in resources}
    ignored = [*(git for git in GIT_NAMES if git not in top), SIGNATURES_FOLDER.rstrip("/")]
    predicate = {
        "resources": [{"algorithm": "sha256", "digest": each.sha256, "name": each.name} for each in resources],
        "serialization": {"allow_symlinks": False, "hash_type": "sha256", "ignore_paths": ignored, "method": "files"},
    }
    return _statement(OMS_PREDICATE, predicate, root_digest(resources), annotations, name)


def countersignature(records: Sequence[Signed], annotations: Annotations, *, name: str = "") -> bytes:
    """The payload of a ``cnt`` record: the manifest and every earlier record, in file order."""
    return _statement(COUNTERSIGNATURE, {"records": plain(records)}, annotations.manifest_sha256, annotations, name)


def attestation(
    predicate_type: str, predicate: Mapping[str, Any], annotations: Annotations, *, name: str = "", sha256: str = ""
) -> bytes:
    """The payload of an ``att`` record about the manifest, or about the member of digest ``sha256``."""
    if predicate_type in (OMS_PREDICATE, COUNTERSIGNATURE) or not re.fullmatch(r"[a-z]+:\S+", predicate_type):
        raise FormatError(
            "an attestation needs a predicate type of its own", found=f"{predicate_type!r:.80}", allowed="a URI"
        )
    return _statement(predicate_type, predicate, sha256 or annotations.manifest_sha256, annotations, name)


def _statement(kind: str, predicate: Mapping[str, Any], digest: str, annotations: Annotations, name: str) -> bytes:
    subject = {"annotations": annotations.to_json(), "digest": {"sha256": digest}, "name": name or UNNAMED}
    return encode({"_type": STATEMENT_TYPE, "predicate": dict(predicate), "predicateType": kind, "subject": [subject]})


def read_statement(payload: bytes) -> Statement:
    """The statement in ``payload``, whoever wrote it; FormatError that names the field that is at fault.

    Names may not appear twice: tools differ in which of two they believe. Annotations are read if they are ours.
    """
    value = _mapping(decode(payload, exact=False), "the statement", {"_type", "predicate", "predicateType", "subject"})
    if value["_type"] != STATEMENT_TYPE:
        raise _wrong("_type", value["_type"], STATEMENT_TYPE)
    kind = value["predicateType"]
    if not isinstance(kind, str) or not kind:
        raise _wrong("predicateType", kind, "a URI")
    subjects = value["subject"]
    if not isinstance(subjects, list) or len(subjects) != 1:
        raise _wrong("subject", "another number", "exactly one")
    subject = _mapping(subjects[0], "subject[0]", {"digest"}, {"name", "annotations"})
    digest = _mapping(subject["digest"], "subject[0].digest", {"sha256"})["sha256"]
    predicate = value["predicate"]
    if not isinstance(predicate, dict):
        raise _wrong("predicate", f"{predicate!r:.40}", "an object")
    resources = _resources(predicate) if kind == OMS_PREDICATE else ()
    if resources and root_digest(resources) != digest:
        raise _wrong("subject[0].digest", f"{digest!r:.80}", f"{root_digest(resources)}, the digest of the resources")
    return Statement(
        predicate_type=kind,
        name=_string(subject.get("name", ""), "subject[0].name"),
        subject_sha256=_digest(digest, "subject[0].digest.sha256"),
        annotations=_annotations(subject.get("annotations")),
        resources=resources,
        records=_records(predicate) if kind == COUNTERSIGNATURE else (),
        predicate=predicate,
    )


def _resources(predicate: dict[str, Any]) -> tuple[Resource, ...]:
    _mapping(predicate, "predicate", {"resources", "serialization"})
    serialization = _mapping(
        predicate["serialization"],
        "serialization",
        {"hash_type", "method"},
        {"allow_symlinks", "ignore_paths", "shard_size"},
    )
    if serialization["method"] != "files" or serialization["hash_type"] != "sha256":  # nothing else is comparable
        found = f"{serialization['method']!r:.20} by {serialization['hash_type']!r:.20}"
        raise _wrong("serialization", found, "files by sha256")
    if not isinstance(predicate["resources"], list) or not predicate["resources"]:
        raise _wrong("resources", "none", "at least one")
    found_ = []
    for index, item in enumerate(predicate["resources"]):
        where = f"resources[{index}]"
        if not isinstance(item, dict) or not {"name", "digest", "algorithm"} <= item.keys():
            raise _wrong(where, f"{item!r:.60}", "name, digest and algorithm")
        if item["algorithm"] != "sha256":
            raise _wrong(f"{where}.algorithm", f"{item['algorithm']!r:.40}", "sha256")
        found_.append(Resource(_string(item["name"], f"{where}.name"), _digest(item["digest"], f"{where}.digest")))
    if len({resource.name for resource in found_}) != len(found_):
        raise _wrong("resources", "a name twice", "each once")
    return tuple(found_)


def _records(predicate: dict[str, Any]) -> tuple[Signed, ...]:
    listed = _mapping(predicate, "predicate", {"records"})["records"]
    if not isinstance(listed, list):
        raise _wrong("records", f"{listed!r:.40}", "a list")
    found = []
    for index, item in enumerate(listed):
        where = f"records[{index}]"
        item = _mapping(item, where, {"path", "sha256", "size"})
        size = _number(item["size"], f"{where}.size")
        found.append(Signed(_string(item["path"], f"{where}.path"), _digest(item["sha256"], f"{where}.sha256"), size))
    return tuple(found)


def _annotations(value: Any) -> Annotations | None:
    """Ours; None for those of others, which say nothing here."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        return None
    needed = {"cosigners", "covered", "format", "manifest_sha256", "revision"}
    value = _mapping(value, "annotations", needed, {"declared_time"})
    cosigners = value["cosigners"]
    if not isinstance(cosigners, list) or cosigners != sorted({str(each) for each in cosigners}):
        raise _wrong("cosigners", f"{cosigners!r:.80}", "key ids, sorted, each once")
    declared = value.get("declared_time", "")
    if declared and not (isinstance(declared, str) and _is_time(declared)):
        raise _wrong("declared_time", f"{declared!r:.40}", "a time such as 2026-11-21T14:00:00Z")
    return Annotations(
        manifest_sha256=_digest(value["manifest_sha256"], "manifest_sha256"),
        covered=_number(value["covered"], "covered"),
        revision=_number(value["revision"], "revision"),
        cosigners=tuple(_digest(each, "cosigners") for each in cosigners),
        declared_time=declared,
    )


def _is_time(text: str) -> bool:
    try:
        return bool(_TIME.fullmatch(text) and datetime.fromisoformat(text))
    except ValueError:  # such as the 30th of February
        return False


def _digest(value: Any, name: str) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise _wrong(name, f"{value!r:.80}", "64 lower-case hexadecimal digits")
    return value


def _string(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > 4096:
        raise _wrong(name, f"{value!r:.60}", "a text of at most 4,096 characters")
    return value


def _number(value: Any, name: str) -> int:
    if type(value) is not int or not 0 <= value <= MAX_REVISION:
        raise _wrong(name, f"{value!r:.40}", "a whole number from 0")
    return value
