"""What a policy says about contents: denied digests, pins, what is allowed, sizes, exceptions (spec/1, 16.6 to 16.8).

Whom a policy believes is decided elsewhere (``signing.trust``); here it is compared with what is in the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from llamafile_format.engines.known import is_registered
from llamafile_format.engines.members import parse_runtime_path
from llamafile_format.findings import Finding, Value, Where
from llamafile_format.signing.trust.licenses import license_allowed
from llamafile_format.signing.trust.policy import REGISTERED
from llamafile_format.signing.trust.wildcards import fits

if TYPE_CHECKING:
    from llamafile_format.container import Container
    from llamafile_format.manifest.model import Manifest
    from llamafile_format.signing.trust.policy import Pin, Policy

_NO_ENGINE = ("none", "launcher")
_STRUCTURE = ("readme", "chunks")  # what every container has


def check_policy(container: Container, policy: Policy, *, at: datetime, revisions: Sequence[int] = ()) -> list[Finding]:
    """What ``policy`` refuses in ``container``, which has a manifest, as of ``at``.

    ``revisions`` are those that established statements about this manifest say: nothing else counts against a pin.
    """
    manifest = container.manifest
    assert manifest is not None
    return [
        *_denied(manifest, container.manifest_bytes, policy, at),
        *_pinned(manifest, container.manifest_bytes, policy, revisions),
        *_licensed(manifest, policy),
        *_engines(container, manifest, policy),
        *_prefix(container, policy),
        *_prefix_digest(container, manifest, policy),
        *_created(manifest, policy, at),
        *_roles(manifest, policy),
        *_targets(manifest, policy),
        *_sizes(container, manifest, policy),
        *_exceptions(container.manifest_bytes, policy, at),
    ]


def _denied(manifest: Manifest, data: bytes, policy: Policy, at: datetime) -> Iterator[Finding]:
    denied = {entry.value: entry for entry in policy.denied_digests if entry.since is None or entry.since <= at}
    if not denied:
        return
    for what, where, digests in _digests(manifest, data):
        found = next((denied[digest] for digest in digests if digest in denied), None)
        if found is not None:
            reason = f": {found.reason}" if found.reason else ""
            yield Finding("LF8401", where, {"what": what, "digest": found.value, "reason": reason})


def _digests(manifest: Manifest, data: bytes) -> Iterator[tuple[str, Where, tuple[str, ...]]]:
    """Everything in the file that has a digest: its name, its place, and the digests that it goes by."""
    yield "the manifest", Where(), (hashlib.sha256(data).hexdigest(),)
    prefix = manifest.prefix
    if prefix.size:
        yield "the prefix", Where(offset=0, length=prefix.size), (prefix.sha256, prefix.engine_sha256)
    for member in manifest.members:
        where = Where(offset=member.offset, length=member.size, member=member.path)
        yield member.path, where, (member.sha256, member.chunk_root)
    for asset in prefix.directory.assets if prefix.directory else ():
        yield asset.path, Where(member=asset.path), (asset.sha256,)


def _pinned(manifest: Manifest, data: bytes, policy: Policy, revisions: Sequence[int]) -> Iterator[Finding]:
    for pin in policy.pins:
        if pin.model == manifest.name and (reason := _rolled_back(data, pin, revisions)):
            yield Finding("LF8402", Where(field="name"), {"model": pin.model, "reason": reason})


def _rolled_back(data: bytes, pin: Pin, revisions: Sequence[int]) -> str:
    if pin.manifests and hashlib.sha256(data).hexdigest() not in pin.manifests:
        return "its manifest is not one of those allowed"
    if max(revisions, default=0) < pin.minimum_revision:
        said = f"revision {max(revisions)}" if revisions else "no revision"
        return f"trusted statements say {said}, and {pin.minimum_revision} is the least"
    return ""


def _licensed(manifest: Manifest, policy: Policy) -> Iterator[Finding]:
    if policy.licenses is None and not policy.denied_licenses:
        return
    expression = manifest.license
    allowed = license_allowed(expression, policy.licenses, policy.denied_licenses, by_meaning=policy.version > 1)
    if not allowed:
        named = f"{expression!r} is not an SPDX expression" if allowed is None else f"{expression} is not allowed here"
        reason = named if expression else "the file names no licence"
        yield Finding("LF8403", Where(field="license"), {"reason": reason})


def _engines(container: Container, manifest: Manifest, policy: Policy) -> Iterator[Finding]:
    if policy.engines is None:
        return
    for what, where, name, digest in _programs(container, manifest):
        registered = policy.takes_registered and is_registered(digest)
        if not (registered or any(_is_engine(entry, name, digest) for entry in policy.engines)):
            yield Finding("LF8404", where, {"what": what, "engine": name or "a program without a name"})


def _programs(container: Container, manifest: Manifest) -> Iterator[tuple[str, Where, str, str]]:
    """Every engine in the file: what it is, its place, its name such as ``llamafile@0.10.7`` or empty, its SHA-256."""
    if container.prefix.kind.value not in _NO_ENGINE:
        engine = container.engine
        name = f"{engine.family}@{engine.version_text}".rstrip("@") if engine else ""
        yield "the prefix", Where(offset=0, length=container.engine_size), name, manifest.prefix.engine_sha256
    for member in manifest.with_role("runtime"):
        runtime = parse_runtime_path(member.path)
        where = Where(offset=member.offset, length=member.size, member=member.path)
        yield member.path, where, runtime.key if runtime else "", member.sha256


def _is_engine(entry: str, name: str, digest: str) -> bool:
    if entry.startswith("sha256:"):
        return entry == f"sha256:{digest}"
    family, _, version = entry.partition("@")
    found, _, actual = name.partition("@")
    return bool(found) and family == found and (not version or fits(actual, version))


def _prefix(container: Container, policy: Policy) -> Iterator[Finding]:
    kind = container.prefix.kind.value
    if policy.prefixes is not None and kind not in policy.prefixes:
        yield Finding(
            "LF8405", Where(offset=0), {"kind": kind, "allowed": ", ".join(policy.prefixes) or "none of them"}
        )


def _prefix_digest(container: Container, manifest: Manifest, policy: Policy) -> Iterator[Finding]:
    """A launcher is compared with what this library writes (14.2), so it needs no digest; no prefix has none."""
    allowed, prefix = policy.prefix_digests, manifest.prefix
    if allowed is None or container.prefix.kind.value in _NO_ENGINE:
        return
    digests = {prefix.sha256, prefix.engine_sha256}
    if not (digests & {*allowed} or (REGISTERED in allowed and any(map(is_registered, digests)))):
        yield Finding("LF8423", Where(offset=0, length=prefix.size), {"digest": prefix.engine_sha256})


def _created(manifest: Manifest, policy: Policy, at: datetime) -> Iterator[Finding]:
    bounds = policy.created
    if bounds is None:
        return
    reason = ""
    try:
        made = datetime.fromisoformat(manifest.created)
    except ValueError:  # no such day, or no word about it
        reason = "it does not say when it was made"
    else:
        if bounds.since is not None and made < bounds.since:
            reason = f"it says {manifest.created}, before {bounds.since:%Y-%m-%d}"
        elif bounds.max_age_days and at - made > timedelta(days=bounds.max_age_days):
            reason = f"it says {manifest.created}, more than {bounds.max_age_days} days ago"
    if reason:
        yield Finding("LF8422", Where(field="created"), {"reason": reason})


def _roles(manifest: Manifest, policy: Policy) -> Iterator[Finding]:
    for member in manifest.members if policy.roles is not None else ():
        if member.role not in (*(policy.roles or ()), *_STRUCTURE):
            where = Where(offset=member.offset, length=member.size, member=member.path)
            yield Finding("LF8408", where, {"path": member.path, "role": member.role})


def _targets(manifest: Manifest, policy: Policy) -> Iterator[Finding]:
    """A build whose path says neither is no build that a policy could allow."""
    if policy.targets is None and policy.flavours is None:
        return
    for member in manifest.with_role("runtime"):
        build = parse_runtime_path(member.path)
        wrong = []
        if policy.targets is not None and not (build and any(fits(build.target, entry) for entry in policy.targets)):
            wrong.append(f"target {build.target if build else 'unknown'}")
        if policy.flavours is not None and not (build and build.flavour in policy.flavours):
            wrong.append(f"flavour {build.flavour if build else 'unknown'}")
        if wrong:
            where = Where(offset=member.offset, length=member.size, member=member.path)
            yield Finding("LF8409", where, {"path": member.path, "what": " and ".join(wrong)})


def _sizes(container: Container, manifest: Manifest, policy: Policy) -> Iterator[Finding]:
    sizes = policy.sizes
    if sizes.file and container.size > sizes.file:
        args: dict[str, Value] = {"what": "the file", "found": f"{container.size} bytes", "limit": sizes.file}
        yield Finding("LF8410", Where(), args)
    if sizes.members and len(manifest.members) > sizes.members:
        args = {"what": "the list of members", "found": f"{len(manifest.members)} entries", "limit": sizes.members}
        yield Finding("LF8410", Where(field="members"), args)
    for member in manifest.members:
        if sizes.member and member.size > sizes.member and member.role not in _STRUCTURE:
            where = Where(offset=member.offset, length=member.size, member=member.path)
            yield Finding(
                "LF8410", where, {"what": member.path, "found": f"{member.size} bytes", "limit": sizes.member}
            )


def _exceptions(data: bytes, policy: Policy, at: datetime) -> Iterator[Finding]:
    """That the policy makes an exception of this very file, or made one."""
    digest = hashlib.sha256(data).hexdigest() if policy.exceptions else ""
    for each in policy.exceptions:
        if each.manifest == digest:
            args: dict[str, Value] = {"rules": " ".join(sorted(each.rules)), "until": f"{each.until:%Y-%m-%d}"}
            held = at < each.until
            yield Finding("LF8411" if held else "LF8412", Where(), args | {"reason": each.reason} if held else args)
