"""The registry of roles (spec/1, 11.2): what a member is for, where it stands, how it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

DEFAULT_ALIGNMENT = 65536  # clause 4.4: Windows maps views at this granularity; it is also the largest page in use
MAX_ALIGNMENT = 1 << 24  # clause 4.4: a larger one would let a few members claim terabytes of gap


class Role(Enum):
    """What a member is for. The order of definition is the order in the file (clause 4.5)."""

    README = "readme"
    DOCUMENT = "document"
    CARD = "card"
    LICENSE = "license"
    RECIPE = "recipe"
    SOURCE = "source"
    TEMPLATE = "template"
    ARGUMENTS = "arguments"
    TOKENIZER = "tokenizer"
    ASSET = "asset"
    RUNTIME = "runtime"
    WEIGHTS = "weights"
    PROJECTOR = "projector"
    ADAPTER = "adapter"
    DRAFT = "draft"
    BEHAVIOUR = "behaviour"
    PUBLISHER_SIGNATURE = "publisher-signature"
    HISTORY = "history"
    VIEWER = "viewer"  # since 1.1
    RECOVERY = "recovery"  # since 1.1
    CHUNKS = "chunks"
    MANIFEST = "manifest"
    ENGINE_ASSET = "engine-asset"  # lives inside the prefix, named in the manifest, never a member of its own


_ORDER = {role.value: index for index, role in enumerate(Role)}
LATER = {"viewer": "1.1", "recovery": "1.1"}
"""Roles that came after version 1.0, and with which. They stand where 1.0 has roles that it does not know."""

FIXED_PATHS = {"viewer": "llamafile-viewer.html", "recovery": "recovery/covered.par2"}
"""Roles that have one path outside the reserved folder, and therefore at most one member (clause 11.2.5)."""

MAPPED_ROLES = frozenset({"runtime", "weights", "projector", "adapter", "draft"})
"""Roles whose data is used in place and therefore aligned (clause 4.4)."""

MODEL_ROLES = frozenset({"weights", "projector", "adapter", "draft"})
"""Roles that hold model weights: their data is never changed by a repack."""

HOLDING_WEIGHTS = MODEL_ROLES | {"asset", "document"}
"""Roles of members that can hold weights of any format, or parts of them: shards, lists of them, networks."""


@dataclass(frozen=True, slots=True, order=True)
class FileOrder:
    """Sort key of a member: role first, then the path's UTF-8 bytes (clause 4.5)."""

    rank: int
    path: bytes


def file_order(role: str, path: str) -> FileOrder:
    """Where a member stands. Roles that version 1.0 does not know stand between history and chunks, by path alone."""
    strange = role not in _ORDER or role in LATER
    rank = 2 * _ORDER["history" if strange else role] + strange
    return FileOrder(rank, path.encode("utf-8", "surrogateescape"))


def alignment_of(role: str, alignment: int = DEFAULT_ALIGNMENT) -> int:
    """The alignment in bytes of a member's data: ``alignment`` for mapped roles, 1 for the rest."""
    return alignment if role in MAPPED_ROLES else 1


def unix_mode(role: str) -> int:
    """Unix mode bits of a member in the directory (clause 4.3): programs may be run, nothing else may."""
    return 0o100755 if role == "runtime" else 0o100644


def known(role: str) -> bool:
    """True if the registry of this version has ``role``."""
    return role in _ORDER
