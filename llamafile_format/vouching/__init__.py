"""Vouching for a container: sign, time stamps, renewal, attestations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.door import open_door

if TYPE_CHECKING:
    from llamafile_format.vouching.attested import attestation_of
    from llamafile_format.vouching.oms import ExportResult, export_oms, import_oms, verify_command
    from llamafile_format.vouching.renew import fetch_renewal, renew, renewal_request
    from llamafile_format.vouching.sign import Attestation, SignResult, sign
    from llamafile_format.vouching.signers import key_ids, read_signers
    from llamafile_format.vouching.tail import AppendResult, open_checked
    from llamafile_format.vouching.timestamp import Request, StampResult, Trusting, attach, fetch, request

open_door(
    __name__,
    {
        "attested": ("attestation_of",),
        "oms": ("ExportResult", "export_oms", "import_oms", "verify_command"),
        "renew": ("fetch_renewal", "renew", "renewal_request"),
        "sign": ("Attestation", "SignResult", "sign"),
        "signers": ("key_ids", "read_signers"),
        "tail": ("AppendResult", "open_checked"),
        "timestamp": ("Request", "StampResult", "Trusting", "attach", "fetch", "request"),
    },
)
