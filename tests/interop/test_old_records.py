"""What builds said before they were succeeded, asked again: of those builds, and of each that claims to say the same.

The records lie in ``tests/data/records`` (see ``tests/old_records.py``). A pin whose ``logits_as`` names their version
owes them bit for bit on every target (spec/1, 14.5.13); a build that is not here yet is skipped by name.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.engines.behaviour import Agreement
from llamafile_format.engines.pin import Flavour, Pin
from llamafile_format.engines.store import find_pin, is_here, pins
from llamafile_format.running.replay import RecordReplay
from tests.conftest import ToolFinder
from tests.old_records import KINDS, PLATFORMS, Platform, container, record_of

pytestmark = [pytest.mark.slow, pytest.mark.interop]

VERSION = "0.3.36"
REFERENCE = [(platform, kind) for platform in PLATFORMS for kind in KINDS]
IDS = [f"{platform.target}-{kind}" for platform, kind in REFERENCE]


def _replayed(pin: Pin, platform: Platform, kind: str, flavour: str, folder: Path, tool: ToolFinder) -> RecordReplay:
    """The record, replayed by the build of ``pin`` out of a container that holds both."""
    build = pin.build(platform.target, Flavour(flavour))
    if build is None or not is_here(pin, build):
        pytest.skip(f"the {flavour} build of {pin.key} for {platform.target} is not here")
    if platform.tool:
        tool(platform.tool)
    elif platform.via.name == "wasmtime":
        pytest.importorskip("wasmtime")
    old = lf.Include(record_of(VERSION, flavour, platform.target, kind), "behaviour/old.yaml", "behaviour")
    place = folder / pin.version  # several pins may be asked in one test
    place.mkdir()
    path = container(place, pin.key, flavour, platform.target, kind, old)
    wanted = lf.Wanted(target=platform.target, via=platform.via)
    (done,) = lf.replay(path, wanted=wanted, timeout=600).records
    assert done.error == ""
    return done


@pytest.mark.parametrize(("platform", "kind"), REFERENCE, ids=IDS)
def test_the_builds_still_say_what_they_said(platform: Platform, kind: str, tmp_path: Path, tool: ToolFinder) -> None:
    done = _replayed(find_pin(f"llama.cpp@{VERSION}"), platform, kind, "reference", tmp_path, tool)
    assert (done.demanded, done.reached) == (Agreement.EXACT, Agreement.EXACT)


@pytest.mark.parametrize(("platform", "kind"), REFERENCE, ids=IDS)
def test_a_successor_computes_the_same_logits(platform: Platform, kind: str, tmp_path: Path, tool: ToolFinder) -> None:
    successors = [pin for pin in pins() if VERSION in pin.logits_as]
    assert successors
    here = [pin for pin in successors if (b := pin.build(platform.target, Flavour.REFERENCE)) and is_here(pin, b)]
    if not here:
        pytest.skip(f"no reference build for {platform.target} of {successors[0].key} is here")
    for pin in here:
        done = _replayed(pin, platform, kind, "reference", tmp_path, tool)
        assert (done.demanded, done.reached) == (Agreement.EXACT, Agreement.EXACT)


@pytest.mark.parametrize("kind", KINDS)
def test_the_native_build_is_near_to_what_it_said(kind: str, tmp_path: Path, tool: ToolFinder) -> None:
    for pin in pins():
        build = pin.build(PLATFORMS[0].target, Flavour.NATIVE) if pin.reads_gguf else None
        if build is not None and is_here(pin, build):
            done = _replayed(pin, PLATFORMS[0], kind, "native", tmp_path, tool)
            assert done.demanded is Agreement.NEAR
            assert done.agrees
