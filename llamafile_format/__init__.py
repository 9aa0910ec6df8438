"""Read, write, verify, repack and take apart llamafiles: one file that holds a language model and what runs it.

    import llamafile_format as lf

    lf.pack(["model.gguf"], "model.llamafile", license="CC0-1.0")
    report = lf.verify("model.llamafile")
    with lf.open("model.llamafile") as container:
        print(container.manifest.default, report.verdicts)

Everything that is named here is public and stable within a major version; everything else is private.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "1.0.0"

_PUBLIC = {
    "open": ("llamafile_format.container", "open_container"),
    "Container": ("llamafile_format.container", "Container"),
    "MemberFacts": ("llamafile_format.container", "MemberFacts"),
    "convert": ("llamafile_format.changing.convert", "convert"),
    "ConvertResult": ("llamafile_format.changing.convert", "ConvertResult"),
    "pack": ("llamafile_format.packing.pack", "pack"),
    "PackResult": ("llamafile_format.packing.pack", "PackResult"),
    "Include": ("llamafile_format.packing.inputs", "Include"),
    "Inspection": ("llamafile_format.examining.inspection", "Inspection"),
    "inspect": ("llamafile_format.examining.inspect", "inspect"),
    "verify": ("llamafile_format.running.verify", "verify"),
    "Report": ("llamafile_format.checks.verdict", "Report"),
    "Verdict": ("llamafile_format.checks.verdict", "Verdict"),
    "Level": ("llamafile_format.checks.verdict", "Level"),
    "Kind": ("llamafile_format.container", "Kind"),
    "repack": ("llamafile_format.changing.repack", "repack"),
    "RepackResult": ("llamafile_format.changing.repack", "RepackResult"),
    "RecoverResult": ("llamafile_format.changing.recover", "RecoverResult"),
    "recover": ("llamafile_format.changing.recover", "recover"),
    "Extracted": ("llamafile_format.examining.extract", "Extracted"),
    "extract": ("llamafile_format.examining.extract", "extract"),
    "record": ("llamafile_format.running.record", "record"),
    "RecordResult": ("llamafile_format.running.record", "RecordResult"),
    "replay": ("llamafile_format.running.replay", "replay"),
    "Replay": ("llamafile_format.running.replay", "Replay"),
    "Wanted": ("llamafile_format.running.choose_runtime", "Wanted"),
    "sign": ("llamafile_format.vouching.sign", "sign"),
    "SignResult": ("llamafile_format.vouching.sign", "SignResult"),
    "Attestation": ("llamafile_format.vouching.sign", "Attestation"),
    "import_oms": ("llamafile_format.vouching.oms", "import_oms"),
    "AppendResult": ("llamafile_format.vouching.tail", "AppendResult"),
    "export_oms": ("llamafile_format.vouching.oms", "export_oms"),
    "ExportResult": ("llamafile_format.vouching.oms", "ExportResult"),
    "diff": ("llamafile_format.examining.diff", "diff"),
    "Difference": ("llamafile_format.examining.diff", "Difference"),
    "ByteSource": ("llamafile_format.source", "ByteSource"),
    "FileSource": ("llamafile_format.source", "FileSource"),
    "BytesSource": ("llamafile_format.source", "BytesSource"),
    "Window": ("llamafile_format.source", "Window"),
    "Finding": ("llamafile_format.findings", "Finding"),
    "Where": ("llamafile_format.findings", "Where"),
    "Rule": ("llamafile_format.rules", "Rule"),
    "Layer": ("llamafile_format.rules", "Layer"),
    "Severity": ("llamafile_format.rules", "Severity"),
    "rule": ("llamafile_format.rules", "rule"),
    "LlamafileError": ("llamafile_format.errors", "LlamafileError"),
    "FormatError": ("llamafile_format.errors", "FormatError"),
    "NotALlamafile": ("llamafile_format.errors", "NotALlamafile"),
    "SourceError": ("llamafile_format.errors", "SourceError"),
    "LimitExceeded": ("llamafile_format.errors", "LimitExceeded"),
    "UsageError": ("llamafile_format.errors", "UsageError"),
    "NotAuthentic": ("llamafile_format.errors", "NotAuthentic"),
    "Policy": ("llamafile_format.signing.trust.policy", "Policy"),
    "key_policy": ("llamafile_format.signing.trust.policy", "key_policy"),
    "read_policy": ("llamafile_format.signing.trust.policy_reader", "read_policy"),
    "read_public": ("llamafile_format.signing.keys.key_files", "read_public"),
}

__all__ = [
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
    "Include",
    "Inspection",
    "Kind",
    "Layer",
    "Level",
    "LimitExceeded",
    "LlamafileError",
    "MemberFacts",
    "NotALlamafile",
    "NotAuthentic",
    "PackResult",
    "Policy",
    "RecordResult",
    "RecoverResult",
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
    "import_oms",
    "inspect",
    "key_policy",
    "open",
    "pack",
    "read_policy",
    "read_public",
    "record",
    "recover",
    "repack",
    "replay",
    "rule",
    "sign",
    "verify",
]

if TYPE_CHECKING:
    from llamafile_format.changing.convert import ConvertResult, convert
    from llamafile_format.changing.recover import RecoverResult, recover
    from llamafile_format.changing.repack import RepackResult, repack
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
    from llamafile_format.examining.diff import Difference, diff
    from llamafile_format.examining.extract import Extracted, extract
    from llamafile_format.examining.inspect import inspect
    from llamafile_format.examining.inspection import Inspection
    from llamafile_format.findings import Finding, Where
    from llamafile_format.packing.inputs import Include
    from llamafile_format.packing.pack import PackResult, pack
    from llamafile_format.rules import Layer, Rule, Severity, rule
    from llamafile_format.running.choose_runtime import Wanted
    from llamafile_format.running.record import RecordResult, record
    from llamafile_format.running.replay import Replay, replay
    from llamafile_format.running.verify import verify
    from llamafile_format.signing.keys.key_files import read_public
    from llamafile_format.signing.trust.policy import Policy, key_policy
    from llamafile_format.signing.trust.policy_reader import read_policy
    from llamafile_format.source import ByteSource, BytesSource, FileSource, Window
    from llamafile_format.vouching.oms import ExportResult, export_oms, import_oms
    from llamafile_format.vouching.sign import Attestation, SignResult, sign
    from llamafile_format.vouching.tail import AppendResult


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: a command that needs little starts fast."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _PUBLIC[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
