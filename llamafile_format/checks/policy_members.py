"""What a policy says of what is inside members: models, options, records (spec/1, 16.7.9 to 16.7.11).

The headers of the weights and the arguments are read as far as the level reads them anyway; what that leaves open is
told (LF8417), and is never a yes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from llamafile_format.checks.weights_member import QUICK_HEADER
from llamafile_format.findings import Finding, Value, Where
from llamafile_format.manifest.roles import MODEL_ROLES
from llamafile_format.signing.trust.policy_contents import RECORDS

if TYPE_CHECKING:
    from llamafile_format.container import Container, MemberFacts
    from llamafile_format.manifest.model import Manifest
    from llamafile_format.signing.trust.policy import Policy
    from llamafile_format.weights.gguf_model import Gguf

MAX_TYPES = 16  # of each member that are reported: a hostile header can name thousands


def check_policy_members(container: Container, policy: Policy, *, deep: bool) -> list[Finding]:
    """What ``policy`` refuses inside the members of ``container``, which has a manifest; ``deep`` at all levels but
    quick."""
    manifest = container.manifest
    assert manifest is not None
    return [
        *_weights(container, policy, budget=None if deep else QUICK_HEADER),
        *_options(container, policy, scan=deep),
        *_records(manifest, policy),
    ]


def _weights(container: Container, policy: Policy, *, budget: int | None) -> Iterator[Finding]:
    if policy.architectures is None and policy.tensor_types is None and policy.numberings is None:
        return
    for member in container.members:
        if member.role not in MODEL_ROLES:
            continue
        entry = container.archive.entry(member.path)
        gguf = container.gguf(member, budget=budget) if entry is not None and entry.located and member.stored else None
        if gguf is not None:
            yield from _architecture(member, gguf, policy)
            yield from _types(member, gguf, policy)
        if gguf is None or not gguf.complete:
            yield Finding("LF8417", _where(member), {"path": member.path, "what": "architecture and tensor types"})


def _architecture(member: MemberFacts, gguf: Gguf, policy: Policy) -> Iterator[Finding]:
    """A later shard of a model in shards has no architecture of its own."""
    found = gguf.metadata.get("general.architecture")
    if policy.architectures is None or (found is None and (not gguf.complete or gguf.integer("split.no"))):
        return
    if found not in policy.architectures:
        name = found if isinstance(found, str) else "none"
        yield Finding("LF8413", _where(member), {"path": member.path, "architecture": name[:64]})


def _types(member: MemberFacts, gguf: Gguf, policy: Policy) -> Iterator[Finding]:
    from llamafile_format.weights.tensor_types import meanings, type_name

    counts: dict[int, int] = {}
    for tensor in gguf.tensors:
        counts[tensor.type_id] = counts.get(tensor.type_id, 0) + 1

    def refused(type_id: int) -> bool:
        """True if a list of the policy lacks what mainline takes this number for."""
        known = meanings(type_id)
        lists = ((policy.tensor_types, "name"), (policy.numberings, "numbering"))
        return any(names is not None and not (known and getattr(known[0], field) in names) for names, field in lists)

    for type_id in islice(filter(refused, counts), MAX_TYPES):
        args: dict[str, Value] = {"path": member.path, "count": counts[type_id], "type": type_name(type_id)}
        yield Finding("LF8414", _where(member), args)


def _options(container: Container, policy: Policy, *, scan: bool) -> Iterator[Finding]:
    """The arguments that count, by the one function that says what will run (14.7)."""
    if not policy.denied_options:
        return
    from llamafile_format.checks.what_will_run import what_will_run

    will = what_will_run(container, scan=scan)
    told = set()
    for option in will.options:
        names = {option.name, *(option.row.names if option.row is not None else ())}
        if names & set(policy.denied_options) and option.name not in told:
            told.add(option.name)
            member = will.arguments.member if will.arguments is not None else ".args"
            yield Finding("LF8415", Where(member=member), {"path": member, "option": option.written[:64]})


def _records(manifest: Manifest, policy: Policy) -> Iterator[Finding]:
    for name in policy.records:
        if not any(member.size for member in manifest.with_role(RECORDS[name])):
            yield Finding("LF8416", Where(field="members"), {"record": name, "role": RECORDS[name]})


def _where(member: MemberFacts) -> Where:
    return Where(offset=member.offset, length=member.size, member=member.path)
