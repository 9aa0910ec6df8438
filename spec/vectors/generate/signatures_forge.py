"""Signature records written from chapter 13 alone, behind any container: what is signed, and every way to lie in it.

A :class:`Tail` takes a finished container, adds records in order and writes the file again. A change to a statement is
made before it is signed, one to a bundle afterwards; CRCs, directory and end records are always those of the result, as
an attacker would have them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from spec.vectors.generate.forge import FOLDER, MARK, Part, Spec, container, directory_record, encode, parts, place
from spec.vectors.generate.signatures_certificates import Certificate
from spec.vectors.generate.signatures_keys import Key
from spec.vectors.generate.timestamps_forge import HASHES, Stamp

Edit = Callable[[Any], Any]
SIGNATURES = f"{FOLDER}signatures/"
SUFFIX = {"oms": "json", "sig": "json", "att": "json", "tsr": "der", "vm": "json", "cnt": "json"}
PAYLOAD_TYPE = "application/vnd.in-toto+json"
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
OMS = "https://model_signing/signature/v1.0"
COUNTERSIGNATURE = "urn:llamafile-format:countersignature:1.0"
IGNORED = [".git", ".gitattributes", ".github", ".gitignore", "META-LLAMAFILE/signatures"]
DECLARED = "2026-11-21T14:00:00Z"
LABELS = {"default": "tiny.gguf", "name": "Tiny"}


def b64(data: bytes) -> str:
    """Base64, padded."""
    return base64.b64encode(data).decode()


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def pae(payload: bytes, kind: str = PAYLOAD_TYPE) -> bytes:
    """What a DSSE signature is over."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)


def unsigned(*more: Part, **spec: Any) -> bytes:
    """The container that most signatures are about."""
    return container(Spec(parts(*more), **{"labels": LABELS, **spec}))


@dataclass(slots=True)
class Record:
    """A signature record: its kind, its bytes, and a name if it is not the due one."""

    kind: str
    data: bytes
    name: str = ""


@dataclass
class Tail:
    """The signature records of a file. Methods add records and return the tail, so that calls can be strung."""

    base: bytes
    records: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        size, at = struct.unpack_from("<II", self.base, len(self.base) - len(MARK) - 10)
        self.body, self.directory = self.base[:at], self.base[at : at + size]
        header = self.body.rindex(b"PK\x03\x04")
        path = b"META-LLAMAFILE/manifest.json"
        assert self.body[header + 30 :].startswith(path)
        self.manifest = self.body[header + 30 + len(path) :]

    # What is signed

    @property
    def covered(self) -> int:
        """N: where the manifest ends."""
        return len(self.body)

    def resources(self) -> list[dict[str, str]]:
        """Members, engine assets and the manifest, by name."""
        value = json.loads(self.manifest)
        named = {member["path"]: member["sha256"] for member in value["members"]}
        named |= {asset["path"]: asset["sha256"] for asset in value["prefix"].get("directory", {}).get("assets", [])}
        named[f"{FOLDER}manifest.json"] = sha256(self.manifest)
        return [{"algorithm": "sha256", "digest": named[name], "name": name} for name in sorted(named)]

    def annotations(self, cosigners: Sequence[Key] = (), time: str = DECLARED) -> dict[str, Any]:
        """What a statement says about the file beside its digest."""
        value: dict[str, Any] = {
            "cosigners": sorted(key.id for key in cosigners),
            "covered": self.covered,
            "format": "llamafile/1.0",
            "manifest_sha256": sha256(self.manifest),
            "revision": json.loads(self.manifest).get("revision", 0),
        }
        return {**value, "declared_time": time} if time else value

    def oms_statement(self, cosigners: Sequence[Key] = (), time: str = DECLARED) -> dict[str, Any]:
        """The statement of kinds oms and sig."""
        resources = self.resources()
        root = hashlib.sha256(b"".join(bytes.fromhex(resource["digest"]) for resource in resources)).hexdigest()
        serialization = {
            "allow_symlinks": False,
            "hash_type": "sha256",
            "ignore_paths": list(IGNORED),
            "method": "files",
        }
        predicate = {"resources": resources, "serialization": serialization}
        return self._statement(OMS, predicate, root, self.annotations(cosigners, time))

    def countersignature(self, time: str = DECLARED) -> dict[str, Any]:
        """The statement of kind cnt: every record so far."""
        listed = [
            {"path": SIGNATURES + self.name(index), "sha256": sha256(record.data), "size": len(record.data)}
            for index, record in enumerate(self.records)
        ]
        annotations = self.annotations(time=time)
        return self._statement(COUNTERSIGNATURE, {"records": listed}, sha256(self.manifest), annotations)

    def attestation(self, kind: str, predicate: Any, digest: str = "") -> dict[str, Any]:
        """The statement of kind att."""
        annotations = self.annotations(time=DECLARED)
        return self._statement(kind, predicate, digest or sha256(self.manifest), annotations)

    def _statement(self, kind: str, predicate: Any, digest: str, annotations: dict[str, Any]) -> dict[str, Any]:
        subject: dict[str, Any] = {"digest": {"sha256": digest}, "name": json.loads(self.manifest).get("name", "")}
        subject["name"] = subject["name"] or "llamafile"
        subject["annotations"] = annotations
        value = {"_type": "https://in-toto.io/Statement/v1", "predicate": predicate, "predicateType": kind}
        return {**value, "subject": [subject]}

    # Adding records

    def add(self, kind: str, data: bytes, name: str = "") -> Tail:
        """Add a record of any bytes."""
        self.records.append(Record(kind, data, name))
        return self

    def oms(self, key: Key, cosigners: Sequence[Key] = (), *, edit: Edit | None = None, **more: Any) -> Tail:
        """Sign with ``key``: a record of kind oms or sig. ``edit`` changes the statement."""
        statement = _changed(self.oms_statement(cosigners, more.pop("time", DECLARED)), edit)
        kind = more.pop("kind", key.record)
        return self.add(kind, bundle(encode(statement), key, **more))

    def cnt(self, key: Key, *, edit: Edit | None = None, **more: Any) -> Tail:
        """Countersign all records so far."""
        return self.add("cnt", bundle(encode(_changed(self.countersignature(), edit)), key, **more))

    def att(self, key: Key, kind: str, predicate: Any, digest: str = "", **more: Any) -> Tail:
        """Attest something."""
        return self.add("att", bundle(encode(self.attestation(kind, predicate, digest)), key, **more))

    def stamp(self, number: int = 0, **more: Any) -> Tail:
        """Stamp record ``number``, or the last one."""
        number = number or len(self.records)
        function = more.get("function", "sha256")
        imprint = HASHES[function](self.records[number - 1].data).digest()
        return self.add("tsr", Stamp(imprint, **more).encode())

    def renewal(self, **more: Any) -> Tail:
        """Stamp every byte so far."""
        more.setdefault("function", "sha512")
        return self.add("tsr", Stamp(HASHES[more["function"]](self.before()).digest(), **more).encode())

    def vm(self, certificates: Sequence[bytes] = (), lists: Sequence[bytes] = (), **more: Any) -> Tail:
        """Validation material."""
        value = {
            "certificate_revocation_lists": [b64(item) for item in lists],
            "certificates": [b64(item) for item in certificates],
            "format": "llamafile-validation-material/1.0",
        }
        return self.add("vm", encode({**value, **more}))

    # The file

    def name(self, index: int) -> str:
        """The name of the record at ``index``."""
        record = self.records[index]
        return record.name or f"{index + 1:04d}.{record.kind}.{SUFFIX[record.kind]}"

    def parts(self) -> list[Part]:
        """The records as members."""
        return [Part(SIGNATURES + self.name(index), record.data) for index, record in enumerate(self.records)]

    def before(self) -> bytes:
        """The file up to where the next record's local header will stand."""
        out = bytearray(self.body)
        for part in self.parts():
            place(out, part)
        return bytes(out)

    def done(self) -> bytes:
        """The file."""
        out, made = bytearray(self.body), self.parts()
        for part in made:
            place(out, part)
        directory = self.directory + b"".join(map(directory_record, made))
        count = directory_count(self.directory) + len(made)
        end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(directory), len(out), len(MARK))
        return bytes(out) + directory + end + MARK

    def copy(self) -> Tail:
        """Another tail with the same records."""
        return Tail(self.base, [replace(record) for record in self.records])


def directory_count(directory: bytes) -> int:
    """How many records a central directory has."""
    count = at = 0
    while at < len(directory):
        lengths = struct.unpack_from("<HHH", directory, at + 28)
        at += 46 + sum(lengths)
        count += 1
    return count


def bundle(
    payload: bytes,
    key: Key,
    *,
    certificates: Sequence[Certificate] = (),
    signer: Key | None = None,
    change: Edit | None = None,
    kind: str = PAYLOAD_TYPE,
) -> bytes:
    """A sigstore bundle of one signature of ``key`` over ``payload``.

    ``signer`` signs in place of the key that the bundle names; ``change`` edits the bundle after signing.
    """
    material: dict[str, Any] = {"publicKey": {"hint": key.hint}}
    if certificates:
        chain = [{"rawBytes": b64(certificate.der)} for certificate in certificates]
        material = {"x509CertificateChain": {"certificates": chain}}
    signature = {"keyid": key.id, "sig": b64((signer or key).sign(pae(payload, kind)))}
    value = {
        "dsseEnvelope": {"payload": b64(payload), "payloadType": kind, "signatures": [signature]},
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": material,
    }
    return encode(_changed(value, change))


def at(*path: str | int, **fields: Any) -> Edit:
    """An edit that sets ``fields`` of the object at ``path``."""

    def edit(value: Any) -> None:
        for step in path:
            value = value[step]
        value.update(fields)

    return edit


ANNOTATIONS = ("subject", 0, "annotations")
SIGNATURE = ("dsseEnvelope", "signatures", 0)


def _changed(value: Any, edit: Edit | None) -> Any:
    """``value`` after ``edit``, which changes it in place or returns another."""
    if edit is None:
        return value
    other = edit(value)
    return value if other is None else other
