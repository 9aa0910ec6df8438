"""Engines that others built, in tests: their packages fetched, their sections of docs/exchange.md typed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from llamafile_format.container import open_container
from llamafile_format.engines.behaviour import Record
from llamafile_format.engines.behaviour_reader import read_record
from llamafile_format.engines.cache import work_folder
from llamafile_format.engines.libraries import fetch_packages
from llamafile_format.engines.pin import Pin
from llamafile_format.engines.store import find_pin
from llamafile_format.errors import SourceError
from tests.conftest import ROOT
from tests.docs_pages import script_of
from tests.runtime_server import TARGET


def fetched(name: str, target: str = TARGET) -> Pin:
    """The pin of ``name``, its packages for ``target`` here; skips if there is neither build nor index, but in CI."""
    found = find_pin(name)
    if not any(build.target == target for build in found.builds):
        pytest.skip(f"there is no build of {found.key} for {target}")
    try:
        fetch_packages(found, target, None, lambda _what, _done, _total: None)
    except SourceError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"packages of {found.key} cannot be had here: {error} ({error.hint})")
    return found


def typed_section(title: str, folder: Path) -> str:
    """What the section of docs/exchange.md prints that begins with ``title``, typed in ``folder`` after the page's
    beginning, which goes into ``folder/exchange``."""
    page = (ROOT / "docs" / "exchange.md").read_text("utf-8")
    beginning, *parts = page.split("\n## ")
    (section,) = (part for part in parts if part.startswith(title))
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / "llamafile").symlink_to(sys.prefix)  # the environment that README makes
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(work_folder().parent),
    }
    words = ["bash", "-c", script_of(f"{beginning}\n{section}").replace("linux-x86_64", TARGET)]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def record_in(path: Path) -> Record:
    """The one record of behaviour in a file."""
    with open_container(path) as container:
        (name,) = (member.path for member in container.members if member.role == "behaviour")
        record = read_record(container.read(name)).record
    assert record is not None
    return record
