"""Who signed an earlier file: records that a repack kept as history (spec/1, 13.7).

They are read for one sentence, "X signed an earlier file; its weights are equal, or differ", and count for nothing: the
present file has other bytes, and whoever repacked it was asked by nobody.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llamafile_format.errors import FormatError
from llamafile_format.findings import Finding, Value, Where
from llamafile_format.manifest.model import HISTORY_FOLDER, MANIFEST_PATH, MAX_MANIFEST, Manifest
from llamafile_format.manifest.reader import read_manifest
from llamafile_format.manifest.roles import MODEL_ROLES
from llamafile_format.signing.keys.algorithms import Agility
from llamafile_format.signing.records.envelope import Bundle, read_bundle
from llamafile_format.signing.records.record import MAX_RECORD, RecordKind, parse_record_path
from llamafile_format.signing.records.statement import Statement, read_statement
from llamafile_format.signing.trust.counting import Vote, count, vote_of
from llamafile_format.signing.trust.judgement import Circumstances, judge_bundle
from llamafile_format.signing.trust.policy import Policy, StampLevel
from llamafile_format.signing.trust.sight import Sights

if TYPE_CHECKING:
    from llamafile_format.container import Container, MemberFacts

MAX_RECORDS_READ = 1024  # clause 13.2.3, of all earlier files together: old records shall not cost more than new ones
_KEPT = re.compile(re.escape(HISTORY_FOLDER) + r"(?P<digest>[0-9a-f]{64})/(?P<name>[^/]+)\Z")
_SIGNATURES = "META-LLAMAFILE/signatures/"


@dataclass(slots=True)
class _Earlier:
    """What history holds of one earlier file: its manifest's digest, and the members kept of it."""

    digest: str
    manifest: MemberFacts | None = None
    records: list[tuple[RecordKind, MemberFacts]] = field(default_factory=list)


def check_earlier(container: Container, policy: Policy | None, seen: Sights, *, looked: bool = True) -> list[Finding]:
    """Findings (LF8310, LF8311) about signatures of earlier files, by signers whom ``policy`` names.

    They are judged at the moment of verification: ``seen`` has that, and material that helps with certificates.
    ``looked`` says that this run computes the chunk roots of the weights: before that, a manifest can claim any.
    """
    findings: list[Finding] = []
    for earlier in _earlier_files(container.members):
        findings += _check(container, earlier, policy, seen, looked=looked)
    return findings


def _earlier_files(members: Iterable[MemberFacts]) -> list[_Earlier]:
    found: dict[str, _Earlier] = {}
    records = 0
    for member in members:
        match = _KEPT.match(member.path) if member.role == "history" else None
        if match is None:
            continue
        earlier = found.setdefault(match["digest"], _Earlier(match["digest"]))
        parsed = parse_record_path(_SIGNATURES + match["name"])
        if match["name"] == "manifest.json":
            earlier.manifest = member
        elif parsed is not None and records < MAX_RECORDS_READ:
            earlier.records.append((parsed[1], member))
            records += 1
    return list(found.values())


def _check(
    container: Container, earlier: _Earlier, policy: Policy | None, seen: Sights, *, looked: bool
) -> Iterator[Finding]:
    signed = [member for kind, member in earlier.records if kind.vouches]
    if not signed:
        return
    try:
        manifest = _manifest(container, earlier)
    except FormatError as error:
        yield _unreadable(earlier.manifest or signed[0], str(error))
        return
    votes: list[Vote] = []
    for member in signed:
        try:
            bundle, statement = _record(container, member)
            _about(statement, earlier.digest)
        except FormatError as error:
            yield _unreadable(member, str(error))
            continue
        if policy is not None:
            votes += _votes(bundle, statement, policy, seen, path=member.path, model=manifest.name)
    if policy is None:
        return
    weights = "differ from those of this one"
    if _weights(manifest) == _weights(container.manifest):
        weights = "equal those of this one" if looked else "were not compared at this level"
    first = {vote.signer.id: vote for vote in reversed(count(votes, policy, at=seen.at).votes)}
    for name, vote in reversed(first.items()):  # once for each signer, however many records say it
        args: dict[str, Value] = {"signer": name, "manifest": earlier.digest, "weights": weights}
        yield Finding("LF8310", Where(member=vote.path), {"path": vote.path, **args})


def _votes(
    bundle: Bundle, statement: Statement, policy: Policy, seen: Sights, *, path: str, model: str
) -> Iterator[Vote]:
    """The vote that an old record would be today: stamps on it are not read."""
    where = Circumstances(
        at=seen.at,
        contents=seen.at,
        agility=Agility(policy.algorithms),
        model=model,
        certificates=seen.evidence.certificates,
        revocations=seen.evidence.revocations,
    )
    judged = judge_bundle(bundle, policy, where, path=path)
    vote = vote_of(judged, statement, path=path, proven=None, level=StampLevel.B)
    if vote is not None:
        yield vote


def _manifest(container: Container, earlier: _Earlier) -> Manifest:
    member = earlier.manifest
    if member is None:
        raise FormatError(
            "the manifest that it signs is not kept beside it", allowed="manifest.json in the same folder"
        )
    if member.size > MAX_MANIFEST:
        raise FormatError("the old manifest is too large", found=member.size, allowed=f"{MAX_MANIFEST} bytes")
    data = container.read(member.path)
    found = hashlib.sha256(data).hexdigest()
    if found != earlier.digest:
        raise FormatError("the old manifest is not the one that its folder is named after", found=found)
    manifest, findings = read_manifest(data)
    if manifest is None:
        raise FormatError("the old manifest cannot be read", found=findings[0].rule if findings else "nothing")
    return manifest


def _record(container: Container, member: MemberFacts) -> tuple[Bundle, Statement]:
    if member.size > MAX_RECORD:
        raise FormatError("larger than a record may be", found=member.size, allowed=f"{MAX_RECORD} bytes")
    bundle = read_bundle(container.read(member.path))
    return bundle, read_statement(bundle.payload)


def _about(statement: Statement, digest: str) -> None:
    """The statement must be about the manifest kept beside it: history can be arranged by anybody."""
    named = [resource.sha256 for resource in statement.resources if resource.name == MANIFEST_PATH]
    annotated = [statement.annotations.manifest_sha256] if statement.annotations else []
    subject = [] if statement.resources else [statement.subject_sha256]
    if set(named + annotated + subject) != {digest}:
        raise FormatError("it is about another manifest than the one kept beside it", allowed=digest)


def _weights(manifest: Manifest | None) -> Counter[tuple[str, str, str]]:
    """Role and digests of every member that holds weights: names are free to change.

    The chunk root too: of large members, level full recomputes nothing else.
    """
    members = manifest.members if manifest else ()
    return Counter((member.role, member.sha256, member.chunk_root) for member in members if member.role in MODEL_ROLES)


def _unreadable(member: MemberFacts, reason: str) -> Finding:
    where = Where(member.offset if member.offset >= 0 else None, member.size, member.path)
    return Finding("LF8311", where, {"path": member.path, "reason": reason})
