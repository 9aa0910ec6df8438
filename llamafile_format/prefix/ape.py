"""Actually Portable Executables of every generation since 2020, converted or not (spec/1, 3.3)."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field, replace

from llamafile_format.findings import Finding, Where
from llamafile_format.prefix import elf, macho, pe
from llamafile_format.prefix.ape_script import ApeScript, Copy, Printed, read_script
from llamafile_format.prefix.facts import (
    Binary,
    Evidence,
    Executable,
    Loader,
    Notes,
    Packing,
    PrefixFacts,
    PrefixKind,
    View,
)

MZ = b"MZqFpD='"
JARTSR = b"jartsr='"
JARTSR_BARE = b"jartsr=\n"
DEBUG = b"APEDBG='"
_APE_NOTE = re.compile(b"\x04\0\0\0\x04\0\0\0\x01\0\0\0APE\0(....)", re.DOTALL)
_OPENBSD_NOTE = b"\1\0\0\0OpenBSD\0"
_NETBSD_NOTE = b"\1\0\0\0NetBSD\0"


@dataclass(slots=True)
class _Harvest:
    """What the parts of an APE add up to while it is read."""

    executables: list[Executable] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def is_ape(head: bytes) -> bool:
    """True if ``head`` begins with a magic of 3.3.1, or is an APE converted to ELF or Mach-O (3.3.7)."""
    if head[:8] in (MZ, JARTSR, DEBUG, JARTSR_BARE):
        return True
    if head[:4] == elf.MAGIC:
        script = read_script(head)
        return script.start is not None and bool(script.printed)
    if head[:4] == macho.MAGIC64:
        return any(copy.onto_self for copy in _macho_script(head).copies)
    return False


def read(view: View, head: bytes) -> PrefixFacts:
    """All that the first bytes of an APE tell; ``head`` is the start of ``view``, ``is_ape(head)`` holds."""
    converted_macho = head[:4] == macho.MAGIC64
    script = _macho_script(head) if converted_macho else read_script(head)
    notes = read_notes(head)
    harvest = _Harvest()
    findings = harvest.findings
    if script.end:
        harvest.evidence.append(Evidence("script", 0, script.end))
    for printed in script.printed:
        _add_printed(view, printed, notes, harvest)
    certificate = None
    if head[:2] == b"MZ":
        certificate = _add_pe(view, head, harvest)
    loaders = _add_copies(view, script, harvest)
    facts = PrefixFacts(
        PrefixKind.APE,
        generation=_generation(head, script),
        evidence=tuple(harvest.evidence),
        executables=tuple(harvest.executables),
        loaders=tuple(loaders),
        notes=notes,
        word=script.word,
        loader_cache=script.cache,
        printed=tuple(item.header for item in script.printed),
        certificate=certificate,
    )
    if head[:4] == elf.MAGIC:
        facts = _converted_to_elf(head, facts, findings)
    elif converted_macho:
        facts = _converted_to_macho(view, head, script, facts, findings)
    else:
        findings += _magic_findings(head, script)
    return replace(facts, findings=tuple(findings))


def read_notes(data: bytes) -> Notes:
    """The APE, OpenBSD and NetBSD notes in ``data``, wherever they stand in it."""
    match = _APE_NOTE.search(data)
    version = ""
    if match:
        (number,) = struct.unpack("<I", match.group(1))
        version = f"{number // 100_000_000}.{number // 1_000_000 % 100}"
    return Notes(version, _OPENBSD_NOTE in data, _NETBSD_NOTE in data)


def _generation(head: bytes, script: ApeScript) -> str:
    if head[:4] == elf.MAGIC:
        return "assimilated-elf"
    if head[:4] == macho.MAGIC64:
        return "assimilated-macho"
    magic = {JARTSR: "jartsr", JARTSR_BARE: "jartsr-bare", DEBUG: "debug"}.get(head[:8])
    if magic:
        return magic
    if not script.word:
        return "quoted"
    return "heredoc-@" if script.word == "@" else "heredoc"


def _macho_script(head: bytes) -> ApeScript:
    """The script of an APE whose first bytes a Mach-O header replaced; that header may have eaten the marker."""
    (length,) = struct.unpack_from("<I", head.ljust(32, b"\0"), 20)
    return read_script(head, start=min(32 + length, len(head)))


def _magic_findings(head: bytes, script: ApeScript) -> list[Finding]:
    found = []
    if script.start is None:
        found.append(Finding("LF1020", Where(0, 8)))
    if head[:8] == JARTSR_BARE:
        found.append(Finding("LF1021", Where(0, 8)))
    if head[:8] == DEBUG:
        found.append(Finding("LF1029", Where(0, 8)))
    return found


def _add_printed(
    view: View,
    printed: Printed,
    notes: Notes,
    harvest: _Harvest,
) -> None:
    header = elf.parse_header(printed.header)
    where = Where(printed.at, 8, field="printf")
    if not printed.in_window:
        harvest.findings.append(Finding("LF1017", where, {"offset": printed.at}))
        return
    found = elf.segments(view, header) if header else None
    problem = elf.loader_objection(header, found) if header else "its class or byte order is unknown"
    if problem:
        harvest.findings.append(Finding("LF1025", where, {"problem": problem}))
    if header is None:
        return
    ranges = [
        Evidence(f"ELF {header.machine} segment", segment.offset, segment.offset + segment.size)
        for segment in found or ()
        if segment.type == elf.PT_LOAD and segment.size
    ]
    harvest.evidence += ranges
    if problem:
        return
    start = min(item.start for item in ranges) if ranges else 0
    end = max(item.end for item in ranges) if ranges else 0
    harvest.executables.append(
        Executable(Binary.ELF, _systems(header, notes), header.machine, start, end - start, printed=True)
    )


def _systems(header: elf.ElfHeader, notes: Notes) -> tuple[str, ...]:
    """An APE finds out its system at run time; the ABI byte matters to FreeBSD only, the notes to the other two."""
    found = ["linux"]
    if header.osabi == elf.OSABI_FREEBSD:
        found.append("freebsd")
    if header.machine == "x86_64":
        found += ["openbsd"] * notes.openbsd + ["netbsd"] * notes.netbsd
    return tuple(found)


def _add_pe(
    view: View,
    head: bytes,
    harvest: _Harvest,
) -> tuple[int, int] | None:
    """The PE part; ``e_lfanew`` may point far behind the first 64 KiB. Returns the certificate's place, if any."""
    (offset,) = struct.unpack_from("<I", head.ljust(64, b"\0"), 0x3C)
    if offset == 0:  # linked without Windows
        return None
    image = pe.parse(view, offset)
    if image is None:
        harvest.findings.append(Finding("LF1024", Where(0x3C, 4, field="e_lfanew"), {"header": "PE", "offset": offset}))
        return None
    harvest.evidence += image.evidence
    harvest.executables.append(Executable(Binary.PE, ("windows",), image.machine, offset, max(0, image.end - offset)))
    return image.certificate


def _add_copies(
    view: View,
    script: ApeScript,
    harvest: _Harvest,
) -> list[Loader]:
    loaders: dict[tuple[int, int], Loader] = {}
    for copy in script.copies:
        what = "Mach-O header" if copy.onto_self else "loader"
        sound = copy.size > 0 and (not copy.onto_self or (copy.offset >= 64 and copy.size >= 32))
        if not sound or copy.offset + copy.size > view.source.size:
            args: dict[str, str | int] = {"what": what, "offset": copy.offset, "size": copy.size}
            harvest.findings.append(Finding("LF1026", Where(script.start, field="dd"), args))
            continue
        harvest.evidence.append(Evidence(what, copy.offset, copy.offset + copy.size))
        if not copy.onto_self:
            packing = Packing.GZIP if copy.gzip else Packing.RAW
            loader = Loader(copy.offset, copy.size, packing, copy.machine, copy.source)
            loaders.setdefault((copy.offset, copy.size), loader)
        elif machine := macho.cpu(view.take(copy.offset, 8) or b""):
            harvest.executables.append(Executable(Binary.MACHO, ("macos",), machine, copy.offset, copy.size))
        else:
            where = Where(copy.offset, copy.size, field="dd")
            harvest.findings.append(Finding("LF1024", where, {"header": "Mach-O", "offset": copy.offset}))
    return list(loaders.values())


def _converted_to_elf(head: bytes, facts: PrefixFacts, findings: list[Finding]) -> PrefixFacts:
    """Bytes [0, 64) hold a printed header. Its ABI byte may have been set to zero on the way; all else must agree."""
    header = elf.parse_header(head)
    same = any(head[:7] + head[8:64] == item[:7] + item[8:64] for item in facts.printed)
    findings.append(Finding("LF1022", Where(0, 64), {"format": "ELF"}))
    if header is None or not same:
        findings.append(Finding("LF1023", Where(0, 64), {"format": "ELF"}))
    kept = tuple(item for item in facts.executables if header and item.machine == header.machine and item.printed)
    live = tuple(replace(item, printed=False) for item in kept[:1])
    return replace(facts, executables=live)


def _converted_to_macho(
    view: View, head: bytes, script: ApeScript, facts: PrefixFacts, findings: list[Finding]
) -> PrefixFacts:
    findings.append(Finding("LF1022", Where(0, 32), {"format": "Mach-O"}))
    image = macho.parse(view, 0)
    if image is None or not any(_copy_is_live(view, head, copy) for copy in script.copies if copy.onto_self):
        findings.append(Finding("LF1023", Where(0, 32), {"format": "Mach-O"}))
    if image is None:
        return replace(facts, executables=())
    program = Executable(Binary.MACHO, ("macos",), image.machine, 0, image.end)
    return replace(facts, executables=(program,), evidence=facts.evidence + image.evidence)


def _copy_is_live(view: View, head: bytes, copy: Copy) -> bool:
    """True if the bytes at 0 are those that the script would copy there."""
    size = min(copy.size, len(head))
    return view.take(copy.offset, size) == head[:size]
