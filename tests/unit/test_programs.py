"""Programs that nobody here knows (14.8): what is told of their bytes, where, at which cost, and what is not."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import pickle
import random
import struct
import tarfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llamafile_format as lf
from llamafile_format.checks import programs
from llamafile_format.checks.evidence import Sort
from llamafile_format.checks.program_riders import Riders
from llamafile_format.checks.program_words import Wording
from llamafile_format.checks.programs import Program, Vouching, check_program
from llamafile_format.engines.needs import needs
from llamafile_format.engines.store import find_pin, read_build
from llamafile_format.findings import Finding
from llamafile_format.limits import PROGRAM_BYTES, PROGRAMS_BYTES
from llamafile_format.prefix.identify import identify
from llamafile_format.rules import Severity, rule
from llamafile_format.source import BytesSource
from llamafile_format.source.base import ByteSource
from spec.vectors.generate.contents import beside
from spec.vectors.generate.forge import Part, gguf
from spec.vectors.generate.launcher import launched
from spec.vectors.generate.legacy_shapes import aligned, engine, linked, run
from spec.vectors.generate.programs import elf, pickled, runtime, zipped
from tests.unit.test_runtimes_needs import elf_with_functions, pe32, wasm_of_all_kinds

pytestmark = pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
PIN = "llama.cpp@0.3.36+2"


def told(data: bytes | ByteSource, budget: int = PROGRAM_BYTES) -> list[Finding]:
    source = BytesSource(data, "program") if isinstance(data, bytes) else data
    return list(check_program(Program(source, 1000), identify(source), budget))


def rules(data: bytes | ByteSource) -> list[str]:
    return [finding.rule for finding in told(data)]


def rider(data: bytes) -> list[tuple[str, int]]:
    """What rides in ``data`` behind 16 bytes, and where it is said to begin in the file."""
    found = told(elf(b"\0" * 16 + data))
    return [(str(each.args["what"]), int(each.args["at"]) - 1136) for each in found if each.rule == "LF3363"]


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("x")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"text"))
    return out.getvalue()


SAFETENSORS = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
RIDERS: dict[str, Callable[[], bytes]] = {
    "a pickle": lambda: pickle.dumps(date(2026, 1, 1), 4) + b"\0",
    "an archive (ZIP)": zipped,
    "an archive (gzip)": lambda: gzip.compress(random.Random(1).randbytes(500)),
    "an archive (xz)": lambda: lzma.compress(b"text" * 50),
    "an archive (bzip2)": lambda: bz2.compress(random.Random(1).randbytes(200)),
    "an archive (tar)": tar,
    "weights (GGUF)": gguf,
    "weights (safetensors)": lambda: len(SAFETENSORS).to_bytes(8, "little") + SAFETENSORS + bytes(4),
    "weights (NumPy)": lambda: b"\x93NUMPY\1\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }" + bytes(64),
    "a script": lambda: b"#!/usr/bin/env python3\nimport os\nos.remove('a')\n\0",
    "a program (ELF)": lambda: elf(b"another"),
}


@pytest.mark.parametrize("what", RIDERS)
def test_riders_stand_where_they_are_said_to_stand(what: str) -> None:
    found = rider(RIDERS[what]())
    assert (what, 0) in found


@pytest.mark.parametrize("protocol", range(2, 6))
def test_pickles_of_every_protocol(protocol: int) -> None:
    assert rider(pickle.dumps(date(2026, 1, 1), protocol))[0] == ("a pickle", 0)


def test_a_pickle_that_calls_nothing_is_data() -> None:
    assert rider(pickle.dumps({"a": [1, 2, 3], "b": "text"}, 4)) == []


def test_magic_numbers_alone_are_code_that_reads_formats() -> None:
    noise = random.Random(7).randbytes
    kinds = [
        b"PK\3\4",
        b"\x1f\x8b\x08",
        b"\xfd7zXZ\0",
        b"7z\xbc\xaf\x27\x1c",
        b"Rar!\x1a\x07",
        b"ustar",
        b"GGUF",
        b"MZ",
    ]
    kinds += [
        b"\x7fELF",
        b"\x80\4\x95",
        b"\x80\2c",
        b"#!",
        b"\xcf\xfa\xed\xfe",
        b"\x89HDF\r\n\x1a\n",
        b"tjgg",
        b"1AY&SY",
    ]
    data = b"".join(magic + noise(40) for magic in kinds for _ in range(20))
    assert rider(data) == []


def test_a_rider_across_two_windows_and_one_behind_the_headers() -> None:
    data = elf(bytes((1 << 20) - 123) + pickled() + bytes(5000), behind=b"x" * 9 + gguf())
    found = told(data)
    places = {finding.args["what"]: finding.args["at"] for finding in found if finding.rule == "LF3363"}
    assert places == {"a pickle": 1000 + data.index(b"\x80\x02cos"), "weights (GGUF)": 1000 + data.index(b"GGUF")}
    assert "bytes stand behind all that its headers name" in str(found[-1].args["what"])


def test_zeros_behind_a_program_are_padding() -> None:
    assert rules(elf(b"code", behind=bytes(5000))) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
@pytest.mark.parametrize("odd", [0, 1])
def test_words_are_found_in_one_and_in_two_bytes(encoding: str, odd: int) -> None:
    text = "Powershell -enc AAAA"
    data = b"\xff\0" * 40 + b"\1" * odd + b"\0\0" + text.encode(encoding) + b"\0\0"
    words = Wording(1 << 15)
    words.look(data, 5000)
    found = words.found[Sort.COMMAND]
    assert found.text.startswith(text)
    assert found.at == 5000 + 82 + odd


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"https://H\x80\x93\x01", ""),
        (b"https://%s/api http://a", ""),
        (b"https://H\x80 and http://evil.example/x", "http://evil.example/x"),
        (b"http://127.0.0.1:8080/", "http://127.0.0.1:8080/"),
        (b"http://[::1]/ ", "http://[::1]/"),
        (b"http://user:word@host.example.org", "http://user:word@host.example.org"),
        (b"file:///etc/x", "file:///etc/x"),
        (b"http://localhost/a", "http://localhost/a"),
    ],
)
def test_an_address_has_what_can_be_a_host(text: bytes, shown: str) -> None:
    words = Wording(1 << 15)
    words.look(b"\0" + text + b"\0", 0)
    assert (words.found[Sort.ADDRESS].text if Sort.ADDRESS in words.found else "") == shown


def universal(*imports: str) -> bytes:
    """A universal Mach-O; each slice takes one function from its system, and one that takes none names symbols that
    are not there."""
    table, slices = struct.pack(">II", 0xCAFEBABE, len(imports)), b""
    for index, name in enumerate(imports):
        at, symbols, strings = 4096 * (index + 1), 512, 1024
        segment = struct.pack("<II16sQQQQIIII", 0x19, 72, b"__TEXT", 0, 4096, 0, 4096, 7, 5, 0, 0)
        names = struct.pack("<IIIIII", 2, 24, symbols if name else 1 << 20, 1, strings, 256)
        taken = struct.pack("<II", 0xB, 80) + struct.pack("<18I", 0, 0, 0, 0, 0, 1, *[0] * 12)
        head = struct.pack("<IIIIIIII", 0xFEEDFACF, 0x0100000C, 0, 2, 3, 176, 0, 0) + segment + names + taken
        symbol = struct.pack("<IBBHQ", 144, 1, 0, 0, 0)
        data = head.ljust(symbols, b"\0") + symbol
        slices += (data.ljust(strings + 144, b"\0") + name.encode()).ljust(4096, b"\0")
        table += struct.pack(">IIIII", 0x0100000C, 0, at, 4096, 12)
    return table.ljust(4096, b"\0") + slices


@pytest.mark.parametrize(
    ("data", "told_"),
    [
        (elf_with_functions(32, ">", "execve"), "starts programs (execve at byte 1053)"),
        (elf_with_functions(32, "<", "socket"), "uses the network (socket at byte 1053)"),
        (pe32("WinExec"), "starts programs (WinExec at byte 1714)"),
        (universal("_system", "_socket"), "programs (system at byte 6264); uses the network (socket at byte 10360)"),
        (universal("_system", ""), "starts programs (system at byte 6264); what it asks of its system cannot be read"),
        (wasm_of_all_kinds(), "it runs on a machine for WebAssembly; uses the network (sock_connect at byte 1052)"),
        (b"\0asm\x01\0\0\0\x02\xff", "what it asks of its system cannot be read: the program's headers make no sense"),
    ],
    ids=["elf32 big", "elf32 little", "pe32", "universal", "one slice unreadable", "wasm", "wasm cut"],
)
def test_what_programs_of_every_kind_ask_for(data: bytes, told_: str) -> None:
    assert [told_ in str(found.args["what"]) for found in told(data) if found.rule == "LF3360"] == [True]


def test_what_can_be_written_and_run_in_every_format() -> None:
    assert rules(elf(flags=7)) == ["LF3361"]
    assert rules(elf(flags=3)) == ["LF3361"]
    assert rules(elf(flags=6)) == []
    assert [rules(pe(flags)) for flags in (0xE000_0020, 0x6000_0020, 0xC000_0040)] == [["LF3361"], [], []]
    assert [rules(macho(protection)) for protection in (7, 5, 3)] == [["LF3361"], [], []]


def test_sections_of_packers() -> None:
    (found,) = told(pe(0x6000_0020, b"UPX1"))
    assert (found.rule, found.args["packer"]) == ("LF3362", "UPX")
    assert rules(pe(0x6000_0020, b".text")) == []


def pe(flags: int, name: bytes = b".text") -> bytes:
    """A PE image with one section."""
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 64)
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 240, 2)
    optional = struct.pack("<H", 0x20B) + bytes(106) + struct.pack("<I", 16) + bytes(128)
    section = struct.pack("<8sIIIIIIHHI", name, 16, 0x1000, 16, 400, 0, 0, 0, 0, flags)
    return (head + coff + optional + section).ljust(400, b"\0") + b"\xc3" * 16


def macho(protection: int) -> bytes:
    """A Mach-O with one segment."""
    segment = struct.pack("<II16sQQQQIIII", 0x19, 72, b"__TEXT", 0, 4096, 0, 200, 7, protection, 0, 0)
    return (struct.pack("<IIIIIIII", 0xFEEDFACF, 0x0100000C, 0, 2, 1, 72, 0, 0) + segment).ljust(200, b"\0")


@pytest.mark.parametrize(
    ("target", "flavour", "function"),
    [
        ("windows-x86_64", "native", "ShellExecuteW"),
        ("freebsd-x86_64", "native", "execlp"),
        ("macos-aarch64", "native", "posix_spawnp"),
        ("linux-x86_64", "reference", ""),
        ("wasm32-wasi", "reference", ""),
    ],
)
def test_builds_of_the_engine_have_no_warning_when_nobody_knew_them(target: str, flavour: str, function: str) -> None:
    pin = find_pin(PIN)
    data = read_build(pin, next(each for each in pin.builds if (each.target, each.flavour) == (target, flavour)))
    (found,) = told(data)
    assert found.rule == "LF3360"
    assert function in str(found.args["what"])
    if function:
        names = {name.removeprefix("_"): at for name, at in needs(data).functions.items()}
        assert data[names[function] :].removeprefix(b"_").startswith(function.encode() + b"\0")
        assert f"{function} at byte {1000 + names[function]}" in str(found.args["what"])


@pytest.mark.slow
def test_no_build_of_the_engine_has_a_warning() -> None:
    pin = find_pin(PIN)
    for each in pin.builds:
        assert rules(read_build(pin, each)) == ["LF3360"], each


def test_the_launcher_has_no_warning_when_nobody_knew_it() -> None:
    with lf.open(launched(lambda prefix: None)) as container:
        assert container.manifest is not None
        prefix = Program(BytesSource(container.source.read_at(0, container.manifest.prefix.size), "launcher"), 0)
        assert [found.rule for found in check_program(prefix, container.prefix)] == ["LF3360"]


def test_what_a_digest_vouches_for_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    data = runtime(elf(flags=7))
    assert "LF3361" in {finding.rule for finding in lf.verify(data).findings}
    monkeypatch.setattr(programs, "is_told", lambda digest: True)
    assert not {finding.rule for finding in lf.verify(data).findings} & {"LF3360", "LF3361"}


def test_a_digest_that_is_claimed_is_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest's word for a whole of several chunks is compared with the bytes before it clears anything."""
    good, bad = (Program(BytesSource(data * 9, "program"), 0, "x") for data in (b"good", b"bad"))
    known = hashlib.sha256(b"good" * 9).hexdigest()
    monkeypatch.setattr(programs, "is_told", lambda digest: digest == known)
    asked = programs._Asked(frozenset({"another"}))
    assert asked.is_known(good, [known])
    assert not asked.is_known(bad, [known])
    assert programs._Asked(frozenset({"x"})).is_known(bad, [known])  # this run found it in the bytes
    assert asked.is_known(good, None)  # nothing was claimed
    assert not asked.is_known(good, ["0" * 64])
    asked.left = 8
    assert not asked.is_known(good, [known])  # past the bound nothing is known


def test_full_computes_what_it_took_the_manifests_word_for(monkeypatch: pytest.MonkeyPatch) -> None:
    data = elf(b"\0" * (5 << 20), flags=7)
    vector = beside(Part("picture.png", data, "asset", "image/png"))
    monkeypatch.setattr(programs, "is_told", lambda digest: digest == hashlib.sha256(data).hexdigest())
    for level in ("full", "exhaustive"):
        assert "LF3361" not in {finding.rule for finding in lf.verify(vector, level=level).findings}
    monkeypatch.setattr(programs, "HASHED_BYTES", 0)
    monkeypatch.setattr(programs._Asked, "is_known", lambda self, program, claims: False)
    assert "LF3361" in {finding.rule for finding in lf.verify(vector, level="full").findings}


def test_what_is_not_unpacked_is_told(tmp_path: Path) -> None:
    out, old = engine(linked("ggml-cuda.so", elf(b"\0" * (9 << 20))))
    path = tmp_path / "m.llamafile"
    path.write_bytes(bytes(run(out, old, [aligned("m.gguf", gguf())])))
    (found,) = (each for each in lf.verify(path).findings if each.rule == "LF3364" and each.where.member)
    assert (found.args["start"], found.args["end"]) == (8 << 20, (9 << 20) + 120)


def test_a_script_that_writes_scripts_is_one() -> None:
    assert "LF3363" not in rules(b"#!/bin/sh\ncat <<E\n#!/bin/sh\necho and so on\nexit\nE\n")


def test_quick_reads_no_program() -> None:
    assert "LF3361" not in {finding.rule for finding in lf.verify(runtime(elf(flags=7)), level="quick").findings}


def test_a_name_changes_nothing() -> None:
    data = beside(Part("picture.png", elf(flags=7), "asset", "image/png"))
    assert "LF3361" in {finding.rule for finding in lf.verify(data).findings}


class Sparse:
    """A program of ``size`` bytes that counts what is read of it: ``head``, zeros, ``tail``."""

    def __init__(self, head: bytes, size: int, tail: bytes = b"") -> None:
        self.name, self.size, self.read, self._head, self._tail = "sparse", size, 0, head, tail

    def read_at(self, offset: int, length: int) -> bytes:
        self.read += length
        data = self._head[offset : offset + length].ljust(length, b"\0")
        behind = offset + length - (self.size - len(self._tail))
        return data[:-behind] + self._tail[-len(self._tail) :][:behind] if 0 < behind <= length else data

    def read_into(self, offset: int, buffer: memoryview) -> None:
        buffer[:] = self.read_at(offset, len(buffer))

    def read_ranges(self, ranges: object) -> list[bytes]:
        raise NotImplementedError


def test_of_a_long_program_both_ends_are_searched() -> None:
    size = 100 << 30
    source = Sparse(elf(b"\0" + pickled()), size, b"\0" * 9 + gguf())
    found = told(source)
    assert [finding.rule for finding in found] == ["LF3363", "LF3363", "LF3360", "LF3364"]
    assert (found[-1].args["start"], found[-1].args["end"]) == (1000 + 3 * (8 << 20), 1000 + size - (8 << 20))
    assert source.read < PROGRAM_BYTES + (2 << 20)


def test_all_programs_share_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [Program(BytesSource(elf(), "small"), 0, str(number)) for number in range(PROGRAMS_BYTES >> 19)]
    monkeypatch.setattr(programs, "_unknown", lambda container, vouching: iter(many))
    with lf.open(runtime(elf())) as container:
        found = list(programs.check_programs(container, Vouching()))
    last = f"{PROGRAMS_BYTES >> 20} and every program behind it"
    assert [(finding.rule, finding.args["path"]) for finding in found] == [("LF3364", last)]


def test_decoys_end_the_search_and_that_is_said() -> None:
    riders = Riders(BytesSource(bytes(100), "decoys"), left=64)
    riders.look(b"\0" + b"\x80\4\x95" * 10_000, 0)
    assert riders.left <= 0
    assert "LF3364" in rules(elf(b"\x80\4\x95" * 10_000))
    assert "LF3364" in rules(elf(b"curl x" * 200_000))


@given(
    st.binary(max_size=3000), st.sampled_from([b"", b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", elf()[:64], pe(0)[:330]])
)
def test_any_bytes_give_findings_never_an_exception(data: bytes, head: bytes) -> None:
    for finding in told(head + data):
        assert rule(finding.rule).severity in (Severity.INFO, Severity.WARNING)


@given(st.data())
def test_any_changed_header_gives_findings_never_an_exception(data: st.DataObject) -> None:
    program = bytearray(data.draw(st.sampled_from([elf(b"text" * 20, 7), pe(0xE000_0020), macho(7)])))
    for _ in range(data.draw(st.integers(1, 8))):
        program[data.draw(st.integers(0, len(program) - 1))] = data.draw(st.integers(0, 255))
    told(bytes(program))


def test_a_deflated_engine_asset_is_unpacked(tmp_path: Path) -> None:
    out, old = engine(linked("ggml-cuda.so", elf(b"\0" + pickled(), flags=7)))
    out = run(out, old, [aligned("m.gguf", gguf())])
    path = tmp_path / "m.llamafile"
    path.write_bytes(bytes(out))
    found = {finding.rule: finding for finding in lf.verify(path).findings}
    assert found["LF3361"].where.member == "ggml-cuda.so"
    assert found["LF3363"].args["at"] == 121
