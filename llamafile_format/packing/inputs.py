"""What the user named, as contents of a container: files, roles, names, split sets (spec/1, 8.1)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llamafile_format.checks.manifest import SPLIT_NAME
from llamafile_format.checks.shards import listed, shard_of
from llamafile_format.checks.weights_member import QUICK_HEADER
from llamafile_format.engines.embedded import is_pin_path
from llamafile_format.engines.members import parse_runtime_path
from llamafile_format.errors import UsageError
from llamafile_format.manifest.media import media_type, role_of_name
from llamafile_format.manifest.model import ARGUMENTS_PATH
from llamafile_format.manifest.roles import DEFAULT_ALIGNMENT, FIXED_PATHS, MAX_ALIGNMENT, alignment_of, known
from llamafile_format.packing.assemble import Content
from llamafile_format.packing.runtime_members import LAUNCHER, NONE
from llamafile_format.source import ByteSource, BytesSource, FileSource, RestingFile, put_down
from llamafile_format.strict_yaml import nearest, parse, place_of
from llamafile_format.viewers import newest_page
from llamafile_format.weights.formats import GGUF, named_format, recognise_format
from llamafile_format.zip.names import is_reserved, name_problems

ONNX_DATA = re.compile(r"(?P<model>.*\.onnx)[._]data(_[0-9]+)?", re.DOTALL)
"""How exporters call the data of a model that lie outside it (7.17.6); other names are given a role by the user."""

_RESERVED_ROLES = frozenset({"readme", "chunks", "manifest", "history", "engine-asset", *FIXED_PATHS})


@dataclass(frozen=True, slots=True)
class Include:
    """A file to include: where it lies, its member name (default: its own name), its role (default: recognised).

    ``data`` says that it is of no known kind, whatever its name. ``sha256`` is what its bytes must turn out to have.
    ``source`` are its bytes, if whoever names it has opened it already; ``path`` is then for messages.
    """

    path: Path
    member: str = ""
    role: str = ""
    data: bool = False
    sha256: str = ""
    source: ByteSource | None = None


def include_of(text: str) -> Include:
    """``PATH`` or ``PATH=MEMBER``; a path that exists with its ``=`` wins."""
    if "=" in text and not Path(text).exists():
        path, _, member = text.rpartition("=")
        return Include(Path(path), member)
    return Include(Path(text))


def data_of(text: str) -> Include:
    """``PATH`` or ``PATH=MEMBER`` as data that nothing opens: role ``document`` (clause 8.1.8).

    UsageError for what is named, or begins, like weights.
    """
    include = replace(include_of(text), role="document", data=True)
    source = FileSource(include.path)
    for name in {include.path.name, include.member or include.path.name}:
        if (found := recognise_format(source) or named_format(name)) is not None:
            raise UsageError(
                f"{include.path} is no mere data: its bytes or its name are those of {found.name}",
                hint="name it without --data",
            )
    return include


ANOTHER_NAME = "choose another name with -o OUT"
"""What to do where an output would take the place of something that goes into it."""


def paths_of(includes: Iterable[Include], prefix: str = "") -> tuple[str, ...]:
    """Paths of the files that ``includes`` and ``prefix`` name, but for what others have opened for them."""
    paths = tuple(os.fspath(include.path) for include in includes if include.source is None)
    return paths if prefix in ("", NONE, LAUNCHER) else (*paths, prefix)


def check_alignment(alignment: int) -> int:
    """``alignment`` if it is a power of two in range; UsageError otherwise."""
    if not 1 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise UsageError(f"alignment {alignment} is not a power of two from 1 to {MAX_ALIGNMENT}")
    return alignment


def check_name(path: str) -> str:
    """``path`` if it may be a member name; UsageError that says why not."""
    problems = name_problems(path.encode("utf-8", "surrogateescape"))
    if problems:
        raise UsageError(
            f"{path!r} cannot be a member name: it {problems[0].value}", hint="name it with --include PATH=MEMBER"
        )
    if is_reserved(path):
        raise UsageError(f"{path} lies in the reserved folder META-LLAMAFILE/", hint="choose another member name")
    return path


def check_role(role: str) -> str:
    """``role`` if the user may give it; UsageError with the list otherwise."""
    if not known(role) or role in _RESERVED_ROLES:
        raise UsageError(f"{role!r} is not a role that can be given", hint="the roles: llamafile-format rule 11.2")
    return role


def content_of(include: Include, alignment: int = DEFAULT_ALIGNMENT) -> Content:
    """The content of a file on disk. Raises UsageError for a bad name or role, SourceError if it cannot be read."""
    path = check_name(include.member or include.path.name)
    source = RestingFile(include.path) if include.source is None else include.source
    role = check_role(include.role) if include.role else recognise_role(path, source)
    if (role == "arguments") != (path == ARGUMENTS_PATH):
        raise UsageError(f"{path} cannot have role {role}", hint="arguments are the member .args, and nothing else is")
    media = "application/octet-stream" if include.data else media_of(path, role, source)
    put_down(source)
    return Content(path, role, media, source, alignment_of(role, alignment), expected=include.sha256)


def text_content(path: str, role: str, data: bytes) -> Content:
    """A small member made of ``data``."""
    return Content(path, role, media_type(path, role), BytesSource(data, path), 1)


def viewer_content() -> Content:
    """The newest page of the registry, as the member that it is (clause 11.10)."""
    return text_content(FIXED_PATHS["viewer"], "viewer", newest_page().read())


def recognise_role(path: str, source: ByteSource) -> str:
    """The role of a file from its contents (weights) or, failing that, its name: one that promises weights is taken
    at its word, so that it is judged as such."""
    found = recognise_format(source)
    if found is GGUF:
        from llamafile_format.weights.facts import recognise_role as role_of_gguf
        from llamafile_format.weights.gguf import read_gguf

        gguf = read_gguf(source)
        return "weights" if gguf.stopped else role_of_gguf(gguf)  # what cannot be read to its end is judged as a model
    if found is not None or named_format(path) is not None or ONNX_DATA.fullmatch(path):
        return "weights"
    if is_pin_path(path):
        return "document"
    return "runtime" if parse_runtime_path(path) is not None else role_of_name(path)


def media_of(path: str, role: str, source: ByteSource) -> str:
    """The media type; weights of a known format are what they are, whatever their name."""
    found = recognise_format(source)
    return media_type(path, role) if found is None else found.media_type


def expand_splits(paths: Sequence[Path]) -> list[Path]:
    """``paths`` with every named shard replaced by its whole set, each file once, in the order of first mention.

    What a file is its header says (7.8.6): a whole model may be called like a shard. Raises UsageError that names the
    missing shards and counts them.
    """
    result: dict[Path, None] = {}
    for path in paths:
        match = SPLIT_NAME.match(path.name)
        count = _shards_of(path) if match is not None else 0
        if match is None or count < 2:
            result[path] = None
            continue
        shards = [path.with_name(f"{match['stem']}-{n:05d}-of-{count:05d}.gguf") for n in range(1, count + 1)]
        missing = [shard.name for shard in shards if not shard.is_file()]
        if missing:
            raise UsageError(
                f"{path.name} is one of {count} shards; {len(missing)} of them "
                f"{'is' if len(missing) == 1 else 'are'} not in {path.parent}: {listed(missing[:4], len(missing))}",
                hint="put all shards into one folder",
            )
        result.update(dict.fromkeys(shards))
    return list(result)


def _shards_of(path: Path) -> int:
    """Of how many shards the file at ``path`` is one; 1 for a whole model, and for what is not read as one."""
    from llamafile_format.weights.gguf import read_gguf

    shard = shard_of(read_gguf(FileSource(path), budget=QUICK_HEADER)) if path.is_file() else None
    return 1 if shard is None else shard[1]


def split_sets(paths: Iterable[str]) -> dict[str, list[str]]:
    """Member paths grouped into models: first shard -> all shards, a model -> its data outside, or a path alone."""
    sets: dict[str, list[str]] = {}
    for path in sorted(paths):
        match, data = SPLIT_NAME.match(path), ONNX_DATA.fullmatch(path)
        if data is not None and data["model"] in sets:
            sets[data["model"]].append(path)
            continue
        first = f"{match['stem']}-00001-of-{match['count']}.gguf" if match and int(match["count"]) > 1 else path
        sets.setdefault(first, []).append(path)
    return sets


def choose_default(weights: Iterable[str], wanted: str) -> str:
    """The manifest's ``default``: the only model, or the one that the user named (a split set by its first shard)."""
    sets = split_sets(weights)
    if wanted:
        for first, shards in sets.items():
            if wanted == first or wanted in shards:
                return first if first in shards else wanted
        raise UsageError(f"--default {wanted} is not a model in this container", hint=f"models: {', '.join(sets)}")
    if len(sets) > 1:
        raise UsageError(
            f"there are {len(sets)} models: {', '.join(list(sets)[:6])}", hint="say which one starts: --default MEMBER"
        )
    return next(iter(sets), "")


_RECIPE_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "weights": list,
    "include": list,
    "args": (list, str),
    "align": int,
    "merge_splits": bool,
    "recovery": int,
    "viewer": bool,
}
RECIPE_FORMAT = "llamafile-recipe/1"
MAX_RECIPE = 1 << 20  # bytes
_RECIPE_FIELDS = frozenset(
    {"format", "name", "license", "source", "created", "weights", "include", "args", "prefix", "default", "align"}
    | {"profile", "merge_splits", "runtime", "flavour", "recovery", "viewer"}
)


def read_recipe(path: Path) -> Mapping[str, Any]:
    """A pack recipe (YAML). Unknown fields are refused: a misspelt one would be ignored in silence."""
    source = FileSource(path)
    if source.size > MAX_RECIPE:
        raise UsageError(f"{path} is too large for a recipe ({source.size} bytes)")
    data = source.read_at(0, source.size)
    value, reason = parse(data, MAX_RECIPE)
    if reason:
        raise UsageError(f"{path}: {reason}", hint="their form: llamafile-format rule 8.1.4")
    if not isinstance(value, dict) or value.get("format") != RECIPE_FORMAT:
        raise UsageError(f"{path} is not a recipe", hint=f"its first line should be `format: {RECIPE_FORMAT}`")
    for name in sorted(str(key) for key in value.keys() - _RECIPE_FIELDS):
        meant = nearest(name, _RECIPE_FIELDS - value.keys())
        hint = f"did you mean {meant}?" if meant else "its fields: llamafile-format rule 8.1.4"
        raise UsageError(f"{path}: {place_of(data, name, key=True)}: {name} is no field of a recipe", hint=hint)
    for key, found in value.items():
        kind = _RECIPE_KINDS.get(str(key), str)
        if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
            where = f"{path}: {place_of(data, str(key))}"
            raise UsageError(f"{where}: {key} cannot be {found!r}", hint="their form: llamafile-format rule 8.1.4")
    return value
