"""Catalogue record and verification report in a real browser: they draw, run nothing, ask the network for nothing."""

from __future__ import annotations

import html
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.interop]
QUIET = ("background-networking", "component-update", "sync", "quic", "gpu")
FLAGS = ["--headless", "--no-sandbox", "--no-first-run", "--hide-scrollbars", *(f"--disable-{name}" for name in QUIET)]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of the exhibit."""
    folder = tmp_path_factory.mktemp("page")
    cli = [sys.executable, "-m", "llamafile_format"]
    packed = folder / "exhibit.llamafile"
    subprocess.run(
        [*cli, "pack", "--recipe", ROOT / "examples/exhibit/llamafile.yaml", "--prefix", "none", "-o", packed],
        check=True,
    )
    subprocess.run([*cli, "inspect", packed, "--html", folder / "record.html"], check=True)
    return folder / "record.html"


def _browse(chromium: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [chromium, *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, check=True, timeout=120)


def _pixels(png: bytes) -> tuple[int, int, set[bytes]]:
    """Width, height and the distinct rows of a PNG, still filtered: enough to tell a drawing from a blank page."""
    width, height = struct.unpack(">II", png[16:24])
    data = b"".join(
        png[at + 8 : at + 8 + struct.unpack(">I", png[at : at + 4])[0]]
        for at in _chunks(png)
        if png[at + 4 : at + 8] == b"IDAT"
    )
    raw = zlib.decompress(data)
    stride = len(raw) // height
    return width, height, {raw[row * stride : (row + 1) * stride] for row in range(height)}


def _chunks(png: bytes) -> list[int]:
    found, at = [], 8
    while at < len(png):
        found.append(at)
        at += 12 + struct.unpack(">I", png[at : at + 4])[0]
    return found


@pytest.mark.parametrize("width", [1200, 420])
def test_it_draws(width: int, page: Path, tool: Callable[[str], str], tmp_path: Path) -> None:
    shot = tmp_path / "shot.png"
    _browse(tool("chromium"), tmp_path, f"--screenshot={shot}", f"--window-size={width},3000", page.as_uri())
    found, height, rows = _pixels(shot.read_bytes())
    assert (found, height) == (width, 3000)
    assert len(rows) > 300


def test_the_page_is_read_as_it_was_written(page: Path, tool: Callable[[str], str], tmp_path: Path) -> None:
    dom = _browse(tool("chromium"), tmp_path, "--dump-dom", page.as_uri()).stdout.decode()
    assert dom.count("<svg") == page.read_text("utf-8").count("<svg") >= 2
    assert "705,664" in dom


def test_it_needs_no_network_and_no_script(page: Path) -> None:
    text = html.unescape(page.read_text("utf-8"))
    assert "Content-Security-Policy" in text
    assert "default-src 'none'" in text
    assert not re.search(r"<script|javascript:|@import|url\(|\son\w+=", text, re.IGNORECASE)
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", text, re.IGNORECASE)


@pytest.mark.parametrize("width", [1200, 420])
def test_a_verification_report_draws(width: int, tool: Callable[[str], str], tmp_path: Path) -> None:
    """The page of `verify --format html`, with texts in it that would like to be more than texts."""
    from llamafile_format.reports import FORMS
    from tests.unit.test_report_forms import ALL

    page, shot = tmp_path / "report.html", tmp_path / "shot.png"
    page.write_text(FORMS["html"](ALL), "utf-8")
    _browse(tool("chromium"), tmp_path, f"--screenshot={shot}", f"--window-size={width},1600", page.as_uri())
    found, height, rows = _pixels(shot.read_bytes())
    assert (found, height) == (width, 1600)
    assert len(rows) > 300
    dom = _browse(tool("chromium"), tmp_path, "--dump-dom", page.as_uri()).stdout.decode()
    assert "<script" not in dom
    assert dom.count('class="finding ') == 6
    assert "default-src 'none'" in html.unescape(dom)
