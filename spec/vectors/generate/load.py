"""The file format of a vector: text header, blank line, payload.

Header lines are ``key: value`` in a fixed order; ``rules`` is the exact set of rule ids found, of any severity;
``near`` names the rules from which this vector is one byte or field away; ``layer`` is the layer that must fail.
``encoding: zlib`` means that the payload is stored compressed; ``sha256`` is of the decoded payload. The lines of
``OPTIONAL`` stand only where they say something.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

KEYS = (
    *("vector", "kind", "well-formed", "valid", "authentic", "policy", "layer", "rules", "near", "trust", "as-of"),
    *("encoding", "sha256", "comment"),
)
OPTIONAL = {"authentic", "policy", "trust", "as-of"}
NOBODY = "nobody"
"""In place of a policy: authenticity is asked for, and nobody to trust is named."""
VERDICTS = {"yes", "no", "undetermined"}
LAYERS = {
    "prefix",
    "archive",
    "manifest",
    "chunks",
    "weights",
    "content",
    "legacy",
    "signatures",
    "trust",
    "policy",
    "none",
}
KINDS = {"container", "gguf", "prefix"}


@dataclass(frozen=True, slots=True)
class Vector:
    """One vector. ``payload`` is decoded; ``name`` is ``<chapter>/<name>``.

    ``trust`` names a policy in ``spec/vectors/trust/``, and ``as_of`` is the day of verification (``YYYY-MM-DD``, at
    midnight UTC). ``authentic`` and ``policy`` are empty where they are not asked for.
    """

    name: str
    kind: str
    well_formed: str
    valid: str
    layer: str
    rules: tuple[str, ...]
    near: tuple[str, ...]
    encoding: str
    comment: str
    payload: bytes
    authentic: str = ""
    policy: str = ""
    trust: str = ""
    as_of: str = ""

    def with_payload(self, payload: bytes) -> Vector:
        """This vector with ``payload``."""
        return replace(self, payload=payload)

    def encode(self) -> bytes:
        """The vector as a file."""
        values = {
            "vector": "1",
            "kind": self.kind,
            "well-formed": self.well_formed,
            "valid": self.valid,
            "authentic": self.authentic,
            "policy": self.policy,
            "layer": self.layer,
            "rules": " ".join(self.rules),
            "near": " ".join(self.near),
            "trust": self.trust,
            "as-of": self.as_of,
            "encoding": self.encoding,
            "sha256": hashlib.sha256(self.payload).hexdigest(),
            "comment": self.comment,
        }
        shown = [key for key in KEYS if values[key] or key not in OPTIONAL]
        header = "".join(f"{key}: {values[key]}".rstrip() + "\n" for key in shown)
        body = zlib.compress(self.payload, 9) if self.encoding == "zlib" else self.payload
        return header.encode() + b"\n" + body


def read_vector(path: Path) -> Vector:
    """Parse and check the vector file ``path``. ValueError says what is wrong with it."""
    header, _, body = path.read_bytes().partition(b"\n\n")
    lines = [line.partition(":") for line in header.decode().split("\n")]
    keys, values = tuple(line[0] for line in lines), {line[0]: line[2].strip() for line in lines}
    due = tuple(key for key in KEYS if key in keys or key not in OPTIONAL)
    if keys != due or values["vector"] != "1":
        raise ValueError(f"{path.name}: header keys are {keys}")
    verdicts = {values[key] for key in ("well-formed", "valid", "authentic", "policy") if key in values}
    if not (verdicts <= VERDICTS and values["layer"] in LAYERS):
        raise ValueError(f"{path.name}: unknown verdict or layer")
    if values["kind"] not in KINDS or values["encoding"] not in {"raw", "zlib"}:
        raise ValueError(f"{path.name}: unknown kind or encoding")
    payload = zlib.decompress(body) if values["encoding"] == "zlib" else body
    if hashlib.sha256(payload).hexdigest() != values["sha256"]:
        raise ValueError(f"{path.name}: sha256 of the payload is not the one in the header")
    return Vector(
        name=f"{path.parent.name}/{path.stem}",
        kind=values["kind"],
        well_formed=values["well-formed"],
        valid=values["valid"],
        layer=values["layer"],
        rules=tuple(values["rules"].split()),
        near=tuple(values["near"].split()),
        encoding=values["encoding"],
        comment=values["comment"],
        payload=payload,
        authentic=values.get("authentic", ""),
        policy=values.get("policy", ""),
        trust=values.get("trust", ""),
        as_of=values.get("as-of", ""),
    )


def vector_files(root: Path, chapter: str = "*") -> list[Path]:
    """Every vector file below ``root``, sorted."""
    return sorted(root.glob(f"{chapter}/*.vector"))
