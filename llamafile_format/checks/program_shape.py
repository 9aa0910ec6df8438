"""What the headers of a program say: what it runs on, code that it can change, packers, what it asks of the system.

By bytes alone (spec/1, 14.8.2 to 14.8.4). Nothing is run, and a header is a claim: each place is looked for in the
program before it is told.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from llamafile_format.engines.needs import needs
from llamafile_format.errors import FormatError
from llamafile_format.prefix import elf, macho, pe
from llamafile_format.prefix.facts import Binary, PrefixFacts, PrefixKind, View
from llamafile_format.source import ByteSource, Window

WASM = b"\0asm"
HEAD = 4096  # bytes of a program in which packers leave their mark

NATIVE = frozenset({PrefixKind.ELF, PrefixKind.PE, PrefixKind.MACHO})
"""Kinds whose headers alone say where the program ends; behind an APE or a script there may be anything."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ASKS: dict[str, frozenset[str]] = {
    "starts programs": _names(
        "execve execv execvp execvpe execl execlp execle fexecve posix_spawn posix_spawnp system popen vfork wordexp "
        "CreateProcessA CreateProcessW CreateProcessAsUserA CreateProcessAsUserW ShellExecuteA ShellExecuteW "
        "ShellExecuteExA ShellExecuteExW WinExec _wsystem _popen _wpopen _spawnv _wspawnv NSTask "
        "proc_spawn proc_exec proc_fork"
    ),
    "uses the network": _names(
        "socket connect bind listen accept accept4 sendto recvfrom getaddrinfo gethostbyname WSAStartup WSASocketA "
        "WSASocketW WSAConnect InternetOpenA InternetOpenW InternetOpenUrlA InternetOpenUrlW HttpSendRequestA "
        "HttpSendRequestW WinHttpOpen WinHttpConnect URLDownloadToFileA URLDownloadToFileW DnsQuery_A DnsQuery_W "
        "curl_easy_perform sock_open sock_connect sock_bind sock_listen sock_accept sock_send sock_recv"
    ),
    "reaches into other processes": _names(
        "ptrace process_vm_readv process_vm_writev OpenProcess ReadProcessMemory WriteProcessMemory "
        "CreateRemoteThread CreateRemoteThreadEx VirtualAllocEx VirtualProtectEx QueueUserAPC SetThreadContext "
        "NtUnmapViewOfSection ZwUnmapViewOfSection NtCreateThreadEx SetWindowsHookExA SetWindowsHookExW "
        "task_for_pid mach_vm_write thread_create_running"
    ),
    "makes or loads code as it runs": _names(
        "dlopen dlmopen memfd_create mprotect LoadLibraryA LoadLibraryW LoadLibraryExA LoadLibraryExW VirtualProtect "
        "NSCreateObjectFileImageFromMemory"
    ),
    "changes what it may do": _names(
        "setuid setgid seteuid setreuid setresuid chroot pivot_root unshare setns mount init_module finit_module bpf "
        "AdjustTokenPrivileges ImpersonateLoggedOnUser SetWindowsHookA RegSetValueExA RegSetValueExW CreateServiceA "
        "CreateServiceW"
    ),
}
"""What matters of the functions that a program takes from its system, by what they do."""

_SECTIONS = (
    ("UPX", ("UPX0", "UPX1", "UPX2", "UPX!")),
    ("ASPack", (".aspack", ".adata")),
    ("MPRESS", (".MPRESS1", ".MPRESS2")),
    ("PECompact", ("PEC2", "pec1", "PEC2TO")),
    ("Petite", (".petite",)),
    ("NsPack", (".nsp0", ".nsp1", "nsp0", "nsp1")),
    ("VMProtect", (".vmp0", ".vmp1", ".vmp2")),
    ("Themida", (".themida", "Themida", ".winlice", "WinLicen")),
    ("Enigma", (".enigma1", ".enigma2")),
    ("FSG", ("FSG!",)),
    ("kkrunchy", ("kkrunchy",)),
)
_MARKS = (
    ("UPX", b"$Info: This file is packed with the UPX"),
    ("PyInstaller", b"MEI\x0c\x0b\x0a\x0b\x0e"),
    ("NSIS", b"\xef\xbe\xad\xdeNullsoftInst"),
    ("Inno Setup", b"Inno Setup Setup Data ("),
    ("7-Zip SFX", b";!@Install@!UTF-8!"),
    ("makeself", b"# This script was generated using Makeself"),
)


class Place(NamedTuple):
    """Something told of the bytes ``at`` to ``at + size`` of a program."""

    what: str
    at: int
    size: int


def runs_on(facts: PrefixFacts, head: bytes) -> str:
    """The systems and processors that the bytes provide for; ``head`` are the first four."""
    pairs = [f"{system}-{machine}" for system, machine in facts.runs_on] or [
        f"{program.format.value} for {program.machine}" for program in facts.executables
    ]
    if not pairs and head == WASM:
        return "a machine for WebAssembly"
    return ", ".join(dict.fromkeys(pairs)) or facts.interpreter[:80] or "nothing that is known here"


def writable_code(view: View, facts: PrefixFacts) -> Iterator[Place]:
    """Segments and sections that are mapped writable and executable at once, each in every header that has one."""
    for header in _elf_headers(view, facts):
        for segment in elf.segments(view, header) or ():
            if segment.writable_code:
                yield Place("segment", segment.offset, segment.size)
    for pe_image in _pe_images(view, facts):
        for section in pe_image.sections:
            if section.writable_code:
                yield Place(f"section {section.name}", section.offset or section.at, section.size or 40)
    for at in _macho_headers(view, facts):
        image = macho.parse(view, at)
        for item in image.writable_code if image else ():
            yield Place(item.what, item.start, item.end - item.start)


def packers(view: View, facts: PrefixFacts) -> Iterator[Place]:
    """Packers whose marks stand in the headers."""
    for image in _pe_images(view, facts):
        for section in image.sections:
            for name, names in _SECTIONS:
                if section.name in names:
                    yield Place(name, section.at, 40)
    if facts.kind is PrefixKind.ELF:
        at = view.upto(0, HEAD).find(b"UPX!")  # in the field of the loader, behind the program headers
        if at >= 0:
            yield Place("UPX", at, 4)


def is_polyglot(facts: PrefixFacts) -> bool:
    """True for a launcher, an APE, and what was linked as one: programs for several systems are inside of them."""
    return facts.kind in (PrefixKind.LAUNCHER, PrefixKind.APE) or bool(facts.notes.ape)


def marks(data: bytes, base: int) -> Iterator[Place]:
    """Packers whose marks stand somewhere in ``data``, which stands at ``base``."""
    for name, mark in _MARKS:
        at = data.find(mark)
        if at >= 0:
            yield Place(name, base + at, len(mark))


def overlay(facts: PrefixFacts, size: int) -> Place | None:
    """The bytes of a native program behind everything that its headers name, its signature included."""
    if facts.kind not in NATIVE or facts.end is None or not _mapped(facts):
        return None
    end = max(facts.end, sum(facts.certificate) if facts.certificate else 0)
    return Place("overlay", end, size - end) if 0 < end < size else None


def _mapped(facts: PrefixFacts) -> bool:
    """True if the headers name anything but themselves."""
    return any(word in item.what for item in facts.evidence for word in ("segment", "section ", "slice"))


def asks(program: ByteSource) -> tuple[dict[str, list[tuple[str, int]]], str]:
    """Functions that matter, by what they do, each with its place; and why there may be more, empty if not."""
    found: dict[str, list[tuple[str, int]]] = {}
    unread = ""
    for base, size in _slices(program):
        try:
            functions = needs(Window(program, base, size)).functions
        except FormatError as error:
            unread = unread or error.message
            continue
        for name, at in functions.items():
            plain = name.removeprefix("_")
            for what, names in ASKS.items():
                if plain in names or name in names:
                    places = found.setdefault(what, [])
                    if all(plain != told for told, _ in places):  # the slices of one program take the same ones
                        places.append((plain, base + at))
    return found, unread


def _slices(program: ByteSource) -> Iterator[tuple[int, int]]:
    """(offset, size) of what is a program in ``program``: the slices of a universal Mach-O, otherwise all of it."""
    images = macho.parse_universal(View(program, program.size))
    for image in images or ():
        start, end = min(image.offset, program.size), min(image.end, program.size)
        yield start, end - start
    if not images:
        yield 0, program.size


def _elf_headers(view: View, facts: PrefixFacts) -> Iterator[elf.ElfHeader]:
    """The headers that the script prints, and that of a plain ELF."""
    heads = list(facts.printed)
    if facts.kind is PrefixKind.ELF or facts.generation == "assimilated-elf":
        heads.append(view.upto(0, elf.HEADER_SIZE))
    for head in heads:
        header = elf.parse_header(head)
        if header is not None:
            yield header


def _pe_images(view: View, facts: PrefixFacts) -> Iterator[pe.PeImage]:
    """The PE image of a program that begins with ``MZ``."""
    head = view.upto(0, 64)
    if head[:2] == b"MZ" and len(head) == 64 and any(each.format is Binary.PE for each in facts.executables):
        (at,) = struct.unpack_from("<I", head, 0x3C)
        image = pe.parse(view, at)
        if image is not None:
            yield image


def _macho_headers(view: View, facts: PrefixFacts) -> list[int]:
    return [each.offset for each in facts.executables if each.format is Binary.MACHO and each.offset < view.end]
