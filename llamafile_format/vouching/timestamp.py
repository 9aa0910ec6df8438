"""``timestamp``: let somebody else say when a signature was there (spec/1, 13.6).

A request names nothing but a digest, so the authority learns nothing. Its answer is verified in full before it becomes
a record: a stamp that nobody can check later is worth nothing, and later is when it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from llamafile_format.checks.signatures import signed_with
from llamafile_format.container import Container, open_container
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.progress import Progress
from llamafile_format.signing.keys.algorithms import Agility
from llamafile_format.signing.records.record import Record, RecordKind
from llamafile_format.signing.time.timestamp_request import Query, accept_response, build_query
from llamafile_format.signing.time.timestamps import Token, digest, read_response, stamped
from llamafile_format.signing.trust.material import Material, encode_material
from llamafile_format.signing.x509.belonging import belonging
from llamafile_format.vouching.append import AppendResult, Made, append_records, open_checked, write_detached

DEFAULT_DIGEST = "sha256"


@dataclass(frozen=True, slots=True)
class Request:
    """A request and the record that it is about: a member path, the name of a file, or empty for a renewal."""

    record: str
    query: Query


@dataclass(frozen=True, slots=True)
class Trusting:
    """Whom to believe about the time: ``roots`` (DER), or nobody if there are none.

    ``certificates`` and ``revocations`` (DER) help to build the chain, and go into the file. ``at`` is the moment that
    certificates are judged by; None for now.
    """

    roots: tuple[bytes, ...] = ()
    certificates: tuple[bytes, ...] = ()
    revocations: tuple[bytes, ...] = ()
    at: datetime | None = None

    @property
    def moment(self) -> datetime:
        """The moment that certificates are judged by."""
        return self.at or datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class StampResult:
    """What a stamp became. ``records`` are the new records: member paths, or paths of files where detached.

    ``stamped`` is the record that is stamped, empty for a renewal. ``chain`` are the certificates (DER) up to a trusted
    root; empty if nobody was named to trust, and then nothing is known of who stamped. ``left_out`` says what of the
    answer is not in the record. ``method`` is that of an :class:`AppendResult`.
    """

    path: Path
    size: int
    manifest_sha256: str
    records: tuple[str, ...]
    method: str
    stamped: str
    token: Token
    chain: tuple[bytes, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(slots=True)
class Stamping:
    """An answer that is being turned into a record."""

    token: Token
    chain: tuple[bytes, ...]
    left_out: tuple[str, ...]
    trusting: Trusting
    stamped: str = ""

    def made(self, records: Sequence[Record]) -> Made:
        """The records to write behind ``records``: the stamp, then what of the validation material belongs here."""
        trusting = self.trusting
        used = [*self.token.certificates, *signed_with(records)]
        certificates, lists = belonging(used, trusting.certificates, trusting.revocations)
        carried = tuple(item for item in trusting.certificates if item in certificates and item not in used)
        revocations = tuple(item for item in trusting.revocations if item in lists)
        strays = sum(item not in certificates for item in trusting.certificates)
        strays += len(trusting.revocations) - len(revocations)
        if strays:
            self.left_out += (f"{strays} of the certificates and lists given, which belong to no signature here",)
        made = [(RecordKind.TSR, self.token.data)]
        if carried or revocations:
            made.append((RecordKind.VM, encode_material(Material(carried, revocations))))
        return made


def request(
    what: str | os.PathLike[str],
    *,
    record: int | None = None,
    algorithm: str = DEFAULT_DIGEST,
    signature: str | os.PathLike[str] | None = None,
) -> Request:
    """The request to stamp record number ``record`` of ``what`` (default: its last signature), or a detached one.

    UsageError if there is no such record, FormatError for a file that is not well-formed.
    """
    refuse_weak(algorithm, datetime.now(UTC))
    with open_container(what) as container:
        records = open_checked(container)
        target = read_detached(signature) if signature is not None else _choose(records, record, container.name)
    return Request(target.path, build_query(algorithm, digest(algorithm, target.data)))


def attach(
    what: str | os.PathLike[str],
    answer: bytes,
    out: str | os.PathLike[str] | None = None,
    *,
    trusting: Trusting | None = None,
    detached: bool = False,
    signature: str | os.PathLike[str] | None = None,
    nonce: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> StampResult:
    """Append the stamp in ``answer`` to ``what``, in place or as the new file ``out``, or beside it.

    It is written beside the file if it is to be ``detached``, or stamps a detached ``signature``. ``nonce``, if given,
    must be repeated by the answer. FormatError if the stamp is not strict, does not hold, is about nothing here, or
    leads to none of the roots in ``trusting``; then nothing is written.
    """
    beside = detached or signature is not None
    if beside and out is not None:
        raise UsageError("a detached stamp is written beside the file", hint="leave -o out")
    stamping = examine_answer(answer, trusting or Trusting(), nonce)
    alone = (read_detached(signature),) if signature is not None else ()

    def make(container: Container, records: tuple[Record, ...], _number: int) -> Made:
        """The stamp as a record, once it is known what it stamps."""
        found = stamped(stamping.token, alone or records, container.size)
        if found is None:
            raise FormatError(
                f"the stamp is about no signature {'there' if alone else f'in {container.name}'}",
                clause="13.6.2",
                hint="a stamp over the whole file is attached by: llamafile-format renew FILE --response RESPONSE",
            )
        refuse_twice(stamping, records)
        stamping.stamped = found.path
        return stamping.made((*records, *alone))

    embed = partial(append_records, out=out, force=force, progress=progress)
    return stamp_result(stamping, (write_detached if beside else embed)(what, make))


def fetch(
    what: str | os.PathLike[str],
    url: str,
    out: str | os.PathLike[str] | None = None,
    *,
    record: int | None = None,
    algorithm: str = DEFAULT_DIGEST,
    trusting: Trusting | None = None,
    detached: bool = False,
    signature: str | os.PathLike[str] | None = None,
    timeout: float | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> StampResult:
    """:func:`request`, ask the authority at ``url``, :func:`attach`. SourceError if it does not answer."""
    from llamafile_format.vouching.ask_authority import TIMEOUT, ask

    asked = request(what, record=record, algorithm=algorithm, signature=signature)
    answer = ask(url, asked.query.data, timeout=timeout or TIMEOUT)
    return attach(
        what,
        answer,
        out,
        trusting=trusting,
        detached=detached,
        signature=signature,
        nonce=asked.query.nonce,
        force=force,
        progress=progress,
    )


def examine_answer(answer: bytes, trusting: Trusting, nonce: int | None = None) -> Stamping:
    """The token of ``answer``, strict, verified, and checked against the roots if there are any; FormatError."""
    from llamafile_format.signing.x509.certificates import Purpose, verify_chain

    accepted = accept_response(answer)
    token = read_response(accepted.data)
    if nonce is not None and token.nonce != nonce:
        raise FormatError("the answer does not repeat the number of the request: it is the answer to another one")
    for name in token.algorithms:
        refuse_weak(name, trusting.moment, "the stamp rests on")
    if not trusting.roots:
        return Stamping(token, (), accepted.left_out, trusting)
    chain = verify_chain(
        token.signer,
        (*token.certificates, *trusting.certificates),
        trusting.roots,
        at=trusting.moment,
        purpose=Purpose.TIME_STAMPING,
        revocations=trusting.revocations,
        agility=Agility(),
    )
    accepted = accept_response(answer, keep=chain)  # another way up that the authority sent along would be unchecked
    return Stamping(read_response(accepted.data), chain, accepted.left_out, trusting)


def refuse_weak(algorithm: str, when: datetime, what: str = "a stamp would rest on") -> None:
    """FormatError if ``algorithm`` is not registered, or proves nothing any more."""
    if Agility().broken(algorithm, when):
        raise FormatError(f"{what} {algorithm}, which proves nothing (any more)", clause="11.6", allowed="others")


def refuse_twice(stamping: Stamping, records: Sequence[Record]) -> None:
    """UsageError if the very same stamp is there already."""
    there = next((record for record in records if record.data == stamping.token.data), None)
    if there is not None:
        raise UsageError(f"the stamp is there already: {there.name}", hint="ask for another one if you want two")


def stamp_result(stamping: Stamping, written: AppendResult) -> StampResult:
    """What is told about a stamp that was written."""
    return StampResult(
        path=written.path,
        size=written.size,
        manifest_sha256=written.manifest_sha256,
        records=tuple(record.path for record in written.records),
        method=written.method,
        stamped=stamping.stamped,
        token=stamping.token,
        chain=stamping.chain,
        left_out=stamping.left_out,
    )


def read_detached(path: str | os.PathLike[str]) -> Record:
    """The detached record in the file ``path``."""
    from llamafile_format.examining import detached_records

    return detached_records([path])[0]


def _choose(records: Sequence[Record], number: int | None, name: str) -> Record:
    if number is not None:
        if not 1 <= number <= len(records):
            raise UsageError(f"{name} has no record {number}", hint=f"it has {len(records)}")
        return records[number - 1]
    found = [record for record in records if record.kind.vouches]
    if not found:
        raise UsageError(f"{name} has no signature to stamp", hint=f"llamafile-format sign {name} --key KEY")
    return found[-1]
