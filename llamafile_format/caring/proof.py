"""What proves that a repaired file is the one that was (spec/1, 17.5.5).

MD5 finds accidents and proves nothing, and who writes a recovery set decides what it restores. So a result is compared
with something that does not come from the set: a signature of somebody trusted, a digest that the user brought, or the
manifest that survived in the damaged file itself; in another copy of it only if none did, since a copy of another
file has a manifest too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from llamafile_format.checks.verdict import Level, Verdict
from llamafile_format.container import Container, Kind
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.examining import Trust, examine
from llamafile_format.manifest.hashing import sha256_of
from llamafile_format.rules import Layer
from llamafile_format.source import ByteSource

if TYPE_CHECKING:
    from llamafile_format.signing.trust.policy import Policy

_BLOCK = 4 << 20


class Proof(Enum):
    """What vouches for the result, in the words of reports."""

    SIGNATURE = "a trusted signature"
    DIGEST = "the digest that was given"
    MANIFEST = "a manifest that survived in the damaged file"
    COPY = "a manifest that survived in another copy"
    SET = "nothing but the recovery set itself"
    PIECES = "nothing but the copies themselves"

    @property
    def proves(self) -> bool:
        """True if it does not come from what the result was made of."""
        return self not in (Proof.SET, Proof.PIECES)


@dataclass(frozen=True, slots=True)
class Proven:
    """``proof`` of a result. ``manifest_sha256`` is empty for what is no container; ``authentic`` is None if nobody was
    named whom to trust."""

    proof: Proof
    manifest_sha256: str
    authentic: bool | None


def prove(
    result: ByteSource,
    own: Collection[str],
    elsewhere: Collection[str],
    *,
    by_set: bool,
    expect: str = "",
    policy: Policy | None = None,
) -> Proven:
    """What proves ``result``, which was made ``by_set`` or of copies alone. ``own`` are digests (hex) of manifests that
    survived in the damaged file, ``elsewhere`` those of its copies, which count if ``own`` is empty.

    FormatError if the result does not have the digest ``expect``: of the whole file or of its manifest.
    """
    with Container(result) as container:
        sound, manifest, authentic = False, "", None
        if container.kind is Kind.CONTAINER:
            trust = Trust(policy, datetime.now(UTC), policy is not None)
            report = examine(container, level=Level.FULL, trust=trust)
            sound = report.complete and report.verdicts.get(Layer.WELL_FORMED) is not Verdict.NO
            manifest = report.manifest_sha256
            if policy is not None:
                authentic = report.verdicts.get(Layer.AUTHENTIC) is Verdict.YES
        elif policy is not None:
            authentic = False
    given = bool(expect) and ((sound and manifest == expect) or sha256_of(result) == expect)
    if expect and not given:
        raise FormatError("what the recovery data gives has another digest than was given", clause="17.5.5")
    if authentic:
        return Proven(Proof.SIGNATURE, manifest, authentic)
    if given:
        return Proven(Proof.DIGEST, manifest, authentic)
    if sound and manifest in own:
        return Proven(Proof.MANIFEST, manifest, authentic)
    copied = sound and not own and manifest in elsewhere
    nothing = Proof.SET if by_set else Proof.PIECES
    return Proven(Proof.COPY if copied else nothing, manifest, authentic)


def digest_given(text: str) -> str:
    """The SHA-256 that ``text`` names, with or without ``sha256:`` in front. UsageError if it is none."""
    digest = text.lower().removeprefix("sha256:")
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise UsageError(f"{text!r} is no SHA-256", hint="64 digits: of the whole file, or of its manifest")
    return digest
