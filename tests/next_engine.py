"""The pin whose builds are still being made: where its sources lie, and a file packed with it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

import llamafile_format
from llamafile_format.engines.pin import Flavour
from llamafile_format.engines.pin_reader import load_pin
from llamafile_format.engines.store import is_here
from tests.new_engine import RUNTIMES, TARGET
from tests.runtime_server import EXHIBIT

PIN = "llama.cpp@0.3.36+2"
SOURCE = RUNTIMES / PIN.replace("@", "/") / "source"


def pack_next(out: Path, args: Sequence[str] = ("--temp", "0", "-c", "512", "...")) -> Path:
    """The exhibit with a build of this pin; ``LFF_NEW_ENGINE`` may name the folder of pins that has one.

    Skips where there is none.
    """
    runtimes = Path(os.environ.get("LFF_NEW_ENGINE") or RUNTIMES)
    pin = load_pin(runtimes / PIN.replace("@", "/"))
    build = pin.build(TARGET, Flavour.NATIVE)
    if build is None or not is_here(pin, build):
        pytest.skip(f"{PIN} has no build for {TARGET} here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LFF_RUNTIMES", str(runtimes))
        return llamafile_format.pack([EXHIBIT], out, runtime=f"{PIN}:{TARGET}", flavour="native", args=list(args)).path
