"""The options that say whom to trust, of ``verify`` and of the commands that start a file (spec/1, 16.9.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from llamafile_format.cli.config import with_defaults, without
from llamafile_format.errors import FormatError, SourceError, UsageError

if TYPE_CHECKING:
    from llamafile_format.signing.keys.key import PublicKey
    from llamafile_format.signing.trust.policy import Authority, Policy

_F = TypeVar("_F", bound=Callable[..., Any])


def trusting(function: _F) -> _F:
    """``--policy`` and ``--key``, and ``--no-config`` for those that the user's configuration names."""
    for decorate in (
        without,
        click.option("--key", "keys", multiple=True, metavar="PUB", help="Trust who signed with this public key."),
        click.option("--policy", metavar="NAME|P.yaml", default=None, help="Whom to trust, and what else to demand."),
    ):
        function = decorate(function)
    return function


def chosen_policy(
    policy: str | None,
    keys: Sequence[str] = (),
    *,
    trusted_root: str | None = None,
    identity: str | None = None,
    issuer: str | None = None,
    authorities: Sequence[str] = (),
) -> Policy | None:
    """The policy that the options mean together; None if they name nobody. UsageError before any container is read.

    ``keys``, ``trusted_root`` and ``authorities`` are files.
    """
    policy, keys = with_defaults(policy, keys, named=bool(trusted_root or identity or issuer or authorities))
    if bool(identity) != bool(trusted_root) or (issuer and not trusted_root):
        raise UsageError(
            "--trusted-root and --identity go together",
            hint="a trusted root vouches for everybody who has a certificate: say who it must be",
        )
    try:
        if policy is not None and not (keys or trusted_root or authorities):
            from llamafile_format.signing.trust.policy_reader import read_policy

            return read_policy(policy)
        named = _from_options(keys, trusted_root, identity or "", issuer or "", authorities)
        return named if policy is None or named is None else _together(policy, named)
    except FormatError as error:
        raise UsageError(str(error), hint=error.hint) from error
    except SourceError as error:
        raise UsageError(error.message, hint=error.hint) from error


def _together(profile: str, signers: Policy) -> Policy:
    """A profile names nobody, so that options can; who writes a file says in it whom to trust (16.9.2)."""
    from llamafile_format.signing.trust.policy import signed_by
    from llamafile_format.signing.trust.policy_reader import read_policy
    from llamafile_format.signing.trust.profiles import is_bare

    if not is_bare(profile):
        raise UsageError(
            "--policy with a file says whom to trust, and goes with neither --key nor --trusted-root nor --tsa",
            hint="add the key, the root or the authority to the policy",
        )
    return signed_by(read_policy(profile), signers)


def _from_options(
    keys: Sequence[str], trusted_root: str | None, identity: str, issuer: str, authorities: Sequence[str]
) -> Policy | None:
    from llamafile_format.signing.trust.policy import is_certificates, key_policy, root_policy
    from llamafile_format.signing.trust.policy_values import read_bounded

    if authorities and not (keys or trusted_root):
        raise UsageError("--tsa proves times, and nobody is named whose", hint="name a signer: --key or --trusted-root")
    clocks = [_authority(name) for name in authorities]
    found: list[Policy] = []
    if keys:
        found.append(key_policy(_named(keys), authorities=clocks))
    if trusted_root:
        data = read_bounded(Path(trusted_root))
        if bool(issuer) == is_certificates(data):
            raise UsageError(
                "--issuer says by whose word, with a trusted root of Sigstore, and only there",
                hint=f"{trusted_root} holds {'X.509 certificates' if is_certificates(data) else 'no certificates'}",
            )
        found.append(root_policy(data, identity, issuer, authorities=clocks))
    if not found:
        return None
    return replace(
        found[0], name=" and ".join(each.name for each in found), signers=tuple(s for p in found for s in p.signers)
    )


def _named(paths: Sequence[str]) -> dict[str, tuple[PublicKey, ...]]:
    """The keys of each file by its name."""
    from llamafile_format.signing.keys.key_files import read_public

    return {path: read_public(path) for path in paths}


def _authority(path: str) -> Authority:
    from llamafile_format.signing.trust.policy import Authority
    from llamafile_format.signing.trust.policy_values import read_bounded
    from llamafile_format.signing.x509.certificates import read_certificates

    return Authority(path, read_certificates(read_bounded(Path(path)), path))


def moment_of(text: str | None) -> datetime | None:
    """``--as-of`` as a moment in UTC. UsageError."""
    if text is None:
        return None
    from llamafile_format.signing.trust.policy_values import parse_moment

    try:
        return parse_moment(text)
    except ValueError as error:
        raise UsageError(f"--as-of {text} is no date", hint="such as 2026-01-31, or 2026-01-31T12:00:00Z") from error
