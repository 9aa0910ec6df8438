"""Law: what an engine's own ZIP shows, folders too, a container shows, and a legacy file made of it shows again."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

import llamafile_format as lf
from llamafile_format.rules import Severity, rule
from tests.laws.containers import tiny_gguf

NAMES = st.lists(st.sampled_from(["a", "b", "usr", "share", "www", "x.txt"]), min_size=1, max_size=3).map("/".join)
EXTRA = b"\x0a\x00\x20\x00" + bytes(32)  # the NTFS times that zipobj writes


@st.composite
def engines(draw: st.DrawFn) -> bytes:
    """A script with a ZIP behind it: folders with and without extra fields, files stored and deflated."""
    files = draw(st.dictionaries(NAMES, st.binary(max_size=40), min_size=1, max_size=5))
    paths = {name: data for name, data in files.items() if not any(other.startswith(f"{name}/") for other in files)}
    folders = {"/".join(name.split("/")[:depth]) for name in paths for depth in range(1, name.count("/") + 1)}
    chosen = [folder for folder in sorted(folders) if draw(st.booleans())]
    out = io.BytesIO(b"#!/bin/sh\nexit 1\n".ljust(128, b"\n"))
    with zipfile.ZipFile(out, "a") as archive:
        for folder in chosen:
            info = zipfile.ZipInfo(f"{folder}/")
            info.create_system, info.external_attr = 3, draw(st.sampled_from([0, 0o040755 << 16]))
            info.extra = EXTRA if draw(st.booleans()) else b""
            archive.writestr(info, b"")
        for name, data in paths.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
            info.create_system, info.external_attr = 3, 0o100644 << 16
            archive.writestr(info, data)
    return out.getvalue()


def _records(path: Path) -> list[tuple[str, int, int, bytes]]:
    with zipfile.ZipFile(path) as archive:
        return [(info.filename, info.file_size, info.CRC, info.extra) for info in archive.infolist()]


def _sound(path: Path) -> None:
    report = lf.verify(path, level="exhaustive")
    assert not [each for each in report.findings if rule(each.rule).severity is not Severity.INFO], report.findings


@settings(max_examples=40, deadline=None)
@given(engines())
def test_records_survive_the_way_there_and_back(engine: bytes) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "engine").write_bytes(engine)
        (folder / "model.gguf").write_bytes(tiny_gguf())
        own = _records(folder / "engine")
        result = lf.pack([folder / "model.gguf"], folder / "1", prefix=folder / "engine")
        assert not result.notes
        _sound(folder / "1")
        assert _records(folder / "1")[: len(own)] == own
        lf.repack(folder / "1", folder / "2", to="legacy")
        assert _records(folder / "2")[: len(own)] == own
        assert "LF7011" not in {finding.rule for finding in lf.verify(folder / "2").findings}
