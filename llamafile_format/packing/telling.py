"""What a packer tells its user: what the runtime adds, and a licence that catalogues cannot read (spec/1, 8.1.7)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from llamafile_format.engines.host import host_target
from llamafile_format.engines.members import parse_runtime_path
from llamafile_format.packing.assemble import Content
from llamafile_format.packing.runtime_members import Choice

_LEAST = 1 << 20  # bytes that are worth a line


def weight_notes(contents: Sequence[Content], added: Sequence[Content], chosen: Choice) -> tuple[str, ...]:
    """If what the runtime ``added`` weighs more than all other ``contents``: how much, and how to take less."""
    extra = sum(content.source.size for content in added)
    own = sum(content.source.size for content in contents) - extra
    builds = [content for content in added if content.role == "runtime"]
    if extra < _LEAST or extra <= own or len(builds) < 2:
        return ()
    here = host_target() or chosen.builds[0].target
    one = [build for build in chosen.builds if build.target == here] or [chosen.builds[0]]
    less = sum(content.source.size for content in added if _target_of(content.path) in ("", one[0].target))
    text = (
        f"{len(builds)} builds of {chosen.pin.key} add {_mib(extra)} to {_mib(own)}; fewer with --runtime "
        f"{chosen.pin.name}:{one[0].target} ({_mib(less)}) or several targets, none with --prefix none"
    )
    return (text,)


def _target_of(path: str) -> str:
    """The target that the member ``path`` of a runtime is for, build or library; empty if it goes with all of them."""
    if (name := parse_runtime_path(path)) is not None:
        return name.target
    parts = path.split("/")
    return parts[4] if len(parts) == 6 and parts[3] == "lib" else ""


def license_notes(expression: str) -> tuple[str, ...]:
    """Why catalogues and policies will not understand ``expression``; nothing if it is in SPDX's grammar and list."""
    if not expression:
        return ()
    from license_expression import ExpressionError  # type: ignore[import-untyped]

    try:
        found = _licensing().validate(expression)
    except (ExpressionError, AttributeError):  # of an operator with nothing behind it, the library trips over its own
        return (f"the licence {expression!r} is no SPDX expression: it does not parse",)
    unknown = [name for name in found.invalid_symbols if not name.lower().startswith(("licenseref-", "documentref-"))]
    if "" in unknown or (found.errors and not found.invalid_symbols):
        return (f"the licence {expression!r} is no SPDX expression: it does not parse",)
    if unknown:
        advice = _meant(unknown[0]) or "a licence of its own is written LicenseRef-NAME"
        return (f"the licence {expression!r} is no SPDX expression: {unknown[0]!r} is not in its list; {advice}",)
    usual = found.normalized_expression
    if usual and usual != expression and usual.lower() == expression.lower():
        return (f"SPDX writes the licence {expression!r} as {usual}",)
    return ()


def _meant(name: str) -> str:
    from llamafile_format.errors import meant

    spelled = {key.lower(): key for key in _licensing().known_symbols}
    text = meant(name.lower().replace(" ", "-"), spelled)
    for lower in sorted(spelled, key=len, reverse=True):
        text = text.replace(f" {lower}", f" {spelled[lower]}")
    return text


@cache
def _licensing() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
