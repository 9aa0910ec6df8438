"""What programs need from their system, read from headers of every kind; and what speaks against a build."""

from __future__ import annotations

import struct
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from llamafile_format.engines.needs import needs, objections
from llamafile_format.engines.pin import Flavour, Target
from llamafile_format.errors import FormatError


def elf(machine: int = 62, libraries: tuple[str, ...] = (), loader: str = "") -> bytes:
    """A program of 64 bits: one segment that maps the whole file at 0x10000, and what its loader reads."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in libraries)
    at, entries = 1, []
    for name in libraries:
        entries.append((1, at))
        at += len(name) + 1
    interpreter = loader.encode() + b"\0" if loader else b""
    start = 64 + 56 * 3
    table = start + len(strings) + len(interpreter)
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in [*entries, (5, 0x10000 + start), (0, 0)])
    size = table + len(dynamic)

    def segment(kind: int, offset: int, length: int) -> bytes:
        return struct.pack("<IIQQQQQQ", kind, 4, offset, 0x10000 + offset, 0, length, length, 1)

    head = struct.pack(
        "<4s5B7xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 0, 2, machine, 1, 0, 64, 0, 0, 64, 56, 3, 0, 0, 0
    )
    segments = segment(1, 0, size) + segment(2 if libraries else 0, table, len(dynamic))
    segments += segment(3 if loader else 0, start + len(strings), len(interpreter))
    return head + segments + strings + interpreter + dynamic


def pe(libraries: dict[str, tuple[str, ...]]) -> bytes:
    """A program for Windows with one section, at address 0x1000 and offset 512, that holds its imports."""
    rows, texts = b"", b""
    base = 20 * (len(libraries) + 1)
    for library, functions in libraries.items():
        thunks = base + len(texts)
        names = thunks + 8 * (len(functions) + 1)
        table, words = b"", b""
        for function in functions:
            table += struct.pack("<Q", 0x1000 + names + len(words))
            words += b"\0\0" + function.encode() + b"\0"
        texts += table + bytes(8) + words
        rows += struct.pack("<IIIII", 0x1000 + thunks, 0, 0, 0x1000 + base + len(texts), 0)
        texts += library.encode() + b"\0"
    body = rows + bytes(20) + texts
    optional = struct.pack("<H", 0x20B).ljust(112, b"\0") + struct.pack("<IIII", 0, 0, 0x1000, len(rows)).ljust(
        128, b"\0"
    )
    head = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64) + b"PE\0\0"
    head += struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, len(optional), 0) + optional
    head += struct.pack("<8sIIII", b".rdata", len(body), 0x1000, len(body), 512).ljust(40, b"\0")
    return head.ljust(512, b"\0") + body


def macho(libraries: tuple[str, ...], minimum: tuple[int, int], cpu: int = 0x0100000C) -> bytes:
    """A program for macOS."""
    commands = []
    for library in libraries:
        name = library.encode() + b"\0"
        commands.append(struct.pack("<IIIIII", 0x0C, 24 + len(name), 24, 0, 0, 0) + name)
    commands.append(struct.pack("<IIIIII", 0x32, 24, 1, minimum[0] << 16 | minimum[1] << 8, 0, 0))
    body = b"".join(commands)
    return struct.pack("<IIIIIIII", 0xFEEDFACF, cpu, 0, 2, len(commands), len(body), 0, 0) + body


def wasm(modules: tuple[str, ...]) -> bytes:
    """A module that imports one function from each of ``modules``."""
    entries = b"".join(bytes([len(name)]) + name.encode() + b"\x01f\x00\x00" for name in modules)
    section = bytes([len(modules)]) + entries
    return b"\0asm\x01\0\0\0" + bytes([1, 4, 1, 0x60, 0, 0]) + bytes([2, len(section)]) + section


def target(name: str, **more: object) -> Target:
    plain = Target(name, "z", "s", "p", "runtime", (Flavour.NATIVE,))
    return replace(plain, **more)  # type: ignore[arg-type]


GOOD = [
    (target("linux-x86_64"), elf()),
    (target("linux-riscv64"), elf(243)),
    (
        target("freebsd-x86_64", imports=("libc.so.7", "libm.so.*"), loader="/libexec/ld-elf.so.1"),
        elf(libraries=("libc.so.7", "libm.so.5"), loader="/libexec/ld-elf.so.1"),
    ),
    (
        target("windows-x86_64", imports=("KERNEL32.dll", "api-ms-win-crt-*.dll")),
        pe({"kernel32.dll": ("ReadFile",), "api-ms-win-crt-math-l1-1-0.dll": ("ldexp", "lroundf")}),
    ),
    (
        target("macos-aarch64", imports=("/usr/lib/libSystem.B.dylib",), minimum="11.0"),
        macho(("/usr/lib/libSystem.B.dylib",), (11, 0)),
    ),
    (target("wasm32-wasi", imports=("wasi_snapshot_preview1",)), wasm(("wasi_snapshot_preview1",))),
]


@pytest.mark.parametrize(("wanted", "program"), GOOD, ids=lambda value: getattr(value, "name", ""))
def test_nothing_speaks_against_a_good_build(wanted: Target, program: bytes) -> None:
    assert objections(wanted, program) == []


def test_another_processor() -> None:
    assert objections(target("linux-x86_64"), elf(183)) == ["it is for aarch64, not x86_64"]
    assert objections(target("macos-x86_64"), macho((), (11, 0)))[0] == "it is for aarch64, not x86_64"
    assert objections(target("linux-x86_64"), wasm(())) == ["it is wasm, not elf", "it is for wasi, not x86_64"]
    assert objections(target("windows-x86_64"), elf()) == ["it is elf, not pe"]


def test_a_static_program_stays_static() -> None:
    found = objections(target("linux-x86_64"), elf(libraries=("libc.so.6",), loader="/lib64/ld-linux-x86-64.so.2"))
    assert found == [
        "it needs libc.so.6, which the pin does not allow",
        "its loader is /lib64/ld-linux-x86-64.so.2, not none",
    ]


def test_an_unexpected_library() -> None:
    wanted = GOOD[3][0]
    assert objections(wanted, pe({"msvcrt.dll": ()})) == ["it needs msvcrt.dll, which the pin does not allow"]


def test_a_newer_system() -> None:
    assert objections(GOOD[4][0], macho((), (15, 0))) == ["it needs version 15.0, not 11.0"]


def test_a_function_that_must_be_its_own() -> None:
    program = pe({"api-ms-win-crt-math-l1-1-0.dll": ("ldexp", "powf")})
    assert objections(GOOD[3][0], program, ["pow", "powf"]) == ["it takes powf from the system"]


def test_the_oldest_glibc_is_the_newest_version_of_a_symbol() -> None:
    names = [b"libc.so.6", b"GLIBC_2.2.5", b"GLIBC_2.17", b"GLIBC_2.9", b"GLIBC_PRIVATE"]
    strings = b"\0" + b"\0".join(names) + b"\0"
    at = {name: strings.index(b"\0" + name + b"\0") + 1 for name in names}
    start = 64 + 56 * 2
    needed = start + len(strings)
    versions = struct.pack("<HHIII", 1, 4, at[names[0]], 16, 0)
    for index, name in enumerate(names[1:]):
        versions += struct.pack("<IHHII", 0, 0, 2, at[name], 16 if index < 3 else 0)
    table = needed + len(versions)
    tags = [(1, at[names[0]]), (5, 0x10000 + start), (0x6FFFFFFE, 0x10000 + needed), (0x6FFFFFFF, 1), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *tag) for tag in tags)
    size = table + len(dynamic)
    data = elf()[:54] + struct.pack("<HHHHH", 56, 2, 0, 0, 0)
    for kind, offset, length in ((1, 0, size), (2, table, len(dynamic))):
        data += struct.pack("<IIQQQQQQ", kind, 4, offset, 0x10000 + offset, 0, length, length, 1)
    data += strings + versions + dynamic
    assert (needs(data).minimum, needs(data).libraries) == ("2.17", ("libc.so.6",))
    wanted = target("linux-x86_64", imports=("libc.so.6",), minimum="2.17")
    assert objections(wanted, data) == []
    assert objections(replace(wanted, minimum="2.12"), data) == ["it needs version 2.17, not 2.12"]


ENDLESS = [
    b"\xcf\xfa\xed\xfe" + struct.pack("<IIIIII", 0x0100000C, 0, 2, 0xFFFFFFFF, 0, 0).ljust(1 << 12, b"\0"),
    elf(libraries=("a",))[:-32] + struct.pack("<qQ", 0x6FFFFFFF, 1 << 60) + struct.pack("<qQ", 0x6FFFFFFE, 0x10000),
    b"\0asm\x01\0\0\0" + b"\x02" + b"\xff" * 4096,
]


@pytest.mark.parametrize("program", ENDLESS, ids=["commands of no length", "versions in a circle", "a number"])
def test_headers_that_do_not_come_to_an_end(program: bytes) -> None:
    before = time.monotonic()
    with pytest.raises(FormatError, match="make no sense"):
        needs(program)
    assert time.monotonic() - before < 5


def test_all_libraries_of_all_kinds_are_read() -> None:
    assert needs(elf(libraries=("a.so", "b.so"))).libraries == ("a.so", "b.so")
    assert needs(pe({"a.dll": ("f",), "b.dll": ()})).libraries == ("a.dll", "b.dll")
    assert needs(macho(("a", "b"), (12, 3))).minimum == "12.3"
    assert needs(wasm(("a", "a", "b"))).libraries == ("a", "b")


def elf_with_functions(bits: int, order: str, *names: str) -> bytes:
    """A program of ``bits`` and ``order`` that takes ``names`` from its libraries: a table of symbols, one of texts."""
    texts = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    head = 64 if bits == 64 else 52
    number = "Q" if bits == 64 else "I"
    row = "IIQQQQIIQQ" if bits == 64 else "10I"
    symbols = b""
    for name in ("", *names):
        at = texts.index(name.encode() + b"\0") if name else 0
        fields = (at, 0x12, 0, 0, 0, 0) if bits == 64 else (at, 0, 0, 0x12, 0, 0)
        symbols += struct.pack(order + ("IBBHQQ" if bits == 64 else "IIIBBH"), *fields)
    table = head + len(texts) + len(symbols)
    sections = struct.pack(order + row, *(0,) * 10)
    sections += struct.pack(order + row, 0, 3, 0, 0, head, len(texts), 0, 0, 1, 0)
    sections += struct.pack(order + row, 0, 11, 0, 0, head + len(texts), len(symbols), 1, 0, 1, 0)
    data = struct.pack("<4s5B7x", b"\x7fELF", bits // 32, 1 if order == "<" else 2, 1, 0, 0)
    data += struct.pack(order + "HHI" + 3 * number, 2, 3, 1, 0, 0, table)
    data += struct.pack(order + "IHHHHHH", 0, head, 56 if bits == 64 else 32, 0, struct.calcsize(order + row), 3, 0)
    return data + texts + symbols + sections


def pe32(*functions: str, delayed: str = "") -> bytes:
    """A PE image of 32 bits that imports ``functions``, and a ``delayed`` one by whole addresses, as old ones do."""
    base, texts = 0x400000, b""
    body = bytearray(200)
    at = {}
    for name in (*functions, delayed):
        at[name] = 0x1000 + len(body) + len(texts)
        texts += b"\0\0" + name.encode() + b"\0"
    library = 0x1000 + len(body) + len(texts)
    texts += b"a.dll\0"
    for index, name in enumerate(functions):
        struct.pack_into("<I", body, 140 + 4 * index, at[name])
    struct.pack_into("<IIIII", body, 0, 0, 0, 0, library, 0x1000 + 140)  # without a table of names
    if delayed:
        struct.pack_into("<I", body, 180, base + at[delayed])
        struct.pack_into("<IIIII", body, 40, 0, base + library, 0, 0, base + 0x1000 + 180)
    body += texts
    optional = struct.pack("<H26xI", 0x10B, base).ljust(96, b"\0") + struct.pack("<IIII", 0, 0, 0x1000, 40)
    optional = optional.ljust(96 + 8 * 13, b"\0") + struct.pack("<IIIIII", 0x1028 if delayed else 0, 64, 0, 0, 0, 0)
    head = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64) + b"PE\0\0"
    head += struct.pack("<HHIIIHH", 0x14C, 1, 0, 0, 0, len(optional), 0) + optional
    head += struct.pack("<8sIIII", b".rdata", len(body), 0x1000, len(body), 512).ljust(40, b"\0")
    return head.ljust(512, b"\0") + bytes(body)


def wasm_of_all_kinds() -> bytes:
    """A module that imports a table, a memory with an end, a global, a tag and a function, in this order."""
    kinds = (b"\x01\x70\x01\x01\x05", b"\x02\x01\x01\x80\x02", b"\x03\x7f\x00", b"\x04\x00\x00", b"\x00\x00")
    names = (b"t", b"m", b"g", b"e", b"sock_connect")
    rows = b"".join(b"\x01x" + bytes([len(n)]) + n + kind for n, kind in zip(names, kinds, strict=True))
    section = bytes([len(kinds)]) + rows
    return b"\0asm\x01\0\0\0" + bytes([1, 4, 1, 0x60, 0, 0]) + bytes([2, len(section)]) + section


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_functions_of_elf_of_every_kind(bits: int, order: str) -> None:
    data = elf_with_functions(bits, order, "execve", "puts")
    found = needs(data).functions
    assert {name: data[at : at + len(name)].decode() for name, at in found.items()} == {
        "execve": "execve",
        "puts": "puts",
    }


def test_functions_of_old_windows_programs() -> None:
    data = pe32("WinExec", "ReadFile", delayed="WSAStartup")
    found = needs(data)
    assert (found.container, found.machine) == ("pe", "0x14c")
    assert [data[at : at + len(name)].decode() for name, at in found.functions.items()] == list(found.functions)
    assert list(found.functions) == ["WinExec", "ReadFile", "WSAStartup"]


def test_functions_of_modules() -> None:
    data = wasm_of_all_kinds()
    found = needs(data)
    assert list(found.functions) == ["sock_connect"]
    assert found.others == ("x.t", "x.m", "x.g")
    assert data[found.functions["sock_connect"] :].startswith(b"sock_connect")
    wanted = target("wasm32-wasi", imports=("x",))
    assert objections(wanted, data) == [f"it imports x.{name}, which is no function" for name in "tmg"]


def test_a_program_of_32_bits_is_for_no_target_of_64() -> None:
    x32 = bytearray(elf_with_functions(32, "<", "a"))
    struct.pack_into("<H", x32, 18, 62)
    assert objections(target("linux-x86_64"), bytes(x32)) == ["it is for 62 (32 bits, <), not x86_64"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a program of Linux")
def test_a_real_program() -> None:
    found = needs(Path("/bin/sh").resolve().read_bytes())
    assert any(name.startswith("libc.") for name in found.libraries) or not found.loader


@pytest.mark.parametrize("program", [b"", b"#!/bin/sh\n", b"MZ", b"\x7fELF", b"\xcf\xfa\xed\xfe", elf()[:100]])
def test_what_makes_no_sense_is_refused(program: bytes) -> None:
    with pytest.raises(FormatError):
        needs(program)
