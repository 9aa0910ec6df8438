"""The envelope of a signature: a sigstore bundle around a DSSE envelope around a statement (spec/1, 13.3).

Everything in a bundle that its signature does not cover is either fixed to one spelling or compared with the key that
verifies, so that no byte of it is free: an unsigned corner would be a place for unsigned contents.
"""

from __future__ import annotations

import base64
import contextlib
import re
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

from llamafile_format.manifest.canonical_json import decode, encode
from llamafile_format.signing.records.strict_json import bytes_of, fields_of, wrong

if TYPE_CHECKING:
    from llamafile_format.signing.keys.key import PublicKey

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"  # sigstore protobuf-specs, bundle v0.3
PAYLOAD_TYPE = "application/vnd.in-toto+json"  # in-toto attestation framework
MAX_CERTIFICATES = 10  # clause 13.9: a longer chain is no chain that anybody runs
CLAUSE = "13.3.4"
_ID = re.compile(r"[0-9a-f]{64}")
_object = partial(fields_of, clause=CLAUSE)
_bytes = partial(bytes_of, clause=CLAUSE)
_wrong = partial(wrong, clause=CLAUSE)


class Method(Enum):
    """How a bundle says who signed it."""

    KEY = "key"
    CERTIFICATE = "certificate"
    SIGSTORE = "sigstore"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read strictly. Nothing in it is believed: ``keyid`` and ``hint`` (64 hex digits, or empty)
    only help to choose among keys that the verifier has, ``certificates`` (DER, leaf first) only to build chains."""

    data: bytes
    payload: bytes
    signature: bytes
    method: Method
    keyid: str = ""
    hint: str = ""
    certificates: tuple[bytes, ...] = ()

    @property
    def signed(self) -> bytes:
        """The bytes that the signature covers."""
        return pae(self.payload)

    def speaks_of(self, key: PublicKey) -> bool:
        """True unless the bundle names another key than ``key``."""
        return self.keyid in ("", key.key_id) and self.hint in ("", key.hint)


def pae(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """DSSE's pre-authentication encoding: what is signed, with the type of the payload in it (DSSE v1)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def encode_bundle(
    payload: bytes, signature: bytes, *, public: PublicKey, certificates: tuple[bytes, ...] = ()
) -> bytes:
    """The one spelling of a bundle by the key ``public``, or by the chain ``certificates`` (DER, leaf first)."""
    material: dict[str, Any] = {"publicKey": {"hint": public.hint}}
    if certificates:
        chain = [{"rawBytes": _text(certificate)} for certificate in certificates]
        material = {"x509CertificateChain": {"certificates": chain}}
    return encode(
        {
            "dsseEnvelope": {
                "payload": _text(payload),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"keyid": public.key_id, "sig": _text(signature)}],
            },
            "mediaType": BUNDLE_TYPE,
            "verificationMaterial": material,
        }
    )


def read_bundle(data: bytes, *, canonical: bool = True) -> Bundle:
    """The bundle in ``data``; FormatError that names the field that is at fault.

    ``canonical`` refuses any spelling but the one of clause 5.2, which is what records have; publisher signatures are
    kept as their makers wrote them.
    """
    return _read(data, decode(data) if canonical else _decode_others(data))


def respelt(data: bytes) -> bytes:
    """``data``, a bundle that somebody else wrote, in the one spelling that a record has; the payload is untouched."""
    value = _decode_others(data)
    _read(data, value)
    return encode(value)


def _decode_others(data: bytes) -> Any:
    """What somebody else wrote: a key id of null is one that is absent (OMS 1.0), and no other null means anything."""
    value = decode(data, exact=False, nulls=True)
    with contextlib.suppress(AttributeError, KeyError, IndexError, TypeError):
        signature = value["dsseEnvelope"]["signatures"][0]
        if signature["keyid"] is None:
            del signature["keyid"]
    return decode(encode(value))


def _read(data: bytes, value: Any) -> Bundle:
    value = _object(value, "the bundle", {"dsseEnvelope", "mediaType", "verificationMaterial"})
    if value["mediaType"] != BUNDLE_TYPE:
        raise _wrong("mediaType", value["mediaType"], BUNDLE_TYPE)
    envelope = _object(value["dsseEnvelope"], "dsseEnvelope", {"payload", "payloadType", "signatures"})
    if envelope["payloadType"] != PAYLOAD_TYPE:  # another type would be read by other rules than those it was signed by
        raise _wrong("payloadType", envelope["payloadType"], PAYLOAD_TYPE)
    signatures = envelope["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:  # tools differ in which of several they check
        raise _wrong("signatures", "another number", "exactly one")
    signature = _object(signatures[0], "signatures[0]", {"sig"}, {"keyid"})
    method, hint, certificates = _material(value["verificationMaterial"])
    return Bundle(
        data=data,
        payload=_bytes(envelope["payload"], "payload"),
        signature=_bytes(signature["sig"], "sig"),
        method=method,
        keyid=_identifier(signature.get("keyid", ""), "keyid"),
        hint=hint,
        certificates=certificates,
    )


def _material(value: Any) -> tuple[Method, str, tuple[bytes, ...]]:
    """Method, hint and certificates. What a method does not use must not be there: nothing would check it."""
    fields = {"publicKey", "x509CertificateChain", "certificate"}
    value = _object(value, "verificationMaterial", set(), fields | {"tlogEntries", "timestampVerificationData"})
    named = fields & value.keys()
    if len(named) != 1:
        raise _wrong("verificationMaterial", f"{len(named)} of {', '.join(sorted(fields))}", "exactly one")
    if "certificate" in named:
        leaf = _object(value["certificate"], "certificate", {"rawBytes"})
        return Method.SIGSTORE, "", (_bytes(leaf["rawBytes"], "rawBytes"),)
    for name, empty in (("tlogEntries", []), ("timestampVerificationData", {})):
        if value.get(name, empty) != empty:
            raise _wrong(f"verificationMaterial.{name}", "entries", "none: this method does not check them")
    if "publicKey" in named:
        hint = _object(value["publicKey"], "publicKey", set(), {"hint"}).get("hint", "")
        return Method.KEY, _identifier(hint, "hint"), ()
    chain = _object(value["x509CertificateChain"], "x509CertificateChain", {"certificates"})["certificates"]
    if not isinstance(chain, list) or not 1 <= len(chain) <= MAX_CERTIFICATES:
        raise _wrong("certificates", "another number", f"1 to {MAX_CERTIFICATES}")
    raw = tuple(_bytes(_object(item, "certificates[]", {"rawBytes"})["rawBytes"], "rawBytes") for item in chain)
    if len(set(raw)) != len(raw):
        raise _wrong("certificates", "one twice", "each once")
    return Method.CERTIFICATE, "", raw


def _identifier(value: Any, name: str) -> str:
    if not isinstance(value, str) or not (value == "" or _ID.fullmatch(value)):
        raise _wrong(name, f"{value!r:.80}", "64 lower-case hexadecimal digits")
    return value


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
