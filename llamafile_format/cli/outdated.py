"""What commands that change a file say of the recovery set beside it (spec/1, 17.7.2)."""

from __future__ import annotations

import os
import sys

from llamafile_format.reports import printable


def tell_outdated(path: str | os.PathLike[str]) -> None:
    """Say on standard error that the set beside ``path`` was made before the file was last changed, if it was."""
    from llamafile_format.caring import outdated_set

    found = outdated_set(path)
    if found is not None:
        text = f"note: {found} is out of date: renew it with `llamafile-format protect {path} --update`"
        sys.stderr.write(f"{printable(text)}\n")
