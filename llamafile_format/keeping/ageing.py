"""Until when what vouches for a file counts, and what must have been done by then (spec/1, 13.6, 13.8, 11.6).

Nothing is believed here, and nobody is trusted: dates are those of the registry and of the certificates in the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from llamafile_format.checks.signatures import Subject, collect, read_records
from llamafile_format.container import Container
from llamafile_format.errors import FormatError
from llamafile_format.signing.keys.algorithms import registry
from llamafile_format.signing.trust.evidence import Evidence
from llamafile_format.signing.x509.cms_certificates import load


@dataclass(frozen=True, slots=True)
class Due:
    """``what`` is to be done before ``day`` (like ``2036-01-01``; empty: now, or as soon as there is time), and why."""

    day: str
    what: str
    why: str


def ageing(container: Container) -> tuple[Due, ...]:
    """What must be done for the signatures and time stamps of ``container``, soonest first."""
    if container.claims is None:
        return ()
    claims = container.claims
    records = read_records(container.source, container.archive)
    evidence = collect(Subject(claims.manifest, claims.data, claims.layout), records).evidence
    found = {(due.day, due.what): due for due in (*_stamps(evidence), *_signatures(evidence))}
    return tuple(sorted(found.values(), key=lambda due: (due.day or "0", due.what)))


def _stamps(evidence: Evidence) -> Iterator[Due]:
    """Stamps that no later renewal covers: the newest renewal, and what came behind it."""
    last = max((index for index, stamp in evidence.stamps.items() if stamp.target is None), default=-1)
    for index, stamp in evidence.stamps.items():
        if index < last:
            continue
        name = evidence.records[index].path.rpartition("/")[2]
        day, why = _first(_ends(stamp.token.algorithms, stamp.token.signer))
        if day:
            yield Due(day, "renew", f"{why} of the time stamp {name}")


def _signatures(evidence: Evidence) -> Iterator[Due]:
    """Signatures that no stamp covers: they end with their key or its algorithm, whichever is first."""
    stamped = {stamp.target for stamp in evidence.stamps.values()}
    renewals = [index for index, stamp in evidence.stamps.items() if stamp.target is None]
    for index, vouching in evidence.vouching.items():
        if index in stamped or any(index < renewal for renewal in renewals):
            continue
        name = evidence.records[index].path.rpartition("/")[2]
        certificates = vouching.bundle.certificates
        if certificates:
            day, why = _first(_ends((), certificates[0]))
            yield Due(day, "timestamp", f"{why} of the signature {name}, which nothing has stamped")
        else:
            yield Due("", "timestamp", f"nothing says when the signature {name} was there: it ends with its key")


def _ends(algorithms: Iterable[str], certificate: bytes) -> Iterator[tuple[str, str]]:
    """(day, what ends then)."""
    with suppress(FormatError, ValueError):
        yield f"{load(certificate).not_valid_after_utc:%Y-%m-%d}", "the certificate"
    for algorithm in algorithms:
        yield from _of_algorithm(algorithm)


def _of_algorithm(algorithm: str) -> Iterator[tuple[str, str]]:
    row = registry().get(algorithm)
    if row is None:
        yield "", f"the unknown algorithm {algorithm}"
        return
    for day in (row.retired, row.broken):
        if day is not None:
            yield day.isoformat(), f"the algorithm {algorithm}"
    if row.rests_on:
        yield from _of_algorithm(row.rests_on)


def _first(ends: Iterable[tuple[str, str]]) -> tuple[str, str]:
    return min(ends, default=("", ""))
