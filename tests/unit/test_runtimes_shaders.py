"""Shaders in the archive that is carried once: where they lie; and inputs that are Debian's packages, by address."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamafile_format.engines.index import Settings, places
from llamafile_format.engines.page import write_archive
from llamafile_format.engines.pin import Flavour, Input
from llamafile_format.engines.shaders import layout
from llamafile_format.engines.sources import unpack
from llamafile_format.engines.store import read_build
from llamafile_format.errors import FormatError
from tests.new_engine import RUNTIMES, pin_of

PACKAGE = Input(
    "glslc", "glslc", "1", "glslc_1_amd64.deb", "0" * 64, 1, urls=("https://one.example/glslc_1_amd64.deb",)
)


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=20))
def test_the_layout_is_that_of_the_archive(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    folder = tmp_path_factory.mktemp("shaders")
    (folder / "spv").mkdir()
    names = [f"shader_{number:02}" for number in range(len(sizes))]
    for number, (name, size) in enumerate(zip(names, sizes, strict=True)):
        (folder / "spv" / f"{name}.spv").write_bytes(bytes([number + 1]) * size)
    (folder / "table").mkdir()
    (folder / "table" / "shaders.inc").write_text(layout(names, sizes))
    archive = folder.with_suffix(".tar")
    write_archive(folder, archive)
    data = archive.read_bytes()
    rows = re.findall(r"SHADER\((\w+), (\d+), (\d+)\)\n", layout(names, sizes))
    assert [name for name, _, _ in rows] == names
    for number, (_, offset, size) in enumerate(rows):
        assert data[int(offset) : int(offset) + int(size)] == bytes([number + 1]) * sizes[number]


def test_the_pinned_shaders_lie_where_their_table_says() -> None:
    pin = pin_of(RUNTIMES)
    assert pin.shaders is not None
    data = read_build(pin, pin.shaders)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        table = archive.extractfile("table/shaders.inc")
        tables = archive.extractfile("table/tables.inc")
        assert table is not None
        assert tables is not None
        rows = re.findall(r"SHADER\((\w+), (\d+), (\d+)\)\n", table.read().decode())
        there = {member.name: (member.offset_data, member.size) for member in archive if member.name.startswith("spv/")}
        named = set(re.findall(rb"[,{] *(\w+)_data", tables.read()))
    assert {f"spv/{name}.spv": (int(offset), int(size)) for name, offset, size in rows} == there
    assert len(rows) == 1515
    assert named <= {name.encode() for name, _, _ in rows}
    for name, offset, size in rows:
        assert data[int(offset) : int(offset) + 4] == b"\x03\x02\x23\x07", name  # SPIR-V
        assert int(size) % 4 == 0, name


def test_features_are_the_same_for_shaders_and_for_builds() -> None:
    pin = pin_of(RUNTIMES)
    assert pin.shader_recipe is not None
    built = pin.flavours[Flavour.GPU].definitions["LFF_SHADER_FEATURES"]
    assert tuple(built.split(",")) == pin.shader_recipe.features


def test_a_package_of_debian_is_unpacked(tmp_path: Path) -> None:
    deb = _deb(tmp_path / PACKAGE.file, {"./usr/bin/glslc": b"program", "./usr/share/doc/glslc": b"text"})
    source = Input("glslc", "glslc", "1", PACKAGE.file, "0" * 64, 1, parts=("usr/bin",))
    folder = unpack(source, deb, tmp_path / "glslc", lambda *_: None)
    assert (folder / "usr/bin/glslc").read_bytes() == b"program"
    assert not (folder / "usr/share").exists()


@pytest.mark.parametrize("data", [b"", b"!<arch>\n", b"!<arch>\n" + b" " * 60, b"PK\x03\x04"])
def test_what_is_no_package_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / PACKAGE.file
    path.write_bytes(data)
    with pytest.raises(FormatError, match="no Debian package"):
        unpack(PACKAGE, path, tmp_path / "glslc", lambda *_: None)


def test_addresses_of_an_input_go_before_indexes() -> None:
    assert list(places(PACKAGE, Settings(indexes=("https://index.example/simple",)))) == list(PACKAGE.urls)


def test_a_variant_replaces_triple_imports_and_loader() -> None:
    target = pin_of(RUNTIMES).target("linux-x86_64")
    assert target is not None
    assert target.of(Flavour.NATIVE) is target
    assert target.zig == "x86_64-linux-musl"
    assert not target.imports
    gpu = target.of(Flavour.GPU)
    assert (gpu.zig, gpu.loader) == ("x86_64-linux-gnu.2.17", "/lib64/ld-linux-x86-64.so.2")
    assert "libvulkan.so.1" not in gpu.imports
    assert "libc.so.6" in gpu.imports


def _deb(path: Path, files: dict[str, bytes]) -> Path:
    """A package of Debian: an ar archive with a version, a tar about it, and a tar of ``files``."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:xz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    out = b"!<arch>\n"
    for name, data in (("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", tar.getvalue())):
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    path.write_bytes(out)
    return path
