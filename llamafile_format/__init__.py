"""Read, write, verify, repack and take apart llamafiles: one file that holds a language model and what runs it.

    import llamafile_format as lf

    lf.pack(["model.gguf"], "model.llamafile", license="CC0-1.0")
    report = lf.verify("model.llamafile")
    with lf.open("model.llamafile") as container:
        print(container.manifest.default, report.verdicts)

Everything that is named here is public and stable within a major version; everything else is private.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.door import open_door

__version__ = "1.0.0"

__all__ = [
    "AllowList",
    "AppendResult",
    "Attestation",
    "ByteSource",
    "BytesSource",
    "Container",
    "ConvertResult",
    "Difference",
    "ExportResult",
    "Extracted",
    "FileSource",
    "Finding",
    "FormatError",
    "HubStatus",
    "Include",
    "Inspection",
    "Kind",
    "Layer",
    "Level",
    "LimitExceeded",
    "Limits",
    "LlamafileError",
    "MemberFacts",
    "NotALlamafile",
    "NotAuthentic",
    "PackResult",
    "Policy",
    "RecordResult",
    "RecoverResult",
    "RemoteSource",
    "RepackResult",
    "Replay",
    "Report",
    "Rule",
    "Severity",
    "SignResult",
    "SourceError",
    "UsageError",
    "Verdict",
    "Wanted",
    "Where",
    "Window",
    "__version__",
    "convert",
    "diff",
    "export_oms",
    "extract",
    "hub_status",
    "import_oms",
    "inspect",
    "key_policy",
    "open",
    "open_remote",
    "pack",
    "read_policy",
    "read_public",
    "record",
    "recover",
    "repack",
    "replay",
    "resumed",
    "rule",
    "sign",
    "validate_upload",
    "verify",
]

if TYPE_CHECKING:
    from llamafile_format.changing import ConvertResult, RecoverResult, RepackResult, convert, recover, repack
    from llamafile_format.checks.verdict import Level, Report, Verdict
    from llamafile_format.container import Container, Kind, MemberFacts
    from llamafile_format.container import open_container as open  # noqa: A004
    from llamafile_format.errors import (
        FormatError,
        LimitExceeded,
        LlamafileError,
        NotALlamafile,
        NotAuthentic,
        SourceError,
        UsageError,
    )
    from llamafile_format.examining import (
        Difference,
        Extracted,
        Inspection,
        diff,
        extract,
        inspect,
        resumed,
        validate_upload,
    )
    from llamafile_format.findings import Finding, Where
    from llamafile_format.packing import Include, PackResult, pack
    from llamafile_format.reports import HubStatus, hub_status
    from llamafile_format.rules import Layer, Rule, Severity, rule
    from llamafile_format.running import RecordResult, Replay, Wanted, record, replay, verify
    from llamafile_format.signing.keys.key_files import read_public
    from llamafile_format.signing.trust.policy import Policy, key_policy
    from llamafile_format.signing.trust.policy_reader import read_policy
    from llamafile_format.source import ByteSource, BytesSource, FileSource, Window
    from llamafile_format.source.allow_list import AllowList
    from llamafile_format.source.opening import open_remote
    from llamafile_format.source.remote import RemoteSource
    from llamafile_format.source.traffic import Limits
    from llamafile_format.vouching import (
        AppendResult,
        Attestation,
        ExportResult,
        SignResult,
        export_oms,
        import_oms,
        sign,
    )

open_door(
    __name__,
    {
        "changing": (
            "ConvertResult",
            "RecoverResult",
            "RepackResult",
            "convert",
            "recover",
            "repack",
        ),
        "checks.verdict": (
            "Level",
            "Report",
            "Verdict",
        ),
        "container": (
            "Container",
            "Kind",
            "MemberFacts",
            "open_container as open",
        ),
        "errors": (
            "FormatError",
            "LimitExceeded",
            "LlamafileError",
            "NotALlamafile",
            "NotAuthentic",
            "SourceError",
            "UsageError",
        ),
        "examining": (
            "Difference",
            "Extracted",
            "Inspection",
            "diff",
            "extract",
            "inspect",
            "resumed",
            "validate_upload",
        ),
        "findings": (
            "Finding",
            "Where",
        ),
        "packing": (
            "Include",
            "PackResult",
            "pack",
        ),
        "reports": (
            "HubStatus",
            "hub_status",
        ),
        "rules": (
            "Layer",
            "Rule",
            "Severity",
            "rule",
        ),
        "running": (
            "RecordResult",
            "Replay",
            "Wanted",
            "record",
            "replay",
            "verify",
        ),
        "signing.keys.key_files": ("read_public",),
        "signing.trust.policy": (
            "Policy",
            "key_policy",
        ),
        "signing.trust.policy_reader": ("read_policy",),
        "source": (
            "ByteSource",
            "BytesSource",
            "FileSource",
            "Window",
        ),
        "source.allow_list": ("AllowList",),
        "source.opening": ("open_remote",),
        "source.remote": ("RemoteSource",),
        "source.traffic": ("Limits",),
        "vouching": (
            "AppendResult",
            "Attestation",
            "ExportResult",
            "SignResult",
            "export_oms",
            "import_oms",
            "sign",
        ),
    },
)
