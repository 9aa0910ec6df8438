"""Register the page as the tree makes it: ``python -m viewer.register`` (clause 11.10).

The page is written beside the registry, compressed, and its row with it. A version that a release has carried is never
registered again: raise :data:`viewer.data.VERSION` first. ``--again`` replaces the row of a version that none has.
"""

from __future__ import annotations

import hashlib
import sys

import zstandard

from llamafile_format.specdata import spec_dir
from llamafile_format.viewers import pages
from viewer.build import page
from viewer.data import VERSION

HEAD = """\
# Pages that may be the member `llamafile-viewer.html` of role `viewer` (spec/1, 11.10). Rows are added, never changed
# or removed: a page that was packed once is registered for ever. The pages lie in viewers/, compressed (zstd).
viewers:
"""


def main() -> None:
    """Write page and registry; SystemExit if the version is registered with other bytes."""
    data = page().encode()
    digest = hashlib.sha256(data).hexdigest()
    rows = {each.version: each.sha256 for each in pages()}
    if rows.get(VERSION, digest) != digest and "--again" not in sys.argv:
        raise SystemExit(f"version {VERSION} is registered with other bytes; raise VERSION in viewer/data.py")
    rows[VERSION] = digest
    registry = spec_dir() / "registry"
    folder = registry / "viewers"
    folder.mkdir(exist_ok=True)
    folder.joinpath(f"{VERSION}.html.zst").write_bytes(zstandard.ZstdCompressor(level=19).compress(data))
    lines = [f'- version: {version}\n  sha256: "{rows[version]}"\n  since: "1.1"\n' for version in sorted(rows)]
    registry.joinpath("viewers.yaml").write_text(HEAD + "".join(lines), "utf-8")
    sys.stdout.write(f"version {VERSION}: {len(data)} bytes, sha256:{digest}\n")


if __name__ == "__main__":
    main()
