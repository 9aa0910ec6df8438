"""The identification kit: real tools name every skeleton as ours, and nothing else (spec/identification/README.md)."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from spec.identification.generate import stale
from spec.identification.marks import MARK, MEDIA_TYPE, NAME, PUID, TAIL, VARIANTS

KIT = Path(__file__).resolve().parents[2] / "spec" / "identification"
OURS = sorted((KIT / "skeletons").glob("*.llamafile"))
APART = sorted((KIT / "skeletons" / "not").iterdir())
XML_FILES = ("droid.xml", "droid-prefixes.xml", "fido.xml", "shared-mime-info.xml")
KEYS = {variant.key: variant for variant in VARIANTS}

ToolFinder = Callable[[str], Path]


def kind_of(path: Path) -> str:
    """The variant that a skeleton must be named as: ``ape-jartsr`` is an ``ape``; ``other`` has none."""
    return path.stem.split("-")[0]


def run(*command: str | Path) -> str:
    """Standard output of a tool that must succeed."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


def test_generated_files_are_current() -> None:
    assert stale() == []


def test_each_signature_has_a_skeleton() -> None:
    assert {kind_of(path) for path in OURS} == KEYS.keys() | {"other"}
    assert len(APART) >= 10


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_the_tail_is_where_the_readme_says(path: Path) -> None:
    data = path.read_bytes()
    assert data[-40:-32] == b"PK\x05\x06\0\0\0\0"
    assert data[-20:] == b"\x12\0llamafile-format/1"
    assert len(MARK) == 18
    assert TAIL == 40


# libmagic


@pytest.mark.interop
@pytest.mark.parametrize("magic", ["llamafile.magic", "llamafile.magic:/usr/share/misc/magic"])
def test_file_names_every_skeleton(tool: ToolFinder, magic: str) -> None:
    default = magic.partition(":")[2]
    if default and not any(Path(default + end).exists() for end in ("", ".mgc")):
        pytest.skip("this libmagic has no default database at /usr/share/misc/magic")
    file = tool("file")
    magics = magic.replace("llamafile.magic", str(KIT / "llamafile.magic"))
    for path in OURS:
        variant = KEYS.get(kind_of(path))
        words = variant.words if variant else "unknown bytes in front"
        # -e elf: libmagic's own ELF code would add its remarks on the prefix.
        assert run(file, "-e", "elf", "-b", "-m", magics, path) == f"{NAME}, format 1.0, {words}\n"
        assert run(file, "-e", "elf", "-b", "--mime-type", "-m", magics, path).strip() == MEDIA_TYPE
        assert run(file, "-b", "-m", magics, path).startswith(f"{NAME}, format 1.0, {words}")


@pytest.mark.interop
def test_file_finds_the_mark_behind_gigabytes(tool: ToolFinder, tmp_path: Path) -> None:
    path = tmp_path / "big.llamafile"
    skeleton = (KIT / "skeletons" / "none.llamafile").read_bytes()
    with open(path, "wb") as file:
        file.write(b"\x7fELF\x02\x01\x01")
        file.seek(5 << 30)
        file.write(skeleton)
    line = run(tool("file"), "-b", "-e", "elf", "-m", KIT / "llamafile.magic", path)
    assert line == f"{NAME}, format 1.0, ELF executable in front\n"


@pytest.mark.interop
@pytest.mark.parametrize("path", APART, ids=lambda path: path.name)
def test_file_names_nothing_else(tool: ToolFinder, path: Path) -> None:
    file = tool("file")
    assert NAME not in run(file, "-b", "-m", KIT / "llamafile.magic", path)
    assert "vnd.llamafile" not in run(file, "-b", "--mime-type", "-m", KIT / "llamafile.magic", path)


@pytest.mark.interop
def test_legacy_hint_is_only_a_hint(tool: ToolFinder) -> None:
    magics = f"{KIT / 'llamafile.magic'}:{KIT / 'legacy.magic'}"
    line = run(tool("file"), "-b", "-m", magics, KIT / "skeletons" / "not" / "legacy.llamafile")
    assert line == "Actually Portable Executable, ZIP at the end: maybe a legacy llamafile\n"
    assert run(tool("file"), "-b", "-m", magics, KIT / "skeletons" / "ape.llamafile").startswith(NAME)


# FIDO


def fido_answers(tool: ToolFinder, paths: list[Path]) -> dict[str, list[str]]:
    """For each file name the identifiers that FIDO gives it with our extension loaded."""
    output = run(tool("fido"), "-q", "-loadformats", KIT / "fido.xml", *paths)
    answers: dict[str, list[str]] = {path.name: [] for path in paths}
    for row in csv.reader(io.StringIO(output)):
        answers[Path(row[6]).name].append(row[2])
    return answers


@pytest.mark.interop
def test_fido_names_every_skeleton_and_outranks_pronom(tool: ToolFinder) -> None:
    answers = fido_answers(tool, OURS)
    for path in OURS:
        variant = KEYS.get(kind_of(path))
        assert answers[path.name] == [variant.puid if variant else PUID]


@pytest.mark.interop
def test_fido_names_nothing_else(tool: ToolFinder) -> None:
    answers = fido_answers(tool, APART)
    assert answers.keys() == {path.name for path in APART}
    # A match by file extension alone is FIDO's guess when no signature fits; a signature of ours must never fit.
    matched = run(tool("fido"), "-q", "-noextension", "-loadformats", KIT / "fido.xml", *APART)
    assert PUID not in matched
    assert answers["pe.exe"] == ["x-fmt/411"]
    assert answers["plain.zip"] == ["x-fmt/263"]


# DROID: the program is a Java desktop application, so its rules for anchored sequences are applied here instead.

DROID = "{http://www.nationalarchives.gov.uk/pronom/SignatureFile}"


def sequence_fits(sequence: ET.Element, data: bytes) -> bool:
    """DROID's meaning of a byte sequence with one subsequence at offset 0 and at most one left fragment."""
    (part,) = sequence.findall(f"{DROID}SubSequence")
    assert part.get("SubSeqMinOffset") == part.get("SubSeqMaxOffset") == "0"
    wanted = bytes.fromhex(part.findtext(f"{DROID}Sequence", ""))
    if sequence.get("Reference") == "BOFoffset":
        return data.startswith(wanted)
    assert sequence.get("Reference") == "EOFoffset"
    fragment = part.find(f"{DROID}LeftFragment")
    assert fragment is not None
    left = bytes.fromhex(fragment.text or "")
    end = len(data) - len(wanted) - int(fragment.get("MinOffset", ""))
    return data.endswith(wanted) and end >= len(left) and data[end - len(left) : end] == left


def droid_answers(name: str, data: bytes) -> set[str]:
    """Identifiers of the formats that fit ``data`` and that no other fitting format outranks."""
    root = ET.parse(KIT / name).getroot()
    fitting = {
        signature.get("ID")
        for signature in root.iter(f"{DROID}InternalSignature")
        if all(sequence_fits(sequence, data) for sequence in signature.findall(f"{DROID}ByteSequence"))
    }
    formats = {
        element.get("ID"): element
        for element in root.iter(f"{DROID}FileFormat")
        if any(child.text in fitting for child in element.findall(f"{DROID}InternalSignatureID"))
    }
    outranked = {
        child.text for element in formats.values() for child in element.findall(f"{DROID}HasPriorityOverFileFormatID")
    }
    return {element.get("PUID", "") for number, element in formats.items() if number not in outranked}


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_droid_signatures_fit_every_skeleton(path: Path) -> None:
    variant = KEYS.get(kind_of(path))
    assert droid_answers("droid.xml", path.read_bytes()) == {PUID}
    assert droid_answers("droid-prefixes.xml", path.read_bytes()) == {variant.puid if variant else PUID}


@pytest.mark.parametrize("path", APART, ids=lambda path: path.name)
def test_droid_signatures_fit_nothing_else(path: Path) -> None:
    assert droid_answers("droid.xml", path.read_bytes()) == set()
    assert droid_answers("droid-prefixes.xml", path.read_bytes()) == set()


def test_droid_search_tables_never_skip_a_match() -> None:
    """A shift larger than the distance to the byte's nearest place in the sequence would jump over a match."""
    for part in ET.parse(KIT / "droid-prefixes.xml").getroot().iter(f"{DROID}ByteSequence"):
        (sub,) = part.findall(f"{DROID}SubSequence")
        wanted = bytes.fromhex(sub.findtext(f"{DROID}Sequence", ""))
        shifts = {int(row.get("Byte", ""), 16): int(row.text or "") for row in sub.findall(f"{DROID}Shift")}
        assert shifts.keys() == set(wanted)
        if part.get("Reference") == "EOFoffset":
            assert shifts == {byte: -(wanted.index(byte) + 1) for byte in wanted}
            assert sub.findtext(f"{DROID}DefaultShift") == str(-len(wanted) - 1)
        else:
            assert shifts == {byte: len(wanted) - wanted.rindex(bytes((byte,))) for byte in wanted}
            assert sub.findtext(f"{DROID}DefaultShift") == str(len(wanted) + 1)


# XML and the desktop


@pytest.mark.parametrize("name", XML_FILES)
def test_xml_is_well_formed(name: str) -> None:
    assert list(ET.parse(KIT / name).getroot().iter())


@pytest.mark.interop
def test_desktop_database_takes_the_package(tool: ToolFinder, tmp_path: Path) -> None:
    packages = tmp_path / "mime" / "packages"
    packages.mkdir(parents=True)
    shutil.copy(KIT / "shared-mime-info.xml", packages / "llamafile.xml")
    run(tool("update-mime-database"), tmp_path / "mime")
    globs = (tmp_path / "mime" / "globs2").read_text(encoding="utf-8")
    assert f"60:{MEDIA_TYPE}:*.llamafile" in globs


@pytest.mark.interop
@pytest.mark.parametrize("prefix", [b"", b"#!/bin/sh\nexit 0\n", b"MZ" + bytes(300)], ids=["none", "script", "mz"])
def test_packed_files_are_named(prefix: bytes, tool: ToolFinder, tmp_path: Path) -> None:
    """Not only skeletons: what ``pack`` writes today, with prefixes of three kinds."""
    import llamafile_format
    from tests.laws.containers import tiny_gguf

    model, engine, out = tmp_path / "m.gguf", tmp_path / "engine", tmp_path / "m.llamafile"
    model.write_bytes(tiny_gguf())
    engine.write_bytes(prefix)
    llamafile_format.pack([model], out, prefix=engine if prefix else "none")
    assert "llamafile" in run(tool("file"), "-b", "-m", KIT / "llamafile.magic", out).lower()
