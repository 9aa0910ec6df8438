"""``import ocfl:DIR``: the container in an OCFL object, taken out if the whole object is what its inventory says.

``DIR`` is an object, or a storage root with one object in it. Versions 1.0 and 1.1 are read, with digests by SHA-512 or
SHA-256. The head is taken, and the contents of earlier versions are checked with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llamafile_format.bounded_json import parse_json
from llamafile_format.caring.ocfl import INVENTORY, VERSIONS, declaration
from llamafile_format.caring.taking_out import take_out, the_container
from llamafile_format.caring.tree import MAX_TABLE, Tree, read_tree
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.output.checked_copy import digests_of
from llamafile_format.output.orders import Imported, ImportOrder

_DIGITS = {"sha512": 128, "sha256": 64, "sha1": 40, "md5": 32}
_MAIN = ("sha512", "sha256")
_VERSION = re.compile(r"v(0*)([1-9][0-9]{0,8})")
_FREE = ("logs", "extensions")
"""Folders of an object whose contents OCFL leaves to others."""

Digests = dict[str, str]
"""Lower-case hex by the name of the algorithm."""


@dataclass(frozen=True, slots=True)
class _Object:
    """What an inventory says: the digests of contents by path, and by its logical path where the head has each file."""

    ident: str
    algorithm: str
    contents: Mapping[str, Digests]
    head: Mapping[str, str]


def import_ocfl(order: ImportOrder) -> Imported:
    """Take the container out of the object at ``order.place``.

    Raises FormatError if the object is not valid or its container is damaged, UsageError for no or several objects.
    """
    tree = read_tree(_object_folder(Path(order.place)))
    found = _read(tree)
    logical = the_container(tree, list(found.head))
    chosen = found.head[logical]
    for path, demanded in found.contents.items():
        if path != chosen:
            with tree.open(path) as source:
                _compare(tree, path, demanded, digests_of(source, demanded))
    return take_out(tree, chosen, found.contents[chosen], order, name=f"{found.ident}/{logical}")


def _object_folder(place: Path) -> Path:
    """``place``, or the one object in it if it is a storage root. UsageError for several, or for none."""
    if not place.is_dir() or any(_declares(place, "ocfl_object", version) for version in VERSIONS):
        return place
    tree = read_tree(place)
    names = {declaration("ocfl_object", version)[0] for version in VERSIONS}
    objects = sorted(path.rpartition("/")[0] for path in tree.files if path.rpartition("/")[2] in names)
    if not any(declaration("ocfl", version)[0] in tree.files for version in VERSIONS) or not objects:
        raise UsageError(
            f"{place} is no OCFL object, and no storage root with one", hint="name the folder of an object"
        )
    if len(objects) > 1:
        raise UsageError(f"{place} has {len(objects)} objects", hint=f"name one: ocfl:{place / objects[0]}")
    return place / objects[0]


def _declares(folder: Path, kind: str, version: str) -> bool:
    return (folder / declaration(kind, version)[0]).is_file()


def _read(tree: Tree) -> _Object:
    declared = [version for version in VERSIONS if declaration("ocfl_object", version)[0] in tree.files]
    if len(declared) != 1 or tree.read(f"0=ocfl_object_{declared[0]}") != declaration("ocfl_object", declared[0])[1]:
        raise _invalid(tree, "it does not say, once, that it is an object", "E003")
    value = _inventory(tree, "")
    if value.get("type") != f"https://ocfl.io/{declared[0]}/spec/#inventory":
        raise _invalid(tree, "its inventory is of another type than it declares", "E038")
    algorithm = str(value["digestAlgorithm"])
    head = _text(tree, value, "head")
    versions = _table(tree, value, "versions")
    if head not in versions or not _numbered(list(versions)) or _VERSION.fullmatch(head) is None:
        raise _invalid(tree, "its versions are not numbered from 1 to its head", "E010")
    contents: dict[str, Digests] = {}
    by_digest = _paths(tree, _table(tree, value, "manifest"), algorithm)
    for digest, paths in by_digest.items():
        for path in paths:
            contents.setdefault(path, {})[algorithm] = digest
    _add_fixity(tree, value, contents)
    _complete(tree, list(versions), contents)
    for version in versions:
        _same_inventory(tree, version, head, value)
    state = _paths(tree, _table(tree, _table(tree, versions, head), "state"), algorithm)
    logical = {name: by_digest[digest][0] for digest, names in state.items() if digest in by_digest for name in names}
    if len(logical) != sum(map(len, state.values())):
        raise _invalid(tree, "its head has files that are nowhere in it", "E050")
    return _Object(_text(tree, value, "id"), algorithm, contents, logical)


def _inventory(tree: Tree, where: str) -> dict[str, Any]:
    """The inventory in the folder ``where``, if it has the digest that lies beside it."""
    path = f"{where}{INVENTORY}"
    data = tree.read(path)
    value = parse_json(data)
    algorithm = value.get("digestAlgorithm") if isinstance(value, dict) else None
    if not isinstance(value, dict) or algorithm not in _MAIN:
        raise _invalid(tree, f"{path} has no digestAlgorithm sha512 or sha256", "E025")
    with tree.open(path) as source:
        digest = digests_of(source, [algorithm])[algorithm]
    beside = tree.read(f"{path}.{algorithm}", MAX_TABLE).decode("ascii", "replace").split()
    if [word.lower() for word in beside[:1]] != [digest] or beside[1:] != [INVENTORY]:
        raise _invalid(tree, f"{path} has another {algorithm} than lies beside it", "E060")
    return value


def _same_inventory(tree: Tree, version: str, head: str, value: dict[str, Any]) -> None:
    """The inventory in a version's folder is whole, and that of the head is the object's own."""
    if f"{version}/{INVENTORY}" not in tree.files:
        if version == head:
            raise _invalid(tree, f"{version} has no inventory", "E064")
        return
    there = _inventory(tree, f"{version}/")
    if version == head and there != value:
        raise _invalid(tree, f"the inventory of {version} is not the object's own", "E064")
    if there.get("id") != value.get("id"):
        raise _invalid(tree, f"the inventory of {version} is of another object", "E110")


def _add_fixity(tree: Tree, value: dict[str, Any], contents: dict[str, Digests]) -> None:
    for algorithm, block in _table(tree, value, "fixity").items() if "fixity" in value else ():
        if algorithm not in _DIGITS:
            continue  # OCFL: what nobody here can check says nothing
        for digest, paths in _paths(tree, block, algorithm).items():
            for path in paths:
                if path not in contents:
                    raise _invalid(tree, f"its fixity block names {path!r}, which its manifest does not", "E093")
                contents[path][algorithm] = digest


def _complete(tree: Tree, versions: list[str], contents: Mapping[str, Digests]) -> None:
    """Every file is listed or has a place, and every content is there."""
    for path in contents:
        if path not in tree.files:
            raise _invalid(tree, f"{path!r} is missing", "E092")
        if path.split("/")[0] not in versions:
            raise _invalid(tree, f"{path!r} is in no version", "E042")
    for path in tree.files:
        first, _, rest = path.partition("/")
        named = path if not rest else rest if first in versions else ""
        structural = named in (INVENTORY, *(f"{INVENTORY}.{name}" for name in _MAIN)) or named.startswith("0=")
        if path not in contents and not structural and not (rest and first in _FREE):
            raise _invalid(tree, f"nothing lists {path!r}", "E023")


def _compare(tree: Tree, path: str, demanded: Digests, found: Digests) -> None:
    wrong = [name for name, digest in demanded.items() if found[name] != digest]
    if wrong:
        raise _invalid(tree, f"{path!r} has another {wrong[0]} than its inventory says", "E092")


def _numbered(names: list[str]) -> bool:
    found = [_VERSION.fullmatch(name) for name in names]
    return sorted(int(match[2]) for match in found if match) == list(range(1, len(names) + 1))


def _paths(tree: Tree, value: Any, algorithm: str) -> dict[str, list[str]]:
    """A block of an inventory: lists of paths by digest."""
    if not isinstance(value, dict):
        raise _invalid(tree, "its inventory has no object where one is due", "E050")
    found: dict[str, list[str]] = {}
    for digest, paths in value.items():
        if len(digest) != _DIGITS[algorithm] or not re.fullmatch("[0-9A-Fa-f]+", digest) or digest.lower() in found:
            raise _invalid(tree, f"{digest[:20]!r} is no {algorithm}, or is there twice", "E096")
        if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
            raise _invalid(tree, f"{digest[:20]!r} has no list of paths", "E051")
        found[digest.lower()] = paths
    every = [path for paths in found.values() for path in paths]
    if len(set(every)) != len(every):
        raise _invalid(tree, "its inventory has a path twice", "E101")
    return found


def _table(tree: Tree, value: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    if not isinstance(found, dict):
        raise _invalid(tree, f"its inventory has no {name}", "E036")
    return found


def _text(tree: Tree, value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str) or not found:
        raise _invalid(tree, f"its inventory has no {name}", "E036")
    return found


def _invalid(tree: Tree, what: str, code: str) -> FormatError:
    return FormatError(
        f"{tree.root} is no valid OCFL object: {what}", clause=f"OCFL {code}", hint="have it made or repaired again"
    )
