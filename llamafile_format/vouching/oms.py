"""``import-oms`` and ``export-oms``: signatures come into a file and go out of it without being made anew (13.10).

A signature covers a payload, byte for byte; what is around it is spelt in the one way that records have. What comes in
must speak about this very file, completely.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.container import Container, open_container
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.output.publish import output
from llamafile_format.output.transfer import write_at
from llamafile_format.progress import Progress
from llamafile_format.signing.records.envelope import Method, read_bundle, respelt
from llamafile_format.signing.records.record import DETACHED_NAME, MAX_RECORD, Record, RecordKind
from llamafile_format.signing.records.statement import (
    COUNTERSIGNATURE,
    GIT_NAMES,
    OMS_PREDICATE,
    Statement,
    covered_resources,
    read_statement,
)
from llamafile_format.source import read_small
from llamafile_format.vouching.append import AppendResult, Made, append_records, open_checked

MAX_BUNDLE = 4 * MAX_RECORD  # bytes: as many blanks as anybody writes into JSON


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What ``export_oms`` wrote: the record ``name`` (``0001.oms``) as ``path``.

    ``method`` says how it names its signer: ``key``, ``certificate`` or ``sigstore``. ``git_names`` is True if it signs
    files that OMS tools pass over unless told otherwise, such as ``.gitignore``.
    """

    path: Path
    name: str
    method: str
    git_names: bool = False


def import_oms(
    what: str | os.PathLike[str],
    bundle: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> AppendResult:
    """Put ``bundle`` into the container ``what``, in place or as the new file ``out``.

    ``bundle`` is an OpenSSF Model Signing bundle about the unpacked members, or a detached record of this file, of any
    kind, under its own name (13.10.1). Whether its signature holds is for ``verify`` to say, with a key; that it speaks
    about this file is checked here. If the record is there already, nothing is done, unless ``force``, which also
    replaces ``out``.

    Raises FormatError for a bundle that is malformed or about something else, and as :func:`append_records` does.
    """
    path = Path(bundle)
    kind, data = _read(path)

    def make(container: Container, records: tuple[Record, ...], _number: int) -> Made:
        """The imported record, unless it is there already."""
        if any(record.data == data for record in records) and not force:
            return ()
        if kind in (RecordKind.OMS, RecordKind.SIG):
            _refuse_other_files(container, read_statement(read_bundle(data).payload), path)
        return [(kind, data)]

    return append_records(what, make, out, force=force, progress=progress)


def _read(path: Path) -> tuple[RecordKind, bytes]:
    """Kind and canonical bytes of what lies at ``path``."""
    data = read_small(path, MAX_BUNDLE)
    if len(data) > MAX_BUNDLE:
        raise FormatError(f"{path} is too large for a signature", clause="13.2.3")
    match = DETACHED_NAME.match(path.name)
    named = RecordKind(match["kind"]) if match else RecordKind.OMS
    if not named.is_bundle:  # time stamps and validation material are taken as they are
        return named, data
    try:
        data = respelt(data)
        statement = read_statement(read_bundle(data).payload)
    except FormatError as error:
        raise FormatError(f"{path} is no signature that can be imported: {error}", hint=_HINT) from error
    if statement.predicate_type == COUNTERSIGNATURE:
        return RecordKind.CNT, data
    if statement.predicate_type != OMS_PREDICATE:
        return RecordKind.ATT, data
    return RecordKind.SIG if named is RecordKind.SIG else RecordKind.OMS, data


_HINT = "take an OpenSSF Model Signing bundle, or a detached record under its own name: FILE.0001.oms.json"


def _refuse_other_files(container: Container, statement: Statement, path: Path) -> None:
    """A signature of the weights alone is a statement of its own (13.5); one of other files is none of ours."""
    claims = container.claims
    assert claims is not None
    due = {resource.name: resource.sha256 for resource in covered_resources(claims.manifest, claims.data)}
    absent = due.keys() - {resource.name for resource in statement.resources}
    if not absent:
        return  # whether the digests agree, the check of the new file says
    here = set(due.values())
    known = sum(resource.sha256 in here for resource in statement.resources)
    if not known:
        raise FormatError(f"{path} signs other files: none of their digests is that of a member", clause="13.3")
    hint = (
        f"as a statement of the publisher about them it goes in by: "
        f"llamafile-format repack FILE --include {path} --role publisher-signature -o OUT"
    )
    if all(map(_is_gits, absent)):
        hint = "sign again with --no-ignore-git-paths: some members have names that git has too"
    raise FormatError(f"{path} signs {known} of {len(due)} members, not the whole file", clause="13.5.1", hint=hint)


def export_oms(
    what: str | os.PathLike[str], out: str | os.PathLike[str], *, number: int | None = None, force: bool = False
) -> ExportResult:
    """Write the signature record ``number`` of ``what`` as the file ``out``, for tools that know OMS and not us.

    Without ``number`` there must be exactly one that they can verify. The bytes are the record's own. Raises UsageError
    if there is no such record or it is of another kind; FormatError if the file is not well-formed.
    """
    with open_container(what) as container:
        record = _chosen(open_checked(container), number, container.name)
    with output(Path(out), force=force, mode=0o666) as descriptor:
        write_at(descriptor, 0, record.data)
    bundle = read_bundle(record.data)
    names = [resource.name for resource in read_statement(bundle.payload).resources]
    return ExportResult(Path(out), record.name, bundle.method.value, any(map(_is_gits, names)))


def _is_gits(name: str) -> bool:
    return name.partition("/")[0] in GIT_NAMES


def _chosen(records: Sequence[Record], number: int | None, name: str) -> Record:
    known = [record for record in records if record.kind is RecordKind.OMS]
    listed = ", ".join(record.name for record in records) or "none"
    if number is None:
        if len(known) != 1:
            what = "no record that OMS tools know" if not known else f"{len(known)} records that OMS tools know"
            raise UsageError(f"{name} has {what} (records: {listed})", hint="choose one with --record NNNN")
        return known[0]
    if not 1 <= number <= len(records):
        raise UsageError(f"{name} has no record {number:04d} (records: {listed})")
    record = records[number - 1]
    if record.kind is not RecordKind.OMS:
        why = _UNKNOWN_TO_OMS[record.kind]
        raise UsageError(
            f"{record.name} is {why}, which OMS tools do not know", hint=f"its bytes: unzip -p {name} {record.path}"
        )
    return record


_UNKNOWN_TO_OMS = {
    RecordKind.SIG: "a signature by an Ed25519 or ML-DSA key",
    RecordKind.ATT: "an attestation",
    RecordKind.CNT: "a countersignature",
    RecordKind.TSR: "a time stamp",
    RecordKind.VM: "validation material",
}


def verify_command(result: ExportResult) -> str:
    """What to type to verify an exported signature with the reference tool, in the folder of the unpacked members."""
    material = {
        Method.KEY: ("key", "--public_key KEY.pub"),
        Method.CERTIFICATE: ("certificate", "--certificate_chain ROOTS.pem"),
        Method.SIGSTORE: ("sigstore", "--identity IDENTITY --identity_provider URL"),
    }
    method, options = material[Method(result.method)]
    all_files = " --no-ignore-git-paths" if result.git_names else ""
    path = shlex.quote(os.fspath(result.path))
    return f"model_signing verify {method} FOLDER --signature {path} {options}{all_files}"
