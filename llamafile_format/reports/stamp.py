"""What ``timestamp`` and ``renew`` report. A time is proven only by an authority that the user trusts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from llamafile_format.reports.escape import printable

if TYPE_CHECKING:
    from llamafile_format.vouching import StampResult


def stamp_lines(result: StampResult) -> Iterator[str]:
    """The report as lines of text."""
    token = result.token
    yield f"{printable(str(result.path))}  {result.size} bytes  manifest sha256:{result.manifest_sha256}"
    what = printable(result.stamped) if result.stamped else "everything in front of it"
    for record in result.records:
        says = f"stamps {what}" if record.endswith(".der") else "certificates and revocation lists"
        yield f"added    {printable(record)}  {says}"
    algorithms = ", ".join(token.algorithms)
    if result.chain:
        yield f"time     {_time(result)}  ({algorithms})"
        yield f"trusted  because {printable(_name(token.signer))} has a certificate under {_name_of_root(result)}"
    else:
        yield f"claims   {_time(result)}  ({algorithms})"
        yield f"unknown  {printable(_name(token.signer))} was not checked: name the authority's root with --tsa"
    if result.left_out:
        yield f"left out {printable(', '.join(result.left_out))}: the stamp's signature does not cover them"


def stamp_json(result: StampResult) -> dict[str, Any]:
    """The report as data."""
    token = result.token
    return {
        "path": str(result.path),
        "size": result.size,
        "manifest_sha256": result.manifest_sha256,
        "method": result.method,
        "records": list(result.records),
        "stamped": result.stamped,
        "time": _time(result),
        "trusted": bool(result.chain),
        "authority": _name(token.signer),
        "policy": token.policy,
        "serial": f"{token.serial:x}",
        "hash": token.imprint_algorithm,
        "imprint": token.imprint.hex(),
        "algorithm": token.algorithm,
        "left_out": list(result.left_out),
    }


def _time(result: StampResult) -> str:
    return result.token.time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _name(certificate: bytes) -> str:
    from llamafile_format.signing.x509.cms_certificates import load

    return load(certificate).subject.rfc4514_string() or "a certificate without a name"


def _name_of_root(result: StampResult) -> str:
    return printable(_name(result.chain[-1]))
