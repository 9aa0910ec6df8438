"""``attest``: somebody vouches for a report about a container, by an in-toto attestation (spec/1, 13.12).

A report is words. Signed, and bound to the manifest that it is about, it can be believed by who believes the signer: a
hub need not read 400 GB again to know what its scanner found.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llamafile_format.checks.verdict import REPORT_SCHEMA
from llamafile_format.container import open_container
from llamafile_format.errors import FormatError
from llamafile_format.manifest.canonical_json import decode
from llamafile_format.progress import Progress
from llamafile_format.signing.records.statement import REPORT
from llamafile_format.source.address import shown
from llamafile_format.vouching.sign import Attestation, Passphrase, SignResult, sign

if TYPE_CHECKING:
    from llamafile_format.signing.keys.key import Signer

MAX_REPORT = 4 << 20  # bytes of a report that are read: several of them in one list; a record holds less
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KINDS: Mapping[str, type] = {
    "tool": dict,
    "file": dict,
    "verdicts": dict,
    "findings": list,
    "level": str,
    "ruleset_sha256": str,
    "manifest_sha256": str,
    "complete": bool,
}
"""Fields that every report has, and of which form: what believing it rests on."""


def attest(
    what: str | os.PathLike[str],
    report: bytes,
    keys: str | os.PathLike[str] | Sequence[Signer],
    out: str | os.PathLike[str] | None = None,
    *,
    certificates: Sequence[bytes] = (),
    declared_time: str = "",
    detached: bool = False,
    passphrase: Passphrase | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> SignResult:
    """Attest ``report``, JSON as ``verify --format json`` writes it, of the container ``what``.

    Of a list, the one report that is about ``what`` is attested. The other arguments are those of :func:`sign`.

    Raises FormatError if there is no report about this very manifest, or the reading for it was not completed, and what
    :func:`sign` raises.
    """
    with open_container(what) as container:
        manifest = hashlib.sha256(container.manifest_bytes).hexdigest() if container.manifest_bytes else ""
    return sign(
        what,
        keys,
        out,
        certificates=certificates,
        declared_time=declared_time,
        attest=report_attestation(report, manifest),
        detached=detached,
        passphrase=passphrase,
        force=force,
        progress=progress,
    )


def report_attestation(report: bytes, manifest: str) -> Attestation:
    """The claim that ``report`` was made of the container whose manifest has the SHA-256 ``manifest``."""
    if len(report) > MAX_REPORT:
        raise FormatError("this is too long for a report", found=len(report), allowed=f"{MAX_REPORT} bytes")
    value = decode(report, exact=False, nulls=True)
    found = [_report(each) for each in (value if isinstance(value, list) else [value])]
    about = [each for each in found if manifest and each["manifest_sha256"] == manifest]
    if len(about) != 1:
        others = ", ".join(sorted({each["manifest_sha256"][:16] or "no manifest" for each in found})[:4])
        raise FormatError(
            f"{len(about)} of {len(found)} reports are about this file",
            clause="13.12.2",
            found=others,
            allowed=f"one about the manifest {manifest[:16] or 'that it lacks'}",
            hint="the file was changed since, or it is another one: verify it again",
        )
    if not about[0]["complete"]:
        raise FormatError(
            "the report says that reading was not completed", clause="13.12.2", hint="verify the file again"
        )
    return Attestation(REPORT, _bare(about[0]))


def _report(value: Any) -> dict[str, Any]:
    """``value`` if it has the fields of a report. FormatError with the first that is at fault."""
    if not isinstance(value, dict) or value.get("$schema") != REPORT_SCHEMA:
        raise FormatError(
            "this is no report",
            clause="10.8.3",
            allowed=f"$schema: {REPORT_SCHEMA}",
            hint="llamafile-format verify --format json",
        )
    for name, kind in _KINDS.items():
        if type(value.get(name)) is not kind:
            raise FormatError(f"the report's field {name!r} is missing or of another form", clause="10.8.3")
    if not _DIGEST.fullmatch(value["ruleset_sha256"]):
        raise FormatError("the report does not name its rules", clause="10.8.3", found=value["ruleset_sha256"][:80])
    return value


def _bare(report: dict[str, Any]) -> dict[str, Any]:
    """``report`` as a statement can hold it: without nulls, and without the folders of the file (13.12.1)."""
    name = report["file"].get("name", "")
    last = re.split(r"[/\\]", shown(name))[-1] if isinstance(name, str) else ""
    stated = _without_nulls(report | {"file": report["file"] | {"name": last}})
    assert isinstance(stated, dict)
    return stated


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value if each is not None]
    return value
