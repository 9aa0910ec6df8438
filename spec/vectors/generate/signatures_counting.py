"""Vectors of chapter 13: what looks like two signers and is one, and what counts for less than it looks."""

from __future__ import annotations

from spec.vectors.generate import vector
from spec.vectors.generate.forge import Part
from spec.vectors.generate.signatures import signed, tail
from spec.vectors.generate.signatures_certificates import LEAF, STAMP_ROOT, Certificate, revocations
from spec.vectors.generate.signatures_forge import Tail
from spec.vectors.generate.signatures_keys import ARCHIVE, CURATOR, CURATOR_PQ, PUBLISHER, SECOND
from spec.vectors.generate.signatures_publisher import published, with_publisher

CHAPTER = "signatures"
_TEXT = b"#!/bin/sh\necho any bytes at all\n"
STRAY = Certificate(SECOND, "Notice: fetch the mended build elsewhere", 60, more=_TEXT)
LARGE = Certificate(SECOND, "Notice", 61, more=_TEXT * 3000)


def by_certificate(made: Tail) -> Tail:
    """``made``, signed with the curator's certificate."""
    return made.oms(LEAF.key, certificates=[LEAF])


# LF8120, LF8121: thresholds count hands (13.4.7, 16.4.7)


@vector(
    "one-hand-by-key-and-certificate",
    rules="LF8104 LF8120",
    layer="trust",
    trust="two-ways",
    comment="The same signature as a bare key and with a certificate for it: two rules, one hand.",
)
def one_hand() -> bytes:
    return by_certificate(tail().oms(LEAF.key)).done()


@vector("good-two-hands", near="LF8120", trust="two-ways", comment="Two of three have signed, each with another key.")
def two_hands() -> bytes:
    return by_certificate(tail().oms(SECOND)).done()


@vector(
    "one-hand-countersigns",
    rules="LF8104 LF8120",
    layer="trust",
    trust="two-ways",
    comment="Signed with the key, countersigned with the certificate of the same key.",
)
def one_hand_countersigns() -> bytes:
    return tail().oms(LEAF.key).cnt(LEAF.key, certificates=[LEAF]).done()


@vector(
    "good-one-hand-in-two-roles",
    near="LF8121",
    trust="two-roles",
    comment="One hand as assembler by its key and as archive by its certificate, by a policy that lets it.",
)
def one_hand_in_two_roles() -> bytes:
    return one_hand()


@vector(
    "one-hand-for-separate-demands",
    rules="LF8121",
    layer="trust",
    trust="separate",
    comment="The same by a policy that keeps its demands separate.",
)
def one_hand_for_separate_demands() -> bytes:
    return one_hand()


@vector("good-separate-demands", near="LF8121", trust="separate", comment="Another assembler: two hands.")
def separate_demands() -> bytes:
    return by_certificate(tail().oms(SECOND)).done()


# LF8106, LF8204, LF8206: publishers are judged as everybody else is (13.5.5)


@vector(
    "published-by-half-of-a-pair",
    rules="LF8104 LF8106 LF8303",
    layer="trust",
    trust="publisher-pair",
    comment="The publisher's signature is by the classical half of the pair that the policy names.",
)
def published_by_half() -> bytes:
    return with_publisher(published(key=CURATOR)).oms(ARCHIVE).done()


@vector(
    "good-published-by-a-pair",
    rules="LF8303",
    near="LF8106",
    trust="publisher-pair",
    comment="Both halves have signed the weights.",
)
def published_by_a_pair() -> bytes:
    other = Part("publisher/other.sig", published(key=CURATOR_PQ), "publisher-signature", "application/json")
    return with_publisher(published(key=CURATOR), other).oms(ARCHIVE).done()


@vector(
    "published-and-not-stamped",
    rules="LF8101 LF8104 LF8204 LF8303",
    layer="trust",
    trust="publisher-level-t",
    comment="A publisher's signature of which nothing proves a time.",
)
def published_and_not_stamped() -> bytes:
    return with_publisher(published()).done()


@vector(
    "good-published-and-stamped",
    rules="LF8303",
    near="LF8204",
    trust="publisher-level-t",
    comment="The record that names the manifest is stamped, and the manifest names the publisher's signature.",
)
def published_and_stamped() -> bytes:
    return with_publisher(published()).oms(ARCHIVE).stamp().done()


@vector(
    "published-without-a-date",
    rules="LF8104 LF8206 LF8303",
    layer="trust",
    trust="publisher-young",
    as_of="2026-12-01",
    comment="Stamped in the file, and yet nobody says how old the publisher's signature is.",
)
def published_without_a_date() -> bytes:
    return with_publisher(published()).oms(ARCHIVE).stamp().done()


@vector(
    "good-published-with-a-date",
    near="LF8206",
    trust="publisher-young",
    as_of="2026-12-01",
    comment="The publisher has signed the whole file, and says when.",
)
def published_with_a_date() -> bytes:
    return tail().oms(ARCHIVE).oms(PUBLISHER).stamp().done()


@vector(
    "old-and-stamped-today",
    rules="LF8104 LF8206",
    layer="trust",
    trust="young",
    as_of="2026-12-01",
    comment="A signature that says nothing of its age; a stamp proves that it is not younger, and no more.",
)
def old_and_stamped_today() -> bytes:
    return signed(time="").stamp().done()


# LF8122, LF8407: what level quick cannot say (10.4.2, 16.6.5)


@vector(
    "authentic-at-a-glance",
    rules="LF8122 LF9001 LF9006",
    well_formed="undetermined",
    valid="undetermined",
    authentic="undetermined",
    trust="curator",
    comment="Signed by somebody trusted, and none of the bytes were read (verified at level quick).",
)
def authentic_at_a_glance() -> bytes:
    return signed().done()


# LF8123: material of nothing here (13.6.9)


@vector(
    "material-of-nothing",
    rules="LF8116 LF8123",
    layer="signatures",
    valid="yes",
    trust="curator",
    authentic="no",
    comment="A certificate that signs itself, with a text in it, as validation material.",
)
def material_of_nothing() -> bytes:
    return signed().vm([STRAY.der]).done()


@vector(
    "material-of-another",
    rules="LF8116 LF8123",
    layer="signatures",
    valid="yes",
    trust="curator",
    authentic="no",
    comment="A revocation list of an authority that has nothing to do with this file.",
)
def material_of_another() -> bytes:
    return signed().vm([], [revocations(STAMP_ROOT)]).done()


@vector(
    "material-too-long",
    rules="LF8022 LF8116",
    layer="signatures",
    valid="yes",
    trust="curator",
    authentic="no",
    comment="A certificate of 80,000 bytes.",
)
def material_too_long() -> bytes:
    return signed().vm([LARGE.der]).done()


@vector(
    "good-material-before",
    near="LF8123",
    trust="level-t",
    comment="Material for a stamp that stands behind it.",
)
def material_before() -> bytes:
    return signed().vm([STAMP_ROOT.der]).stamp(1).done()
