"""``verify`` of 2 GiB in the page cache, against ``openssl dgst -sha256`` on the same file."""

from __future__ import annotations

from pathlib import Path

from llamafile_format.packing.assemble import Content, Labels, PrefixContent
from llamafile_format.packing.inputs import text_content
from llamafile_format.packing.pack import write_container
from llamafile_format.packing.readme import readme_text
from llamafile_format.source import BytesSource, FileSource
from tests.benchmarks.measure import CLI, in_turns, peak_kib, random_file, row, timed

SIZE = 2 << 30


def packed(folder: Path) -> Path:
    """A container with one asset of 2 GiB that is no model: contents are not what is measured."""
    out = folder / "verify.llamafile"
    if not out.exists():
        data = random_file(folder / "random.bin", SIZE)
        contents = [
            text_content("META-LLAMAFILE/README.txt", "readme", readme_text("", engine=False)),
            Content("random.bin", "asset", "application/octet-stream", FileSource(data), 1),
        ]
        write_container(out, PrefixContent("none", BytesSource(b"")), contents, Labels())
    return out


def main(folder: Path) -> bool:
    """Measure and print; True if the figures are reached."""
    path = packed(folder)
    openssl, full, whole = in_turns(
        5,
        lambda: timed(["openssl", "dgst", "-sha256", path]),
        lambda: timed([*CLI, "verify", path]),
        lambda: timed([*CLI, "verify", "--level", "exhaustive", path]),
    )
    ok = row(
        "verify --level full vs openssl",
        f"{openssl:.2f} / {full:.2f} s = {openssl / full:.2f} x",
        ">= 1.6 x",
        openssl / full >= 1.6,
    )
    ratio = openssl / whole
    ok &= row(
        "verify --level exhaustive vs openssl",
        f"{openssl:.2f} / {whole:.2f} s = {ratio:.2f} x",
        ">= 0.6 x",
        ratio >= 0.6,
    )
    peak = max(peak_kib([*CLI, "verify", "--level", level, path]) for level in ("full", "exhaustive"))
    return row("verify, peak memory", f"{peak / 1024:.0f} MB", "<= 150 MB", peak <= 150 * 1024) and ok
