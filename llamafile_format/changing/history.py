"""What a container remembers of its earlier forms (spec/1, 8.4): history entries, old signatures, legacy order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llamafile_format.errors import FormatError
from llamafile_format.manifest.model import HISTORY_FOLDER
from llamafile_format.packing import Carried, Content, text_content

Change = Mapping[str, Any]
"""One thing that a repack did: ``what``, and the values before and after. No clock, host, user or tool version."""


def entry(
    carried: Carried, changes: Sequence[Change], created: str = "", forced: Sequence[Change] = ()
) -> dict[str, Any]:
    """The history entry of a repack that made ``changes``; of a legacy file, its origin with the changes in it.

    ``forced`` are findings that the user overrode.
    """
    if carried.origin is not None:
        value = dict(carried.origin)
        if changes:
            value["changes"] = [*_list(carried.origin.get("changes")), *(dict(change) for change in changes)]
    else:
        value = {
            "action": "repack",
            "manifest_sha256": carried.manifest_sha256,
            "changes": [dict(change) for change in changes],
        }
    if forced:
        value["forced"] = [dict(item) for item in forced]
    if created:
        value["created"] = created
    return value


def kept_signatures(carried: Carried) -> list[Content]:
    """Signature records and the manifest that they sign, as members: evidence about an earlier file, nothing more."""
    if not carried.signatures:
        return []
    folder = f"{HISTORY_FOLDER}{carried.manifest_sha256}/"
    old = [("manifest.json", carried.manifest_bytes), *carried.signatures]
    return [text_content(folder + name, "history", data) for name, data in old]


def claimed_signers(signatures: Iterable[tuple[str, bytes]]) -> tuple[str, ...]:
    """Ids of the keys that records, as (name, bytes), name as theirs, each once. Nobody has checked any of it."""
    from llamafile_format.signing.records.envelope import read_bundle

    found: dict[str, None] = {}
    for name, data in signatures:
        with contextlib.suppress(FormatError):  # time stamps, and what no verifier would take
            if name.endswith(".json") and (keyid := read_bundle(data).keyid):
                found[keyid] = None
    return tuple(found)


def removed_before(history: Iterable[Mapping[str, Any]], path: str) -> bool:
    """True if some earlier repack removed the member ``path``."""
    return any(change.get("what") == "remove" and change.get("path") == path for change in changes_of(history))


def legacy_order(history: Sequence[Mapping[str, Any]], paths: Iterable[str]) -> list[str]:
    """``paths`` in the order that the file had as a legacy llamafile, traced through renames; later ones at the end."""
    names: list[str] = []
    for item in history:
        if item.get("action") == "from-legacy":
            names = [name for name in _list(item.get("order")) if isinstance(name, str)]
        for change in changes_of([item]):
            if change.get("what") == "rename":
                names = [str(change.get("to")) if name == change.get("from") else name for name in names]
    rest = list(dict.fromkeys(paths))
    first = [name for name in dict.fromkeys(names) if name in set(rest)]
    return first + [path for path in rest if path not in set(first)]


def changes_of(history: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The change objects of all entries; anything else that a stranger wrote there is passed over."""
    return [change for item in history for change in _list(item.get("changes")) if isinstance(change, dict)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
