"""What a program needs from the system it is for, read from its headers; nothing is run (spec/1, 14.5.9).

For ELF the loader, the libraries and their versions, for PE the libraries, for Mach-O the libraries and the oldest
system, for WebAssembly the modules it imports from. What makes no sense is a FormatError.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from llamafile_format.engines.peek import Peek
from llamafile_format.engines.pin import Flavour, FlavourRecipe, Kind, Pin, Target
from llamafile_format.errors import FormatError
from llamafile_format.source import ByteSource, BytesSource

_ELF_MACHINES = {62: "x86_64", 183: "aarch64", 243: "riscv64"}
_PE_MACHINES = {0x8664: "x86_64", 0xAA64: "aarch64"}
_MACHO_CPUS = {0x01000007: "x86_64", 0x0100000C: "aarch64"}
_MACHO_LIBRARIES = frozenset({0x0C, 0x80000018, 0x8000001F, 0x20})
_LC_BUILD_VERSION = 0x32
_LC_VERSION_MIN = 0x24
_LC_SYMTAB, _LC_DYSYMTAB = 0x2, 0xB
_CONTAINERS = {"windows": "pe", "macos": "macho", "wasm32": "wasm"}
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_VERNEED, _DT_VERNEEDNUM = 1, 5, 0x6FFFFFFE, 0x6FFFFFFF
_MAX_DYNAMIC = 4096  # entries
_SHT_DYNSYM, _UNDEFINED = 11, 0
_GLIBC = "GLIBC_"
_PE32, _PE32_PLUS = 0x10B, 0x20B
_IMPORTS = 2  # section of WebAssembly
_FUNCTION, _TABLE, _MEMORY, _GLOBAL, _TAG = range(5)  # what is imported
RUNNER = b'#!/bin/sh\n"""true"\n'
"""How the text begins that runs Python code of others: a shell, given it, says what to do, and ends (14.10.3)."""


@dataclass(frozen=True, slots=True)
class Needs:
    """``loader`` is ELF's interpreter; ``minimum`` the oldest macOS, or glibc; both empty where there is no such thing.

    ``functions`` are the names of imported functions, each with the place where it stands in the program. Those of
    Mach-O begin with the underscore that they have there. ``others`` are imports of WebAssembly that are no functions.
    """

    container: str
    machine: str
    libraries: tuple[str, ...] = ()
    loader: str = ""
    minimum: str = ""
    functions: Mapping[str, int] = field(default_factory=dict)
    others: tuple[str, ...] = ()


def needs(program: bytes | ByteSource) -> Needs:
    """What ``program`` needs. Raises FormatError if it is no program of a known form."""
    data = Peek(BytesSource(program, "program") if isinstance(program, bytes) else program)
    try:
        head = data.bytes(0, 8)
        if head[:4] == b"\x7fELF" and head[4:6] in _ELF_LAYOUTS:
            return _elf(data, _ELF_LAYOUTS[head[4:6]])
        if head[:2] == b"MZ":
            return _pe(data)
        if head[:4] in (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe"):
            return _macho(data, wide=head[0] == 0xCF)
        if head == b"\0asm\x01\0\0\0":
            return _wasm(data)
    except (struct.error, IndexError, ValueError) as error:
        raise FormatError("the program's headers make no sense", clause="14.5.9") from error
    raise FormatError("this is no program of a known form", found=head[:4].hex(), clause="14.5.9")


def objections(target: Target, program: bytes | ByteSource, own: Collection[str] = ()) -> list[str]:
    """What speaks against ``program`` as a build for ``target``: another machine, a library that may not be there.

    ``own`` are functions that the program must have itself, and not take from the system.
    """
    found = needs(program)
    wrong = []
    system, _, machine = target.name.partition("-")
    container = _CONTAINERS.get(system, "elf")
    if found.container != container:
        wrong.append(f"it is {found.container}, not {container}")
    if found.machine != machine:
        wrong.append(f"it is for {found.machine}, not {machine}")
    wrong += [
        f"it needs {library}, which the pin does not allow"
        for library in found.libraries
        if not any(fnmatchcase(library.lower(), pattern.lower()) for pattern in target.imports)
    ]
    if found.loader != target.loader:
        wrong.append(f"its loader is {found.loader or 'none'}, not {target.loader or 'none'}")
    if found.minimum != target.minimum:
        wrong.append(f"it needs version {found.minimum or 'any'}, not {target.minimum or 'any'}")
    wrong += [f"it takes {name} from the system" for name in sorted(found.functions.keys() & set(own))]
    wrong += [f"it imports {name}, which is no function" for name in found.others]
    return wrong


def against(pin: Pin, target: str, flavour: Flavour, program: bytes | ByteSource) -> list[str]:
    """What speaks against ``program`` as the build of ``pin`` for ``target`` in ``flavour`` (14.5.9).

    Whoever makes a build, checks one that is here, or verifies a file that carries one asks this.
    """
    wanted = pin.target(target)
    if wanted is None or flavour not in wanted.flavours:
        return [f"the pin has no {flavour} builds for {target}"]
    if pin.kind is Kind.PYTHON_WHEELS:
        source = BytesSource(program, "program") if isinstance(program, bytes) else program
        head = source.read_at(0, min(len(RUNNER), source.size))
        return [] if head == RUNNER else ["it is no text that says how it is started (14.10.3)"]
    own = pin.flavours.get(flavour, FlavourRecipe()).functions
    return objections(wanted.of(flavour), program, own)


@dataclass(frozen=True, slots=True)
class _Elf:
    """How ELF writes its tables in one class and order of bytes. ``counts`` is where ``e_phentsize`` stands."""

    order: str
    bits: int
    offsets: str
    counts: int
    segment: str
    entry: str
    symbol: str

    def form(self, fields: str) -> str:
        """``fields`` in this order of bytes."""
        return self.order + fields

    def machine(self, number: int) -> str:
        """What a target calls the processor; programs of 32 bits, or with the upper byte first, are for another."""
        usual = _ELF_MACHINES.get(number, str(number))
        return usual if (self.order, self.bits) == ("<", 64) else f"{number} ({self.bits} bits, {self.order})"


_ELF_LAYOUTS = {
    bytes([kind, order]): _Elf("<>"[order - 1], *layout)
    for order in (1, 2)
    for kind, layout in {
        1: (32, "II", 42, "IIIII", "iI", "I8xBBH"),
        2: (64, "QQ", 54, "IIQQQQ", "qQ", "IBBH16x"),
    }.items()
}
"""By the bytes ``EI_CLASS`` and ``EI_DATA``."""


def _elf(data: Peek, elf: _Elf) -> Needs:
    (machine,) = data.unpack(elf.form("H"), 18)
    phoff, shoff = data.unpack(elf.form(elf.offsets), 28 if elf.bits == 32 else 32)
    phentsize, phnum, shentsize, shnum = data.unpack(elf.form("HHHH"), elf.counts)
    loads, dynamic, size, loader = [], 0, 0, ""
    for index in range(phnum):
        kind, *_, offset, address, _, length = data.unpack(elf.form(elf.segment), phoff + index * phentsize)
        if kind == _PT_LOAD:
            loads.append((address, offset, length))
        elif kind == _PT_DYNAMIC:
            dynamic, size = offset, length
        elif kind == _PT_INTERP:
            loader = data.name(offset)
    row = struct.calcsize(elf.form(elf.entry))
    entries = list(data.rows(elf.form(elf.entry), dynamic, min(size // row, _MAX_DYNAMIC)))

    def place(address: int) -> int:
        """The offset in the file of what is at ``address`` in memory."""
        return next(
            (address - start + offset for start, offset, length in loads if start <= address < start + length), 0
        )

    told = {tag: value for tag, value in entries if tag != _DT_NEEDED}
    base = place(told.get(_DT_STRTAB, 0))
    names = tuple(data.name(base + value) for tag, value in entries if tag == _DT_NEEDED)
    versions = _elf_versions(data, elf, place(told.get(_DT_VERNEED, 0)), told.get(_DT_VERNEEDNUM, 0), base)
    functions = _elf_functions(data, elf, shoff, shentsize, shnum)
    return Needs("elf", elf.machine(machine), names, loader, _newest(versions), functions)


def _elf_versions(data: Peek, elf: _Elf, at: int, count: int, strings: int) -> list[str]:
    """Names of the versions that a program needs of its libraries."""
    names = []
    for _ in range(count):
        _, wanted, _, first, following = data.unpack(elf.form("HHIII"), at)
        row = at + first
        for _ in range(wanted):
            _, _, _, name, step = data.unpack(elf.form("IHHII"), row)
            names.append(data.name(strings + name))
            row += step
        at += following
    return names


def _newest(versions: list[str]) -> str:
    """The newest version of glibc among ``versions``, which is the oldest that the program starts with."""
    numbers = [
        tuple(map(int, text.removeprefix(_GLIBC).split(".")))
        for text in versions
        if text.startswith(_GLIBC) and text.removeprefix(_GLIBC).replace(".", "").isdigit()
    ]
    return ".".join(map(str, max(numbers, default=())))


def _elf_functions(data: Peek, elf: _Elf, shoff: int, shentsize: int, shnum: int) -> dict[str, int]:
    """Names that the program takes from its libraries, by the table of symbols that the loader reads."""
    found: dict[str, int] = {}
    row = elf.form("8I" if elf.bits == 32 else "IIQQQQII")
    sections = [data.unpack(row, shoff + index * shentsize) for index in range(shnum if shoff else 0)]
    symbol = elf.form(elf.symbol)
    for _, kind, _, _, offset, size, link, _ in sections:
        if kind == _SHT_DYNSYM and link < len(sections):
            strings = sections[link][4]
            for name, _, _, section in data.rows(symbol, offset, size // struct.calcsize(symbol)):
                if section == _UNDEFINED and name:
                    found.setdefault(data.name(strings + name), strings + name)
    return found


def _pe(data: Peek) -> Needs:
    (start,) = data.unpack("<I", 60)
    machine, count = data.unpack("<HH", start + 4)
    (optional_size,) = data.unpack("<H", start + 20)
    optional = start + 24
    (magic,) = data.unpack("<H", optional)
    if data.bytes(start, 4) != b"PE\0\0" or magic not in (_PE32, _PE32_PLUS):
        raise ValueError
    form, base, directories = ("<Q", 0, 112) if magic == _PE32_PLUS else ("<I", data.unpack("<I", optional + 28)[0], 96)
    sections = []
    for index in range(count):
        _, address, size, offset = data.unpack("<IIII", optional + optional_size + 40 * index + 8)
        sections.append((address, size, offset))

    def place(address: int) -> int:
        """The offset in the file of what is at ``address`` in memory; ValueError if it is nowhere."""
        for first, size, offset in sections:
            if first <= address < first + size:
                return int(offset + address - first)
        raise ValueError

    names, functions = [], dict[str, int]()
    width = struct.calcsize(form)
    for directory, row, name, thunks in ((1, 20, 12, 0), (13, 32, 4, 16)):  # imports and delayed imports
        address, _ = data.unpack("<II", optional + directories + 8 * directory)
        at = place(address) if address else 0
        while address and any(data.bytes(at, row)):
            # Old compilers wrote whole addresses into delayed imports, and said so in the first bit.
            less = base if row == 32 and not data.unpack("<I", at)[0] & 1 else 0
            names.append(data.name(place(data.unpack("<I", at + name)[0] - less)))
            thunk = place((data.unpack("<I", at + thunks)[0] or _bound(data, at, row)) - less)
            while entry := data.unpack(form, thunk)[0]:
                if not entry >> (8 * width - 1):  # by name, not by number
                    found = place(entry - less) + 2
                    functions.setdefault(data.name(found), found)
                thunk += width
            at += row
    return Needs("pe", _PE_MACHINES.get(machine, hex(machine)), tuple(names), functions=functions)


def _bound(data: Peek, at: int, row: int) -> int:
    """Where an import whose table of names is left out, as old linkers do, has its names: in the table of addresses."""
    return int(data.unpack("<I", at + 16)[0]) if row == 20 else 0


def _macho(data: Peek, *, wide: bool) -> Needs:
    _, cpu, _, _, count, _ = data.unpack("<IIIIII", 0)
    at, names, minimum = 32 if wide else 28, [], ""
    symbols, strings, first, undefined = 0, 0, 0, 0
    for _ in range(count):
        kind, size = data.unpack("<II", at)
        if kind in _MACHO_LIBRARIES:
            names.append(data.name(at + data.unpack("<I", at + 8)[0]))
        elif kind in (_LC_BUILD_VERSION, _LC_VERSION_MIN):
            (packed,) = data.unpack("<I", at + (12 if kind == _LC_BUILD_VERSION else 8))
            minimum = f"{packed >> 16}.{packed >> 8 & 0xFF}"
        elif kind == _LC_SYMTAB:
            symbols, _, strings = data.unpack("<III", at + 8)
        elif kind == _LC_DYSYMTAB:
            first, undefined = data.unpack("<II", at + 24)
        at += size
    functions: dict[str, int] = {}
    row = "<I12x" if wide else "<I8x"
    if symbols:
        for (name,) in data.rows(row, symbols + struct.calcsize(row) * first, undefined):
            functions.setdefault(data.name(strings + name), strings + name)
    return Needs("macho", _MACHO_CPUS.get(cpu, hex(cpu)), tuple(names), minimum=minimum, functions=functions)


def _wasm(data: Peek) -> Needs:
    modules: dict[str, None] = {}
    functions: dict[str, int] = {}
    others: list[str] = []
    at, end = 8, data.size
    while at < end:
        kind = data.bytes(at, 1)[0]
        size, body = _leb(data, at + 1)
        if kind == _IMPORTS:
            for module, name, place, what in _wasm_imports(data, body):
                modules[module] = None
                if what == _FUNCTION:
                    functions.setdefault(name, place)
                elif what != _TAG:
                    others.append(f"{module}.{name}")
        at = body + size
    return Needs("wasm", "wasi", tuple(modules), functions=functions, others=tuple(others))


def _wasm_imports(data: Peek, at: int) -> Iterator[tuple[str, str, int, int]]:
    """(module, name, place of the name, kind) of every import."""
    count, at = _leb(data, at)
    for _ in range(count):
        size, at = _leb(data, at)
        module = data.bytes(at, size).decode("utf-8")
        size, place = _leb(data, at + size)
        name, kind = data.bytes(place, size).decode("utf-8"), data.bytes(place + size, 1)[0]
        yield module, name, place, kind
        at = _wasm_type(data, place + size + 1, kind)


def _wasm_type(data: Peek, at: int, kind: int) -> int:
    """Where the type of an import of ``kind`` ends, which begins at ``at``: a number for functions, two for tags, a
    type and whether it changes for globals, limits for memories, behind a type for tables."""
    if kind == _FUNCTION:
        return _leb(data, at)[1]
    if kind == _TAG:
        return _leb(data, at + 1)[1]
    if kind == _GLOBAL:
        return at + 2
    if kind not in (_TABLE, _MEMORY):
        raise FormatError("the module imports what no version of WebAssembly knows", found=kind, clause="14.5.9")
    at += kind == _TABLE
    flags = data.bytes(at, 1)[0]
    _, at = _leb(data, at + 1)
    return _leb(data, at)[1] if flags & 1 else at


def _leb(data: Peek, at: int) -> tuple[int, int]:
    """A number of variable length, at most 64 bits, at ``at``, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        (byte,) = data.bytes(at, 1)
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise ValueError
