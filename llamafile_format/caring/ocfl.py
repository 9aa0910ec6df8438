"""What writer and reader of OCFL share: names, the layout of a root, and JSON as inventories have it (OCFL 1.1)."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

INVENTORY = "inventory.json"
LAYOUT = "ocfl_layout.json"
OURS = "1.1"
VERSIONS = ("1.0", "1.1")
EXTENSION = "0003-hash-and-id-n-tuple-storage-layout"
"""Objects lie in three folders of three digits of the SHA-256 of their id, and in one that is named by the id."""

_TUPLES, _DIGITS, _LONGEST = 3, 3, 100


def declaration(kind: str, version: str = OURS) -> tuple[str, bytes]:
    """Name and contents of the file that says what a folder is; ``kind`` is ``ocfl`` or ``ocfl_object``."""
    return f"0={kind}_{version}", f"{kind}_{version}\n".encode()


def object_path(ident: str) -> str:
    """Where the object ``ident`` lies below its root."""
    digest = hashlib.sha256(ident.encode("utf-8")).hexdigest()
    tuples = [digest[at : at + _DIGITS] for at in range(0, _TUPLES * _DIGITS, _DIGITS)]
    name = re.sub(r"[^A-Za-z0-9_-]", lambda match: "".join(f"%{byte:02x}" for byte in match[0].encode("utf-8")), ident)
    return "/".join([*tuples, name if len(name) <= _LONGEST else f"{name[:_LONGEST]}-{digest}"])


def json_bytes(value: Any) -> bytes:
    """``value``, always as the same bytes."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8")
