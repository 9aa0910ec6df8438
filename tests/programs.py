"""Programs of a few hundred bytes in the place of engines: headers that say what a pin asks for, and what they do.

For Linux they are genuine ELF programs that hand a script to the shell, so that tests can start them on x86-64 and
ARM64; for other systems they are headers that nobody starts.
"""

from __future__ import annotations

import struct

_MACHINES = {"x86_64": 62, "aarch64": 183, "riscv64": 243}
_PE = {"x86_64": 0x8664, "aarch64": 0xAA64}
_CPUS = {"x86_64": 0x01000007, "aarch64": 0x0100000C}
_LOADERS = {"freebsd": b"/libexec/ld-elf.so.1", "netbsd": b"/libexec/ld.elf_so", "openbsd": b"/usr/libexec/ld.so"}
_BASE = 0x400000
_CODE = 64 + 56  # where it begins: behind the header and the only segment


def program_for(target: str, script: bytes, size: int = 0) -> bytes:
    """A static program for ``target`` that hands ``script`` and its arguments to ``/bin/sh``; padded to ``size``."""
    system, _, machine = target.partition("-")
    if system == "windows":
        return _pe(machine, script).ljust(size, b"\n")
    if system == "macos":
        return _macho(machine, script).ljust(size, b"\n")
    if system in _LOADERS:
        return _dynamic(machine, _LOADERS[system], script).ljust(size, b"\n")
    if system == "wasm32":
        return _wasm(script, size)
    return _elf(machine, script).ljust(size, b"\n")


def _dynamic(machine: str, loader: bytes, script: bytes) -> bytes:
    head = struct.pack("<4s5B7xHHI", b"\x7fELF", 2, 1, 1, 0, 0, 2, _MACHINES[machine], 1)
    head += struct.pack("<QQQIHHHHHH", 0, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    size = len(loader) + 1
    return head + struct.pack("<IIQQQQQQ", 3, 4, _CODE, 0, 0, size, size, 1) + loader + b"\0" + script


def _macho(machine: str, script: bytes) -> bytes:
    head = struct.pack("<IIIIIIII", 0xFEEDFACF, _CPUS[machine], 0, 2, 1, 24, 0, 0)
    return head + struct.pack("<IIIIII", 0x32, 24, 1, 11 << 16, 0, 0) + script


def _elf(machine: str, script: bytes) -> bytes:
    assemble = {"x86_64": _x86_64, "aarch64": _aarch64}.get(machine, _idle)
    length = len(assemble(0, 0, 0))
    option, shell = _CODE + length, _CODE + length + 3
    text = shell + len(b"/bin/sh\0")
    code = assemble(text, option, shell)
    body = code + b"-c\0/bin/sh\0" + script + b"\0"
    size = _CODE + len(body)
    start = _BASE + _CODE
    head = struct.pack("<4s5B7xHHI", b"\x7fELF", 2, 1, 1, 0, 0, 2, _MACHINES[machine], 1)
    head += struct.pack("<QQQIHHHHHH", start, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)
    return head + segment + body


def _x86_64(text: int, option: int, shell: int) -> bytes:
    """execve("/bin/sh", {"/bin/sh", "-c", text, arguments …}, environment), in the place of argc and below it."""
    code = bytearray(bytes.fromhex("488b0424 488d54c410"))  # rax = argc, rdx = environment
    for register, place, then in (("0d", text, "48890c24"), ("0d", option, "51"), ("3d", shell, "57")):
        code += bytes.fromhex(f"488d{register}")  # lea register, [rip + …]
        code += struct.pack("<i", place - (_CODE + len(code) + 4)) + bytes.fromhex(then)
    return bytes(code + bytes.fromhex("4889e6 b83b000000 0f05 bf7f000000 b83c000000 0f05"))


def _aarch64(text: int, option: int, shell: int) -> bytes:
    """The same."""
    words = [0xF94003E3, 0x910043E4, 0x8B030C82]  # x3 = argc, x4 = arguments, x2 = environment

    def address(register: int, place: int) -> None:
        """Register = place (adr)."""
        distance = place - (_CODE + 4 * len(words))
        words.append(0x10000000 | (distance & 3) << 29 | (distance >> 2 & 0x7FFFF) << 5 | register)

    address(5, text)
    words.append(0xF90003E5)  # in the place of argc
    address(6, option)
    address(0, shell)
    words += [0xA9BF1BE0, 0x910003E1, 0xD2801BA8, 0xD4000001, 0xD2800FE0, 0xD2800BA8, 0xD4000001]
    return struct.pack(f"<{len(words)}I", *words)


def _idle(_text: int, _option: int, _shell: int) -> bytes:
    """Nothing, for processors that no test starts anything on."""
    return bytes(4)


def _pe(machine: str, script: bytes) -> bytes:
    head = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64) + b"PE\0\0"
    head += struct.pack("<HHIIIHH", _PE[machine], 0, 0, 0, 0, 240, 0)
    return head + struct.pack("<H", 0x20B).ljust(240, b"\0") + script


def _wasm(script: bytes, size: int) -> bytes:
    """A module with one section of nobody's, which holds the script."""
    body = b"\0" + script.ljust(size, b"\n")
    assert len(body) < 1 << 14
    return b"\0asm\x01\0\0\0" + bytes([0, len(body) & 0x7F | 0x80, len(body) >> 7]) + body
