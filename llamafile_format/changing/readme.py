"""README.txt of a repacked file: written anew where the text is ours and no longer fits (spec/1, 8.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Set
from itertools import product

from llamafile_format.changing.history import Change
from llamafile_format.changing.migrate_arguments import same_bytes
from llamafile_format.engines.members import kinds_of
from llamafile_format.engines.pin import Kind
from llamafile_format.manifest.model import README_PATH
from llamafile_format.manifest.roles import MAPPED_ROLES, file_order
from llamafile_format.packing import (
    Carried,
    CarriedEngine,
    Content,
    Labels,
    how_to_run,
    lowest_version,
    readme_text,
    text_content,
)
from llamafile_format.zip.writer import layout


def rewrite_readme(
    contents: dict[str, Content],
    carried: Carried,
    labels: Labels,
    engine: CarriedEngine,
    changes: list[Change],
    *,
    recovery: int,
    asked: bool,
) -> None:
    """The README is ours to write: anew if its text no longer fits. A stranger's text stays while the engine does.

    It begins to tell of recovery data when somebody ``asked`` for them, unless that would move weights.
    """
    roles = [content.role for content in contents.values()] + ["recovery"] * bool(recovery)
    version, before = lowest_version(roles), lowest_version(content.role for content in carried.contents)
    kinds = frozenset(kinds_of(contents).values())
    kinds_before = frozenset(kinds_of(content.path for content in carried.contents).values())
    old = contents.get(README_PATH)
    texts = {
        (repair, look): readme_text(
            carried.labels.name,
            engine=bool(carried.engine.source.size),
            launcher=carried.engine.launcher,
            kinds=kinds_before,
            version=before,
            recovery=repair,
            viewer=look,
        )
        for repair, look in product((False, True), repeat=2)
    }
    known = old.known.sha256 if old is not None and old.known is not None else b""
    told = next((which for which, text in texts.items() if hashlib.sha256(text).digest() == known), None)
    repair, look = told or (False, False)  # nothing is told of what is added, unless it moves nothing

    def wanted_text(*, recovery: bool) -> Content:
        """The README of the new file."""
        text = readme_text(
            labels.name,
            engine=bool(engine.source.size),
            launcher=engine.launcher,
            kinds=kinds,
            version=version,
            recovery=recovery,
            viewer=look and "viewer" in roles,
        )
        return text_content(README_PATH, "readme", text)

    wanted = wanted_text(recovery=repair and "recovery" in roles)
    if asked and not repair:
        telling = wanted_text(recovery=True)
        wanted = wanted if _moves(contents, telling, engine) else telling
    if old is None:
        if carried.origin is not None:  # a container may do without one (clause 5.8.3)
            contents[README_PATH] = wanted
        return
    other = _front(carried.engine, kinds_before) != _front(engine, kinds)
    if (told is not None or other) and not same_bytes(old, wanted):
        contents[README_PATH] = wanted
        changes.append({"what": "readme", "from": old.known.sha256.hex() if old.known else ""})


def _front(engine: CarriedEngine, kinds: Set[Kind]) -> tuple[bool, bool, str]:
    """What stands in front, and how the file is run by it."""
    there = bool(engine.source.size)
    return there, engine.launcher, how_to_run(kinds, launcher=engine.launcher, engine=there)


def _moves(contents: Mapping[str, Content], readme: Content, engine: CarriedEngine) -> bool:
    """Would a member that is opened in place lie elsewhere with this ``readme``?"""

    def places(each: Mapping[str, Content]) -> list[int]:
        """Where those members lie."""
        order = sorted(each.values(), key=lambda content: file_order(content.role, content.path))
        placed = layout(engine.source.size, [(one.path, one.source.size, one.alignment) for one in order])
        return [at.data_offset for at, one in zip(placed, order, strict=True) if one.role in MAPPED_ROLES]

    return places(contents) != places({**contents, README_PATH: readme})
