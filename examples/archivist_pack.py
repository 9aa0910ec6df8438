"""An archivist with a GGUF: one file that verifies and explains itself.

python examples/archivist_pack.py MODEL.gguf OUT.llamafile
"""

from __future__ import annotations

import sys

import llamafile_format as lf


def main(model: str, out: str) -> None:
    """Pack ``model`` in the archive profile and say what to write into the catalogue."""
    result = lf.pack([model], out, profile="archive", license="CC0-1.0", force=True)
    print(f"{result.path}: {result.size} bytes, manifest sha256:{result.manifest_sha256}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
