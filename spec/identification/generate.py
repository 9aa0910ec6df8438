"""Write (or, with ``--check``, compare) the skeletons and the signature files.

Run ``python -m spec.identification.generate`` from the root of the repository. The output
depends on :mod:`spec.identification.marks` and on nothing else.
"""

from __future__ import annotations

import sys
from pathlib import Path

from spec.identification.signatures import droid, fido, libmagic, shared_mime_info
from spec.identification.skeletons import skeletons

HERE = Path(__file__).resolve().parent


def outputs() -> dict[str, bytes]:
    """Every generated file by path, relative to this folder."""
    texts = {
        "llamafile.magic": libmagic(),
        "droid.xml": droid(variants=False),
        "droid-prefixes.xml": droid(variants=True),
        "fido.xml": fido(),
        "shared-mime-info.xml": shared_mime_info(),
    }
    files = {name: text.encode() for name, text in texts.items()}
    return files | {f"skeletons/{name}": data for name, data in skeletons().items()}


def stale() -> list[str]:
    """Generated files that are missing or differ, and files under ``skeletons/`` that nothing generates."""
    files = outputs()
    wrong = [name for name, data in files.items() if not (HERE / name).is_file() or (HERE / name).read_bytes() != data]
    found = {path.relative_to(HERE).as_posix() for path in (HERE / "skeletons").rglob("*") if path.is_file()}
    return sorted(wrong) + sorted(found - files.keys())


def main() -> str | None:
    """The differences that ``--check`` found, for ``sys.exit`` to print; None if there are none."""
    if "--check" in sys.argv[1:]:
        names = stale()
        return f"differ from what spec/identification makes: {', '.join(names)}" if names else None
    for name, data in outputs().items():
        path = HERE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return None


if __name__ == "__main__":
    sys.exit(main())
