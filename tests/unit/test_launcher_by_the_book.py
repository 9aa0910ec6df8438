"""The launcher regenerated from clause 14.2 and the templates alone, by code that shares nothing with the library's."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from llamafile_format.prefix.launcher import LauncherBuild, Sibling, build_launcher

UNIT = 65536
SHELLS = {"linux", "macos", "freebsd", "netbsd", "openbsd"}
POLYGLOT = b'MZ=;eval "$(dd<"$0" bs=4k skip=1 count=2 2>&-)";exit 9'.ljust(60, b"\n") + struct.pack("<I", 0x40)


def index(version: int, builds: list[LauncherBuild], weights: tuple[int, int], sibling: Sibling | None) -> bytes:
    """14.2.4."""
    bound = (sibling.offset, sibling.size, bytes.fromhex(sibling.sha256)) if sibling else (0, 0, bytes(32))
    out = struct.pack(
        "<8s4I4Q32s", b"LFFIDX1", version, 1 if sibling else 0, len(builds), 80, *weights, *bound
    ) + bytes(104)
    for each in builds:
        out += struct.pack("<20s12sQQ", each.target.encode(), each.flavour.encode(), each.offset, each.size)
        out += bytes.fromhex(each.sha256)
    return out


def second_stage(template: str, builds: list[LauncherBuild], weights: tuple[int, int], slots: int, end: int) -> bytes:
    """14.2.5."""
    kept = [line.strip() for line in template.split("\n")]
    text = "\n".join(line for line in kept if line and line[0] != "#")
    lines, targets, seen = [], {}, set()
    native = {each.target for each in builds if each.flavour == "native"}
    for each in builds:
        targets.setdefault(each.target, {})[each.flavour] = None
        if each.target.split("-")[0] in SHELLS:
            first = f"{each.target}-|" if each.target not in native | seen else ""
            size = each.size
            lines.append(
                f"{first}{each.target}-{each.flavour}) a={each.offset // UNIT} b={size // UNIT} "
                f"c={size % UNIT // 512} g={size % 512} s={each.sha256};;"
            )
        seen.add(each.target)
    there = " ".join(f"{target}/{','.join(flavours)}" for target, flavours in targets.items()) or "none"
    names = "LFF_WEIGHTS_OFFSET LFF_WEIGHTS_SIZE"
    told = f"LFF_WEIGHTS_OFFSET={weights[0]} LFF_WEIGHTS_SIZE={weights[1]}; export {names}"
    for slot, value in (
        ("@BUILDS@", "\n".join(lines)),
        ("@TARGETS@", there),
        ("@WEIGHTS@", told if any(weights) else f"unset {names}"),
        ("@END@", str(end // 100_000)),
    )[:slots]:
        assert text.count(slot) == 1
        text = text.replace(slot, value)
    return text.encode("ascii").ljust(8191, b" ") + b"\n"


def windows(program: bytes) -> tuple[bytes, bytes]:
    """14.2.6: headers for 0x40, data for 0x3000."""
    start = struct.unpack_from("<I", program, 60)[0]
    count, optional = struct.unpack_from("<H", program, start + 6)[0], struct.unpack_from("<H", program, start + 20)[0]
    table = 24 + optional
    head, data, places = bytearray(program[start : start + table + 40 * count]), bytearray(), []
    head[12:20] = bytes(8)
    struct.pack_into("<I", head, 24 + 60, 0x1000)
    struct.pack_into("<I", head, 24 + 64, 0)
    for row in range(table, len(head), 40):
        address, size, pointer = struct.unpack_from("<III", head, row + 12)
        there = size and pointer
        struct.pack_into("<I", head, row + 20, 0x3000 + len(data) if there else 0)
        if there:
            places.append((address, pointer, size, 0x3000 + len(data) - pointer))
            data += program[pointer : pointer + size]
            data += bytes(-len(data) % 512)
    directory, length = struct.unpack_from("<II", head, 24 + 112 + 8 * 6)
    for address, pointer, size, moved in places:
        if address <= directory < address + size:
            at = pointer + directory - address + moved - 0x3000
            for entry in range(at + 24, at + length, 28):
                old = struct.unpack_from("<I", data, entry)[0]
                shift = next((m for _, p, s, m in places if p <= old < p + s), 0)
                struct.pack_into("<I", data, entry, old + shift)
    return bytes(head), bytes(data)


def native(program: bytes, base: int) -> tuple[bytes, bytes]:
    """14.2.7: header for the slot, image for ``base``."""
    image = bytearray(program)
    table, count, end = struct.unpack_from("<Q", image, 32)[0], struct.unpack_from("<H", image, 56)[0], 0
    for row in range(table, table + 56 * count, 56):
        kind = struct.unpack_from("<I", image, row)[0]
        offset, address, physical, size, memory = struct.unpack_from("<5Q", image, row + 8)
        end = max(end, offset + size, row + 56)
        if kind == 1 and offset == 0:
            struct.pack_into("<5Q", image, row + 8, 0, address - base, physical - base, size + base, memory + base)
        else:
            struct.pack_into("<Q", image, row + 8, offset + base)
    struct.pack_into("<QQ", image, 32, table + base, 0)
    image[58:64] = bytes(6)
    return bytes(image[:64]), bytes(image[:end])


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("sibling", [None, Sibling(9 << 32, 1234, "cd" * 32)])
@pytest.mark.parametrize("weights", [(0, 0), (5 << 32, 77)])
def test_a_second_implementation_makes_the_same_bytes(
    sibling: Sibling | None, weights: tuple[int, int], version: int, repository: Path
) -> None:
    builds = [
        LauncherBuild("linux-x86_64", "reference", 4 * UNIT, 12_345_678, "01" * 32),
        LauncherBuild("linux-x86_64", "native", 300 * UNIT, 512, "02" * 32),
        LauncherBuild("macos-aarch64", "reference", 301 * UNIT, UNIT, "03" * 32),
        LauncherBuild("windows-x86_64", "native", 302 * UNIT, 1, "04" * 32),
        LauncherBuild("wasm32-wasi", "reference", 303 * UNIT, 2, "05" * 32),
        LauncherBuild("macos-aarch64", "reference", 304 * UNIT, UNIT + 1, "06" * 32),
    ]
    folder = repository / "runtimes" / "launcher" / str(version)
    book = bytearray(262_144)

    def put(offset: int, data: bytes) -> None:
        book[offset : offset + len(data)] = data

    head, sections = windows((folder / "launcher.exe").read_bytes())
    put(0, POLYGLOT)
    put(0x40, head)
    put(0x400, index(version, builds, weights, sibling))
    ends = [each.offset + each.size for each in builds] + ([] if sibling else [sum(weights)])
    text = (folder / "stage2.sh").read_text("ascii")
    put(0x1000, second_stage(text, builds, weights, {1: 3, 2: 4}[version], max(ends)))
    put(0x3000, sections)
    put(0xFE00, b"LFFSWP1\0")
    put(0xFE40, POLYGLOT)
    for slot, base, name in ((0xFE80, 0x10000, "x86_64"), (0xFEC0, 0x20000, "aarch64")):
        header, image = native((folder / f"launcher-{name}.elf").read_bytes(), base)
        put(slot, header if version == 1 else bytes([header[0] ^ 255]) + header[1:])
        put(base, image)
    made = build_launcher(builds, weights if any(weights) else None, version, sibling=sibling)
    assert bytes(book) == made
