"""Models as plain folders of files: as Hugging Face and its tools keep them, and as LM Studio finds them.

A folder has no manifest: name, licence, roles and what starts by default stay behind.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from llamafile_format.bounded_json import parse_json
from llamafile_format.caring import read_tree
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.exchanging.anew import imported_anew
from llamafile_format.exchanging.included import Included
from llamafile_format.exchanging.leaving import Leaving, leaving, refuse_damage
from llamafile_format.manifest.model import Member
from llamafile_format.output.folder import new_folder, put_source, refuse_taken
from llamafile_format.output.orders import Exported, ExportOrder, Imported, ImportOrder
from llamafile_format.output.room import require_room
from llamafile_format.packing import Include
from llamafile_format.progress import counted
from llamafile_format.source import read_small
from llamafile_format.zip.names import collisions, name_faults

LEFT_BY_TOOLS = frozenset({".git", ".gitattributes", ".gitignore", ".cache", ".huggingface", ".DS_Store"})
"""What Git, the hub's tools and file managers leave in folders of models, and no model needs."""

_WITHOUT_FOLDERS = ("weights", "projector")
_UNKNOWN_THERE = ("adapter", "draft", "arguments")


def export_folder(order: ExportOrder) -> Exported:
    """The files of the model as the new folder ``order.target``.

    Raises as :func:`leaving` and :func:`new_folder` do.
    """
    refuse_taken(order.target)
    with leaving(order) as given:
        return _written(given, [(member.path, member) for member in given.members], order.target, order)


def export_lm_studio(order: ExportOrder) -> Exported:
    """The same as ``PUBLISHER/MODEL`` among the models of LM Studio, which looks exactly two folders deep.

    ``settings``: ``store``, its folder of models where it is elsewhere.
    """
    publisher, slash, model = str(order.target).partition("/")
    for part in (publisher, model):
        faults = name_faults(part)
        if not slash or "/" in part or faults or part.startswith("."):
            raise UsageError(
                f"{str(order.target)!r} is no PUBLISHER/MODEL: two names that folders can have", hint="acme/tiny-gguf"
            )
    target = Path(order.settings.get("store") or lm_studio_models(order.settings)) / publisher / model
    refuse_taken(target)
    with leaving(order) as given:
        members = [member for member in given.members if member.role not in _UNKNOWN_THERE]
        named = [(_found_there(member), member) for member in members]
        for index, earlier in collisions([name for name, _ in named]):
            raise UsageError(
                f"{named[earlier][1].path} and {named[index][1].path} would be one file for LM Studio",
                hint="export a container that holds one of them",
            )
        return _written(given, named, target, order)


def _found_there(member: Member) -> str:
    return member.path.rpartition("/")[2] if member.role in _WITHOUT_FOLDERS else member.path


def lm_studio_models(settings: Mapping[str, str]) -> Path:
    """Where LM Studio keeps models: in its home, which a file in the user's home may name, unless it was told another
    folder."""
    user = Path(settings.get("HOME") or Path.home())
    old = user / ".cache" / "lm-studio"
    home = old if old.is_dir() else user / ".lmstudio"
    if (pointer := user / ".lmstudio-home-pointer").is_file():
        home = Path(os.fsdecode(read_small(pointer, 4096)).strip())
    if (path := home / "settings.json").is_file():
        try:
            found = parse_json(read_small(path, 1 << 20), depth=32)
        except FormatError as error:
            raise FormatError(
                f"{path} cannot be read: {error}", hint="name the folder of models: --store DIR"
            ) from error
        if isinstance(found, dict) and isinstance(told := found.get("downloadsFolder"), str) and told:
            return Path(told)
    return home / "models"


def _written(given: Leaving, named: Sequence[tuple[str, Member]], target: Path, order: ExportOrder) -> Exported:
    """The members under their names in the new folder ``target``, each compared with its digest."""
    if not named:
        raise UsageError(f"there is no file of a model in {given.container.name}", hint="llamafile-format inspect FILE")
    total = sum(member.size for _, member in named)
    advance = counted(order.progress, 2 * total)
    shared = 0
    with new_folder(target) as folder:
        require_room(target.parent, [given.source(member) for _, member in named])
        for name, member in named:
            copied = put_source(folder, name, given.source(member), advance)
            refuse_damage(member, copied.sha256)
            shared += copied.shared
    notes = [given.stays(tuple(member for _, member in named))]
    notes += [f"{member.path} is called {name} there" for name, member in named if name != member.path]
    notes += ["name, licence, roles and the default model stand in the manifest alone, which stays behind"]
    sha256 = hashlib.sha256(given.container.manifest_bytes).hexdigest()
    return Exported(target, target.name, len(named), total, sha256, shared, tuple(note for note in notes if note))


def import_folder(order: ImportOrder) -> Imported:
    """A container of all files in the folder ``order.place``, as ``pack`` makes one.

    ``settings``: ``runtime`` and ``default`` as ``pack`` has them. Raises as :func:`read_tree` and ``pack`` do.
    """
    tree = read_tree(order.place, LEFT_BY_TOOLS)
    files = Included()
    for path in tree.files:
        files.add(Include(tree.root / path, path, source=tree.open(path)))
    left = sorted(name for name in LEFT_BY_TOOLS if os.path.lexists(tree.root / name))
    notes = (f"left out: {', '.join(left)}",) if left else ()
    return imported_anew(order, files.done(), tree.root.name, notes=notes)
