"""The newest pin, whose builds the tests take: where it lies, and the compiler that made them.

``LFF_NEW_PIN`` names another, whose builds are in the folder of pins that ``LFF_NEW_ENGINE`` names.
"""

from __future__ import annotations

import os
from pathlib import Path

from llamafile_format.engines.cache import work_folder
from llamafile_format.engines.pin import Pin
from llamafile_format.engines.pin_reader import load_pin
from llamafile_format.engines.toolchain import fill
from llamafile_format.engines.work import Workshop, prepare

RUNTIMES = Path(__file__).resolve().parents[1] / "runtimes"
KEY = os.environ.get("LFF_NEW_PIN") or "llama.cpp@0.3.36+2"
TARGET = "linux-x86_64"


def pin_of(runtimes: Path) -> Pin:
    """The pin of ``KEY`` below ``runtimes``."""
    return load_pin(runtimes / KEY.replace("@", "/"))


def zig() -> Path:
    """The compiler of the pin, unpacked in the private cache."""
    shop = Workshop(work_folder("build", "compiler-of-tests"), work_folder("inputs"))
    places, _ = prepare(pin_of(RUNTIMES), ["zig"], shop)
    return Path(fill(pin_of(RUNTIMES).recipe.tools["zig"], places))


def zig_environment() -> dict[str, str]:
    """This environment, with one folder for what the compiler keeps of its work: the libraries take it minutes."""
    return dict(os.environ) | {"ZIG_GLOBAL_CACHE_DIR": str(work_folder("build", "compiler-of-tests") / "zig-cache")}
