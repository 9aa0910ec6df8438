"""A trust policy: whom its user believes, for what, since when, and what else a file must meet (spec/1, chapter 16).

A policy always comes from outside the file. These are its parts as values; ``policy_reader`` reads them from YAML, and
``key_policy`` and ``root_policy`` are what ``--key`` and ``--trusted-root`` mean. All moments are aware, in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from llamafile_format.signing.x509.identities import kind_of

if TYPE_CHECKING:
    from llamafile_format.rules import Severity
    from llamafile_format.signing.keys.key import PublicKey


REGISTERED = "registered"
"""In a list of engines: those that the registry of engines has by digest."""


class Role(StrEnum):
    """What a signer is believed about (clause 16.3.2)."""

    PUBLISHER = "publisher"
    ASSEMBLER = "assembler"
    ARCHIVE = "archive"
    RUNTIME = "runtime"
    SCANNER = "scanner"  # reported on it (16.12): about nothing else


APPROVING = frozenset(Role) - {Role.SCANNER}
"""The roles in which a signer vouches for the file."""


class Unsigned(StrEnum):
    """What a file means in which no record of a trusted signer holds (clause 16.4.1)."""

    REFUSE = "refuse"
    ALLOW = "allow"


class Starting(StrEnum):
    """Whether a file may be started where the policy holds (clause 16.7.5)."""

    ALLOW = "allow"
    FORBID = "forbid"


class Templates(StrEnum):
    """What is asked of chat templates (clause 16.7.12)."""

    ANY = "any"
    COMPARED = "compared"  # with those that are known
    KNOWN = "known"


class Tensors(StrEnum):
    """How many tensors are looked at from level full on (clause 16.7.13)."""

    SAMPLED = "sampled"
    ALL = "all"


class StampLevel(IntEnum):
    """How well the time of a signature is proven, after the baseline levels of ETSI (clause 13.6)."""

    B = 0
    T = 1
    LT = 2
    LTA = 3


class PostQuantum(StrEnum):
    """When a signer must have signed with a post-quantum key too (clause 16.4.5)."""

    NEVER = "never"
    WHEN_DECLARED = "when-declared"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class CertificateRule:
    """Certificates below ``roots`` (DER) that name ``identity``; ``*`` stands for any run without any of ``/@:?#``."""

    roots: tuple[bytes, ...]
    identity: str

    def __post_init__(self) -> None:
        """FormatError if the identity is of no kind: it would match nobody, and look as if it matched somebody."""
        kind_of(self.identity)


@dataclass(frozen=True, slots=True)
class SigstoreRule:
    """A Sigstore identity: ``trusted_root`` is the JSON that pins the instance; nothing is fetched."""

    trusted_root: bytes
    identity: str
    issuer: str

    def __post_init__(self) -> None:
        """FormatError if the identity is of no kind."""
        kind_of(self.identity)


@dataclass(frozen=True, slots=True)
class SignerRule:
    """One who is believed in ``roles``: by any of ``keys`` (a pair has two), by certificate, or by Sigstore identity.

    ``halves`` are the ids of those keys that are the classical half of a pair: none of them counts alone.
    ``valid_from`` (inclusive) and ``valid_until`` (exclusive) bound when a signature may have been made; ``models``
    are names of models (``*`` for any run of characters), and none means all.
    """

    id: str
    roles: frozenset[Role]
    keys: tuple[PublicKey, ...] = ()
    certificate: CertificateRule | None = None
    sigstore: SigstoreRule | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    models: tuple[str, ...] = ()
    halves: frozenset[str] = frozenset()

    @property
    def approves(self) -> bool:
        """True if the signer can vouch for a file, rather than report on it alone."""
        return bool(self.roles & APPROVING)


@dataclass(frozen=True, slots=True)
class Requirement:
    """At least ``threshold`` different signers in ``role``, of those named in ``signers``, or of all if none is."""

    role: Role
    threshold: int = 1
    signers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Authority:
    """A time-stamping authority: its ``roots`` (DER), and between which proven times its word counts."""

    id: str
    roots: tuple[bytes, ...]
    valid_from: datetime | None = None
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """A digest or key id that is refused from ``since`` on; without it, always."""

    value: str
    since: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Pin:
    """Against rollback: a file that names ``model`` has a revision from ``minimum_revision`` on.

    ``manifests`` are the SHA-256 of the manifests allowed; none means any.
    """

    model: str
    minimum_revision: int = 0
    manifests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sizes:
    """At most so many bytes of the ``file`` and of each ``member``, and so many ``members``; 0 for any."""

    file: int = 0
    member: int = 0
    members: int = 0


@dataclass(frozen=True, slots=True)
class Excepted:
    """Before ``until``, ``rules`` are no ground to refuse the file with this ``manifest`` (SHA-256), for ``reason``."""

    manifest: str
    rules: frozenset[str]
    reason: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Scanned:
    """At least ``threshold`` reports by different scanners (of ``signers``, or all), at most ``max_age_days`` old and
    made by the rules with one of the digests ``rulesets``; none means those of the verifier."""

    max_age_days: int
    threshold: int = 1
    signers: tuple[str, ...] = ()
    rulesets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Created:
    """When a file may say that it was put together: from ``since`` on, at most ``max_age_days`` ago; 0 for any age."""

    since: datetime | None = None
    max_age_days: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """What one archive, hub or person demands. ``max_age_days`` is in days, 0 for any age. With ``separate``, who
    counts for one of ``requirements`` counts for no other.

    ``licenses``, ``engines``, ``prefixes``, ``prefix_digests``, ``roles``, ``targets``, ``flavours``,
    ``architectures``, ``tensor_types`` and ``numberings`` are lists of what is allowed; None allows all.
    ``denied_licenses`` and ``denied_options`` are not allowed, and of each of ``records`` there must be one.
    ``version`` is that of the syntax. ``algorithms`` says from which date an algorithm counts as broken, ``severities``
    which rules weigh more or less here. ``sha256`` is that of the policy's own bytes, empty for one that was not read
    from a file.
    """

    name: str
    signers: tuple[SignerRule, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    separate: bool = False
    unsigned: Unsigned = Unsigned.REFUSE
    post_quantum: PostQuantum = PostQuantum.WHEN_DECLARED
    cosigners: bool = True
    minimum_level: StampLevel = StampLevel.B
    max_age_days: int = 0
    authorities: tuple[Authority, ...] = ()
    denied_digests: tuple[Denied, ...] = ()
    denied_keys: tuple[Denied, ...] = ()
    pins: tuple[Pin, ...] = ()
    algorithms: Mapping[str, date] = field(default_factory=dict)
    licenses: tuple[str, ...] | None = None
    engines: tuple[str, ...] | None = None
    prefixes: tuple[str, ...] | None = None
    severities: Mapping[str, Severity] = field(default_factory=dict)
    run: Starting = Starting.ALLOW
    sha256: str = ""
    roles: tuple[str, ...] | None = None
    targets: tuple[str, ...] | None = None
    flavours: tuple[str, ...] | None = None
    sizes: Sizes = Sizes()
    reasons: Mapping[str, str] = field(default_factory=dict)
    exceptions: tuple[Excepted, ...] = ()
    version: int = 1
    architectures: tuple[str, ...] | None = None
    tensor_types: tuple[str, ...] | None = None
    numberings: tuple[str, ...] | None = None
    denied_licenses: tuple[str, ...] = ()
    denied_options: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    templates: Templates = Templates.ANY
    tensors: Tensors = Tensors.SAMPLED
    prefix_digests: tuple[str, ...] | None = None
    created: Created | None = None
    scanned: Scanned | None = None

    @property
    def takes_registered(self) -> bool:
        """True if engines are allowed that the registry of engines has (16.7.8)."""
        return self.version > 1 and REGISTERED in (self.engines or ())

    def weights(self, manifest_sha256: str, at: datetime) -> tuple[dict[str, Severity], dict[str, str]]:
        """How rules weigh in the file with this manifest at the moment ``at``, and why, where the policy says it."""
        from llamafile_format.rules import Severity

        severities, reasons = dict(self.severities), dict(self.reasons)
        for each in self.exceptions:
            if each.manifest == manifest_sha256 and at < each.until:
                severities |= dict.fromkeys(each.rules, Severity.INFO)
                reasons |= dict.fromkeys(each.rules, each.reason)
        return severities, reasons


def signed_by(demands: Policy, signers: Policy) -> Policy:
    """``demands`` of a profile, and one signature of those whom ``signers`` (``key_policy``, ``root_policy``) names."""
    return replace(
        demands,
        name=f"{demands.name} and {signers.name}",
        signers=signers.signers,
        authorities=signers.authorities,
        unsigned=Unsigned.REFUSE,
    )


def halves_of(keys: Sequence[PublicKey]) -> frozenset[str]:
    """The id of the classical one of ``keys``, which stand in one file, if they are a pair (13.8.5)."""
    pair = {key.algorithm.post_quantum for key in keys} == {False, True}
    return frozenset(key.key_id for key in keys if pair and not key.algorithm.post_quantum)


def key_policy(
    keys: Iterable[PublicKey] | Mapping[str, Iterable[PublicKey]], *, authorities: Iterable[Authority] = ()
) -> Policy:
    """What ``--key`` means: one signature of any of ``keys``, or of the signers that a mapping names by their keys."""
    if not isinstance(keys, Mapping):
        keys = {f"key {key.key_id[:16]}": (key,) for key in keys}
    held: dict[str, tuple[tuple[PublicKey, ...], ...]] = {}  # files that share a key are one signer's
    for name, theirs in keys.items():
        own = tuple(theirs)
        same = [other for other, files in held.items() if any(set(own) & set(file) for file in files)]
        merged = [file for other in same for file in held.pop(other)]
        held[same[0] if same else name] = (*merged, own)
    signers = tuple(
        SignerRule(
            name,
            APPROVING,
            keys=tuple(dict.fromkeys(key for file in files for key in file)),
            halves=frozenset[str]().union(*map(halves_of, files)),
        )
        for name, files in held.items()
    )
    return Policy("--key", signers, authorities=tuple(authorities))


def is_certificates(data: bytes) -> bool:
    """True if ``data`` is a trusted root of X.509 (PEM), False if it must be one of Sigstore (JSON)."""
    return data.lstrip().startswith(b"-----BEGIN CERTIFICATE-----")


def root_policy(data: bytes, identity: str, issuer: str = "", *, authorities: Iterable[Authority] = ()) -> Policy:
    """What ``--trusted-root`` means: one signature of ``identity``.

    By a certificate below the roots in ``data`` (PEM), or as ``issuer`` vouched for it in the Sigstore instance that
    ``data`` (JSON) pins. FormatError.
    """
    if is_certificates(data):
        from llamafile_format.signing.x509.certificates import read_certificates

        roots = CertificateRule(read_certificates(data, "--trusted-root"), identity)
        signer = SignerRule(identity, APPROVING, certificate=roots)
    else:
        signer = SignerRule(identity, APPROVING, sigstore=SigstoreRule(data, identity, issuer))
    return Policy("--trusted-root", (signer,), authorities=tuple(authorities))
