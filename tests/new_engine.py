"""The pin whose builds are not committed yet, built here so that tests have it: ``python -m tests.new_engine``.

Prints a folder for ``LFF_RUNTIMES``: the pins of this tree, with the native build of the newest one. It lies in the
private cache, by the digest of all that decides the build; what was built before is not built again.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from llamafile_format.engines.build import build
from llamafile_format.engines.cache import work_folder
from llamafile_format.engines.host import host_target
from llamafile_format.engines.pin import Flavour, Pin
from llamafile_format.engines.pin_reader import load_pin
from llamafile_format.engines.recording import record_build, record_sources
from llamafile_format.engines.toolchain import fill
from llamafile_format.engines.work import Workshop, locked, prepare

RUNTIMES = Path(__file__).resolve().parents[1] / "runtimes"
KEY = "llama.cpp@0.3.36+1"
TARGET = "linux-x86_64"


def pin_of(runtimes: Path) -> Pin:
    """The pin of ``KEY`` below ``runtimes``."""
    return load_pin(runtimes / KEY.replace("@", "/"))


def main() -> None:
    """Print the folder; where the pinned compiler does not run, say that tests go without."""
    if host_target() == TARGET:
        main()
    else:
        print(f"not built on {host_target()}: tests of {KEY} are skipped")


def built(progress: bool = False) -> Path:
    """The folder of pins with the build in it. Takes minutes the first time and no time after that."""
    shop = Workshop(
        work_folder("build", "new-engine"), work_folder("inputs"), step=_told if progress else lambda *_: None
    )
    folder = _place()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent / "lock"):
        if not folder.is_dir():
            partial = folder.with_name("partial")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(RUNTIMES, partial)
            pin = pin_of(partial)
            shop.folder.mkdir(parents=True, exist_ok=True)
            record_sources(record_build(pin, build(pin, TARGET, Flavour.NATIVE, shop)), shop.folder)
            partial.rename(folder)
    return folder


def already_built() -> Path | None:
    """What :func:`built` gives, if that is there for the tree as it is."""
    folder = _place()
    return folder if folder.is_dir() else None


def _place() -> Path:
    return work_folder("build", "new-engine-of-tests") / _digest(pin_of(RUNTIMES))


def zig() -> Path:
    """The compiler that the build used, where it lies unpacked."""
    shop = Workshop(work_folder("build", "new-engine"), work_folder("inputs"))
    pin = pin_of(RUNTIMES)
    places, _ = prepare(pin, ["zig"], shop)
    return Path(fill(pin.recipe.tools["zig"], places))


def _digest(pin: Pin) -> str:
    """Of the pin and of everything of ours that it names; inputs are in the pin by digest."""
    digest = hashlib.sha256()
    for top in (RUNTIMES, *(pin.folder / own.path for own in pin.own)):
        for path in sorted(top.rglob("*") if top.is_dir() else [top]):
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(top).as_posix().encode()
                digest.update(b"%d %s\0%s" % (len(name), name, hashlib.sha256(path.read_bytes()).digest()))
    return digest.hexdigest()[:16]


def _told(what: str, done: int, total: int) -> None:
    """One line for each tenth."""
    if total and done * 10 // total != (done - 1) * 10 // total:
        print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    print(built(progress=True))
