"""Which whole digests a run recomputes, and for which it takes the manifest's word (spec/1, 10.4.3).

A chunk comparison proves every byte, and says nothing about the digest of a whole that has more than one chunk. Level
exhaustive computes them all. Level full computes those that something rests on: the program that is about to run is
compared with its pin by its whole digest, and a demand of the policy can rest on all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamafile_format.manifest.merkle import CHUNK_SIZE

if TYPE_CHECKING:
    from llamafile_format.manifest.model import Manifest

_NAMED = 3
_RESTED_ON = "runtime"  # the role whose members are compared with a pin, by their digests (14.1.5)


@dataclass(frozen=True, slots=True)
class Wholes:
    """What is recomputed: ``members`` by path, the ``prefix``, the engine's ``assets``; ``left`` names the rest."""

    members: frozenset[str]
    prefix: bool
    assets: bool
    left: tuple[str, ...]


def wholes(manifest: Manifest, *, everything: bool) -> Wholes:
    """The whole digests of ``manifest`` that a run from level full on recomputes; with ``everything``, all of them."""
    prefix = everything or manifest.prefix.engine_size <= CHUNK_SIZE
    carried = bool(manifest.prefix.directory and manifest.prefix.directory.assets)
    open_ = [member for member in manifest.members if member.size > CHUNK_SIZE or member.sha512]
    taken = frozenset(member.path for member in open_ if everything or member.role == _RESTED_ON)
    left = [member.path for member in open_ if member.path not in taken]
    left += [] if prefix else ["the prefix"]
    left += ["the engine's assets"] if carried and not everything else []
    return Wholes(taken, prefix, everything, tuple(left))


def few(names: tuple[str, ...]) -> str:
    """The first of ``names``, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
