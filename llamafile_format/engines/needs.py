"""What a program needs from the system it is for, read from its headers; nothing is run (spec/1.0, 14.5.9).

For ELF the loader and the libraries, for PE the libraries, for Mach-O the libraries and the oldest system, for
WebAssembly the modules it imports from. The programs are builds of our own; what makes no sense is a FormatError.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from llamafile_format.engines.pin import Target
from llamafile_format.errors import FormatError

_ELF_MACHINES = {62: "x86_64", 183: "aarch64", 243: "riscv64"}
_PE_MACHINES = {0x8664: "x86_64", 0xAA64: "aarch64"}
_MACHO_CPUS = {0x01000007: "x86_64", 0x0100000C: "aarch64"}
_MACHO_LIBRARIES = frozenset({0x0C, 0x80000018, 0x8000001F, 0x20})
_LC_BUILD_VERSION = 0x32
_LC_VERSION_MIN = 0x24
_CONTAINERS = {"windows": "pe", "macos": "macho", "wasm32": "wasm"}
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB = 1, 5


@dataclass(frozen=True, slots=True)
class Needs:
    """``loader`` is ELF's interpreter, ``minimum`` the oldest macOS; both empty where there is no such thing.

    ``functions`` are the names of imported functions, which are read from PE only.
    """

    container: str
    machine: str
    libraries: tuple[str, ...] = ()
    loader: str = ""
    minimum: str = ""
    functions: frozenset[str] = frozenset()


def needs(program: bytes) -> Needs:
    """What ``program`` needs. Raises FormatError if it is no program of a known form."""
    try:
        if program[:4] == b"\x7fELF":
            return _elf(program)
        if program[:2] == b"MZ":
            return _pe(program)
        if program[:4] == b"\xcf\xfa\xed\xfe":
            return _macho(program)
        if program[:8] == b"\0asm\x01\0\0\0":
            return _wasm(program)
    except (struct.error, IndexError, ValueError) as error:
        raise FormatError("the program's headers make no sense", clause="14.5.9") from error
    raise FormatError("this is no program of a known form", found=program[:4].hex(), clause="14.5.9")


def objections(target: Target, program: bytes, own: Collection[str] = ()) -> list[str]:
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
    wrong += [f"it takes {name} from the system" for name in sorted(found.functions.intersection(own))]
    return wrong


def _elf(data: bytes) -> Needs:
    machine, phoff, phentsize, phnum = (
        *struct.unpack_from("<H", data, 18),
        *struct.unpack_from("<Q", data, 32),
        *struct.unpack_from("<HH", data, 54),
    )
    loads, dynamic, loader = [], b"", ""
    for index in range(phnum):
        kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", data, phoff + index * phentsize)
        if kind == _PT_LOAD:
            loads.append((address, offset, size))
        elif kind == _PT_DYNAMIC:
            dynamic = data[offset : offset + size]
        elif kind == _PT_INTERP:
            loader = _text(data, offset)
    entries = [struct.unpack_from("<qQ", dynamic, at) for at in range(0, len(dynamic) - 15, 16)]
    strings = next((value for tag, value in entries if tag == _DT_STRTAB), 0)
    base = next((strings - start + offset for start, offset, size in loads if start <= strings < start + size), 0)
    names = tuple(_text(data, base + value) for tag, value in entries if tag == _DT_NEEDED)
    return Needs("elf", _ELF_MACHINES.get(machine, str(machine)), names, loader)


def _pe(data: bytes) -> Needs:
    (start,) = struct.unpack_from("<I", data, 60)
    machine, count = struct.unpack_from("<HH", data, start + 4)
    (optional_size,) = struct.unpack_from("<H", data, start + 20)
    optional = start + 24
    if data[start : start + 4] != b"PE\0\0" or struct.unpack_from("<H", data, optional) != (0x20B,):
        raise ValueError
    sections = []
    for index in range(count):
        at = optional + optional_size + 40 * index
        _, address, size, offset = struct.unpack_from("<IIII", data, at + 8)
        sections.append((address, size, offset))

    def place(address: int) -> int:
        """The offset in the file of what is at ``address`` in memory; StopIteration if it is nowhere."""
        found: int = next(offset + address - base for base, size, offset in sections if base <= address < base + size)
        return found

    names, functions = [], set()
    for directory, row, field, thunks in ((1, 20, 12, 0), (13, 32, 4, 16)):  # imports and delayed imports
        address, _ = struct.unpack_from("<II", data, optional + 112 + 8 * directory)
        at = place(address) if address else 0
        while address and any(data[at : at + row]):
            names.append(_text(data, place(struct.unpack_from("<I", data, at + field)[0])))
            thunk = place(struct.unpack_from("<I", data, at + thunks)[0])
            while entry := struct.unpack_from("<Q", data, thunk)[0]:
                if not entry >> 63:  # by name, not by number
                    functions.add(_text(data, place(entry) + 2))
                thunk += 8
            at += row
    return Needs("pe", _PE_MACHINES.get(machine, hex(machine)), tuple(names), functions=frozenset(functions))


def _macho(data: bytes) -> Needs:
    _, cpu, _, _, count, _ = struct.unpack_from("<IIIIII", data)
    at, names, minimum = 32, [], ""
    for _ in range(count):
        kind, size = struct.unpack_from("<II", data, at)
        if kind in _MACHO_LIBRARIES:
            names.append(_text(data, at + struct.unpack_from("<I", data, at + 8)[0]))
        elif kind in (_LC_BUILD_VERSION, _LC_VERSION_MIN):
            (packed,) = struct.unpack_from("<I", data, at + (12 if kind == _LC_BUILD_VERSION else 8))
            minimum = f"{packed >> 16}.{packed >> 8 & 0xFF}"
        at += size
    return Needs("macho", _MACHO_CPUS.get(cpu, hex(cpu)), tuple(names), minimum=minimum)


def _wasm(data: bytes) -> Needs:
    names: dict[str, None] = {}
    at = 8
    while at < len(data):
        kind = data[at]
        size, body = _leb(data, at + 1)
        if kind == 2:
            names.update(dict.fromkeys(_wasm_modules(data, body)))
        at = body + size
    return Needs("wasm", "wasi", tuple(names))


def _wasm_modules(data: bytes, at: int) -> Iterator[str]:
    """The module of every import. A description is a kind and its type; functions and tags have one and two numbers."""
    count, at = _leb(data, at)
    for _ in range(count):
        size, at = _leb(data, at)
        yield data[at : at + size].decode("utf-8")
        size, at = _leb(data, at + size)
        kind, at = data[at + size], at + size + 1
        if kind == 0:
            _, at = _leb(data, at)
        elif kind == 4:
            _, at = _leb(data, at + 1)
        else:
            raise FormatError("the module imports more than functions", found=kind, clause="14.5.9")


def _leb(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length at ``at``, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if byte < 0x80:
            return value, at


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode("utf-8")
