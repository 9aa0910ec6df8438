"""Engine assets, which can be compressed: what they unpack to is what the manifest says (spec/1, 10.6)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from llamafile_format.container import Container
from llamafile_format.errors import FormatError
from llamafile_format.findings import Finding, Where
from llamafile_format.zip.contents import inflate
from llamafile_format.zip.records import DEFLATED


def check_assets(container: Container) -> Iterator[Finding]:
    """Engine assets unpack to what the manifest says."""
    directory = container.manifest.prefix.directory if container.manifest else None
    for asset in directory.assets if directory else ():
        entry = container.archive.entry(asset.path)
        digest, large = hashlib.sha256(), hashlib.sha512()
        try:
            if entry is None or entry.size != asset.size:
                raise FormatError("no such entry")
            blocks = inflate(container.source, entry) if entry.method == DEFLATED else container.stream(asset.path)
            for block in blocks:
                digest.update(block)
                if asset.sha512:
                    large.update(block)
            good = digest.hexdigest() == asset.sha256 and (not asset.sha512 or large.hexdigest() == asset.sha512)
        except FormatError:
            good = False
        if not good:
            where = Where(offset=entry.header_offset if entry else None, member=asset.path)
            yield Finding("LF4011", where, {"path": asset.path})
