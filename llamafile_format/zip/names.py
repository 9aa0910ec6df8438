"""Member names: which are safe, and which two could become one file (spec/1, 4.8).

A name is compared as bytes by the engine, as text by archive tools, and as a path by file systems that fold case or
normal form. A name that means different things to any two of them is refused.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from enum import Enum
from functools import lru_cache

MAX_NAME = 1024  # clause 4.13: bytes
MAX_COMPONENT = 255  # clause 4.13: bytes; no file system in use takes more
RESERVED_FOLDER = "META-LLAMAFILE/"
ARGUMENTS_SUFFIX = ".args"
WEIGHTS_SUFFIX = ".gguf"
STATE_SUFFIXES = (".journal", ".partial")
"""Clause 4.8.7: taken out of an archive, such a file would pose as the state of the one beside it."""


class NameProblem(Enum):
    """What is wrong with a name; the value is the phrase that messages use."""

    EMPTY = "is empty"
    ENCODING = "is not UTF-8"
    NORMAL_FORM = "is not in Unicode normal form C"
    CONTROL = "holds a control, direction or invisible character"
    BACKSLASH = "holds a backslash"
    ABSOLUTE = "is an absolute path"
    TRAVERSAL = "has an empty, '.' or '..' component"
    FOLDER = "ends in a slash, which makes it a folder"
    WINDOWS = "cannot be a file name on Windows"
    LENGTH = "is too long"
    STATE = "ends like a file that tools keep beside another (.journal, .partial)"
    HYPHEN = "is a lone hyphen, which stands for no member in the chunk list"


_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{device}{digit}" for device in ("com", "lpt") for digit in "0123456789¹²³"}
)
_WINDOWS_FORBIDDEN = frozenset('<>:"|?*')
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./+ ,=@()[]{}!#$%&'^`~;")


@lru_cache(maxsize=4096)
def name_problems(name: bytes) -> tuple[NameProblem, ...]:
    """Every problem of ``name``, in the order of :class:`NameProblem`; empty if the name is safe."""
    if not name:
        return (NameProblem.EMPTY,)
    if name == b"-":
        return (NameProblem.HYPHEN,)
    found: set[NameProblem] = set()
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        found.add(NameProblem.ENCODING)
        text = name.decode("latin-1")
    if not _PLAIN.issuperset(name):
        found |= _character_problems(text, decoded=NameProblem.ENCODING not in found)
    found |= _path_problems(text)
    if any(part.casefold().endswith(STATE_SUFFIXES) for part in text.split("/")):
        found.add(NameProblem.STATE)
    if len(name) > MAX_NAME or any(len(part.encode("utf-8")) > MAX_COMPONENT for part in text.split("/")):
        found.add(NameProblem.LENGTH)
    return tuple(problem for problem in NameProblem if problem in found)


def _character_problems(text: str, *, decoded: bool) -> set[NameProblem]:
    found = set()
    if "\\" in text:
        found.add(NameProblem.BACKSLASH)
    if not _WINDOWS_FORBIDDEN.isdisjoint(text):
        found.add(NameProblem.WINDOWS)
    if not decoded:
        if any(character < " " for character in text):
            found.add(NameProblem.CONTROL)
        return found
    # Cn: a code point that this Unicode version does not assign may get another normal form later.
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp") for character in text):
        found.add(NameProblem.CONTROL)
    if not unicodedata.is_normalized("NFC", text):
        found.add(NameProblem.NORMAL_FORM)
    return found


def _path_problems(text: str) -> set[NameProblem]:
    found = set()
    if text.startswith("/"):
        found.add(NameProblem.ABSOLUTE)
    if text.endswith("/"):
        found.add(NameProblem.FOLDER)
    parts = text.strip("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        found.add(NameProblem.TRAVERSAL)
    for part in parts:
        stem = part.split(".", 1)[0].rstrip(" ").lower()
        if stem in _DEVICES or (part.endswith((".", " ")) and part not in (".", "..")):
            found.add(NameProblem.WINDOWS)
    return found


def is_safe(name: str) -> bool:
    """True if ``name`` may be the name of a member."""
    try:
        return not name_problems(name.encode("utf-8"))
    except UnicodeEncodeError:
        return False


def collision_key(name: str) -> str:
    """Equal for two names that some file system takes for one: normal form and case folded away."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def collisions(names: Iterable[str]) -> list[tuple[int, int]]:
    """(index, index of the earlier name) for each name that folds to an earlier one or is a folder of one.

    ``a`` and ``a/b`` collide: no file system holds both. Exact duplicates collide too.
    """
    first: dict[str, int] = {}
    folders: dict[str, int] = {}
    found = []
    for index, name in enumerate(names):
        key = collision_key(name)
        above = parents(key)
        earlier = first.get(key, folders.get(key))
        if earlier is None:
            earlier = next((first[parent] for parent in above if parent in first), None)
        if earlier is not None:
            found.append((index, earlier))
        first.setdefault(key, index)
        for parent in above:
            folders.setdefault(parent, index)
    return found


def parents(key: str) -> list[str]:
    """The folders that hold ``key``, outermost first, at most 63 deep."""
    parts = key.split("/")
    return ["/".join(parts[:count]) for count in range(1, min(len(parts), 64))]


def is_arguments_name(name: str) -> bool:
    """True if ``name`` is or could pass for that of default arguments: it ends in ``.args``, in any case."""
    return name.lower().endswith(ARGUMENTS_SUFFIX)


def is_weights_name(name: str) -> bool:
    """True if the engine's weights reader would take ``name`` for weights: any case of ``.gguf`` behind something."""
    return len(name) > len(WEIGHTS_SUFFIX) and name[-len(WEIGHTS_SUFFIX) :].lower() == WEIGHTS_SUFFIX


def is_reserved(name: str) -> bool:
    """True if ``name`` lies in the reserved folder, whatever its case, or is its name."""
    folder = collision_key(RESERVED_FOLDER)
    return (collision_key(name) + "/").startswith(folder)


def name_faults(name: str) -> tuple[str, ...]:
    """Every problem of ``name`` as a phrase that continues "the name ..."; empty if the name is safe."""
    try:
        return tuple(problem.value for problem in name_problems(name.encode("utf-8")))
    except UnicodeEncodeError:
        return (NameProblem.ENCODING.value,)
