"""Sigstore identities: a certificate for a few minutes, and a log that saw it used (spec/1, 13.9.9 to 13.9.11).

The verifier is the Sigstore project's own, which the extra ``sigstore`` brings; without it such a signature is not
checked, which is not the same as good or bad. Everything needed comes with the bundle and from the trusted root in the
policy: nothing is fetched, and no root is built in. Beyond what that verifier demands, every source of time that a
bundle has must hold on its own, so that no part of it is only there to be looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from llamafile_format.errors import FormatError, LlamafileError
from llamafile_format.signing.records.envelope import PAYLOAD_TYPE, Bundle, Method
from llamafile_format.signing.trust.sigstore_material import Material, read_material
from llamafile_format.signing.trust.sigstore_root import CONFIG_TYPE, TrustedRoot, read_trusted_root
from llamafile_format.signing.x509.identities import Identity, kind_of

if TYPE_CHECKING:
    from cryptography import x509

    from llamafile_format.signing.keys.algorithms import Agility
    from llamafile_format.signing.trust.policy import SigstoreRule

CLAUSE = "13.9.10"


class Missing(LlamafileError):
    """The extra ``sigstore`` is not installed, so nothing can be said of a Sigstore signature."""


@dataclass(frozen=True, slots=True)
class SigstoreResult:
    """Who signed, by whose word, and the earliest moment (UTC) at which the signature is proven to have been there."""

    identity: str
    issuer: str
    time: datetime


def verify_sigstore(
    bundle: Bundle, rule: SigstoreRule, *, at: datetime, agility: Agility | None = None
) -> SigstoreResult:
    """Verify ``bundle`` under the trusted root, identity and issuer of ``rule``, as of ``at``, without any network.

    FormatError with the reason if it does not hold; Missing if the extra is not installed. ``agility`` refuses what
    rests on an algorithm broken at ``at``: by then the log's own word is worth nothing, so its time is not asked.
    """
    check = _verifier(rule)
    if bundle.method is not Method.SIGSTORE:
        raise FormatError("this is not a Sigstore bundle", found=f"method {bundle.method.value}", clause=CLAUSE)
    root = read_trusted_root(rule.trusted_root)
    material = read_material(bundle.data)
    if material.entry.key_id not in root.logs:  # Sigstore's verifier would take any log for one that it does not know
        raise FormatError("it is entered in a log that the trusted root does not name", clause=CLAUSE)
    times = list(_times(material, root))
    if not times:
        raise FormatError("nothing in it proves a time", clause=CLAUSE, allowed="the log's promise, or a time stamp")
    for variant, _ in times:
        check(root, variant, bundle.payload)
    log = root.logs[material.entry.key_id]
    _check_path(bundle.certificates[0], rule, root, log, at=at, agility=agility)
    first = min(time for _, time in times)
    if first > at:
        raise FormatError(
            f"it is from after {at:%Y-%m-%dT%H:%M:%SZ}", found=f"{first:%Y-%m-%dT%H:%M:%SZ}", clause=CLAUSE
        )
    return SigstoreResult(rule.identity, rule.issuer, first)


def _times(material: Material, root: TrustedRoot) -> Iterator[tuple[dict[str, Any], datetime]]:
    """The bundle reduced to each of its sources of time alone, and the time that this source tells."""
    from llamafile_format.signing.time.timestamps import read_response

    if material.entry.promised:
        yield material.with_promise(), _moment(material.entry.integrated)
    for index, stamp in enumerate(material.stamps):
        token = read_response(stamp)
        if not set(root.stamping).issuperset(token.certificates):  # bytes in the token that nothing else would check
            raise FormatError("its time stamp brings a certificate that the trusted root does not name", clause=CLAUSE)
        yield material.with_stamp(index), token.time


def _moment(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise FormatError("the log's time is no time", found=seconds, clause=CLAUSE) from error


def _verifier(rule: SigstoreRule) -> Callable[[TrustedRoot, Mapping[str, Any], bytes], None]:
    """Sigstore's verification under one root, for the identity of ``rule``; Missing without the extra."""
    try:
        from sigstore.models import Bundle as SigstoreBundle
        from sigstore.models import ClientTrustConfig
        from sigstore.verify import Verifier
    except ImportError as error:
        raise Missing(
            "the extra 'sigstore' is not installed", hint="pip install 'llamafile-format[sigstore]'"
        ) from error
    if not rule.identity or not rule.issuer:
        raise FormatError("a Sigstore rule needs an identity and an issuer", clause="13.9.11")

    def check(root: TrustedRoot, bundle: Mapping[str, Any], payload: bytes) -> None:
        """FormatError unless the bundle holds for ``payload`` under ``root``, by the identity of the rule."""
        signing = {"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"}  # for signers; wanted by form
        config = {"mediaType": CONFIG_TYPE, "trustedRoot": root.value, "signingConfig": signing}
        try:
            trusted = ClientTrustConfig.from_json(json.dumps(config)).trusted_root
            verifier = Verifier(trusted_root=trusted)
            read = SigstoreBundle.from_json(json.dumps(bundle))
            kind, found = verifier.verify_dsse(read, _Pinned(rule.identity, rule.issuer))
        except Exception as error:  # whatever a hostile bundle provokes in that library, it is a no
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise FormatError(f"Sigstore's verifier refuses it: {reason}", clause=CLAUSE) from error
        if (kind, found) != (PAYLOAD_TYPE, payload):
            raise FormatError("Sigstore's verifier read another payload", clause=CLAUSE)

    return check


@dataclass(frozen=True, slots=True)
class _Pinned:
    """Who must have signed, as a policy of Sigstore's verifier."""

    identity: str
    issuer: str

    def verify(self, cert: x509.Certificate) -> None:
        """Raise that library's VerificationError unless ``cert`` names both, letter by letter."""
        from sigstore.errors import VerificationError
        from sigstore.verify.policy import AnyOf, Identity, OIDCIssuer, OIDCIssuerV2

        # Certificates name their issuer in an old form, a new one, or both; the old one will be gone some day.
        try:
            AnyOf([OIDCIssuerV2(self.issuer), OIDCIssuer(self.issuer)]).verify(cert)
        except VerificationError as error:
            raise VerificationError(f"its certificate does not name the issuer {self.issuer}") from error
        Identity(identity=self.identity).verify(cert)


def _check_path(
    leaf: bytes, rule: SigstoreRule, root: TrustedRoot, log: bytes, *, at: datetime, agility: Agility | None
) -> None:
    """What a yes rests on besides that verifier's: the name by its kind, the names that each authority may give, and
    the algorithms of the log's tree and key, of the signer's key, and of the authorities' signatures."""
    from llamafile_format.signing.keys.key import PublicKey
    from llamafile_format.signing.x509.certificates import names_of, path_through, public_key, signed_with

    if Identity(kind_of(rule.identity), rule.identity) not in names_of(leaf):
        kind = kind_of(rule.identity)
        raise FormatError(f"its certificate does not name the {kind} {rule.identity}", clause="13.9.3")
    path = path_through(leaf, root.signing)
    used = {
        "sha256",  # the log's tree (RFC 6962), whatever signs it
        PublicKey.from_spki(log).algorithm.value,
        public_key(leaf).algorithm.value,
        *signed_with(path),
    }
    for algorithm in sorted(used):
        if agility is not None and agility.broken(algorithm, at):
            raise FormatError("it rests on an algorithm that was broken by then", found=algorithm, clause="13.8")
