"""Findings about what stands in front of the archive (spec/1, chapter 3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from llamafile_format.findings import Finding, Where
from llamafile_format.prefix.facts import Binary, PrefixFacts, PrefixKind
from llamafile_format.source import Window
from llamafile_format.source.base import ByteSource
from llamafile_format.weights.formats import recognise_format

PREFIX_UNIT = 1 << 16
WINDOWS_MAX = 0xFFFF_FFFF  # bytes: Windows makes no image of a longer file, whatever its headers say


def check_prefix(
    source: ByteSource,
    prefix_end: int,
    facts: PrefixFacts,
    *,
    legacy: bool = False,
    launcher: Iterable[Finding] | None = None,
) -> Iterator[Finding]:
    """All findings about the prefix [0, ``prefix_end``) of ``source``, those in ``facts.findings`` included.

    ``legacy`` drops the rules that only bind writers of 1.0. ``launcher`` are the findings of a comparison with the
    launcher that the manifest implies; without it, a launcher was not compared. Reads a few KiB
    at most besides what ``identify`` has read.
    """
    yield from facts.findings
    if not legacy and prefix_end % PREFIX_UNIT:
        args: dict[str, str | int] = {"size": prefix_end, "unit": PREFIX_UNIT}
        yield Finding("LF1013", Where(0, prefix_end), args)
    if facts.claims_launcher:
        yield Finding("LF1015", Where(0, 60))
    elif facts.kind is PrefixKind.OTHER and prefix_end:
        yield _unknown(source, prefix_end)
    if facts.kind is PrefixKind.LAUNCHER:
        yield from launcher if launcher is not None else [Finding("LF1027", Where(0, prefix_end))]
    yield from _windows(source, facts, legacy)
    if facts.end is not None and facts.end > prefix_end and facts.kind is not PrefixKind.NONE:
        args = {"end": facts.end, "start": prefix_end}
        yield Finding("LF1019", Where(prefix_end, facts.end - prefix_end), args)


def _unknown(source: ByteSource, prefix_end: int) -> Finding:
    """LF3340 for weights in front of an archive, LF1028 for anything else."""
    weights = recognise_format(Window(source, 0, min(prefix_end, source.size)))
    if weights is not None:
        return Finding("LF3340", Where(0, prefix_end), {"format": weights.name})
    return Finding("LF1028", Where(0, prefix_end))


def _windows(source: ByteSource, facts: PrefixFacts, legacy: bool) -> Iterator[Finding]:
    """What stops the file, or a part of it, on Windows."""
    programs = [item for item in facts.executables if item.format is Binary.PE]
    named_exe = source.name.lower().endswith(".exe")
    if programs and source.size > WINDOWS_MAX and (legacy or named_exe):
        yield Finding("LF1014", Where(0, source.size), {"size": source.size, "limit": WINDOWS_MAX})
    if facts.certificate is not None:
        offset, size = facts.certificate
        yield Finding("LF1016", Where(offset, size, field="certificate"), {"offset": offset, "size": size})
