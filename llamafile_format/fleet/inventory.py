"""What is to be verified: a folder, a list in a file, or what a store lists below a prefix (spec/1, 10.15.2)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llamafile_format.errors import SourceError, UsageError
from llamafile_format.examining import expand
from llamafile_format.source import Identity
from llamafile_format.source.address import HUB, STORES, is_remote, read_address, shown
from llamafile_format.source.proxies import Proxies
from llamafile_format.source.store_object import listed

_LONGEST = 1 << 16  # characters of a line
_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Halves of pairs that stand for no byte."""
_VERSIONS = ("version", "etag")
_FIELDS = frozenset({"name", "size", *_VERSIONS})


@dataclass(frozen=True, slots=True)
class Item:
    """One object. ``version`` tells its state, empty where only reading it will tell; ``size`` is bytes, 0 if unknown.

    ``named`` as of ``expand``: what somebody named counts, whatever it turns out to be.
    """

    name: str
    version: str = ""
    size: int = 0
    named: bool = True


def is_size(value: object) -> bool:
    """True for a number of bytes that an object can have."""
    return type(value) is int and 0 <= value < 1 << 63


def inventory(what: str, environment: Mapping[str, str], *, ca_file: str = "") -> Iterator[Item]:
    """Each object of ``what``, which is a folder, a prefix in a store, or a file that lists names.

    UsageError for a list that is none, or names an address with something in it that may be secret; SourceError if
    the list, the folder or the store cannot be read.
    """
    if is_remote(what):
        return _below(what, environment, ca_file)
    if Path(what).is_dir():
        return (_local(path, named=named) for path, named in expand([what]))
    return _listed(what, environment)


def _below(prefix: str, environment: Mapping[str, str], ca_file: str) -> Iterator[Item]:
    scheme = prefix.partition("://")[0].lower()
    if scheme not in STORES:
        raise UsageError(
            f"{shown(prefix)} cannot be listed",
            hint=f"prefixes are of {', '.join(STORES)}; write other addresses into a file, one a line",
        )
    for name, version, size in listed(prefix, environment, ca_file=ca_file, proxies=Proxies.of(environment)):
        yield Item(name, version, size, named=False)


def _local(path: str, *, named: bool) -> Item:
    """A file and its state; what cannot be seen has none, and will say so itself."""
    absolute = str(Path(path).absolute())
    try:
        info = Path(absolute).stat()
    except (OSError, ValueError):  # a name that no file can have is one, too
        return Item(absolute, named=named)
    state = Identity.of(info)
    version = "-".join(f"{part:x}" for part in (state.device, state.inode, state.size, state.mtime, state.ctime))
    return Item(absolute, version, info.st_size, named)


def _listed(path: str, environment: Mapping[str, str]) -> Iterator[Item]:
    hub = environment.get("HF_ENDPOINT") or HUB
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            number = 0
            while line := file.readline(_LONGEST):
                number += 1
                text = line.rstrip("\r\n")
                if len(line) == _LONGEST or "\0" in line:
                    raise UsageError(f"{path}, line {number}: no list of names", hint="verify looks at single files")
                if text.strip() and not text.startswith("#"):
                    yield _item(text, f"{path}, line {number}", hub)
    except OSError as error:
        raise SourceError(f"cannot read the inventory {path}: {error.strerror or error}") from error


def _item(text: str, where: str, hub: str) -> Item:
    fields: dict[str, Any] = {"name": text}
    if text.startswith("{"):
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{where}: no JSON object: {error}") from error
    name, size = fields.get("name"), fields.get("size", 0)
    version = next((fields[field] for field in _VERSIONS if fields.get(field)), "")
    if not isinstance(name, str) or not name or not isinstance(version, str) or not is_size(size):
        raise UsageError(f"{where}: {', '.join(sorted(_FIELDS))} are texts, but for size, and name must be there")
    if "\0" in name or _HALF.search(name) or not version.isascii():
        raise UsageError(f"{where}: no file and no object has such a name, or version")
    if not is_remote(name):
        return _local(name, named=True)
    address = read_address(name, hub)
    if address.name != name:
        raise UsageError(
            f"{where}: {address.name} has a query or a fragment, which can hold a secret, and tasks hold none",
            hint="leave it out; workers take tokens from LFF_TOKEN, and keys from the variables of the store",
        )
    return Item(name, version, size)
