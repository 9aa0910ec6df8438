"""Chat pages that a runtime would find by name, without a build whose pin says what they are (spec/1, 14.1.11)."""

from __future__ import annotations

from collections.abc import Iterator

from llamafile_format.engines.members import ROOT
from llamafile_format.findings import Finding, Where
from llamafile_format.manifest.model import Manifest

_PAGE = "webui.tar"


def check_loose_pages(manifest: Manifest) -> Iterator[Finding]:
    """LF3323: a runtime of an installation would serve the page, and nothing in the file says what it is."""
    for member in manifest.members:
        parts = member.path.split("/")
        if len(parts) != 4 or (parts[0], parts[3]) != (ROOT, _PAGE):
            continue
        folder = member.path.removesuffix(_PAGE)
        if not any(other.role == "runtime" and other.path.startswith(folder) for other in manifest.members):
            yield Finding("LF3323", Where(member.offset, member.size, member.path), {"path": member.path})
