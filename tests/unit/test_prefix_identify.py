"""Prefix identification: every generation, real programs with other people's parsers as judges, bounded reads."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pefile
import pytest
from elftools.elf.elffile import ELFFile

from llamafile_format.prefix.ape_script import decode_octal, read_script
from llamafile_format.prefix.facts import Binary, Packing, PrefixKind
from llamafile_format.prefix.identify import identify
from llamafile_format.source import BytesSource, FileSource, open_source
from spec.vectors.generate import ape as forge

GENERATIONS = {
    "heredoc": forge.MODERN,
    "quoted": forge.QUOTED,
    "heredoc-@": forge.HEREDOC_AT,
    "jartsr": forge.UNIX_ONLY,
    "jartsr-bare": replace(forge.UNIX_ONLY, magic=forge.JARTSR_BARE),
    "debug": replace(forge.MODERN, magic=forge.DEBUG),
}


class Meter:
    """A source that counts what is read from it."""

    def __init__(self, data: bytes, size: int | None = None) -> None:
        self.name = "metered"
        self._data = data
        self.size = len(data) if size is None else size
        self.read = 0

    def read_at(self, offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= self.size
        self.read += length
        return self._data[offset : offset + length].ljust(length, b"\0")

    def read_into(self, offset: int, buffer: memoryview) -> None:
        buffer[:] = self.read_at(offset, len(buffer))

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return [self.read_at(*item) for item in ranges]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_generation_and_end(generation: str) -> None:
    data = forge.forge(GENERATIONS[generation])
    facts = identify(BytesSource(data))
    assert facts.kind is PrefixKind.APE
    assert facts.generation == generation
    assert facts.end == len(data)
    assert max(item.end for item in facts.evidence) == facts.end


def _runs_on(data: bytes) -> list[str]:
    facts = identify(BytesSource(data))
    return [system for item in facts.executables for system in item.systems]


def test_the_abi_byte_of_freebsd_is_nothing_to_linux() -> None:
    assert _runs_on(forge.elf_of_abi(9)) == ["linux", "freebsd"]
    assert _runs_on(forge.elf_of_abi(9, interpreter=True)) == ["freebsd"]
    real = Path("/bin/true").read_bytes()
    assert _runs_on(real) == ["linux"]
    assert _runs_on(real[:7] + b"\x09" + real[8:]) == ["freebsd"]  # it asks for a dynamic linker


def test_the_script_of_another_ape_inside_is_data() -> None:
    data = bytearray(forge.forge())
    inner = forge.forge(forge.QUOTED)[:2048]
    data[0x3000 : 0x3000 + len(inner)] = inner
    plain, holder = identify(BytesSource(forge.forge())), identify(BytesSource(bytes(data)))
    assert holder.printed == plain.printed
    assert holder.executables == plain.executables
    assert holder.findings == plain.findings == ()


@pytest.mark.parametrize("padding", [0, 1, 65536, 1 << 20])
def test_end_does_not_depend_on_what_follows(padding: int) -> None:
    data = forge.forge()
    assert identify(BytesSource(data + bytes(padding) + b"PK\3\4")).end == len(data)


def test_modern_ape_in_full() -> None:
    facts = identify(BytesSource(forge.forge()))
    assert [(item.format, item.machine, item.printed) for item in facts.executables] == [
        (Binary.ELF, "x86_64", True),
        (Binary.ELF, "aarch64", True),
        (Binary.PE, "x86_64", False),
        (Binary.MACHO, "x86_64", False),
    ]
    assert facts.executables[2].offset > 0x10000  # e_lfanew points behind the first 64 KiB
    assert [(item.packing, item.machine, item.source) for item in facts.loaders] == [
        (Packing.GZIP, "x86_64", False),
        (Packing.GZIP, "aarch64", False),
        (Packing.GZIP, "aarch64", True),
    ]
    assert (facts.notes.ape, facts.notes.openbsd, facts.notes.netbsd) == ("1.10", True, True)
    assert (facts.word, facts.loader_cache) == ("justineabc123", ".ape-1.10")
    assert ("windows", "x86_64") in facts.runs_on
    assert ("macos", "aarch64") in facts.runs_on
    assert ("windows", "aarch64") not in facts.runs_on
    assert facts.printed[0] == forge.printed_header(forge.forge())


def test_loaders_are_where_the_script_says() -> None:
    data = forge.forge()
    for loader in identify(BytesSource(data)).loaders:
        assert data[loader.offset : loader.offset + 2] == b"\x1f\x8b"
    old = forge.forge(forge.HEREDOC_AT)
    (loader,) = identify(BytesSource(old)).loaders
    assert loader.packing is Packing.RAW
    assert old[loader.offset :].startswith(b"\x7fELF")


def test_converted_ape_keeps_its_end() -> None:
    data = forge.forge(replace(forge.MODERN, macho_size=528))
    elf_form, macho_form = identify(BytesSource(forge.to_elf(data))), identify(BytesSource(forge.to_macho(data)))
    assert elf_form.generation == "assimilated-elf"
    assert macho_form.generation == "assimilated-macho"
    assert elf_form.end == macho_form.end == len(data)
    assert elf_form.word == "justineabc123"
    assert {system for system, _ in macho_form.runs_on} == {"macos"}
    assert ("windows", "x86_64") not in elf_form.runs_on


def test_zip_only() -> None:
    facts = identify(BytesSource(b"PK\3\4" + bytes(60)))
    assert (facts.kind, facts.end, facts.findings) == (PrefixKind.NONE, 0, ())


def test_limit_keeps_reads_inside() -> None:
    meter = Meter(forge.forge())
    facts = identify(meter, limit=0x9000)  # the PE header lies behind the limit
    assert facts.kind is PrefixKind.APE
    assert "LF1024" in {item.rule for item in facts.findings}
    assert identify(meter, limit=0).kind is PrefixKind.NONE


@pytest.mark.parametrize("generation", GENERATIONS)
def test_reads_are_bounded_however_large_the_file(generation: str) -> None:
    meter = Meter(forge.forge(GENERATIONS[generation]), size=1 << 46)
    identify(meter)
    assert meter.read < 1 << 19


@pytest.mark.parametrize(
    "data",
    [forge.elf(), forge.pe(), forge.macho(), forge.universal(), forge.forge(forge.QUOTED), forge.to_elf(forge.forge())],
    ids=["elf", "pe", "macho", "universal", "ape", "assimilated"],
)
def test_any_truncation_gives_facts_never_an_exception(data: bytes) -> None:
    step = max(1, len(data) // 700)
    for size in [*range(min(len(data), 700)), *range(700, len(data), step)]:
        facts = identify(BytesSource(data[:size]))
        assert facts.end is None or facts.end <= size


@pytest.mark.parametrize("data", [forge.elf(), forge.pe(), forge.macho()], ids=["elf", "pe", "macho"])
def test_any_flipped_bit_gives_facts_never_an_exception(data: bytes) -> None:
    for bit in range(8 * 512):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        facts = identify(BytesSource(bytes(broken)))
        assert facts.end is None or facts.end <= len(data)


@pytest.mark.parametrize("path", ["/bin/ls", "/bin/sh", os.path.realpath(sys.executable)])
def test_real_elf_ends_where_elftools_says(path: str) -> None:
    if not Path(path).exists() or Path(path).read_bytes()[:4] != b"\x7fELF":
        pytest.skip(f"{path} is no ELF program on this system")
    facts = identify(FileSource(path))
    with open(path, "rb") as file:
        elf = ELFFile(file)
        ends = [elf["e_shoff"] + elf["e_shnum"] * elf["e_shentsize"]]
        ends += [item["p_offset"] + item["p_filesz"] for item in elf.iter_segments("PT_LOAD")]
        ends += [s["sh_offset"] + s["sh_size"] for s in elf.iter_sections() if s["sh_type"] != "SHT_NOBITS"]
        machine = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64"}[elf["e_machine"]]
    assert facts.kind is PrefixKind.ELF
    assert facts.end == max(ends) == Path(path).stat().st_size
    assert facts.runs_on == (("linux", machine),)


def windows_programs() -> list[Path]:
    """Windows programs that lie on this machine with pip, whatever the system."""
    folders = [Path(item) / "pip/_vendor/distlib" for item in sys.path]
    return sorted(file for folder in folders if folder.is_dir() for file in folder.glob("*.exe"))


def test_real_pe_ends_where_pefile_says() -> None:
    programs = windows_programs()
    if not programs:
        pytest.skip("this Python's pip carries no Windows programs")
    for path in programs:
        image = pefile.PE(str(path), fast_load=True)
        end = max(section.PointerToRawData + section.SizeOfRawData for section in image.sections)
        facts = identify(FileSource(path))
        assert facts.kind is PrefixKind.PE
        assert facts.end == end
        machine = {0x8664: "x86_64", 0x14C: "i386", 0xAA64: "aarch64"}[image.FILE_HEADER.Machine]
        assert facts.runs_on == (("windows", machine),)


def test_forged_programs_satisfy_other_parsers(tmp_path: Path) -> None:
    image = pefile.PE(data=forge.forge(), fast_load=True)
    assert len(image.sections) == 1
    assert image.OPTIONAL_HEADER.NumberOfRvaAndSizes == 2
    path = tmp_path / "converted"
    path.write_bytes(forge.to_elf(forge.forge()))
    with path.open("rb") as file:
        elf = ELFFile(file)
        assert elf["e_machine"] == "EM_X86_64"
        assert next(elf.iter_segments())["p_filesz"] == forge.IMAGE_SIZE


def test_launcher_is_recognised_and_left_for_its_chapter() -> None:
    facts = identify(BytesSource(b'MZ=;eval "$(dd<"$0" bs=4k skip=1 count=2 2>&-)";exit 9'.ljust(4096, b"\n")))
    assert facts.kind is PrefixKind.LAUNCHER
    assert not facts.claims_launcher


def test_script_names_its_interpreter() -> None:
    facts = identify(open_source(b"#!/usr/bin/env python3\nprint()\n"))
    assert (facts.kind, facts.interpreter, facts.end) == (PrefixKind.SCRIPT, "/usr/bin/env python3", None)


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        (rb"\177ELF\2\1'", b"\x7fELF\2\1"),
        (rb"\1112\78'", b"I2\x078"),
        (rb"\n'", b"\\n"),
        (rb"\400'", b"\0"),
        (b"ab", b"ab"),
    ],
)
def test_octal(text: bytes, decoded: bytes) -> None:
    assert decode_octal(text, 0)[0] == decoded


@pytest.mark.parametrize(
    "numbers",
    [
        b'bs=8 skip="     413" count="      87"',
        b"bs=8 skip=$((     413)) count=$((      87))",
        b"bs=8 skip=413      count=87      conv=notrunc",
        b"skip=413 count=87 bs=8",
        b"bs='8' skip='413' count='87'",
    ],
)
def test_every_spelling_of_dd(numbers: bytes) -> None:
    script = read_script(b"#'\"\n" + b'dd if="$o" of="$o" ' + numbers + b" 2>/dev/null\n\0")
    (copy,) = script.copies
    assert (copy.offset, copy.size, copy.onto_self) == (413 * 8, 87 * 8, True)


def test_absurd_numbers_are_claims_not_ends() -> None:
    data = bytearray(forge.elf())
    struct.pack_into("<Q", data, 64 + 32, 1 << 63)
    facts = identify(BytesSource(bytes(data)))
    assert facts.end is not None
    assert facts.end <= len(data)
    assert {item.rule for item in facts.findings} == {"LF1018"}


@pytest.mark.parametrize("generation", [*GENERATIONS, "math"])
def test_forged_scripts_are_scripts_to_a_shell(generation: str, tmp_path: Path) -> None:
    """``sh -n`` parses and runs nothing; what follows the last line is left out, as a running shell leaves it out."""
    shell = shutil.which("sh")
    if shell is None:
        pytest.skip("this machine has no sh")
    data = forge.forge({**GENERATIONS, "math": forge.HEREDOC_MATH}[generation])
    path = tmp_path / "script"
    path.write_bytes(data[: data.index(b"exit 127\n") + 9])
    done = subprocess.run([shell, "-n", str(path)], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
