"""Files of others as a new container: as ``pack`` makes one, and never more than it would make by itself.

``--force`` of ``import`` and ``pull`` replaces a file. That of ``pack`` also overrides what speaks against a model, so
it is not handed on, and no hint offers it: what ``verify`` refuses does not come in.
"""

from __future__ import annotations

from collections.abc import Sequence

from llamafile_format.errors import FormatError
from llamafile_format.output.orders import Imported, ImportOrder
from llamafile_format.packing import INSIST, Include, PackResult, pack


def pack_anew(
    order: ImportOrder,
    includes: Sequence[Include],
    *,
    source: str = "",
    args: Sequence[str] | None = None,
    resume: str = "",
) -> PackResult:
    """``includes`` as the new container of ``order``; ``source`` is where its manifest says that they come from.

    ``settings`` of the order: ``runtime`` and ``default``, as ``pack`` has them; so has ``resume``. Raises as ``pack``
    does.
    """

    try:
        return pack(
            (),
            order.out,
            include=includes,
            runtime=order.settings.get("runtime", ""),
            default=order.settings.get("default", ""),
            source=source,
            args=args,
            resume=resume,
            overwrite=order.force,
            progress=order.progress,
        )
    except FormatError as error:
        error.hint = error.hint.partition(INSIST)[0]
        raise


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
