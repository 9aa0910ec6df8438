"""The trusted root of a Sigstore instance: its logs and authorities, as a policy pins them (spec/1, 13.9.11)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llamafile_format.errors import FormatError

CLAUSE = "13.9.11"
ROOT_TYPE = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
CONFIG_TYPE = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
MAX_ROOT = 1 << 20  # bytes; that of the public instance has 7 kB


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """A trusted root: ``value`` as JSON, and what we need of it: the key (DER SPKI) of each log by the log's id, the
    certificates (DER) of the authorities that certify signers, and of those that stamp times."""

    value: Mapping[str, Any]
    logs: Mapping[bytes, bytes]
    signing: tuple[bytes, ...]
    stamping: tuple[bytes, ...]


def read_trusted_root(data: bytes) -> TrustedRoot:
    """The trusted root in ``data``, which may also be a client's trust configuration around one. FormatError."""
    if len(data) > MAX_ROOT:
        raise FormatError("the trusted root is too large", found=len(data), allowed=f"{MAX_ROOT} bytes", clause=CLAUSE)
    try:
        value = json.loads(data)
        if value.get("mediaType") == CONFIG_TYPE:
            value = value["trustedRoot"]
        if value["mediaType"] != ROOT_TYPE:
            raise ValueError(f"its media type is {value['mediaType']!r:.100}")
        logs = {
            base64.b64decode(log[name]["keyId"]): base64.b64decode(log["publicKey"]["rawBytes"])
            for log in value["tlogs"]
            for name in ("logId", "checkpointKeyId")
            if name in log
        }
        if not logs:
            raise ValueError("it names no log")
        return TrustedRoot(
            value, logs, _certificates(value, "certificateAuthorities"), _certificates(value, "timestampAuthorities")
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(
            f"the policy's trusted root cannot be read: {error}", allowed=f"JSON of type {ROOT_TYPE}", clause=CLAUSE
        ) from error


def _certificates(value: Mapping[str, Any], name: str) -> tuple[bytes, ...]:
    return tuple(
        base64.b64decode(certificate["rawBytes"])
        for authority in value.get(name, [])
        for certificate in authority["certChain"]["certificates"]
    )
