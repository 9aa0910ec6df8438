"""``import bag:DIR``: the container in a bag, taken out if the whole bag is what its manifests say (RFC 8493).

Versions 0.97 and 1.0 are read. A bag with ``fetch.txt`` is refused: what it lacks would come from an address that a
stranger wrote down. So is one with a link, with a name that is not safe, with a file that is missing, or one too many.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from llamafile_format.caring.taking_out import take_out, the_container
from llamafile_format.caring.tree import Tree, read_tree
from llamafile_format.errors import FormatError
from llamafile_format.output.checked_copy import digests_of
from llamafile_format.output.orders import Imported, ImportOrder

_VERSIONS = ("0.97", "1.0")
_DECLARATION = re.compile(r"BagIt-Version: ([0-9]+\.[0-9]+)\r?\nTag-File-Character-Encoding: (\S+)(?:\r?\n)?")
_MANIFEST = re.compile(r"(tag)?manifest-([a-z0-9]+)\.txt")
_DIGITS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}
_TRUSTED = ("sha256", "sha512")
"""Others are checked as well, and are no ground to believe in a payload."""
_LINE = re.compile(r"([0-9A-Fa-f]+)[ \t]+\*?(?:\./)?(\S.*)")
_OXUM = re.compile(r"^Payload-Oxum: *([0-9]+)\.([0-9]+) *\r?$", re.MULTILINE | re.IGNORECASE)

Digests = dict[str, str]
"""Lower-case hex by the name of the algorithm."""


@dataclass(frozen=True, slots=True)
class _Bag:
    """What the manifests of a bag demand of each file, by its path."""

    tree: Tree
    payload: Mapping[str, Digests]
    tags: Mapping[str, Digests]


def import_bag(order: ImportOrder) -> Imported:
    """Take the container out of the bag ``order.place``.

    Raises FormatError if the bag is not valid or its container is damaged, UsageError if it has none, or several.
    """
    bag = _read(read_tree(order.place))
    chosen = the_container(bag.tree, list(bag.payload))
    for path, demanded in {**bag.tags, **bag.payload}.items():
        if path != chosen:
            _check(bag.tree, path, demanded)
    return take_out(bag.tree, chosen, bag.payload[chosen], order)


def _read(tree: Tree) -> _Bag:
    """The bag in ``tree``: whole, and nothing in it that it does not name."""
    if "fetch.txt" in tree.files:
        raise _invalid(tree, "it has a fetch.txt: parts of it lie at addresses", "2.2.3", "have its sender complete it")
    _declared(tree)
    payload: dict[str, Digests] = {}
    tags: dict[str, Digests] = {}
    algorithms = []
    for name in tree.files:
        match = _MANIFEST.fullmatch(name)
        if match is None:
            continue
        if match[2] not in _DIGITS:
            raise _invalid(tree, f"nobody here can check {name}", "2.4", f"known are {', '.join(_DIGITS)}")
        listed = _lines(tree, name, match[2])
        if not match[1]:
            algorithms.append(match[2])
            _complete(tree, name, listed)
        for path, digest in listed.items():
            (tags if match[1] else payload).setdefault(path, {})[match[2]] = digest
    if not set(_TRUSTED) & set(algorithms):
        raise _invalid(tree, "it has no manifest in SHA-256 or SHA-512", "2.4", "have it made again with one of these")
    _counted(tree)
    return _Bag(tree, payload, tags)


def _declared(tree: Tree) -> None:
    match = _DECLARATION.fullmatch(_text(tree, "bagit.txt"))
    if match is None or match[1] not in _VERSIONS or match[2].upper() not in ("UTF-8", "UTF8"):
        raise _invalid(tree, "bagit.txt declares no bag of version 0.97 or 1.0 in UTF-8", "2.1.1", "is it a bag?")


def _lines(tree: Tree, name: str, algorithm: str) -> Digests:
    """Digests by path, as the manifest ``name`` has them."""
    listed: Digests = {}
    for number, line in enumerate(_text(tree, name).splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line)
        if match is None or len(match[1]) != _DIGITS[algorithm]:
            raise _invalid(tree, f"{name}, line {number}: no digest and path", "2.1.3", "the manifest is damaged")
        path = match[2] if match[2] in tree.files else _decoded(match[2])
        if listed.setdefault(path, match[1].lower()) != match[1].lower():
            raise _invalid(tree, f"{name} has two digests of {path!r}", "2.1.3", "the manifest is damaged")
        if path not in tree.files:
            raise _invalid(tree, f"{name} lists {path!r}, which is missing", "3", "the bag is not whole")
        if path.startswith("data/") is name.startswith("tag"):
            raise _invalid(tree, f"{name} lists {path!r}, which is for another manifest", "2.1.3", "is it a bag?")
    return listed


def _complete(tree: Tree, name: str, listed: Digests) -> None:
    surplus = [path for path in tree.below("data") if path not in listed]
    if surplus:
        raise _invalid(tree, f"{name} does not list {surplus[0]!r}", "3", "somebody has put a file into the bag")


def _counted(tree: Tree) -> None:
    match = _OXUM.search(_text(tree, "bag-info.txt")) if "bag-info.txt" in tree.files else None
    if match is None:
        return
    sizes = [tree.files[path].size for path in tree.below("data")]
    if (int(match[1]), int(match[2])) != (sum(sizes), len(sizes)):
        raise _invalid(
            tree,
            f"Payload-Oxum is {match[1]}.{match[2]}, and there are {sum(sizes)}.{len(sizes)}",
            "2.2.2",
            "is it whole?",
        )


def _check(tree: Tree, path: str, demanded: Digests) -> None:
    with tree.open(path) as source:
        found = digests_of(source, demanded)
    wrong = [name for name, digest in demanded.items() if found[name] != digest]
    if wrong:
        raise _invalid(tree, f"{path!r} has another {wrong[0]} than the manifest says", "3", "the file is damaged")


def _text(tree: Tree, name: str) -> str:
    try:
        return tree.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _invalid(tree, f"{name} is not UTF-8", "2.1.1", "is it a bag?") from error


def _decoded(path: str) -> str:
    return re.sub("%(0[AaDd]|25)", lambda match: chr(int(match[1], 16)), path)


def _invalid(tree: Tree, what: str, section: str, hint: str) -> FormatError:
    return FormatError(f"{tree.root} is no valid bag: {what}", clause=f"RFC 8493, {section}", hint=hint)
