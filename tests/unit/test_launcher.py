"""The launcher's bytes: deterministic, where the specification puts them, and readable by other people's parsers."""

from __future__ import annotations

import hashlib
import io
import re
import struct
from itertools import pairwise
from pathlib import Path

import pefile
import pytest
import yaml
from elftools.elf.elffile import ELFFile

from llamafile_format.errors import FormatError, LimitExceeded
from llamafile_format.prefix.bootstrap import (
    BOOTSTRAP,
    HEADER_SIZE,
    LAUNCHER_SIZES,
    POLYGLOT,
    SLOT_FORMS,
    SLOTS_OFFSET,
    Claim,
    Form,
    claim,
    slot,
)
from llamafile_format.prefix.facts import PrefixKind
from llamafile_format.prefix.identify import identify
from llamafile_format.prefix.launcher import (
    LAUNCHER_SIZE,
    LauncherBuild,
    LauncherIndex,
    Sibling,
    build_launcher,
    read_index,
    regions,
)
from llamafile_format.prefix.launcher_index import INDEX_SIZE, MAX_BUILDS
from llamafile_format.prefix.launcher_script import second_stage
from llamafile_format.prefix.launcher_templates import VERSIONS, template
from llamafile_format.prefix.reverted import Reverted, form_of, revert
from llamafile_format.source import BytesSource

UNIT = 1 << 16
BUILDS = [
    LauncherBuild("windows-x86_64", "native", 9 * UNIT, 70_000, "33" * 32),
    LauncherBuild("linux-x86_64", "native", 4 * UNIT, 3 * UNIT + 5 * 512 + 7, "11" * 32),
    LauncherBuild("linux-aarch64", "reference", 8 * UNIT, 100, "22" * 32),
    LauncherBuild("wasm32-wasi", "reference", 11 * UNIT, 1, "44" * 32),
]
WEIGHTS = (12 * UNIT, 5_000_000_000)
GOLDEN = {
    1: "6915f2b51a5631dd9138342628b93a057a52a563061fc7833fda5fca6feb54d1",
    2: "a918d8ced597ecb417455114b0c3cad004eac17008c1e278eb6eaa39b1abc78d",
}
"""SHA-256 of the launcher of each version for BUILDS and WEIGHTS. A line here is never changed, only added."""


@pytest.fixture(scope="module")
def launcher() -> bytes:
    return build_launcher(BUILDS, WEIGHTS)


def test_every_version_stays_what_it_was() -> None:
    assert set(GOLDEN) == set(VERSIONS) == set(LAUNCHER_SIZES)
    for version, digest in GOLDEN.items():
        assert hashlib.sha256(build_launcher(BUILDS, WEIGHTS, version)).hexdigest() == digest


@pytest.mark.parametrize("version", VERSIONS)
def test_templates_are_the_recorded_ones(version: int, repository: Path) -> None:
    recipe = yaml.safe_load((repository / f"runtimes/launcher/{version}/launcher.yaml").read_text("utf-8"))
    assert recipe["version"] == version
    for program in recipe["programs"]:
        data = template(version, program["file"])
        assert (len(data), hashlib.sha256(data).hexdigest()) == (program["size"], program["sha256"])
    chapter = (repository / "spec/1/14-runtimes.md").read_text("utf-8")
    for name in ("stage2.sh", *(program["file"] for program in recipe["programs"])):
        data = template(version, name)
        assert f"| `{name}` | {len(data):,} | `{hashlib.sha256(data).hexdigest()}` |" in chapter


def test_order_of_builds_does_not_matter(launcher: bytes) -> None:
    assert build_launcher(BUILDS[::-1], WEIGHTS) == launcher
    assert len(launcher) == LAUNCHER_SIZE


def test_regions_tile_the_launcher(launcher: bytes) -> None:
    found = regions()
    assert (found[0].start, found[-1].end) == (0, len(launcher))
    assert all(a.end == b.start for a, b in pairwise(found))


def test_head(launcher: bytes) -> None:
    assert launcher[:60] == BOOTSTRAP
    assert launcher.index(0) == 0x3D  # behind a line end and a lower-case letter: shells look no further
    assert claim(launcher[:UNIT]) is Claim.OURS
    assert not any(launcher[0x30000:])


def test_index(launcher: bytes) -> None:
    index = read_index(launcher[:4096])
    assert index == LauncherIndex(2, tuple(sorted(BUILDS, key=lambda build: build.offset)), WEIGHTS)
    # The table of clause 14.2.4, read with nothing but struct.
    assert struct.unpack_from("<8sIIII", launcher, 0x400) == (b"LFFIDX1\0", 2, 0, 4, 80)
    assert struct.unpack_from("<QQQQ", launcher, 0x418) == (*WEIGHTS, 0, 0)
    target, flavour, offset, size, digest = struct.unpack_from("<20s12sQQ32s", launcher, 0x4C0)
    assert (target.rstrip(b"\0"), flavour.rstrip(b"\0")) == (b"linux-x86_64", b"native")
    assert (offset, size, digest) == (4 * UNIT, 3 * UNIT + 5 * 512 + 7, b"\x11" * 32)


def test_index_of_a_small_exe() -> None:
    sibling = Sibling(7_000_000_000, 4096, "ab" * 32)
    found = read_index(build_launcher(BUILDS[:1], WEIGHTS, sibling=sibling)[:4096])
    assert found is not None
    assert (found.sibling, found.weights) == (sibling, WEIGHTS)


def test_second_stage(launcher: bytes) -> None:
    script = launcher[0x1000:0x3000]
    assert script.isascii()
    assert 0 not in script
    assert script.endswith(b"\n")
    text = script.decode()
    assert f"linux-x86_64-native) a=4 b=3 c=5 g=7 s={'11' * 32};;" in text
    assert f"linux-aarch64-|linux-aarch64-reference) a=8 b=0 c=0 g=100 s={'22' * 32};;" in text
    assert "windows-x86_64-native)" not in text
    assert "linux-x86_64/native linux-aarch64/reference windows-x86_64/native wasm32-wasi/reference" in text
    assert f"LFF_WEIGHTS_OFFSET={WEIGHTS[0]} LFF_WEIGHTS_SIZE={WEIGHTS[1]}; export" in text
    assert "unset LFF_WEIGHTS_OFFSET LFF_WEIGHTS_SIZE" in build_launcher(BUILDS, None)[0x1000:0x3000].decode()
    assert f'"${{y%?????}}0" -ge {sum(WEIGHTS) // 100_000}0' in text
    assert not re.search(r"@[A-Z]+@", text)


def test_what_a_file_must_have_at_least(launcher: bytes) -> None:
    index = read_index(launcher)
    assert index is not None
    assert index.end == sum(WEIGHTS)
    beside = read_index(build_launcher(BUILDS, WEIGHTS, sibling=Sibling(7, 8, "ab" * 32)))
    assert beside is not None
    assert beside.end == 11 * UNIT + 1  # the last build; the model is in the other file


def test_builds_for_the_gpu_are_not_listed() -> None:
    """Only a native build starts them (14.2.4); version 1 knew of none and lists whatever it is given."""
    more = [*BUILDS, LauncherBuild("linux-x86_64", "gpu", 3 * UNIT, 5, "55" * 32)]
    assert build_launcher(more, WEIGHTS) == build_launcher(BUILDS, WEIGHTS)
    old = read_index(build_launcher(more, WEIGHTS, 1))
    assert old is not None
    assert len(old.builds) == len(more)


def _many(count: int, systems: tuple[str, ...]) -> list[LauncherBuild]:
    """Builds with long names and large numbers, in two flavours."""
    names = [f"{system}-{processor}" for processor in ("x86_64", "aarch64", "riscv64") for system in systems]
    return [
        LauncherBuild(
            names[number // 2 % len(names)],
            ("native", "reference")[number % 2],
            (99_000 + 500 * number) * UNIT,
            499 * UNIT - 1,
            "ab" * 32,
        )
        for number in range(count)
    ]


def test_there_is_room_for_32_builds() -> None:
    """All of them for systems with shells, at offsets beyond 6 GB, of 32 MB each."""
    builds = _many(32, ("linux", "macos", "freebsd", "netbsd", "openbsd"))
    assert len({(build.target, build.flavour) for build in builds}) >= 30
    index = read_index(build_launcher(builds, (1 << 36, 1 << 36)))
    assert index is not None
    assert len(index.builds) == 32


def test_what_does_not_fit_is_refused() -> None:
    windows = _many(MAX_BUILDS + 1, ("windows",))
    assert len(build_launcher(windows[:-1], None)) == LAUNCHER_SIZE
    with pytest.raises(LimitExceeded, match="too many runtime builds"):
        build_launcher(windows, None)
    index = LauncherIndex(1, tuple(_many(60, ("freebsd", "openbsd"))))
    with pytest.raises(LimitExceeded, match="too many runtime builds"):
        second_stage(template(2, "stage2.sh"), index)
    for bad in (
        LauncherBuild("linux-x86_64", "native", 4 * UNIT + 1, 5, "11" * 32),
        LauncherBuild("linux-x86_64", "native", 0, 5, "11" * 32),
        LauncherBuild("linux-x86_64", "native", 4 * UNIT, 0, "11" * 32),
        LauncherBuild("linux-x86_64-and-much-more", "native", 4 * UNIT, 5, "11" * 32),
        LauncherBuild("linux-x86_64", "native) rm;", 4 * UNIT, 5, "11" * 32),
        LauncherBuild("", "native", 4 * UNIT, 5, "11" * 32),
    ):
        with pytest.raises(FormatError):
            build_launcher([bad], None)
    with pytest.raises(FormatError, match="version 99"):
        build_launcher([], None, 99)


def test_damaged_indexes_are_no_indexes(launcher: bytes) -> None:
    for at, value in ((0x400, b"X"), (0x410, b"\x25"), (0x414, b"\x51")):
        assert read_index(launcher[:at] + value + launcher[at + 1 :]) is None
    assert read_index(launcher[: 0x400 + INDEX_SIZE - 1]) is None


def test_windows_program(launcher: bytes) -> None:
    """pefile reads the relocated program as it reads the linked one."""
    linked, moved = pefile.PE(data=template(2, "launcher.exe")), pefile.PE(data=launcher)
    assert not [text for text in moved.get_warnings() if "Byte 0x00 makes up" not in text]  # the reserve is zeros
    assert moved.OPTIONAL_HEADER.SizeOfHeaders == 0x1000
    assert moved.DOS_HEADER.e_lfanew == 0x40
    assert [entry.dll for entry in moved.DIRECTORY_ENTRY_IMPORT] == [b"KERNEL32.dll"]
    assert moved.OPTIONAL_HEADER.AddressOfEntryPoint == linked.OPTIONAL_HEADER.AddressOfEntryPoint
    assert len(moved.sections) == len(linked.sections)
    ends = []
    for before, after in zip(linked.sections, moved.sections, strict=True):
        assert before.get_data() == after.get_data()
        assert (before.VirtualAddress, before.Misc_VirtualSize) == (after.VirtualAddress, after.Misc_VirtualSize)
        assert after.VirtualAddress >= 0x1000
        if after.SizeOfRawData:
            assert after.PointerToRawData >= 0x3000
            assert after.PointerToRawData % 0x200 == 0
            ends.append(after.PointerToRawData + after.SizeOfRawData)
    assert max(ends) <= SLOTS_OFFSET
    assert moved.OPTIONAL_HEADER.DATA_DIRECTORY[4].Size == 0
    assert len(template(2, "launcher.exe")) <= 12 << 10


@pytest.mark.parametrize(("form", "machine"), [(Form.ELF_X86_64, "EM_X86_64"), (Form.ELF_AARCH64, "EM_AARCH64")])
def test_native_programs(form: Form, machine: str, launcher: bytes) -> None:
    header = slot(launcher, form)
    assert len(header) == HEADER_SIZE
    elf = ELFFile(io.BytesIO(header + launcher[HEADER_SIZE:]))
    assert elf["e_machine"] == machine
    assert (elf["e_shoff"], elf["e_shnum"]) == (0, 0)
    base = {Form.ELF_X86_64: 0x10000, Form.ELF_AARCH64: 0x20000}[form]
    loads = [segment for segment in elf.iter_segments() if segment["p_type"] == "PT_LOAD"]
    assert loads[0]["p_offset"] == 0
    assert loads[0]["p_vaddr"] + elf["e_phoff"] == next(elf.iter_segments("PT_PHDR"))["p_vaddr"]
    for segment in elf.iter_segments():
        assert segment["p_type"] not in ("PT_INTERP", "PT_DYNAMIC")
        assert segment["p_offset"] + segment["p_filesz"] <= base + 0x10000
        if segment["p_type"] == "PT_LOAD":
            assert segment["p_offset"] % UNIT == segment["p_vaddr"] % UNIT
    assert launcher[base : base + HEADER_SIZE] == header


def test_slots(launcher: bytes) -> None:
    assert [slot(launcher, form)[:4] for form in SLOT_FORMS] == [b"MZ=;", b"\x7fELF", b"\x7fELF"]
    assert launcher[0xFE80:0xFE84] == launcher[0xFEC0:0xFEC4] == b"\x80ELF"  # kept so that nobody takes it for one
    assert build_launcher(BUILDS, WEIGHTS, 1)[0xFE80:0xFE84] == b"\x7fELF"
    assert slot(launcher, Form.POLYGLOT) == POLYGLOT
    assert not any(launcher[SLOTS_OFFSET + 4 * HEADER_SIZE : UNIT])


@pytest.mark.parametrize("form", SLOT_FORMS)
def test_identified_in_every_form(form: Form, launcher: bytes) -> None:
    source = BytesSource(slot(launcher, form) + launcher[HEADER_SIZE:] + b"archive")
    facts = identify(source, limit=LAUNCHER_SIZE)
    assert facts.kind is PrefixKind.LAUNCHER
    assert facts.end == LAUNCHER_SIZE
    assert not facts.findings
    assert facts.generation == ("" if form is Form.POLYGLOT else form.value)
    expected = {
        Form.POLYGLOT: (("linux", "aarch64"), ("linux", "x86_64"), ("windows", "x86_64")),
        Form.ELF_X86_64: (("linux", "x86_64"),),
        Form.ELF_AARCH64: (("linux", "aarch64"),),
    }
    assert facts.runs_on == expected[form]
    reverted = revert(source)
    assert form_of(reverted) is form
    assert revert(reverted) is reverted
    assert reverted.read_at(0, len(launcher)) == launcher


def test_reverted_reads(launcher: bytes) -> None:
    source = Reverted(BytesSource(slot(launcher, Form.ELF_X86_64) + launcher[HEADER_SIZE:]), Form.ELF_X86_64)
    for offset, length in ((0, 10), (0, 64), (0, 65), (10, 20), (60, 10), (63, 1), (64, 5), (5, 0), (100, 50)):
        expected = launcher[offset : offset + length]
        assert source.read_at(offset, length) == expected
        buffer = bytearray(length)
        source.read_into(offset, memoryview(buffer))
        assert buffer == expected
        assert source.read_ranges([(offset, length), (64, 3)]) == [expected, launcher[64:67]]


def test_other_programs_are_not_taken_for_converted_launchers(launcher: bytes) -> None:
    elf = slot(launcher, Form.ELF_X86_64)
    changed = elf[:24] + bytes([elf[24] ^ 1]) + elf[25:]
    assert claim(changed + launcher[HEADER_SIZE:UNIT]) is Claim.FALSE
    assert claim(elf + launcher[HEADER_SIZE:0x400] + bytes(8) + launcher[0x408:UNIT]) is Claim.NO
    assert claim(elf + launcher[HEADER_SIZE : SLOTS_OFFSET + 64] + bytes(64) + launcher[SLOTS_OFFSET + 128 : UNIT]) is (
        Claim.FALSE
    )
