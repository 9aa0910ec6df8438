"""The page in headless Chromium: bytes checked in a second, and a 100 GB container opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llamafile_format.packing.assemble import Content, Labels, PrefixContent
from llamafile_format.packing.inputs import text_content
from llamafile_format.packing.pack import write_container
from llamafile_format.packing.readme import readme_text
from llamafile_format.source import BytesSource, FileSource
from tests.benchmarks.measure import random_file, row
from tests.conftest import find_tool
from tests.interop.webdriver import Browser, browser
from tests.laws.sparse import sparse_container
from viewer.build import page

GB = 10**9
MEASURE = """
window.told = null;
(async () => {
  const blob = document.getElementById("file").files[0];
  let began = performance.now();
  const file = await module_verify.openFile(blob);
  const quick = await module_verify.verify(file, { full: false });
  const opened = performance.now() - began;
  began = performance.now();
  const report = FULL ? await module_verify.verify(file, { full: true }) : quick;
  return { opened: opened / 1000, checked: (performance.now() - began) / 1000, verdicts: report.verdicts };
})().then(value => { window.told = value; }, error => { window.told = String(error.stack || error); });
"""


def main(folder: Path) -> bool:
    """Measure and print; True if the figures are reached."""
    sparse = folder / "large.llamafile"
    if not sparse.exists():
        sparse_container(sparse, 100 * GB)
    packed = {profile: _packed(folder, profile) for profile in ("default", "archive")}
    (folder / "page.html").write_text(page(), "utf-8")
    with browser(find_tool, folder / "profile") as window:
        opened = _measured(window, folder, sparse, full=False)["opened"]
        ok = row("page, a sparse container of 100 GB opened", f"{opened:.2f} s", "< 1 s", opened < 1)
        for profile, path in packed.items():
            found = _measured(window, folder, path, full=True)
            rate = path.stat().st_size / 1e6 / found["checked"]
            wanted = "" if profile == "archive" else ">= 150 MB/s"
            what = "SHA-256 and SHA-512" if profile == "archive" else "SHA-256"
            good = found["verdicts"]["well-formed"] == "yes" and (profile == "archive" or rate >= 150)
            ok &= row(f"page, every byte of 1 GB checked, {what}", f"{rate:.0f} MB/s", wanted, good)
    return ok


def _packed(folder: Path, profile: str) -> Path:
    """A container with one asset of 1 GB that is no model."""
    out = folder / f"page-{profile}.llamafile"
    if not out.exists():
        data = FileSource(random_file(folder / "model.bin", GB))
        contents = [
            text_content("META-LLAMAFILE/README.txt", "readme", readme_text("", engine=False)),
            Content("random.bin", "asset", "application/octet-stream", data, 1),
        ]
        write_container(out, PrefixContent("none", BytesSource(b"")), contents, Labels(profile=profile))
    return out


def _measured(window: Browser, folder: Path, path: Path, *, full: bool) -> Any:
    window.open((folder / "page.html").as_uri())
    window.type("#file", str(path))
    window.wait("/Read in/.test(document.getElementById('status').textContent)")
    window.script(MEASURE.replace("FULL", json.dumps(full)))
    told = window.wait("window.told", 300)
    assert isinstance(told, dict), told
    return told
