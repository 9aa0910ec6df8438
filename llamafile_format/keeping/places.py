"""Names of what is kept: absolute, without following links, so that a file has the same one in every run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence


def absolute(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """``paths`` as they are recorded: ``a/../b`` is ``b``, links stay links."""
    return [os.path.abspath(os.fspath(path)) for path in paths]  # noqa: PTH100 - resolve() would follow links


def below(path: str, names: Iterable[str]) -> bool:
    """True if ``path`` is one of ``names``, or lies in it."""
    return any(path == name or path.startswith(name.rstrip(os.sep) + os.sep) for name in names)
