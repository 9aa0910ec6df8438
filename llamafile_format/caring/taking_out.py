"""From a package to a file: which of its files is the container, and its bytes as the package's digests demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from llamafile_format.caring.admitting import admit
from llamafile_format.caring.tree import Tree
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.output.checked_copy import checked_copy, digests_of, mode_of
from llamafile_format.output.orders import Imported, ImportOrder
from llamafile_format.output.publish import output
from llamafile_format.output.room import require_room
from llamafile_format.progress import counted

_SUFFIXES = (".llamafile", ".exe")


def the_container(tree: Tree, paths: Sequence[str]) -> str:
    """The one of ``paths`` that is the container: the only one there, or the only one with its ending."""
    named = [path for path in paths if path.endswith(_SUFFIXES[0])] or [
        path for path in paths if path.endswith(_SUFFIXES)
    ]
    found = named or list(paths)
    if len(found) != 1:
        what = f"{len(found)} llamafiles" if found else "no file"
        raise UsageError(
            f"{tree.root} holds {what}, and one is taken out", hint="take it out with the package's own tool"
        )
    return found[0]


def take_out(tree: Tree, path: str, demanded: Mapping[str, str], order: ImportOrder, *, name: str = "") -> Imported:
    """Write the container at ``path`` as ``order.out``, if it has the digests ``demanded`` and is sound.

    ``name`` is what the package calls it, its path unless given. Raises FormatError for other digests, and what
    :func:`admit` does.
    """
    consequence = "was not taken out"
    with tree.open(path) as source:
        admit(source, consequence, order.progress)
        require_room(Path(order.out).parent, [source])
        others = {kind for kind in demanded if kind not in ("sha256", "sha512")}
        found = digests_of(source, others)
        with output(order.out, force=order.force, mode=mode_of(source)) as out:
            copied = checked_copy(source, out, progress=counted(order.progress, 2 * source.size))
            found |= {"sha256": copied.sha256, "sha512": copied.sha512}
            wrong = [kind for kind, digest in demanded.items() if found[kind] != digest]
            if wrong:
                raise FormatError(
                    f"{source.name} {consequence}: it has another {wrong[0]} than the package says",
                    hint="the package is damaged, or somebody has exchanged the file in it",
                )
    return Imported(order.out, name or path, copied.size, copied.sha256, copied.shared)
