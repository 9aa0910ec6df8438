"""What the user named, as contents of a container: files, roles, names, split sets (spec/1.0, 8.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llamafile_format.checks.manifest import SPLIT_NAME
from llamafile_format.engines.embedded import is_pin_path
from llamafile_format.engines.members import parse_runtime_path
from llamafile_format.errors import UsageError
from llamafile_format.manifest.media import media_type, role_of_name
from llamafile_format.manifest.model import ARGUMENTS_PATH
from llamafile_format.manifest.roles import DEFAULT_ALIGNMENT, MAX_ALIGNMENT, alignment_of, known
from llamafile_format.packing.assemble import Content
from llamafile_format.source import ByteSource, BytesSource, FileSource
from llamafile_format.strict_yaml import nearest, parse, place_of
from llamafile_format.zip.names import is_reserved, name_problems

_RESERVED_ROLES = ("readme", "chunks", "manifest", "history", "engine-asset")
_MAGIC = b"GGUF"


@dataclass(frozen=True, slots=True)
class Include:
    """A file to include: where it lies, its member name (default: its own name), its role (default: recognised)."""

    path: Path
    member: str = ""
    role: str = ""


def include_of(text: str) -> Include:
    """``PATH`` or ``PATH=MEMBER``; a path that exists with its ``=`` wins."""
    if "=" in text and not Path(text).exists():
        path, _, member = text.rpartition("=")
        return Include(Path(path), member)
    return Include(Path(text))


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
    source = FileSource(include.path)
    role = check_role(include.role) if include.role else recognise_role(path, source)
    if (role == "arguments") != (path == ARGUMENTS_PATH):
        raise UsageError(f"{path} cannot have role {role}", hint="arguments are the member .args, and nothing else is")
    return Content(path, role, media_of(path, role, source), source, alignment_of(role, alignment))


def text_content(path: str, role: str, data: bytes) -> Content:
    """A small member made of ``data``."""
    return Content(path, role, media_type(path, role), BytesSource(data, path), 1)


def recognise_role(path: str, source: ByteSource) -> str:
    """The role of a file from its contents (GGUF) or, failing that, its name."""
    if source.size >= 4 and source.read_at(0, 4) == _MAGIC:
        from llamafile_format.weights.facts import recognise_role as role_of_gguf
        from llamafile_format.weights.gguf import read_gguf

        return role_of_gguf(read_gguf(source))
    if is_pin_path(path):
        return "document"
    return "runtime" if parse_runtime_path(path) is not None else role_of_name(path)


def media_of(path: str, role: str, source: ByteSource) -> str:
    """The media type; a GGUF is one whatever its name."""
    if source.size >= 4 and source.read_at(0, 4) == _MAGIC:
        return "application/x-gguf"
    return media_type(path, role)


def expand_splits(paths: Sequence[Path]) -> list[Path]:
    """``paths`` with every named shard replaced by its whole set, each file once, in the order of first mention.

    Raises UsageError that names the missing shards.
    """
    result: dict[Path, None] = {}
    for path in paths:
        match = SPLIT_NAME.match(path.name)
        if match is None or int(match["count"]) < 2:
            result[path] = None
            continue
        shards = [
            path.with_name(f"{match['stem']}-{number:05d}-of-{match['count']}.gguf")
            for number in range(1, int(match["count"]) + 1)
        ]
        missing = [shard.name for shard in shards if not shard.is_file()]
        if missing:
            raise UsageError(
                f"{path.name} is one of {len(shards)} shards and {', '.join(missing[:4])} "
                f"{'is' if len(missing) == 1 else 'are'} missing in {path.parent}",
                hint="put all shards into one folder",
            )
        result.update(dict.fromkeys(shards))
    return list(result)


def split_sets(paths: Iterable[str]) -> dict[str, list[str]]:
    """Member paths grouped into models: first shard -> all shards, or a path alone."""
    sets: dict[str, list[str]] = {}
    for path in sorted(paths):
        match = SPLIT_NAME.match(path)
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
}
RECIPE_FORMAT = "llamafile-recipe/1"
MAX_RECIPE = 1 << 20  # bytes
_RECIPE_FIELDS = frozenset(
    {"format", "name", "license", "source", "created", "weights", "include", "args", "prefix", "default", "align"}
    | {"profile", "merge_splits", "runtime", "flavour"}
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
