"""A Sigstore instance for tests: authority, certificate log, signature log with tree and checkpoint, time stamps.

Nothing of it is Sigstore's own code: it is written after RFC 6962, RFC 3161 and the forms that a bundle shows.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from llamafile_format.signing.records.envelope import BUNDLE_TYPE, PAYLOAD_TYPE, pae
from tests.authorities import Authority, make_token
from tests.certificate_samples import CODE_SIGNING, Issued, issue, p256, spki

ROOT_TYPE = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
SIGNED = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
IDENTITY = "release@example.org"
ISSUER = "https://accounts.example.org"
LOG_NAME = "log.example.org"
_ISSUER_OID = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_SCT_OID = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")


def b64(data: bytes) -> str:
    """Base64 as text."""
    return base64.b64encode(data).decode()


@dataclass
class Instance:
    """Everything that a trusted root names, with the private halves."""

    root: Issued = field(default_factory=lambda: issue("Instance Root", authority=True))
    log: ec.EllipticCurvePrivateKey = field(default_factory=p256)
    certificate_log: ec.EllipticCurvePrivateKey = field(default_factory=p256)
    stamps: Authority = field(default_factory=lambda: Authority.create("Instance Stamps Root"))
    others: list[bytes] = field(default_factory=lambda: [b"entry before", b"another"])

    def __post_init__(self) -> None:
        self.middle = issue("Instance Authority", self.root, authority=True, usages=(CODE_SIGNING,))
        self.stamper = self.stamps.tsa()

    def trusted_root(self) -> bytes:
        """The trusted root, as a policy pins it."""
        valid = {"start": "2020-01-01T00:00:00Z"}
        return json.dumps(
            {
                "mediaType": ROOT_TYPE,
                "tlogs": [_log(self.log, "https://log.example.org", valid)],
                "ctlogs": [_log(self.certificate_log, "https://ct.example.org", valid)],
                "certificateAuthorities": [_authority([self.middle.der, self.root.der], valid)],
                "timestampAuthorities": [_authority([self.stamper.der, self.stamps.der], valid)],
            }
        ).encode()

    def sign(
        self,
        payload: bytes,
        *,
        identity: str = IDENTITY,
        issuer: str = ISSUER,
        time: datetime = SIGNED,
        promise: bool = True,
        stamp: bool = True,
        years: tuple[int, int] = (2026, 2027),
    ) -> dict[str, Any]:
        """A bundle around ``payload``, as JSON values."""
        leaf = self.certify(identity, issuer, time, years)
        signature = leaf.key.sign(pae(payload), ec.ECDSA(hashes.SHA256()))
        material: dict[str, Any] = {
            "certificate": {"rawBytes": b64(leaf.der)},
            "tlogEntries": [self.enter(payload, signature, leaf, time, promise=promise)],
        }
        if stamp:
            token = make_token(self.stamper, "sha256", hashlib.sha256(signature).digest(), time, nonce=7)
            material["timestampVerificationData"] = {"rfc3161Timestamps": [{"signedTimestamp": b64(token)}]}
        return {
            "mediaType": BUNDLE_TYPE,
            "verificationMaterial": material,
            "dsseEnvelope": {
                "payload": b64(payload),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"sig": b64(signature)}],
            },
        }

    def certify(self, identity: str, issuer: str, time: datetime, years: tuple[int, int]) -> Issued:
        """A certificate that the certificate log has seen (RFC 6962, 3.2): made twice, without and with its word."""
        named = x509.UnrecognizedExtension(_ISSUER_OID, b"\x0c" + bytes([len(issuer)]) + issuer.encode())
        key = p256()
        wanted: dict[str, Any] = {"key": key, "usages": (CODE_SIGNING,), "email": identity, "years": years}
        number = x509.random_serial_number()
        before = issue("", self.middle, more=[(named, False)], serial=number, **wanted)
        body = before.certificate.tbs_certificate_bytes
        issuer_key = hashlib.sha256(spki(self.middle.key)).digest()
        milliseconds = int(time.timestamp() * 1000)
        size = len(body).to_bytes(3, "big")
        said = struct.pack("!BBQH", 0, 0, milliseconds, 1) + issuer_key + size + body + b"\0\0"
        signature = self.certificate_log.sign(said, ec.ECDSA(hashes.SHA256()))
        log_id = hashlib.sha256(spki(self.certificate_log)).digest()
        word = struct.pack("!B32sQHBBH", 0, log_id, milliseconds, 0, 4, 3, len(signature)) + signature
        listed = struct.pack("!HH", len(word) + 2, len(word)) + word
        octets = b"\x04" + (bytes([len(listed)]) if len(listed) < 128 else b"\x81" + bytes([len(listed)])) + listed
        seen = x509.UnrecognizedExtension(_SCT_OID, octets)
        return issue("", self.middle, more=[(named, False), (seen, False)], serial=number, **wanted)

    def enter(
        self, payload: bytes, signature: bytes, leaf: Issued, time: datetime, *, promise: bool = True
    ) -> dict[str, Any]:
        """The entry in the log: body, place in the tree, checkpoint, and the promise of its time."""
        body = _canonical(
            {
                "apiVersion": "0.0.1",
                "kind": "dsse",
                "spec": {
                    "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(b"envelope").hexdigest()},
                    "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
                    "signatures": [{"signature": b64(signature), "verifier": b64(leaf.pem)}],
                },
            }
        )
        # A tree of three leaves: ((a, b), entry), so that the way up from the entry is one hash.
        left = _node(_leaf(self.others[0]), _leaf(self.others[1]))
        root = _node(left, _leaf(body))
        key_id = hashlib.sha256(spki(self.log)).digest()
        note = f"{LOG_NAME} - 1\n3\n{b64(root)}\n"
        sealed = self.log.sign(note.encode(), ec.ECDSA(hashes.SHA256()))
        entry: dict[str, Any] = {
            "logIndex": "1002" if promise else "2",
            "logId": {"keyId": b64(key_id)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "inclusionProof": {
                "logIndex": "2",
                "rootHash": b64(root),
                "treeSize": "3",
                "hashes": [b64(left)],
                "checkpoint": {"envelope": f"{note}\n— {LOG_NAME} {b64(key_id[:4] + sealed)}\n"},
            },
            "canonicalizedBody": b64(body),
        }
        if promise:
            seconds = int(time.timestamp())
            promised = {"body": b64(body), "integratedTime": seconds, "logID": key_id.hex(), "logIndex": 1002}
            word = self.log.sign(_canonical(promised), ec.ECDSA(hashes.SHA256()))
            entry |= {"integratedTime": str(seconds), "inclusionPromise": {"signedEntryTimestamp": b64(word)}}
        return entry


def _log(key: ec.EllipticCurvePrivateKey, url: str, valid: dict[str, str]) -> dict[str, Any]:
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {"rawBytes": b64(spki(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid},
        "logId": {"keyId": b64(hashlib.sha256(spki(key)).digest())},
    }


def _authority(chain: list[bytes], valid: dict[str, str]) -> dict[str, Any]:
    return {
        "subject": {"organization": "example.org", "commonName": "instance"},
        "uri": "https://authority.example.org",
        "certChain": {"certificates": [{"rawBytes": b64(data)} for data in chain]},
        "validFor": valid,
    }


def _leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\0" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
