"""Files of a repository at a hub: ``pull hf://ORG/NAME[@REVISION]/FILE…``, all from one commit.

A llamafile comes as it is. Anything else is packed as ``pack`` would, straight from the hub: each byte is fetched once
for the new file, and what the hub says of its SHA-256 is what it must turn out to have. Where that is known, what has
come before the line broke is gone on with by the next run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import unquote

from llamafile_format.caring import admit
from llamafile_format.container import Container, Kind
from llamafile_format.errors import FormatError, SourceError, UsageError
from llamafile_format.exchanging.anew import imported_anew
from llamafile_format.exchanging.included import Included
from llamafile_format.manifest.hashing import digest_range
from llamafile_format.output.orders import Imported, ImportOrder
from llamafile_format.output.resumable import resumable
from llamafile_format.output.room import require_room
from llamafile_format.output.transfer import sink_beyond
from llamafile_format.packing import Include
from llamafile_format.progress import Advance, counted
from llamafile_format.source import Chain, FileSource, Window
from llamafile_format.source.address import HUB, HubFile, hub_file
from llamafile_format.source.opening import open_remote
from llamafile_format.source.proxies import Proxies
from llamafile_format.source.remote import RemoteSource

_COMMIT = re.compile(r"[0-9a-f]{40}")


def pull_from_hub(order: ImportOrder) -> Imported:
    """The files at the addresses in ``order.place``, with blanks between them, as a new container.

    ``settings``: ``hub``, ``token`` and ``ca_file``, each empty or as :func:`open_remote` has it; ``runtime`` and
    ``default`` as ``pack`` has them; the variables of proxies by their names. Raises UsageError for files of several
    repositories or revisions, SourceError for what cannot be read or is of another commit, FormatError for other bytes
    than the hub says.
    """
    wanted = _wanted(order.place.split())
    with ExitStack() as stack:
        first = stack.enter_context(_opened(order, wanted[0]))
        commit = _commit(first)
        mode = _mode_of_llamafile(first) if len(wanted) == 1 else 0
        if mode:
            return _whole(first, order, mode)
        files = Included()
        for number, each in enumerate(wanted):
            source = first if not number else stack.enter_context(_opened(order, each, commit))
            if commit and _commit(source) != commit:  # the manifest would say that it is of the first one's
                said = _commit(source) or "none"
                raise SourceError(f"{source.name}: the hub has it from another commit, {said}", hint="try again")
            name = unquote(each.path)
            files.add(Include(Path(name), name, sha256=source.sha256, source=source))
        where = f"hf://{wanted[0].repository}" + (f"@{commit}" if commit else "")
        notes = [] if commit else ["the hub named no commit: the files may be of several"]
        begun = "\n".join([where, *(include.member for include in files.includes)]) if commit else ""
        return imported_anew(order, files.done(), where, source=where, notes=notes, resume=begun)


def _wanted(addresses: Sequence[str]) -> list[HubFile]:
    found = [hub_file(address) for address in addresses]
    if len({(each.repository, each.revision) for each in found}) != 1:
        raise UsageError("the files are of several repositories or revisions", hint="name files of one at a time")
    return found


def _opened(order: ImportOrder, file: HubFile, commit: str = "") -> RemoteSource:
    return open_remote(
        file.at(commit).address,
        ca_file=order.settings.get("ca_file", ""),
        token=order.settings.get("token", ""),
        hub=order.settings.get("hub") or HUB,
        proxies=Proxies.of(order.settings),
    )


def _commit(source: RemoteSource) -> str:
    """The commit that the hub says ``source`` is of; empty if it says none."""
    said = source.revision.partition(" ")[0]
    return said if _COMMIT.fullmatch(said) else ""


def _mode_of_llamafile(source: RemoteSource) -> int:
    """The mode of a llamafile that is copied: one with something in front can be run. 0 if it is none."""
    with Container(source) as container:
        if container.kind is Kind.OTHER:
            return 0
        return 0o777 if container.manifest is None or container.manifest.prefix.size else 0o666


def _whole(source: RemoteSource, order: ImportOrder, mode: int) -> Imported:
    """The llamafile ``source``, verified in full once it is here and before it gets its name."""
    if order.settings.get("runtime") or order.settings.get("default"):
        raise UsageError("the file is a llamafile with all that is in it", hint="leave out --runtime and --default")
    advance = counted(order.progress, source.size)
    with resumable(order.out, source.sha256, force=order.force, mode=mode) as begun:
        have = min(begun.settled, source.size)
        require_room(order.out.parent, [Window(source, have, source.size - have)])
        digest = _copied(source, begun.fd, have, advance)
        if have and digest != source.sha256:  # what lay there was something else
            digest = _copied(source, begun.fd, 0, advance)
        if source.sha256 not in ("", digest):
            raise FormatError(
                f"{source.name} has another SHA-256 than the hub says", found=digest, allowed=source.sha256
            )
        admit(FileSource.from_descriptor(begun.fd, order.out.name), "was not taken", order.progress)
    return Imported(order.out, source.name, source.size, digest)


def _copied(source: RemoteSource, out: int, have: int, advance: Advance | None) -> str:
    """The SHA-256 of ``source``, written to ``out``, whose first ``have`` bytes are hashed and not fetched."""
    os.ftruncate(out, have)
    there = Window(FileSource.from_descriptor(out, source.name), 0, have)
    both = Chain(source.name, [there, Window(source, have, source.size - have)])
    return digest_range(both, 0, source.size, sink=sink_beyond(have, both, out, 0), progress=advance).sha256.hex()
