"""Read the program in a prefix: our launcher, an APE, a plain ELF, PE or Mach-O, a script (spec/1, 3.3 and 3.4).

Apart from :mod:`llamafile_format.prefix.identify`, so that a container without a prefix does not load these readers.
"""

from __future__ import annotations

import struct
from dataclasses import replace

from llamafile_format.findings import Finding, Where
from llamafile_format.prefix import ape, elf, macho, pe, script
from llamafile_format.prefix.bootstrap import BOOTSTRAP, LAUNCHER_SIZES, Claim, claim
from llamafile_format.prefix.facts import Binary, Evidence, Executable, Notes, PrefixFacts, PrefixKind, View
from llamafile_format.prefix.launcher_index import STARTED, read_index


def read_program(view: View, head: bytes) -> PrefixFacts:
    """What the program that starts with ``head`` (not empty) is; its end and systems are still to be settled."""
    claimed = claim(head)
    if claimed is Claim.OURS:
        return _launcher(view, head)
    if claimed is Claim.FALSE:
        return PrefixFacts(PrefixKind.OTHER, claims_launcher=True)
    if ape.is_ape(head):
        return ape.read(view, head)
    if head[:4] == elf.MAGIC:
        return _plain_elf(view, head)
    if head[:2] == b"MZ":
        return _plain_pe(view, head)
    if head[:4] in (macho.MAGIC64, macho.MAGIC32, macho.UNIVERSAL):
        return _plain_macho(view, head)
    line = script.interpreter(head)
    if line is not None:
        return PrefixFacts(PrefixKind.SCRIPT, interpreter=line)
    return PrefixFacts(PrefixKind.OTHER)


def _launcher(view: View, head: bytes) -> PrefixFacts:
    """A launcher runs on what its index names (14.2.4); one without an index that can be read shows its PE alone."""
    facts = PrefixFacts(PrefixKind.LAUNCHER, evidence=(Evidence("bootstrap", 0, len(BOOTSTRAP)),))
    index = read_index(head)
    if index is not None and index.version in LAUNCHER_SIZES:
        size = LAUNCHER_SIZES[index.version]
        targets = (build.target.partition("-")[::2] for build in index.builds)
        facts = replace(
            facts,
            evidence=(*facts.evidence, Evidence("launcher", 0, size)),
            runs_on=tuple(sorted({(system, machine) for system, machine in targets if system in STARTED})),
        )
    (offset,) = struct.unpack_from("<I", head.ljust(64, b"\0"), 0x3C)
    image = pe.parse(view, offset)
    if image is None:
        where = Where(0x3C, 4, field="e_lfanew")
        return replace(facts, findings=(Finding("LF1024", where, {"header": "PE", "offset": offset}),))
    program = Executable(Binary.PE, ("windows",), image.machine, offset, max(0, image.end - offset))
    return replace(
        facts,
        evidence=facts.evidence + image.evidence,
        executables=(program,),
        certificate=image.certificate,
    )


def _plain_elf(view: View, head: bytes) -> PrefixFacts:
    header = elf.parse_header(head)
    found = elf.segments(view, header) if header else None
    if header is None or found is None:
        return _unreadable("ELF", 0)
    ranges = [
        Evidence("ELF segment", item.offset, item.offset + item.size)
        for item in found
        if item.type == elf.PT_LOAD and item.size
    ]
    ranges += elf.section_evidence(view, header)
    ranges.append(Evidence("ELF header", 0, 64 if header.bits == 64 else 52))
    text = head + b"".join(
        view.upto(item.offset, min(item.size, elf.MAX_NOTE)) for item in found[:32] if item.type == elf.PT_NOTE
    )
    notes = ape.read_notes(text)
    systems = elf.systems(view, header, found)
    if notes.ape:  # apelink without script: one program for several systems
        systems = ("linux", "freebsd") + ("openbsd",) * notes.openbsd + ("netbsd",) * notes.netbsd
    size = max(item.end for item in ranges)
    return PrefixFacts(
        PrefixKind.ELF,
        generation="elf-strategy" if notes.ape else "",
        evidence=tuple(ranges),
        executables=(Executable(Binary.ELF, systems, header.machine, 0, size),),
        notes=notes if notes.ape else Notes(),
    )


def _plain_pe(view: View, head: bytes) -> PrefixFacts:
    (offset,) = struct.unpack_from("<I", head.ljust(64, b"\0"), 0x3C)
    image = pe.parse(view, offset)
    if image is None:
        return _unreadable("PE", offset)
    return PrefixFacts(
        PrefixKind.PE,
        generation="pe-strategy" if not any(head[2:0x3C]) else "",
        evidence=image.evidence,
        executables=(Executable(Binary.PE, ("windows",), image.machine, offset, max(0, image.end - offset)),),
        certificate=image.certificate,
    )


def _plain_macho(view: View, head: bytes) -> PrefixFacts:
    if head[:4] == macho.UNIVERSAL:
        images = macho.parse_universal(view) or ()
    else:
        thin = macho.parse(view, 0)
        images = (thin,) if thin else ()
    if not images:
        return _unreadable("Mach-O", 0)
    return PrefixFacts(
        PrefixKind.MACHO,
        evidence=tuple(item for image in images for item in image.evidence),
        executables=tuple(
            Executable(Binary.MACHO, ("macos",), image.machine, image.offset, image.end - image.offset)
            for image in images
        ),
    )


def _unreadable(header: str, offset: int) -> PrefixFacts:
    """The magic of a native program without its headers: nothing will start it, so it is of no known kind."""
    finding = Finding("LF1024", Where(0, 4), {"header": header, "offset": offset})
    return PrefixFacts(PrefixKind.OTHER, findings=(finding,))
