"""What a program needs from the system it is for, read from its headers; nothing is run (spec/1, 14.5.9).

For ELF the loader, the libraries and their versions, for PE the libraries, for Mach-O the libraries and the oldest
system, for WebAssembly the modules it imports from. What makes no sense is a FormatError.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from llamafile_format.engines.peek import Peek
from llamafile_format.engines.pin import Flavour, FlavourRecipe, Pin, Target
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


@dataclass(frozen=True, slots=True)
class Needs:
    """``loader`` is ELF's interpreter; ``minimum`` the oldest macOS, or glibc; both empty where there is no such thing.

    ``functions`` are the names of imported functions, each with the place where it stands in the program. Those of
    Mach-O begin with the underscore that they have there; of WebAssembly only modules are read.
    """

    container: str
    machine: str
    libraries: tuple[str, ...] = ()
    loader: str = ""
    minimum: str = ""
    functions: Mapping[str, int] = field(default_factory=dict)


def needs(program: bytes | ByteSource) -> Needs:
    """What ``program`` needs. Raises FormatError if it is no program of a known form."""
    data = Peek(BytesSource(program, "program") if isinstance(program, bytes) else program)
    try:
        head = data.bytes(0, 8)
        if head[:6] == b"\x7fELF\2\1":
            return _elf(data)
        if head[:2] == b"MZ":
            return _pe(data)
        if head[:4] == b"\xcf\xfa\xed\xfe":
            return _macho(data)
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
    return wrong


def against(pin: Pin, target: str, flavour: Flavour, program: bytes | ByteSource) -> list[str]:
    """What speaks against ``program`` as the build of ``pin`` for ``target`` in ``flavour`` (14.5.9).

    Whoever makes a build, checks one that is here, or verifies a file that carries one asks this.
    """
    wanted = pin.target(target)
    if wanted is None or flavour not in wanted.flavours:
        return [f"the pin has no {flavour} builds for {target}"]
    own = pin.flavours.get(flavour, FlavourRecipe()).functions
    return objections(wanted.of(flavour), program, own)


def _elf(data: Peek) -> Needs:
    (machine,), (phoff, shoff) = data.unpack("<H", 18), data.unpack("<QQ", 32)
    phentsize, phnum, shentsize, shnum = data.unpack("<HHHH", 54)
    loads, dynamic, size, loader = [], 0, 0, ""
    for index in range(phnum):
        kind, _, offset, address, _, length = data.unpack("<IIQQQQ", phoff + index * phentsize)
        if kind == _PT_LOAD:
            loads.append((address, offset, length))
        elif kind == _PT_DYNAMIC:
            dynamic, size = offset, length
        elif kind == _PT_INTERP:
            loader = data.name(offset)
    entries = list(data.rows("<qQ", dynamic, min(size // 16, _MAX_DYNAMIC)))

    def place(address: int) -> int:
        """The offset in the file of what is at ``address`` in memory."""
        return next(
            (address - start + offset for start, offset, length in loads if start <= address < start + length), 0
        )

    told = {tag: value for tag, value in entries if tag != _DT_NEEDED}
    base = place(told.get(_DT_STRTAB, 0))
    names = tuple(data.name(base + value) for tag, value in entries if tag == _DT_NEEDED)
    versions = _elf_versions(data, place(told.get(_DT_VERNEED, 0)), told.get(_DT_VERNEEDNUM, 0), base)
    functions = _elf_functions(data, shoff, shentsize, shnum)
    return Needs("elf", _ELF_MACHINES.get(machine, str(machine)), names, loader, _newest(versions), functions)


def _elf_versions(data: Peek, at: int, count: int, strings: int) -> list[str]:
    """Names of the versions that a program needs of its libraries."""
    names = []
    for _ in range(count):
        _, wanted, _, first, following = data.unpack("<HHIII", at)
        row = at + first
        for _ in range(wanted):
            _, _, _, name, step = data.unpack("<IHHII", row)
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


def _elf_functions(data: Peek, shoff: int, shentsize: int, shnum: int) -> dict[str, int]:
    """Names that the program takes from its libraries, by the table of symbols that the loader reads."""
    found: dict[str, int] = {}
    sections = [data.unpack("<IIQQQQII", shoff + index * shentsize) for index in range(shnum if shoff else 0)]
    for _, kind, _, _, offset, size, link, _ in sections:
        if kind == _SHT_DYNSYM and link < len(sections):
            strings = sections[link][4]
            for name, _, _, section in data.rows("<IBBH16x", offset, size // 24):
                if section == _UNDEFINED and name:
                    found.setdefault(data.name(strings + name), strings + name)
    return found


def _pe(data: Peek) -> Needs:
    (start,) = data.unpack("<I", 60)
    machine, count = data.unpack("<HH", start + 4)
    (optional_size,) = data.unpack("<H", start + 20)
    optional = start + 24
    if data.bytes(start, 4) != b"PE\0\0" or data.unpack("<H", optional) != (0x20B,):
        raise ValueError
    sections = []
    for index in range(count):
        _, address, size, offset = data.unpack("<IIII", optional + optional_size + 40 * index + 8)
        sections.append((address, size, offset))

    def place(address: int) -> int:
        """The offset in the file of what is at ``address`` in memory; ValueError if it is nowhere."""
        for base, size, offset in sections:
            if base <= address < base + size:
                return int(offset + address - base)
        raise ValueError

    names = []
    functions: dict[str, int] = {}
    for directory, row, name, thunks in ((1, 20, 12, 0), (13, 32, 4, 16)):  # imports and delayed imports
        address, _ = data.unpack("<II", optional + 112 + 8 * directory)
        at = place(address) if address else 0
        while address and any(data.bytes(at, row)):
            names.append(data.name(place(data.unpack("<I", at + name)[0])))
            thunk = place(data.unpack("<I", at + thunks)[0])
            while entry := data.unpack("<Q", thunk)[0]:
                if not entry >> 63:  # by name, not by number
                    functions.setdefault(data.name(place(entry) + 2), place(entry) + 2)
                thunk += 8
            at += row
    return Needs("pe", _PE_MACHINES.get(machine, hex(machine)), tuple(names), functions=functions)


def _macho(data: Peek) -> Needs:
    _, cpu, _, _, count, _ = data.unpack("<IIIIII", 0)
    at, names, minimum = 32, [], ""
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
    if symbols:
        for (name,) in data.rows("<I12x", symbols + 16 * first, undefined):
            functions.setdefault(data.name(strings + name), strings + name)
    return Needs("macho", _MACHO_CPUS.get(cpu, hex(cpu)), tuple(names), minimum=minimum, functions=functions)


def _wasm(data: Peek) -> Needs:
    names: dict[str, None] = {}
    at, end = 8, data.size
    while at < end:
        kind = data.bytes(at, 1)[0]
        size, body = _leb(data, at + 1)
        if kind == 2:
            names.update(_wasm_modules(data, body))
        at = body + size
    return Needs("wasm", "wasi", tuple(names))


def _wasm_modules(data: Peek, at: int) -> dict[str, None]:
    """The module of every import. A description is a kind and its type; functions and tags have one and two numbers."""
    names: dict[str, None] = {}
    count, at = _leb(data, at)
    for _ in range(count):
        size, at = _leb(data, at)
        names[data.bytes(at, size).decode("utf-8")] = None
        size, at = _leb(data, at + size)
        kind, at = data.bytes(at + size, 1)[0], at + size + 1
        if kind == 0:
            _, at = _leb(data, at)
        elif kind == 4:
            _, at = _leb(data, at + 1)
        else:
            raise FormatError("the module imports more than functions", found=kind, clause="14.5.9")
    return names


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
