"""The sources of the pinned engine: fetched once, by digest, for tests that compare with them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from llamafile_format.engines.cache import work_folder
from llamafile_format.engines.store import find_pin
from llamafile_format.engines.toolchain import fill
from llamafile_format.engines.work import Workshop
from llamafile_format.errors import SourceError


def engine_sources(folder: Path, *parts: str) -> Path:
    """Upstream's folder with ``parts`` of it, unpacked in ``folder``.

    The distribution comes from the vault that LFF_VAULT names, from this user's cache, or through pip's package
    indexes. Where it cannot be had the test is skipped, but in CI, which has an index, it fails.
    """
    pin = find_pin("llama.cpp")
    vault = os.environ.get("LFF_VAULT", "")
    shop = Workshop(folder, work_folder("inputs"), Path(vault) if vault else None)
    (source,) = (one for one in pin.inputs if one.id == "llama")
    root = source.parts[0]
    try:
        unpacked = shop.unpack(replace(source, parts=tuple(f"{root}/{part}" for part in parts)))
    except SourceError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the engine's sources cannot be had here: {error} ({error.hint})")
    return Path(fill(pin.upstream.folder, {source.id: str(unpacked)}))
