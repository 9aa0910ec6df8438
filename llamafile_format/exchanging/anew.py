"""Files of others as a new container: as ``pack`` makes one, and never more than it would make by itself.

``--force`` of ``import`` and ``pull`` replaces a file. That of ``pack`` also overrides what speaks against a model, so
it is not handed on: what ``verify`` refuses does not come in.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from llamafile_format.output.orders import Imported, ImportOrder
from llamafile_format.output.publish import give_name, refuse_taken, sync_folder
from llamafile_format.packing import Include, PackResult, pack


def pack_anew(
    order: ImportOrder,
    includes: Sequence[Include],
    *,
    source: str = "",
    args: Sequence[str] | None = None,
    resume: str = "",
) -> PackResult:
    """``includes`` as the new container of ``order``; ``source`` is where its manifest says that they come from.

    ``settings`` of the order: ``runtime`` and ``default``, as ``pack`` has them; so has ``resume``, which counts where
    nothing is replaced. Raises as ``pack`` does.
    """

    def packed(out: Path) -> PackResult:
        """All of it as ``out``."""
        return pack(
            (),
            out,
            include=includes,
            runtime=order.settings.get("runtime", ""),
            default=order.settings.get("default", ""),
            source=source,
            args=args,
            resume=resume,
            progress=order.progress,
        )

    if not order.force or (resume and not os.path.lexists(order.out)):
        return packed(order.out)
    refuse_taken(order.out, force=True)
    with tempfile.TemporaryDirectory(prefix=".import-", dir=order.out.parent) as folder:
        result = packed(Path(folder, order.out.name))
        extra = tuple(order.out.parent / path.name for path in result.extra)
        for path, target in zip((*result.extra, result.path), (*extra, order.out), strict=True):
            give_name(path, target, force=True)
    sync_folder(order.out.parent)
    return replace(result, path=order.out, extra=extra)


def imported_anew(
    order: ImportOrder,
    includes: Sequence[Include],
    name: str,
    *,
    source: str = "",
    args: Sequence[str] | None = None,
    notes: Sequence[str] = (),
    resume: str = "",
) -> Imported:
    """The same, and what is said about it: ``name`` is what it was called where it lay."""
    result = pack_anew(order, includes, source=source, args=args, resume=resume)
    told = (*notes, *result.notes)
    return Imported(order.out, name, result.size, result.manifest_sha256, result.shared, told)
