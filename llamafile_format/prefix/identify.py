"""Say what stands in front of an archive: kind, executables, end and evidence, from its own bytes (spec/1, 3.2).

Reads are bounded: 64 KiB from the start, then headers where the bytes point to them, 512 KiB in all at most.
The body of an executable is never read, and nothing is ever run.
"""

from __future__ import annotations

from dataclasses import replace

from llamafile_format.findings import Finding, Where
from llamafile_format.prefix.bootstrap import Form
from llamafile_format.prefix.facts import Binary, Executable, PrefixFacts, PrefixKind, View
from llamafile_format.prefix.reverted import Reverted, form_of, revert
from llamafile_format.source.base import ByteSource

HEAD = 1 << 16
_ZIP_STARTS = (b"PK\3\4", b"PK\5\6", b"PK\6\6")


def identify(source: ByteSource, *, limit: int | None = None) -> PrefixFacts:
    """Read the prefix of ``source``: the bytes [0, ``limit``), by default all of it.

    A caller that knows the archive passes the offset of the first local header as ``limit``. Bad bytes give findings,
    never exceptions; SourceError if the source cannot be read.
    """
    source = revert(source)
    size = source.size if limit is None else max(0, min(limit, source.size))
    view = View(source, size)
    head = view.upto(0, HEAD)
    if not head or head[:4] in _ZIP_STARTS:
        return PrefixFacts(PrefixKind.NONE, end=0)
    from llamafile_format.prefix.programs import read_program

    facts = _settle(source, read_program(view, head))
    return _converted(facts, form_of(source)) if isinstance(source, Reverted) else facts


def _converted(facts: PrefixFacts, form: Form) -> PrefixFacts:
    """A converted launcher: the same bytes but 64, started by one system alone, and no longer by a shell."""
    machine = form.value.removeprefix("elf-")
    program = Executable(Binary.ELF, ("linux",), machine, 0, facts.end or 0)
    there = ("linux", machine) in facts.runs_on
    return replace(facts, generation=form.value, executables=(program,), runs_on=(("linux", machine),) if there else ())


def _settle(source: ByteSource, facts: PrefixFacts) -> PrefixFacts:
    """Compute ``end`` from the evidence that lies in the file; evidence that does not is a finding of its own."""
    inside = [item.end for item in facts.evidence if item.end <= source.size]
    beyond = [item for item in facts.evidence if item.end > source.size]
    findings = list(facts.findings)
    if beyond:
        worst = max(beyond, key=lambda item: item.end)
        where = Where(worst.start if worst.start < source.size else None, field=worst.what)
        findings.append(Finding("LF1018", where, {"what": worst.what, "end": worst.end, "size": source.size}))
    end = facts.end if facts.end is not None else max(inside, default=None)
    return replace(facts, end=end, runs_on=facts.runs_on or _runs_on(facts), findings=tuple(findings))


def _runs_on(facts: PrefixFacts) -> tuple[tuple[str, str], ...]:
    pairs = {(system, item.machine) for item in facts.executables for system in item.systems}
    if not facts.generation.startswith("assimilated"):  # the script, which would compile it, is no longer reached
        pairs |= {("macos", loader.machine) for loader in facts.loaders if loader.source}
    return tuple(sorted(pair for pair in pairs if pair[0] != "unknown"))
