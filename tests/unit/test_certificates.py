"""Certificate chains: only the roots given, only for the purpose, only in time, and with nothing broken (spec 13.9)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa

from llamafile_format.errors import FormatError
from llamafile_format.signing.keys.algorithms import Agility, Algorithm
from llamafile_format.signing.x509.certificates import (
    Purpose,
    check_own_chain,
    names_of,
    path_through,
    public_key,
    read_certificates,
    signed_with,
    verify_chain,
)
from llamafile_format.signing.x509.identities import Identity, NameKind
from llamafile_format.signing.x509.revocations import all_listed
from tests.certificate_samples import (
    ANY_USAGE,
    CODE_SIGNING,
    SERVER_AUTH,
    TIME_STAMPING,
    Issued,
    issue,
    p256,
    revoke,
    rsa_key,
    spki,
    when,
    world,
)

NOW = when(2026, 11, 21)


def chain_of(
    leaf: Issued,
    untrusted: Sequence[Issued] = (),
    roots: Sequence[Issued] = (),
    *,
    at: datetime = NOW,
    purpose: Purpose = Purpose.CODE_SIGNING,
    revocations: Sequence[bytes] = (),
    broken: dict[str, date] | None = None,
) -> tuple[bytes, ...]:
    return verify_chain(
        leaf.der,
        [one.der for one in untrusted],
        [one.der for one in roots],
        at=at,
        purpose=purpose,
        revocations=revocations,
        agility=Agility(broken or {}),
    )


def refused(match: str, *args: Any, **options: Any) -> None:
    with pytest.raises(FormatError, match=match):
        chain_of(*args, **options)


# -- the path ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("year", [2021, 2026, 2055])
def test_a_path_is_found_at_any_date(year: int) -> None:
    here = world()
    found = chain_of(here.signer, [here.middle], [here.root], at=when(year, 6))
    assert found == (here.signer.der, here.middle.der, here.root.der)


def test_helpers_may_come_in_any_order_and_number() -> None:
    here = world()
    strangers = [issue(f"Stranger {number}", authority=True) for number in range(70)]
    assert chain_of(here.signer, [*strangers, here.root, here.middle, here.middle], [*strangers[:3], here.root])


def test_no_roots_means_nobody() -> None:
    here = world()
    refused("no root certificates were given", here.signer, [here.middle, here.root], [])


def test_what_a_record_brings_is_no_root() -> None:
    here, other = world(), world()
    refused("does not lead to a root", here.signer, [here.middle, here.root], [other.root])


def test_the_message_says_where_the_path_ends() -> None:
    here = world()
    with pytest.raises(FormatError) as error:
        chain_of(here.signer, [], [here.root])
    assert "CN=Release, issued by CN=Example Signing" in str(error.value)
    assert "CN=Example Root" in str(error.value)


def test_a_root_of_the_same_name_with_another_key_does_not_count() -> None:
    here, twin = world(), world()
    refused("does not lead to a root", here.signer, [here.middle], [twin.root])


def test_a_signer_named_as_root_itself_counts() -> None:
    alone = issue("Alone", usages=(CODE_SIGNING,))
    assert chain_of(alone, [], [alone]) == (alone.der,)


def test_a_signer_cannot_make_certificates() -> None:
    here = world()
    forged = issue("Forged", here.signer, usages=(CODE_SIGNING,), email="release@example.org")
    refused("not lawfully", forged, [here.signer, here.middle], [here.root])


def test_path_length_counts() -> None:
    root = issue("Root", authority=True, path_length=0)
    middle = issue("Middle", root, authority=True)
    signer = issue("Signer", middle, usages=(CODE_SIGNING,))
    refused("path length", signer, [middle], [root])


def test_an_authority_without_the_right_to_sign_certificates_has_none() -> None:
    here = world()
    weak = (
        x509.CertificateBuilder()
        .subject_name(here.middle.certificate.subject)
        .issuer_name(here.root.certificate.subject)
        .public_key(here.middle.key.public_key())
        .serial_number(7)
        .not_valid_before(when(2020))
        .not_valid_after(when(2060))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(*[True] + [False] * 8), critical=True)
        .sign(here.root.key, hashes.SHA256())
    )
    refused("may not sign certificates", here.signer, [Issued(weak, here.middle.key)], [here.root])


def test_a_name_that_the_authority_may_not_give_is_refused() -> None:
    root = issue("Root", authority=True)
    limits = x509.NameConstraints([x509.RFC822Name("example.org")], None)
    middle = issue("Middle", root, authority=True, more=[(limits, True)])
    good = issue("Good", middle, usages=(CODE_SIGNING,), email="release@example.org")
    evil = issue("Evil", middle, usages=(CODE_SIGNING,), email="release@evil.example")
    assert chain_of(good, [middle], [root])
    refused("name constraints", evil, [middle], [root])


def test_an_unknown_critical_extension_is_refused() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    here = world(more=[(unknown, True)])
    refused("critical", here.signer, [here.middle], [here.root])


# -- purpose ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usages", "found"),
    [
        ((SERVER_AUTH,), "serverAuth"),
        ((), "not stated"),
        ((ANY_USAGE,), "2.5.29.37.0"),
        ((TIME_STAMPING,), "timeStamping"),
    ],
)
def test_a_certificate_for_something_else_signs_no_model(usages: tuple[Any, ...], found: str) -> None:
    here = world(usages=usages, dns="models.example.org")
    with pytest.raises(FormatError) as error:
        chain_of(here.signer, [here.middle], [here.root])
    assert found.lower() in str(error.value).lower()
    assert "codeSigning" in str(error.value)


def test_an_authority_for_web_servers_makes_no_signers() -> None:
    root = issue("Root", authority=True)
    web = issue("Web", root, authority=True, usages=(SERVER_AUTH,))
    signer = issue("Signer", web, usages=(CODE_SIGNING,))
    refused("may not make certificates for codeSigning", signer, [web], [root])


def test_an_authority_signs_no_model_itself() -> None:
    root = issue("Root", authority=True)
    refused("authority's", issue("CA", root, authority=True, usages=(CODE_SIGNING,)), [], [root])


def test_time_stamping_must_be_the_only_purpose_and_critical() -> None:
    root = issue("Root", authority=True)
    good = issue("TSA", root, usages=(TIME_STAMPING,), critical=True)
    assert chain_of(good, [], [root], purpose=Purpose.TIME_STAMPING) == (good.der, root.der)
    for usages, critical in (((TIME_STAMPING,), False), ((TIME_STAMPING, CODE_SIGNING), True), ((CODE_SIGNING,), True)):
        bad = issue("TSA", root, usages=usages, critical=critical)
        refused("not made for this", bad, [], [root], purpose=Purpose.TIME_STAMPING)


# -- time and revocation ----------------------------------------------------------------------------------------------


def test_expired_now_and_valid_when_stamped() -> None:
    here = world(years=(2024, 2025))
    refused("was not valid at 2026", here.signer, [here.middle], [here.root])
    assert chain_of(here.signer, [here.middle], [here.root], at=when(2024, 7))


def test_an_expired_authority_is_named() -> None:
    root = issue("Root", authority=True)
    middle = issue("Old Middle", root, authority=True, years=(2020, 2025))
    refused("Old Middle was not valid", issue("Signer", middle, usages=(CODE_SIGNING,)), [middle], [root])
    old = issue("Old Root", authority=True, years=(2000, 2025))
    refused("Old Root was not valid", issue("Signer", old, usages=(CODE_SIGNING,)), [], [old])


def test_revoked_at_or_before_counts_and_later_does_not() -> None:
    here = world()
    lists = [revoke(here.middle, here.signer.certificate.serial_number, when(2025, 3))]
    options: dict[str, Any] = {"revocations": lists}
    refused("revoked by its issuer", here.signer, [here.middle], [here.root], **options)
    refused("revoked on 2025-03-01", here.signer, [here.middle], [here.root], at=when(2025, 3), **options)
    assert chain_of(here.signer, [here.middle], [here.root], at=when(2025, 3) - timedelta(seconds=1), **options)


def test_the_day_that_the_key_was_lost_counts() -> None:
    here = world()
    lists = [revoke(here.middle, here.signer.certificate.serial_number, when(2026), lost=when(2024))]
    refused("2024-01-01", here.signer, [here.middle], [here.root], at=when(2025), revocations=lists)


def test_a_revoked_authority_takes_its_signers_with_it() -> None:
    here = world()
    lists = [revoke(here.root, here.middle.certificate.serial_number, when(2025))]
    refused("Example Signing was revoked", here.signer, [here.middle], [here.root], revocations=lists)


def test_a_list_that_the_issuer_did_not_sign_says_nothing() -> None:
    here = world()
    serial = here.signer.certificate.serial_number
    lists = [revoke(here.middle, serial, when(2025), key=p256()), revoke(here.root, serial, when(2025))]
    assert chain_of(here.signer, [here.middle], [here.root], revocations=lists)


# -- algorithms -------------------------------------------------------------------------------------------------------


def test_a_broken_algorithm_breaks_the_chain() -> None:
    here = world()
    broken = {"sha256": date(2040, 1, 1)}
    assert chain_of(here.signer, [here.middle], [here.root], at=when(2039, 12, 31), broken=broken)
    refused("broken by then", here.signer, [here.middle], [here.root], at=when(2055), broken=broken)


def test_the_roots_own_signature_is_set_aside() -> None:
    root = issue("Root", authority=True, key=ec.generate_private_key(ec.SECP384R1()))  # signs itself with SHA-256
    signer = issue("Signer", root, usages=(CODE_SIGNING,), digest=hashes.SHA384())
    assert signed_with(path_through(signer.der, [root.der])) == ("ecdsa-p384-sha384",)
    assert chain_of(signer, [], [root], at=when(2055), broken={"sha256": date(2040, 1, 1)})


def test_sha1_is_refused() -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    root = issue("Root", authority=True, key=curve)
    try:
        signer = issue("Signer", root, usages=(CODE_SIGNING,), digest=hashes.SHA1())
    except Exception:  # the library may refuse to make one at all
        return
    with pytest.raises(FormatError):
        chain_of(signer, [], [root])


@pytest.mark.parametrize(
    ("make", "identifier"),
    [
        (rsa_key, "rsa-sha256"),
        (lambda: ec.generate_private_key(ec.SECP521R1()), "ecdsa-p521-sha256"),
        (mldsa.MLDSA65PrivateKey.generate, "ml-dsa-65"),
        (mldsa.MLDSA87PrivateKey.generate, "ml-dsa-87"),
    ],
)
def test_authorities_of_other_kinds(make: Any, identifier: str) -> None:
    root = issue("Root", authority=True, key=make())
    signer = issue("Signer", root, usages=(CODE_SIGNING,))
    assert signed_with(path_through(signer.der, [root.der])) == (identifier,)
    assert chain_of(signer, [], [root])


@pytest.mark.parametrize("make", [ed25519.Ed25519PrivateKey.generate, lambda: rsa.generate_private_key(65537, 1024)])
def test_what_the_library_refuses_stays_refused(make: Any) -> None:
    root = issue("Root", authority=True, key=make())
    refused("not lawfully", issue("Signer", root, usages=(CODE_SIGNING,)), [], [root])


# -- what a certificate says ------------------------------------------------------------------------------------------


def test_identities() -> None:
    one = issue("Nobody", email="a@example.org", uri="https://example.org/x", dns="example.org")
    email, uri, dns = (
        Identity(NameKind.EMAIL, "a@example.org"),
        Identity(NameKind.URI, "https://example.org/x"),
        Identity(NameKind.DNS, "example.org"),
    )
    assert names_of(one.der) == (email, uri, dns)
    assert names_of(issue("Only a Name").der) == ()


def test_public_key() -> None:
    one = issue("One")
    key = public_key(one.der)
    assert key.spki == spki(one.key)
    assert key.algorithm is Algorithm.ECDSA_P256
    with pytest.raises(FormatError):
        public_key(issue("RSA", key=rsa_key()).der)


def test_reading() -> None:
    one, two = issue("One"), issue("Two")
    assert read_certificates(one.pem + b"text\n" + two.pem, "both.pem") == (one.der, two.der)
    assert read_certificates(one.der, "one.der") == (one.der,)
    for junk in (b"", b"junk", one.der + b"\0", one.pem[:-40]):
        with pytest.raises(FormatError, match=r"x\.pem"):
            read_certificates(junk, "x.pem")


def test_a_records_own_chain() -> None:
    here = world()
    whole = [here.signer.der, here.middle.der, here.root.der]
    for length in (1, 2, 3):
        check_own_chain(whole[:length])
    for wrong in ([whole[0], whole[2]], [whole[1], whole[0]], [*whole, issue("Extra").der], [*whole, whole[2]]):
        with pytest.raises(FormatError):
            check_own_chain(wrong)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_every_flipped_bit_of_a_chain_is_seen() -> None:
    """Nothing signs the certificates of a record; so each must be signed by the next, up to the root that is given.

    Nor does anything but FormatError come out, whatever is asked: the library reads a certificate's parts when needed.
    """
    here = world()
    whole = here.signer.der + here.middle.der
    split = len(here.signer.der)
    for at, bit in product(range(len(whole)), range(8)):
        changed = bytearray(whole)
        changed[at] ^= 1 << bit
        leaf, middle = bytes(changed[:split]), bytes(changed[split:])
        with pytest.raises(FormatError):
            verify_chain(leaf, [middle], here.roots, at=NOW, purpose=Purpose.CODE_SIGNING, agility=Agility({}))
        with suppress(FormatError):
            names_of(leaf)
        with suppress(FormatError):
            public_key(leaf)
        with suppress(FormatError):
            check_own_chain([leaf, middle])


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_a_spoilt_revocation_list_says_nothing() -> None:
    """It is helpers' stuff, which anybody can append: it must neither crash nor refuse."""
    here = world()
    serial = here.signer.certificate.serial_number
    whole = revoke(here.middle, serial, when(2025), lost=when(2024))
    spoilt = 0
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 0x10
        lists = [bytes(changed)]
        try:
            chain_of(here.signer, [here.middle], [here.root], revocations=lists)
            spoilt += 1
        except FormatError as error:
            assert "revoked" in str(error)  # noqa: PT017
        all_listed([here.signer.der, here.middle.der], lists)
    assert spoilt > len(whole) * 0.95


def test_lists_of_all_issuers_at_hand() -> None:
    here = world()
    chain = [here.signer.der, here.middle.der, here.root.der]
    lists = [revoke(here.middle, 1, when(2025)), revoke(here.root, 1, when(2025))]
    assert all_listed(chain, lists)
    assert not all_listed(chain, lists[:1])
    assert not all_listed(chain, [lists[0], revoke(here.root, 1, when(2025), key=p256())])
