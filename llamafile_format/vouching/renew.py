"""``renew``: stamp everything in front with a newer function (spec/1, 13.6.8); the one command that reads it all.

Signatures rest on a digest function, stamps on an authority's key. Before either gives way, a new stamp by a sounder
function over all bytes so far takes over: it proves that the whole file, with its old signatures and stamps, was there
while they were still good. What is damaged must not be sworn to again, so the file is verified first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from llamafile_format.checks.verdict import Level
from llamafile_format.container import Container, open_container
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.output.transfer import refuse_changed
from llamafile_format.progress import Progress
from llamafile_format.rules import Layer, Severity, rule
from llamafile_format.signing.keys.algorithms import Agility
from llamafile_format.signing.records.record import Record
from llamafile_format.signing.time.prefix_digests import prefix_digests
from llamafile_format.signing.time.timestamp_request import Query, build_query
from llamafile_format.vouching.append import Made, append_records, open_checked
from llamafile_format.vouching.timestamp import (
    Request,
    Stamping,
    StampResult,
    Trusting,
    examine_answer,
    refuse_twice,
    refuse_weak,
    stamp_result,
)

DEFAULT_DIGEST = "sha512"


def renewal_request(
    what: str | os.PathLike[str], *, algorithm: str = DEFAULT_DIGEST, progress: Progress | None = None
) -> Request:
    """The request to stamp all bytes of ``what`` up to the record that the answer will become.

    It is about the file as it is: any record that comes into it before the answer does makes the answer useless.
    Raises like :func:`renew`.
    """
    with open_container(what) as container:
        return Request("", _query(container, open_checked(container), algorithm, progress))


def renew(
    what: str | os.PathLike[str],
    answer: bytes | Callable[[bytes], bytes],
    out: str | os.PathLike[str] | None = None,
    *,
    algorithm: str = DEFAULT_DIGEST,
    trusting: Trusting | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> StampResult:
    """Append a stamp over all bytes of ``what`` to it, in place or as the new file ``out``.

    ``answer`` is an authority's answer to :func:`renewal_request`, or a function that takes a request (DER) and returns
    one; ``algorithm`` is the digest function to ask with. The file is verified at level full, and read once more to be
    hashed. Raises FormatError for a file that is not intact, an algorithm that is going out of use, or a stamp that is
    not strict, not over this file, or not by a trusted authority; UsageError for a file that nobody has signed.
    """
    trusting = trusting or Trusting()
    stampings: list[Stamping] = []

    def make(container: Container, records: tuple[Record, ...], _number: int) -> Made:
        """The stamp over everything in front of it, examined."""
        if callable(answer):
            query = _query(container, records, algorithm, progress)
            stamping = examine_answer(answer(query.data), trusting, query.nonce)
            due = query.algorithm, query.digest
        else:
            stamping = examine_answer(answer, trusting)
            due = (
                stamping.token.imprint_algorithm,
                _digest(container, records, stamping.token.imprint_algorithm, progress),
            )
        if (stamping.token.imprint_algorithm, stamping.token.imprint) != due:
            raise FormatError(
                f"the stamp is not over {container.name} as it is now",
                clause="13.6.2",
                hint="ask again: a record that came in after the request changes what there is to stamp",
            )
        refuse_twice(stamping, records)
        stampings.append(stamping)
        return stamping.made(records)

    result = append_records(what, make, out, force=force, progress=progress)
    return stamp_result(stampings[0], result)


def fetch_renewal(
    what: str | os.PathLike[str],
    url: str,
    out: str | os.PathLike[str] | None = None,
    *,
    algorithm: str = DEFAULT_DIGEST,
    trusting: Trusting | None = None,
    timeout: float | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> StampResult:
    """:func:`renew` with the authority at ``url``. SourceError if it does not answer."""
    from llamafile_format.vouching.ask_authority import TIMEOUT, ask

    return renew(
        what,
        lambda query: ask(url, query, timeout=timeout or TIMEOUT),
        out,
        algorithm=algorithm,
        trusting=trusting,
        force=force,
        progress=progress,
    )


def _query(container: Container, records: Sequence[Record], algorithm: str, progress: Progress | None) -> Query:
    return build_query(algorithm, _digest(container, records, algorithm, progress))


def _digest(container: Container, records: Sequence[Record], algorithm: str, progress: Progress | None) -> bytes:
    """The digest of everything in front of the next record, of a file that is intact and signed."""
    now = datetime.now(UTC)
    refuse_weak(algorithm, now)
    if Agility().retired(algorithm, now):
        raise FormatError(f"{algorithm} is going out of use: a renewal with it would soon need the next one")
    if not any(record.kind.is_bundle for record in records):
        raise UsageError(
            f"nobody has signed {container.name}, so there is nothing to renew",
            hint=f"llamafile-format sign {container.name} --key KEY",
        )
    claims = container.claims
    assert claims is not None  # whoever read the records has verified the file
    _refuse_damaged(container, progress)
    last = records[-1]
    found = prefix_digests(container.source, [(last.data_offset + len(last.data), algorithm)], progress=progress)
    refuse_changed(container.origin)
    return found[0]


def _refuse_damaged(container: Container, progress: Progress | None) -> None:
    """Never swear to damage: it would look as if it had been so when the first signature was made."""
    from llamafile_format.examining import examine

    report = examine(container, level=Level.FULL, progress=progress)
    for finding in report.findings:
        row = rule(finding.rule)
        if row.layer is Layer.WELL_FORMED and row.severity is Severity.ERROR and not row.undetermined:
            raise FormatError(
                f"{container.name} is not intact: {row.render(finding)}",
                clause=finding.rule,
                hint=f"restore it from a copy; see llamafile-format verify {container.name}",
            )
    if not report.complete:
        raise FormatError(f"{container.name} cannot be read: {report.error}")
