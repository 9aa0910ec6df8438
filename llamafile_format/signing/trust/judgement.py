"""Who signed this bundle, of those whom a policy names? (spec/1, 13.4.4)

The key decides the algorithm, and keys come from the policy: what a bundle says of its signer only helps to choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from llamafile_format.errors import FormatError
from llamafile_format.findings import Finding, Value, Where
from llamafile_format.signing.records.envelope import Bundle, Method
from llamafile_format.signing.trust.evidence import Standing, moment
from llamafile_format.signing.trust.policy import Policy, Role, SignerRule
from llamafile_format.signing.trust.sight import within
from llamafile_format.signing.trust.wildcards import fits, fits_identity

if TYPE_CHECKING:
    from llamafile_format.signing.keys.algorithms import Agility
    from llamafile_format.signing.keys.key import PublicKey
    from llamafile_format.signing.x509.identities import Identity


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a policy makes of a bundle. ``signer`` is set if the signature holds and is by somebody named; it counts
    only if ``standing`` is trusted (and ``counting`` agrees). ``because`` completes "trusted because" or "not,
    because"; ``names`` are the principals of its certificate."""

    standing: Standing
    because: str
    signer: SignerRule | None = None
    public: PublicKey | None = None
    findings: tuple[Finding, ...] = ()
    time: datetime | None = None
    chain: tuple[bytes, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a judgement depends on besides bundle and policy: the moments that the signature (``at``) and the digests
    in it (``contents``) are judged by, and helpers for chains (DER)."""

    at: datetime
    contents: datetime
    agility: Agility
    model: str = ""
    certificates: Sequence[bytes] = ()
    revocations: Sequence[bytes] = ()


@dataclass(slots=True)
class _Search:
    path: str
    findings: list[Finding] = field(default_factory=list)
    unchecked: str = ""

    def say(self, rule: str, **args: Value) -> None:
        """Note a finding about this record."""
        self.findings.append(Finding(rule, Where(member=self.path), {"path": self.path, **args}))


def judge_bundle(
    bundle: Bundle, policy: Policy, where: Circumstances, *, path: str, role: Role | None = None
) -> Judgement:
    """What ``policy`` makes of ``bundle``, which stands at ``path``; with ``role``, only signers in it are asked."""
    search = _Search(path)
    signers = [signer for signer in policy.signers if role is None or role in signer.roles]
    for signer in signers:
        if bundle.method is Method.SIGSTORE:
            found = _by_sigstore(bundle, signer, where, search)
        else:
            found = _by_key(bundle, signer, policy, search) or _by_certificate(bundle, signer, where, search)
        if found is None:
            continue
        if found.standing is Standing.BAD:
            return found
        search.findings.clear()  # whose it is not no longer matters
        return _believed(found, signer, policy, where, search)
    if search.unchecked:
        return Judgement(Standing.UNCHECKED, search.unchecked, findings=tuple(search.findings))
    search.say("LF8103", claim=_claim(bundle))
    return Judgement(Standing.UNKNOWN, "nobody here trusts its signer", findings=tuple(search.findings))


def _by_key(bundle: Bundle, signer: SignerRule, policy: Policy, search: _Search) -> Judgement | None:
    if bundle.method is not Method.KEY:
        return None  # nothing but a chain to a root would hold the certificates in place: they would be free to change
    for key in signer.keys:
        if key.verify(bundle.signature, bundle.signed):
            if bundle.speaks_of(key):
                because = f"the policy names this key as {signer.id}'s" if policy.sha256 else "you named this key"
                return Judgement(Standing.TRUSTED, because, signer, key)
            # The name is outside the signature: what misleads people and other tools is not let pass.
            search.say("LF8114", key=key.key_id)
            reason = "it names another key than the one that made it"
            return Judgement(Standing.BAD, reason, None, key, tuple(search.findings))
        if key.key_id == bundle.keyid or key.hint == bundle.hint:
            search.say("LF8102", signer=signer.id, key=key.key_id)
            reason = f"it claims a key of {signer.id} and does not hold"
            return Judgement(Standing.BAD, reason, None, key, tuple(search.findings))
    return None


def _by_certificate(bundle: Bundle, signer: SignerRule, where: Circumstances, search: _Search) -> Judgement | None:
    rule = signer.certificate
    if bundle.method is not Method.CERTIFICATE or rule is None:
        return None
    from llamafile_format.signing.x509.certificates import Purpose, names_of, public_key, verify_chain
    from llamafile_format.signing.x509.cms_certificates import self_issued

    leaf, *rest = bundle.certificates
    try:
        key = public_key(leaf)
        chain = verify_chain(
            leaf,
            [*rest, *where.certificates],
            rule.roots,
            at=where.at,
            purpose=Purpose.CODE_SIGNING,
            revocations=where.revocations,
            agility=where.agility,
        )
        if bundle.certificates[-1] not in chain and not self_issued(bundle.certificates[-1]):
            raise FormatError("the record brings a certificate that nothing on the path to the root has signed")
        named = names_of(leaf)
    except FormatError as error:
        search.say("LF8110", signer=signer.id, reason=str(error))
        return None
    if not any(fits_identity(name, rule.identity) for name in named):
        search.say("LF8111", signer=signer.id, found=_listed(named), allowed=rule.identity)
        return None
    if not key.verify(bundle.signature, bundle.signed):
        search.say("LF8102", signer=signer.id, key=key.key_id)
        reason = f"it claims a certificate of {signer.id} and does not hold"
        return Judgement(Standing.BAD, reason, None, key, tuple(search.findings))
    because = f"a certificate below the roots of {signer.id} names {rule.identity}"
    return Judgement(Standing.TRUSTED, because, signer, key, chain=chain, names=_principals(named))


def _by_sigstore(bundle: Bundle, signer: SignerRule, where: Circumstances, search: _Search) -> Judgement | None:
    rule = signer.sigstore
    if rule is None:
        return None
    from llamafile_format.signing.trust.sigstore import Missing, verify_sigstore
    from llamafile_format.signing.x509.certificates import names_of, public_key

    try:
        found = verify_sigstore(bundle, rule, at=where.at, agility=where.agility)
        key, named = public_key(bundle.certificates[0]), names_of(bundle.certificates[0])
    except Missing as error:
        search.unchecked = error.message
        return None
    except FormatError as error:
        search.say("LF8113", signer=signer.id, reason=str(error))
        return None
    because = f"Sigstore's log has seen {rule.identity} sign it"
    return Judgement(Standing.TRUSTED, because, signer, key, time=found.time, names=_principals(named))


def _principals(named: Sequence[Identity]) -> tuple[str, ...]:
    return tuple(name.principal for name in named)


def _listed(named: Sequence[Identity]) -> str:
    return ", ".join(f"{name.kind} {name.text}" for name in named) or "nobody (it has no name that counts)"


def _believed(found: Judgement, signer: SignerRule, policy: Policy, where: Circumstances, search: _Search) -> Judgement:
    """``found`` holds. Is the signer believed: at this time, by this key and algorithm, about this model?"""
    key = found.public
    assert key is not None
    seen = found.time or where.at
    name = key.algorithm.value
    if not within(seen, signer.valid_from, signer.valid_until):
        return _refused(found, search, "LF8107", f"{signer.id} was not believed at {moment(seen)}", time=moment(seen))
    for denied in policy.denied_keys:
        if denied.value == key.key_id and (denied.since is None or seen >= denied.since):
            reason = denied.reason or "no reason is given"
            return _refused(found, search, "LF8108", f"the key is denied: {reason}", reason=reason)
    for algorithm, when in ((name, seen), (key.algorithm.digest, seen), ("sha256", where.contents)):
        if algorithm and where.agility.broken(algorithm, when):
            reason = f"{algorithm} was broken by {moment(when)}"
            return _refused(found, search, "LF8109", reason, algorithm=algorithm, at=moment(when))
    if signer.models and not any(fits(where.model, pattern) for pattern in signer.models):
        reason = f"{signer.id} is not believed about this model"
        return _refused(found, search, "LF8118", reason, model=where.model)
    if where.agility.retired(name, seen):
        search.say("LF8117", algorithm=name)
    return replace(found, findings=tuple(search.findings))


def _refused(found: Judgement, search: _Search, rule: str, because: str, **args: Value) -> Judgement:
    assert found.signer is not None
    search.say(rule, signer=found.signer.id, **args)
    return replace(found, standing=Standing.REFUSED, because=because, findings=tuple(search.findings), chain=())


def _claim(bundle: Bundle) -> str:
    """What the bundle says of its key, for people who want to look further."""
    if bundle.method is Method.KEY:
        return f"a key that it calls {bundle.keyid or bundle.hint or 'nothing'}"
    return "a certificate that it brings along" if bundle.method is Method.CERTIFICATE else "a Sigstore identity"
