"""Is numpy there? Recovery data is computed with it; everything else reads and verifies without."""

from __future__ import annotations

from importlib.util import find_spec

from llamafile_format.errors import UsageError


def have_numpy() -> bool:
    """True if recovery data can be computed here."""
    return find_spec("numpy") is not None


def require_numpy() -> None:
    """UsageError that says how to get it, if numpy is not installed."""
    if not have_numpy():
        raise UsageError("recovery data needs numpy", hint="pip install 'llamafile-format[recovery]'")
