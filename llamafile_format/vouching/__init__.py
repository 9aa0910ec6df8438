"""Vouching for a container: sign, time stamps, renewal, attestations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.door import open_door

if TYPE_CHECKING:
    from llamafile_format.vouching.append import AppendResult, append_to, open_checked
    from llamafile_format.vouching.attest import MAX_REPORT, attest, report_attestation
    from llamafile_format.vouching.oms import ExportResult, export_oms, import_oms, verify_command
    from llamafile_format.vouching.renew import fetch_renewal, renew, renewal_request
    from llamafile_format.vouching.sign import Attestation, SignResult, attestation_of, sign
    from llamafile_format.vouching.signers import key_ids, read_signers
    from llamafile_format.vouching.timestamp import Request, StampResult, Trusting, attach, fetch, request

open_door(
    __name__,
    {
        "append": ("AppendResult", "append_to", "open_checked"),
        "attest": ("MAX_REPORT", "attest", "report_attestation"),
        "oms": ("ExportResult", "export_oms", "import_oms", "verify_command"),
        "renew": ("fetch_renewal", "renew", "renewal_request"),
        "sign": ("Attestation", "SignResult", "attestation_of", "sign"),
        "signers": ("key_ids", "read_signers"),
        "timestamp": ("Request", "StampResult", "Trusting", "attach", "fetch", "request"),
    },
)
