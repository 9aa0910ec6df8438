"""Read a trust policy from YAML, whole and strictly, before any container is looked at (spec/1, 16.2 to 16.8).

A demand that was misspelt must not count as met: a field that is unknown, of another kind or at odds with another ends
in a FormatError that names it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from llamafile_format.errors import FormatError
from llamafile_format.signing.trust.hands import Demand, count_hands, hands_of, marks_of
from llamafile_format.signing.trust.policy import (
    APPROVING,
    Authority,
    CertificateRule,
    Denied,
    Pin,
    Policy,
    PostQuantum,
    Requirement,
    Role,
    Scanned,
    SignerRule,
    SigstoreRule,
    Sizes,
    StampLevel,
    Starting,
    Templates,
    Tensors,
    Unsigned,
    halves_of,
)
from llamafile_format.signing.trust.policy_contents import (
    MAX_DAYS,
    Allowed,
    check_licenses,
    read_allowed,
    read_created,
    read_denied_options,
    read_exception,
    read_records,
    read_scanned,
    read_severities,
    read_sizes,
    risky_templates,
)
from llamafile_format.signing.trust.policy_values import (
    MAX_FILE,
    beside,
    choice,
    count,
    date_of,
    mapping,
    moment,
    public_keys,
    read_bounded,
    roots,
    window,
    word,
)
from llamafile_format.signing.trust.profiles import is_bare, overlaid, profile_bytes, profile_names
from llamafile_format.signing.x509.identities import ANY, kind_of
from llamafile_format.strict_fields import FieldFault, Fields
from llamafile_format.strict_yaml import parse, place_of

if TYPE_CHECKING:
    from llamafile_format.signing.keys.key import PublicKey


def read_policy(path: str | os.PathLike[str]) -> Policy:
    """The policy in the file ``path``, whose names of files are relative to its folder; or the profile of a bare name.

    FormatError that names the field, what was found and what is allowed; SourceError if the policy cannot be read.
    """
    data = profile_bytes(path) if isinstance(path, str) and is_bare(path) else read_bounded(Path(path))
    value, reason = parse(data, MAX_FILE)
    if reason:
        raise FormatError(f"{path}: the policy cannot be read: {reason}", clause="16.2.1")
    try:
        value, profile = _extended(value)
        with Fields(value, "", "16.2") as fields:
            policy = _policy(fields, Path(path).parent, hashlib.sha256(profile + data).hexdigest())
        _agree(policy)
    except FieldFault as fault:
        place = place_of(data, fault.path, key=fault.key)
        fault.message = f"{path}: {place + ': ' if place else ''}{fault.message}"
        raise
    except FormatError as error:
        error.message = f"{path}: {error.message}"
        raise
    return policy


def _extended(value: Any) -> tuple[Any, bytes]:
    """``value``, laid over the profile that it extends (16.11.3), and the bytes of that."""
    if not isinstance(value, dict) or value.get("policy") != 2 or "extends" not in value:
        return value, b""
    name = value["extends"]
    if name not in profile_names():
        raise Fields(value, "", "16.11.3").wrong("extends", name, " or ".join(profile_names()))
    data = profile_bytes(name)
    return overlaid(parse(data, MAX_FILE)[0], value), data


class _Risk(StrEnum):
    """What of chat templates is taken (clause 16.7.15)."""

    ANY = "any"
    NONE = "none"


def _policy(fields: Fields, folder: Path, digest: str) -> Policy:
    version = fields.take("policy")
    if type(version) is not int or version not in (1, 2):
        raise fields.wrong("policy", version, "1 or 2")
    time = fields.optional("time", lambda inner: _time(inner, folder)) or _Time()
    deny = fields.optional("deny", lambda inner: _deny(inner, version)) or _Deny()
    allow = fields.optional("allow", lambda inner: read_allowed(inner, version)) or Allowed()
    severities, reasons = read_severities(fields, version)
    if version > 1 and choice(fields, "template_risk", _Risk, _Risk.ANY) is _Risk.NONE:
        severities = risky_templates() | severities
    return Policy(
        name=fields.text("name"),
        signers=fields.many("signers", lambda inner: _signer(inner, folder, version)),
        requirements=fields.many("require", _requirement),
        separate=fields.flag("separate") if fields.has("separate") else False,
        unsigned=choice(fields, "unsigned", Unsigned, Unsigned.REFUSE),
        post_quantum=choice(fields, "post_quantum", PostQuantum, PostQuantum.WHEN_DECLARED),
        cosigners=fields.flag("cosigners") if fields.has("cosigners") else True,
        minimum_level=time.level,
        max_age_days=time.age,
        authorities=time.authorities,
        denied_digests=deny.digests,
        denied_keys=deny.keys,
        pins=fields.many("pins", _pin),
        algorithms=_algorithms(fields),
        licenses=allow.licenses,
        engines=allow.engines,
        prefixes=allow.prefixes,
        severities=severities,
        run=choice(fields, "run", Starting, Starting.ALLOW),
        sha256=digest,
        roles=allow.roles,
        targets=allow.targets,
        flavours=allow.flavours,
        sizes=(fields.optional("sizes", read_sizes) if version > 1 else None) or Sizes(),
        reasons=reasons,
        exceptions=fields.many("exceptions", read_exception) if version > 1 else (),
        version=version,
        architectures=allow.architectures,
        tensor_types=allow.tensor_types,
        numberings=allow.numberings,
        denied_licenses=deny.licenses,
        denied_options=deny.options,
        records=read_records(fields) if version > 1 else (),
        templates=choice(fields, "templates", Templates, Templates.ANY) if version > 1 else Templates.ANY,
        tensors=choice(fields, "tensors", Tensors, Tensors.SAMPLED) if version > 1 else Tensors.SAMPLED,
        prefix_digests=allow.prefix_digests,
        created=fields.optional("created", read_created) if version > 1 else None,
        scanned=fields.optional("scanned", read_scanned) if version > 1 else None,
    )


# Signers and demands (clauses 16.3 and 16.4)


def _signer(fields: Fields, folder: Path, version: int) -> SignerRule:
    files: list[tuple[PublicKey, ...]] = []
    for index, name in enumerate(fields.texts("keys")):
        files.append(public_keys(fields, f"keys[{index}]", beside(fields, f"keys[{index}]", name, folder)))
    if fields.has("public_key"):
        files.append(public_keys(fields, "public_key", fields.text("public_key").encode()))
    known = [role for role in Role if version > 1 or role is not Role.SCANNER]
    roles = [word(fields, f"roles[{index}]", role, known) for index, role in enumerate(fields.texts("roles"))]
    if not roles:
        raise fields.wrong("roles", [], f"at least one of {', '.join(known)}")
    first, end = window(fields)
    signer = SignerRule(
        id=fields.text("id"),
        roles=frozenset(map(Role, roles)),
        keys=tuple(key for keys in files for key in keys),
        halves=frozenset[str]().union(*map(halves_of, files)),
        certificate=fields.optional("certificate", lambda inner: _certificate(inner, folder)),
        sigstore=fields.optional("sigstore", lambda inner: _sigstore(inner, folder)),
        valid_from=first,
        valid_until=end,
        models=fields.texts("models"),
    )
    if not (signer.keys or signer.certificate or signer.sigstore):
        raise fields.wrong("", signer.id, "a signer with keys, public_key, certificate or sigstore")
    return signer


def _certificate(fields: Fields, folder: Path) -> CertificateRule:
    return CertificateRule(roots(fields, folder), _identity(fields))


def _identity(fields: Fields) -> str:
    identity = fields.text("identity")
    try:
        kind_of(identity)
    except FormatError as error:
        raise fields.wrong("identity", identity, error.allowed) from error
    return identity


def _sigstore(fields: Fields, folder: Path) -> SigstoreRule:
    root = beside(fields, "trusted_root", fields.text("trusted_root"), folder)
    identity = _identity(fields)
    if "*" in identity:  # it would match nobody, and look as if it matched many
        raise fields.wrong("identity", identity, "an identity in full")
    return SigstoreRule(root, identity, fields.text("issuer", pattern=r"https?://\S+"))


def _requirement(fields: Fields) -> Requirement:
    return Requirement(
        role=Role(word(fields, "role", fields.take("role"), [role for role in Role if role in APPROVING])),
        threshold=count(fields, "threshold", least=1, default=1),
        signers=fields.texts("signers"),
    )


# Time (clause 16.5)


class _Time(NamedTuple):
    level: StampLevel = StampLevel.B
    age: int = 0
    authorities: tuple[Authority, ...] = ()


def _time(fields: Fields, folder: Path) -> _Time:
    level = "B"
    if fields.has("minimum_level"):
        level = word(fields, "minimum_level", fields.take("minimum_level"), StampLevel.__members__)
    age = count(fields, "max_age_days", least=1, default=0, most=MAX_DAYS)
    return _Time(StampLevel[level], age, fields.many("authorities", lambda inner: _authority(inner, folder)))


def _authority(fields: Fields, folder: Path) -> Authority:
    return Authority(fields.text("id"), roots(fields, folder), *window(fields))


def _algorithms(fields: Fields) -> dict[str, date]:
    from llamafile_format.signing.keys.algorithms import registry

    found = {}
    for name, value in mapping(fields, "algorithms").items():
        word(fields, f"algorithms.{name}", name, registry())
        day = moment(fields, f"algorithms.{name}", value)
        if (day.hour, day.minute, day.second) != (0, 0, 0):
            raise fields.wrong(f"algorithms.{name}", str(value), "a day")
        found[name] = day.date()
    return found


# What is denied and pinned (clause 16.6)


class _Deny(NamedTuple):
    digests: tuple[Denied, ...] = ()
    keys: tuple[Denied, ...] = ()
    licenses: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def _deny(fields: Fields, version: int) -> _Deny:
    found = _Deny(
        fields.many("digests", lambda inner: _denied(inner, "sha256")),
        fields.many("keys", lambda inner: _denied(inner, "key_id")),
    )
    if version == 1:
        return found
    licenses = fields.texts("licenses")
    check_licenses(fields, licenses, version)
    return found._replace(licenses=licenses, options=read_denied_options(fields))


def _denied(fields: Fields, name: str) -> Denied:
    return Denied(fields.digest(name), date_of(fields, "since"), fields.text("reason", ""))


def _pin(fields: Fields) -> Pin:
    least = count(fields, "minimum_revision", least=0, default=0)
    manifests = fields.texts("manifests")
    for index, digest in enumerate(manifests):
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise fields.wrong(f"manifests[{index}]", digest, "64 lower-case hexadecimal digits")
    model = fields.text("model")
    if not (least or manifests):
        raise fields.wrong("", model, "a minimum_revision from 1, or manifests: this pins nothing")
    return Pin(model, least, manifests)


# What one field says of another


def _agree(policy: Policy) -> None:
    signers = _unique("signers", [signer.id for signer in policy.signers])
    _unique("time.authorities", [authority.id for authority in policy.authorities])
    _unique("pins", [pin.model for pin in policy.pins])
    holders: dict[str, str] = {}
    for signer in policy.signers:
        for key in signer.keys:
            holder = holders.setdefault(key.key_id, signer.id)
            if holder != signer.id:  # a threshold would count one hand twice
                raise _clash("signers", f"{holder} and {signer.id} hold the same key {key.key_id[:16]}")
    demands: list[tuple[str, Requirement | Scanned, Role]] = [
        (f"require[{index}]", wanted, wanted.role) for index, wanted in enumerate(policy.requirements)
    ]
    if policy.scanned is not None:
        demands.append(("scanned", policy.scanned, Role.SCANNER))
    for where, wanted, role in demands:
        able = [signer.id for signer in policy.signers if role in signer.roles]
        for name in wanted.signers:
            if name not in signers:
                raise _clash(where, f"there is no signer {name}")
            if name not in able:
                raise _clash(where, f"{name} has not the role {role}")
        _unique(f"{where}.signers", wanted.signers)
    for (where, wanted, role), found in zip(demands, _reachable(policy), strict=True):
        if found < wanted.threshold:
            reason = f"{wanted.threshold} signers are wanted as {role}, and {found} may count"
            raise _clash(where, reason)
    if not any(signer.approves for signer in policy.signers) and policy.unsigned is not Unsigned.ALLOW:
        raise _clash("signers", "nobody is trusted; `unsigned: allow` says that this is meant")
    if policy.minimum_level > StampLevel.B and not policy.authorities:
        raise _clash("time.minimum_level", f"{policy.minimum_level.name} needs an authority")


def _reachable(policy: Policy) -> list[int]:
    """How many may count for each demand, at best: signers that are one hand count once (13.4.7). The last is that for
    reports, where there is one: ``separate`` is about approvals."""
    demands = [_demand(policy, number, wanted, wanted.role) for number, wanted in enumerate(policy.requirements)]
    found = count_hands(demands) if policy.separate else [count_hands([demand])[0] for demand in demands]
    if policy.scanned is not None:
        found = [*found, *count_hands([_demand(policy, len(demands), policy.scanned, Role.SCANNER)])]
    return found


def _demand(policy: Policy, number: int, wanted: Requirement | Scanned, role: Role) -> Demand:
    hands = hands_of(policy)
    ballots: set[tuple[str, str]] = set()
    for signer in policy.signers:
        if role in signer.roles and signer.id in (wanted.signers or (signer.id,)):
            ballots |= {(signer.id, hands.of(mark)) for mark in marks_of(signer)}
            if signer.certificate and ANY in signer.certificate.identity:  # a pattern: somebody else each time
                ballots.add((signer.id, f"somebody for demand {number} by {signer.id}"))
    return Demand(wanted.threshold, frozenset(ballots))


def _unique(what: str, names: Iterable[str]) -> set[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise _clash(what, f"{name} is there twice")
        seen.add(name)
    return seen


def _clash(where: str, reason: str) -> FormatError:
    fault = FieldFault(f"{where} is wrong: {reason}", clause="16.4")
    fault.path = where
    return fault
