"""A model out of the cache of the Hub's library: ``hf-cache:ORG/NAME[@REVISION]``. Nothing is ever written into it.

    models--ORG--NAME/refs/main                  the commit that a name stands for
    models--ORG--NAME/snapshots/COMMIT/PATH      one link each, to
    models--ORG--NAME/blobs/ETAG                 the bytes, named by their SHA-256, or as Git names them

The link is read and not followed: it has to end in the ``blobs`` of this very repository. The name is what the bytes
must turn out to have while they are copied; what Git names by SHA-1 is compared with that first.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from llamafile_format.errors import FormatError, LimitExceeded, UsageError
from llamafile_format.exchanging.anew import imported_anew
from llamafile_format.exchanging.folders import LEFT_BY_TOOLS
from llamafile_format.exchanging.included import Included
from llamafile_format.exchanging.store import Store, opened
from llamafile_format.output.orders import Imported, ImportOrder
from llamafile_format.packing import Include
from llamafile_format.source import FileSource

_NAME = re.compile(r"(?!.*(?:--|\.\.))([\w.-]{1,96}/)?[\w.-]{1,96}", re.ASCII)
"""Without ``--``, which no name at a hub has: the cache has it for ``/``, so ``o--n`` would be a name for ``o/n``."""

_REVISION = re.compile(r"[\w.+-]{1,128}(/[\w.+-]{1,128}){0,7}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_BLOB = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")
_MOST_FILES = 10_000
_DEEPEST = 64
_PIECE = 1 << 20


def import_hub_cache(order: ImportOrder) -> Imported:
    """A container of the files of one revision. ``settings``: ``store`` and the variables of the Hub's library say
    where the cache is; the rest is as of :func:`~llamafile_format.exchanging.folders.import_folder`.

    UsageError for a name that is none or is not there, FormatError for links that lead elsewhere, for bytes of another
    digest than their name, and for names that no member may have.
    """
    name, _, revision = order.place.partition("@")
    revision = revision or "main"
    steps = revision.split("/")
    if not _NAME.fullmatch(name) or not _REVISION.fullmatch(revision) or {".", ".."} & {*steps, *name.split("/")}:
        raise UsageError(f"{order.place!r} names no model", hint="hf-cache:ORG/NAME or hf-cache:ORG/NAME@REVISION")
    cache = opened(cache_of_hub(order.settings), "the cache of the hub's library")
    repository = f"models--{name.replace('/', '--')}"
    if cache.look(repository) is None:
        raise UsageError(f"{name} is not in {cache.root}", hint="hf-cache:ORG/NAME, as the hub calls it")
    commit = _commit(cache, repository, steps)
    files = Included()
    unnamed = []
    for path in _paths(cache, (repository, "snapshots", commit)):
        entry = (repository, "snapshots", commit, *path.split("/"))
        blob = _blob(cache, entry)
        source = cache.open(*((repository, "blobs", blob) if blob else entry))
        files.add(Include(Path(path), path, sha256=_sha256(source, blob), source=source))
        unnamed += [] if blob else [path]
    notes = [f"{revision} is {commit}"] if revision != commit else []
    notes += [f"{', '.join(unnamed[:6])}: no link, so nothing names the digest"] if unnamed else []
    return imported_anew(order, files.done(), repository, source=f"hf://{name}@{commit}", notes=notes)


def cache_of_hub(settings: Mapping[str, str]) -> Path:
    """Where the cache is: ``store``, or as the Hub's library finds it."""

    def said(name: str) -> str:
        """The variable ``name``, with what a shell would put for ``~`` and ``$NAME``."""
        return os.path.expandvars(os.path.expanduser(settings.get(name, "")))  # noqa: PTH111 (an empty one stays empty)

    for name in ("store", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if where := said(name):
            return Path(where)
    if home := said("HF_HOME"):
        return Path(home, "hub")
    return Path(said("XDG_CACHE_HOME") or Path(settings.get("HOME") or Path.home(), ".cache"), "huggingface", "hub")


def _commit(cache: Store, repository: str, steps: list[str]) -> str:
    """The commit that a revision stands for: a name among ``refs``, or a commit that is there."""
    info = cache.look(repository, "refs", *steps)
    if info is not None and stat.S_ISREG(info.st_mode):
        found = cache.read(256, repository, "refs", *steps).decode("ascii", "replace").strip()
        if not _COMMIT.fullmatch(found):
            raise FormatError(f"{cache.path(repository, 'refs', *steps)} names no commit", found=repr(found)[:100])
    else:
        found = steps[0]
    known = [name for name in cache.names(repository, "snapshots") if _COMMIT.fullmatch(name)]
    if found not in known:
        hint = f"there are: {', '.join([*cache.names(repository, 'refs'), *known][:20])}" if known else "there is none"
        raise UsageError(f"the revision {'/'.join(steps)} of {repository} is not in {cache.root}", hint=hint)
    return found


def _paths(cache: Store, folder: tuple[str, ...]) -> Iterator[str]:
    """Paths of the files in a snapshot, links and all, but for what tools leave behind."""
    todo: list[tuple[str, ...]] = [()]
    count = 0
    while todo:
        inside = todo.pop()
        for name, mode in cache.names(*folder, *inside).items():
            count += 1
            if count > _MOST_FILES or len(inside) > _DEEPEST:
                raise LimitExceeded(
                    f"{cache.path(*folder)} holds too much", allowed=f"{_MOST_FILES} files, {_DEEPEST} folders deep"
                )
            if name in LEFT_BY_TOOLS:
                continue
            if stat.S_ISDIR(mode):
                todo.append((*inside, name))
            else:
                yield "/".join((*inside, name))


def _blob(cache: Store, names: tuple[str, ...]) -> str:
    """The name of the blob that the link ``names`` leads to; empty if it is a file of its own, as on Windows."""
    path = cache.path(*names)
    if not stat.S_ISLNK(os.lstat(path).st_mode):
        return ""
    said = str(path.readlink())
    folder, _, name = os.path.normpath(path.parent.absolute() / said).rpartition(os.sep)
    homes = [os.path.normpath(home / names[0] / "blobs") for home in (cache.root.absolute(), cache.root.resolve())]
    if folder not in homes or not _BLOB.fullmatch(name):
        raise FormatError(
            f"{path} leads to {said[:200]!r}, and not to a blob of its repository",
            hint="fetch the model again with the hub's own tool",
        )
    return name


def _sha256(source: FileSource, blob: str) -> str:
    """What the bytes must turn out to have when they are copied. FormatError if they are not what Git calls so."""
    if len(blob) != 40:
        return blob
    as_git = hashlib.sha1(b"blob %d\0" % source.size, usedforsecurity=False)
    found = hashlib.sha256()
    for at in range(0, source.size, _PIECE):
        data = source.read_at(at, min(_PIECE, source.size - at))
        as_git.update(data)
        found.update(data)
    if as_git.hexdigest() != blob:
        raise FormatError(
            f"{source.name} is not what its name says: its bytes have another SHA-1 for Git",
            found=as_git.hexdigest(),
            allowed=blob,
            hint="fetch the model again; nothing was written",
        )
    return found.hexdigest()
