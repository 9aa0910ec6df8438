"""The file format of a vector: text header, blank line, payload.

Header lines are ``key: value`` in a fixed order; ``rules`` is the exact set of rule ids found, of any severity;
``near`` names the rules from which this vector is one byte or field away; ``layer`` is the layer that must fail.
``encoding: zlib`` means that the payload is stored compressed; ``sha256`` is of the decoded payload.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

KEYS = ("vector", "kind", "well-formed", "valid", "layer", "rules", "near", "encoding", "sha256", "comment")
VERDICTS = {"yes", "no", "undetermined"}
LAYERS = {"prefix", "archive", "manifest", "chunks", "weights", "content", "legacy", "none"}
KINDS = {"container", "gguf", "prefix"}


@dataclass(frozen=True, slots=True)
class Vector:
    """One vector. ``payload`` is decoded; ``name`` is ``<chapter>/<name>``."""

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
            "layer": self.layer,
            "rules": " ".join(self.rules),
            "near": " ".join(self.near),
            "encoding": self.encoding,
            "sha256": hashlib.sha256(self.payload).hexdigest(),
            "comment": self.comment,
        }
        header = "".join(f"{key}: {values[key]}".rstrip() + "\n" for key in KEYS)
        body = zlib.compress(self.payload, 9) if self.encoding == "zlib" else self.payload
        return header.encode() + b"\n" + body


def read_vector(path: Path) -> Vector:
    """Parse and check the vector file ``path``. ValueError says what is wrong with it."""
    header, _, body = path.read_bytes().partition(b"\n\n")
    lines = [line.partition(":") for line in header.decode().split("\n")]
    keys, values = tuple(line[0] for line in lines), {line[0]: line[2].strip() for line in lines}
    if keys != KEYS or values["vector"] != "1":
        raise ValueError(f"{path.name}: header keys are {keys}")
    if not ({values["well-formed"], values["valid"]} <= VERDICTS and values["layer"] in LAYERS):
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
    )


def vector_files(root: Path, chapter: str = "*") -> list[Path]:
    """Every vector file below ``root``, sorted."""
    return sorted(root.glob(f"{chapter}/*.vector"))
