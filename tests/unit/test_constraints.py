"""Name constraints of every kind, in every authority of a path, critical or not; names that are none (13.9)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from llamafile_format.errors import FormatError
from llamafile_format.signing.keys.algorithms import Agility
from llamafile_format.signing.x509.certificates import Purpose, names_of, path_through, verify_chain
from tests.certificate_samples import CODE_SIGNING, Issued, issue

NOW = datetime(2026, 11, 21, tzinfo=UTC)
MAIL, URI, DNS, IP = x509.RFC822Name, x509.UniformResourceIdentifier, x509.DNSName, x509.IPAddress


def people(organisation: str, name: str = "") -> x509.DirectoryName:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)]
    parts += [x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []
    return x509.DirectoryName(x509.Name(parts))


def confined(
    names: Sequence[x509.GeneralName],
    permitted: Sequence[x509.GeneralName] = (),
    excluded: Sequence[x509.GeneralName] = (),
    *,
    critical: bool = True,
    subject: str = "Somebody",
) -> tuple[Issued, Issued, Issued]:
    """A signer of ``names``, by an authority that is confined, below a root."""
    root = issue("Root", authority=True)
    limits = x509.NameConstraints(list(permitted) or None, list(excluded) or None)
    middle = issue("Confined", root, authority=True, more=[(limits, critical)])
    alternative = [(x509.SubjectAlternativeName(list(names)), False)] if names else []
    return issue(subject, middle, usages=(CODE_SIGNING,), more=alternative), middle, root


def lawful(leaf: Issued, middle: Issued, root: Issued) -> bool:
    """By our own reading; the X.509 library's verifier may be stricter, and never laxer."""
    try:
        path_through(leaf.der, [middle.der, root.der])
        ours = True
    except FormatError:
        ours = False
    try:
        verify_chain(leaf.der, [middle.der], [root.der], at=NOW, purpose=Purpose.CODE_SIGNING, agility=Agility({}))
    except FormatError:
        return ours
    assert ours
    return ours


ALLOWED = [
    ([MAIL("a@hub.example")], [MAIL("hub.example")], []),
    ([MAIL("a@hub.example")], [MAIL("a@hub.example")], []),
    ([MAIL("a@x.hub.example")], [MAIL(".hub.example")], []),
    ([MAIL("a@HUB.example")], [MAIL("hub.EXAMPLE")], []),
    ([MAIL("a@hub.example")], [], [MAIL("evil.example"), MAIL("b@hub.example")]),
    ([DNS("x.hub.example")], [DNS("hub.example")], []),
    ([DNS("hub.example")], [DNS("hub.example")], []),
    ([DNS("x.hub.example")], [DNS("")], []),
    ([URI("https://hub.example/ci")], [URI("hub.example")], []),
    ([URI("https://x.hub.example:8443/ci")], [URI(".hub.example")], []),
    ([MAIL("a@hub.example"), IP(ip_address("10.1.2.3"))], [MAIL("hub.example"), IP(ip_network("10.0.0.0/8"))], []),
]
REFUSED = [
    ([MAIL("a@evil.example")], [MAIL("hub.example")], []),
    ([MAIL("a@x.hub.example")], [MAIL("hub.example")], []),
    ([MAIL("a@hub.example")], [MAIL(".hub.example")], []),
    ([MAIL("b@hub.example")], [MAIL("a@hub.example")], []),
    ([MAIL("a@hub.example")], [], [MAIL("hub.example")]),
    ([MAIL("a@hub.example")], [], [MAIL("A@HUB.example")]),
    ([MAIL("a@hub.example")], [], [MAIL(".hub.example")]),
    ([MAIL("a@hub.example"), MAIL("a@evil.example")], [MAIL("hub.example")], []),
    ([MAIL("a@hub.example")], [DNS("hub.example")], []),  # a kind that its list leaves out
    ([MAIL("a@hub.example")], [people("Hub")], []),
    ([URI("https://hub.example/ci")], [MAIL("hub.example")], []),
    ([URI("https://evil.example/ci")], [URI("hub.example")], []),
    ([URI("https://x.hub.example/ci")], [URI("hub.example")], []),
    ([URI("https://hub.example@evil.example/")], [URI("hub.example")], []),
    ([URI("https://hub.example@evil.example/")], [], [URI("evil.example")]),
    ([URI("urn:hub.example")], [URI("hub.example")], []),
    ([URI("https://10.1.2.3/")], [], [URI("evil.example")]),
    ([DNS("evilhub.example")], [DNS("hub.example")], []),
    ([DNS("x.hub.example")], [], [DNS("hub.example")]),
    ([DNS("x.hub.example")], [], [DNS("")]),
    ([MAIL("a@hub.example"), IP(ip_address("11.1.2.3"))], [MAIL("hub.example"), IP(ip_network("10.0.0.0/8"))], []),
    ([MAIL("a@hub.example"), IP(ip_address("::1"))], [MAIL("hub.example"), IP(ip_network("10.0.0.0/8"))], []),
    ([MAIL("a@hub.example")], [MAIL("hub.example"), people("Hub")], []),  # the subject is nobody of the Hub
    ([MAIL("a@hub.example"), people("HUB  inc")], [], [people("Hub Inc")]),
    ([MAIL("a@hub.example")], [MAIL("hub.example"), x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))], []),
    ([MAIL("a@hub.example")], [], [x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00")]),
]


@pytest.mark.parametrize("critical", [True, False])
@pytest.mark.parametrize("case", range(len(ALLOWED)))
def test_what_an_authority_may_give(case: int, critical: bool) -> None:
    assert lawful(*confined(*ALLOWED[case], critical=critical))


@pytest.mark.parametrize("critical", [True, False])
@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_what_an_authority_may_not_give(case: int, critical: bool) -> None:
    assert not lawful(*confined(*REFUSED[case], critical=critical))


def test_the_root_is_an_authority_too() -> None:
    root = issue("Root", authority=True, more=[(x509.NameConstraints([MAIL("hub.example")], None), True)])
    for email, good in (("a@hub.example", True), ("a@evil.example", False)):
        leaf = issue("Somebody", root, usages=(CODE_SIGNING,), email=email)
        assert lawful(leaf, root, root) is good


@pytest.mark.parametrize(
    "name",
    [
        DNS._init_without_validation("release@hub.example"),
        DNS._init_without_validation("hub.example."),
        DNS._init_without_validation("*.hub.example"),
        DNS._init_without_validation("hub.example\0.evil.example"),
        DNS._init_without_validation(""),
        URI._init_without_validation("release@hub.example"),
        URI._init_without_validation("https://hub.example/\0"),
        URI._init_without_validation("https://hub.example/ x"),
        MAIL._init_without_validation("release"),
        MAIL._init_without_validation("release@hub.example\0@evil.example"),
        MAIL._init_without_validation('"release@hub.example"@evil.example'),
        MAIL._init_without_validation("release@hub.example."),
        MAIL._init_without_validation("*@hub.example"),
        MAIL._init_without_validation("Release <release@hub.example>"),
    ],
)
def test_a_name_that_is_none_refuses_the_certificate(name: x509.GeneralName) -> None:
    """Also where another name beside it would do: who reads it otherwise sees somebody else."""
    names = x509.SubjectAlternativeName([name, MAIL("a@b.example")])
    leaf = issue("Somebody", usages=(CODE_SIGNING,), more=[(names, False)])
    with pytest.raises(FormatError):
        names_of(leaf.der)


OTHER = [people("hub.example", "release@hub.example"), IP(ip_address("10.0.0.1"))]


@pytest.mark.parametrize("name", [*OTHER, x509.RegisteredID(x509.ObjectIdentifier("1.2"))])
def test_other_names_count_for_nothing(name: x509.GeneralName) -> None:
    leaf = issue("release@hub.example", usages=(CODE_SIGNING,), more=[(x509.SubjectAlternativeName([name]), False)])
    assert names_of(leaf.der) == ()
