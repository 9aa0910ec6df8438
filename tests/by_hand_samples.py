"""Signed containers built from the bytes that the specification describes, with nothing of ours but ``pack``.

What checks signatures by hand must not be proven with the code that makes them: statement, envelope, bundle and the
record's place in the archive (spec/1, 13.2 to 13.4) are spelt out here once more, with json, struct and zlib alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

FOLDER = "META-LLAMAFILE/"
MANIFEST = f"{FOLDER}manifest.json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
OMS = "https://model_signing/signature/v1.0"
COUNTERSIGNATURE = "urn:llamafile-format:countersignature:1.0"

Key = tuple[str, Any]
"""What a key is for the samples (``p256``, ``p384``, ``p521``, ``ed25519``, ``ml-dsa-65``), and the private key."""


def sha256(data: bytes) -> str:
    """The digest in hex."""
    return hashlib.sha256(data).hexdigest()


def text(data: bytes) -> str:
    """``data`` in base64."""
    return base64.b64encode(data).decode()


def new_key(kind: str) -> Key:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    curves = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}
    if kind in curves:
        return kind, ec.generate_private_key(curves[kind]())
    if kind == "ed25519":
        return kind, ed25519.Ed25519PrivateKey.generate()
    from cryptography.hazmat.primitives.asymmetric import mldsa

    return kind, mldsa.MLDSA65PrivateKey.generate()


def public_pem(key: Key) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem: bytes = key[1].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def key_id(key: Key) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key[1].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def sign_bytes(key: Key, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

    digests: dict[str, Callable[[], Any]] = {"p256": SHA256, "p384": SHA384, "p521": SHA512}
    kind, private = key
    signature: bytes = private.sign(data, ec.ECDSA(digests[kind]())) if kind in digests else private.sign(data)
    return signature


def canonical(value: Any) -> bytes:
    """Clause 5.2, as far as plain texts go."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def annotations(path: Path, key: Key) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        manifest = archive.read(MANIFEST)
        info = archive.getinfo(MANIFEST)
    covered = info.header_offset + 30 + len(MANIFEST) + info.file_size
    return {
        "cosigners": [key_id(key)],
        "covered": covered,
        "format": "llamafile/1.0",
        "manifest_sha256": hashlib.sha256(manifest).hexdigest(),
        "revision": 0,
    }


def oms_statement(path: Path, key: Key) -> dict[str, Any]:
    """The statement about all members of ``path``, each by the digest of what an ordinary ZIP reader takes out."""
    resources = []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if not name.startswith(f"{FOLDER}signatures/"):
                digest = hashlib.sha256(archive.read(name)).hexdigest()
                resources.append({"algorithm": "sha256", "digest": digest, "name": name})
    root = hashlib.sha256(b"".join(bytes.fromhex(item["digest"]) for item in resources)).hexdigest()
    ignored = [".git", ".gitattributes", ".github", ".gitignore", f"{FOLDER}signatures"]
    serialization = {"allow_symlinks": False, "hash_type": "sha256", "ignore_paths": ignored, "method": "files"}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "predicate": {"resources": resources, "serialization": serialization},
        "predicateType": OMS,
        "subject": [{"annotations": annotations(path, key), "digest": {"sha256": root}, "name": "llamafile"}],
    }


def countersignature(path: Path, key: Key) -> dict[str, Any]:
    """The statement about the manifest and all records that ``path`` has."""
    records = []
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename.startswith(f"{FOLDER}signatures/"):
                digest = hashlib.sha256(archive.read(info)).hexdigest()
                records.append({"path": info.filename, "sha256": digest, "size": info.file_size})
    said = annotations(path, key)
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "predicate": {"records": records},
        "predicateType": COUNTERSIGNATURE,
        "subject": [{"annotations": said, "digest": {"sha256": said["manifest_sha256"]}, "name": "llamafile"}],
    }


def bundle(payload: bytes, key: Key, *, certificates: Sequence[bytes] = ()) -> bytes:
    signed = b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
    material: dict[str, Any] = {"publicKey": {"hint": hashlib.sha256(public_pem(key)).hexdigest()}}
    if certificates:
        chain = [{"rawBytes": base64.b64encode(item).decode()} for item in certificates]
        material = {"x509CertificateChain": {"certificates": chain}}
    return canonical(
        {
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"keyid": key_id(key), "sig": base64.b64encode(sign_bytes(key, signed)).decode()}],
            },
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": material,
        }
    )


def append_record(path: Path, kind: str, data: bytes) -> str:
    """Append a record to the archive in place (clause 13.2): its local header where the directory was; its path.

    For small files only: no Zip64.
    """
    file = path.read_bytes()
    end = file.rindex(b"PK\5\6")
    _, _, _, count, _, size, offset, length = struct.unpack("<4s4H2LH", file[end : end + 22])
    directory = file[offset : offset + size]
    number = directory.count(f"{FOLDER}signatures/".encode()) + 1
    suffix = "der" if kind == "tsr" else "json"
    name = f"{FOLDER}signatures/{number:04d}.{kind}.{suffix}".encode()
    common = struct.pack("<4H3L", 0x0800, 0, 0, 0x0021, zlib.crc32(data), len(data), len(data))
    local = struct.pack("<4sH", b"PK\3\4", 10) + common + struct.pack("<2H", len(name), 0) + name
    record = struct.pack("<4s2H", b"PK\1\2", 0x032D, 10) + common
    record += struct.pack("<5H2L", len(name), 0, 0, 0, 0, 0o100644 << 16, offset) + name
    at, directory = offset + len(local) + len(data), directory + record
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count + 1, count + 1, len(directory), at, length)
    path.write_bytes(file[:offset] + local + data + directory + tail + file[end + 22 :])
    return name.decode()


def sign(path: Path, key: Key, *, certificates: Sequence[bytes] = ()) -> str:
    """Append a signature by ``key`` over all members; its path."""
    payload = canonical(oms_statement(path, key))
    kind = "oms" if key[0].startswith("p") else "sig"
    return append_record(path, kind, bundle(payload, key, certificates=certificates))


def countersign(path: Path, key: Key) -> str:
    """Append a countersignature by ``key`` over manifest and records; its path."""
    return append_record(path, "cnt", bundle(canonical(countersignature(path, key)), key))
