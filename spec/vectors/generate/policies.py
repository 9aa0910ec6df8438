"""Vectors of chapter 16: files that somebody vouches for, and that a policy does not want (LF8401 to LF8406)."""

from __future__ import annotations

from typing import Any

from spec.vectors.generate import vector
from spec.vectors.generate.chunks import SCRIPT
from spec.vectors.generate.forge import Part, gguf, weights
from spec.vectors.generate.legacy_habits import small
from spec.vectors.generate.signatures import signed, tail
from spec.vectors.generate.signatures_forge import ANNOTATIONS, Tail, at, sha256
from spec.vectors.generate.signatures_keys import CURATOR, STRANGER
from spec.vectors.generate.trust import CURATOR_RULE, POLICIES, policy

CHAPTER = "policy"


def denied(digest: str, since: str = "") -> str:
    """A policy that denies ``digest``."""
    day = f", since: {since}" if since else ""
    return policy("denied", CURATOR_RULE, f'deny:\n  digests:\n  - {{sha256: "{digest}"{day}, reason: withdrawn}}\n')


POLICIES |= {
    "weights-denied": denied(sha256(gguf())),
    "weights-denied-later": denied(sha256(gguf()), "2028-01-01"),
    "manifest-denied": denied(sha256(tail().manifest)),
    "pinned-manifest": policy(
        "one manifest", CURATOR_RULE, f'pins:\n- {{model: Tiny, manifests: ["{sha256(tail().manifest)}"]}}\n'
    ),
}


def revision(number: int) -> Tail:
    """The container, signed as revision ``number``."""
    return tail().oms(CURATOR, edit=at(*ANNOTATIONS, revision=number))


def labelled(**labels: Any) -> bytes:
    """The container with other labels, signed."""
    return tail(labels={"default": "tiny.gguf", "name": "Tiny", **labels}).oms(CURATOR).done()


@vector(
    "weights-denied", rules="LF8401", layer="policy", trust="weights-denied", comment="Weights that were withdrawn."
)
def weights_denied() -> bytes:
    return signed().done()


@vector(
    "weights-denied-under-another-name",
    rules="LF8401",
    layer="policy",
    trust="weights-denied",
    comment="The same weights in another file under another name.",
)
def weights_denied_renamed() -> bytes:
    other = Part("other.gguf", gguf(), "weights", "application/x-gguf", 32)
    return tail(Part("tiny.gguf", gguf("x"), "weights", "application/x-gguf", 32), other).oms(CURATOR).done()


@vector("manifest-denied", rules="LF8401", layer="policy", trust="manifest-denied", comment="This very file.")
def manifest_denied() -> bytes:
    return signed().done()


@vector(
    "denied-at-a-glance",
    rules="LF8122 LF8407 LF9001 LF9006",
    well_formed="undetermined",
    valid="undetermined",
    authentic="undetermined",
    policy="undetermined",
    trust="weights-denied",
    comment="Other weights than those denied, by their manifest (verified at level quick).",
)
def denied_at_a_glance() -> bytes:
    return tail(weights(data=gguf("other"))).oms(CURATOR).done()


@vector(
    "good-not-denied-yet",
    near="LF8401 LF8407",
    trust="weights-denied-later",
    comment="The weights will be denied from 2028 on.",
)
def not_denied_yet() -> bytes:
    return signed().done()


@vector("rolled-back", rules="LF8402", layer="policy", trust="pinned", comment="Revision 1 where 2 is the least.")
def rolled_back() -> bytes:
    return revision(1).done()


@vector("good-pinned", near="LF8402", trust="pinned", comment="Revision 2 where 2 is the least.")
def pinned() -> bytes:
    return revision(2).done()


@vector(
    "rolled-back-with-a-stranger",
    rules="LF8103 LF8402",
    layer="policy",
    trust="pinned",
    comment="A stranger says that it is revision 9.",
)
def rolled_back_with_a_stranger() -> bytes:
    return revision(1).oms(STRANGER, edit=at(*ANNOTATIONS, revision=9)).done()


@vector(
    "another-manifest",
    rules="LF8402",
    layer="policy",
    trust="pinned-manifest",
    comment="A genuine file of the pinned name, and not the pinned one.",
)
def another_manifest() -> bytes:
    return labelled(license="MIT")


@vector("good-pinned-manifest", near="LF8402", trust="pinned-manifest", comment="The pinned manifest.")
def pinned_manifest() -> bytes:
    return signed().done()


_LICENCES = [
    ("licence", "LF8403", "LicenseRef-mine", "A licence that is not on the list."),
    ("licence-and", "LF8403", "CC0-1.0 AND GPL-3.0-only", "Of two licences that both hold, one is not on the list."),
    ("licence-words", "LF8403", "free as in beer", "Words in place of an expression."),
]
for _name, _rules, _licence, _comment in _LICENCES:
    vector(_name, rules=_rules, layer="policy", trust="licences", comment=_comment)(
        lambda licence=_licence: labelled(license=licence)  # type: ignore[misc]
    )


@vector("licence-missing", rules="LF8403", layer="policy", trust="licences", comment="No licence at all.")
def licence_missing() -> bytes:
    return signed().done()


@vector("good-licence", near="LF8403", trust="licences", comment="A licence of which one alternative is on the list.")
def licence_good() -> bytes:
    return labelled(license="GPL-3.0-only OR Apache-2.0")


@vector("engine", rules="LF8404", layer="policy", trust="engines", comment="A program without a name.")
def engine() -> bytes:
    return tail(prefix=SCRIPT, kind="script").oms(CURATOR).done()


@vector("good-no-engine", near="LF8404", trust="engines", comment="No engine.")
def no_engine() -> bytes:
    return signed().done()


@vector("prefix", rules="LF8405", layer="policy", trust="prefixes", comment="A script where no program is wanted.")
def prefix() -> bytes:
    return tail(prefix=SCRIPT, kind="script").oms(CURATOR).done()


@vector("good-no-prefix", near="LF8405", trust="prefixes", comment="No prefix.")
def no_prefix() -> bytes:
    return signed().done()


@vector(
    "manifest-taken-out",
    rules="LF1028 LF8101 LF8406 LF9004",
    layer="policy",
    well_formed="undetermined",
    authentic="no",
    trust="licences",
    comment="What a container is turned into to escape: a legacy llamafile, without mark, manifest and chunk list.",
)
def manifest_taken_out() -> bytes:
    return small()


@vector("good-with-manifest", near="LF8406", trust="curator", comment="A container.")
def with_manifest() -> bytes:
    return signed().done()
