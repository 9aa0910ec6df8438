"""One target fuzzed by coverage, with atheris: ``python -m tests.fuzz.guided gguf --seconds 50``.

It begins with the seeds and what was found before, and goes on with what it found here, in ``build/fuzz/TARGET``. The
exit code is not 0 if an input broke what must hold; that input lies there as ``crash-…``, or ``timeout-…``.
``--input FILE`` judges one such input, without atheris. ``--keep`` copies inputs found here that run lines which
neither a seed nor an earlier find runs to ``tests/fuzz/found``, the smallest first, as long as they are few and small.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "fuzz"
LONGEST = 8192
"""Bytes of an input."""
HANGS = 120
"""Seconds of the clock for one input: other processes may have the machine. Processor time is the target's matter."""
HEAP_MIB = 1024
FOUND_BYTES = 6 << 10
"""Bytes of finds that are kept for a target, and of which none has more than a quarter."""
WORD = re.compile(rb"[A-Za-z_.-]{3,24}|\{[{%]-?|-?[%}]\}")
WORDS = 500
"""Of a dictionary: what a mutation puts in as a whole, taken from the seeds."""
Judge = Callable[[bytes], None]
Line = tuple[CodeType, int]


def hunt(judge: Judge, starts: Iterable[bytes], work: Path, *, seconds: int, name: str) -> None:
    """Fuzz ``judge`` from ``starts`` and what lies in ``work``. Ends the process, with 0 or at the first fault."""
    import atheris

    corpus, given = work / name, work / f"{name}.seeds"
    for folder in (corpus, given):
        folder.mkdir(parents=True, exist_ok=True)
    starts = tuple(starts)
    for data in starts:
        (given / _digest(data)).write_bytes(data)
    words = sorted({word.decode() for data in starts for word in WORD.findall(data)})[:WORDS]
    (work / f"{name}.words").write_text("".join(f'"{word}"\n' for word in words))

    options = {
        "max_total_time": seconds,
        "timeout": HANGS,
        "rss_limit_mb": 0,  # it would count what the process that started this one had: the target counts itself
        "malloc_limit_mb": HEAP_MIB,
        "max_len": LONGEST,
        "dict": work / f"{name}.words",
        "artifact_prefix": f"{corpus}/",
        "print_final_stats": 1,
        "verbosity": 1,
        "seed": 1,
    }
    arguments = [name, *(f"-{key}={value}" for key, value in options.items()), str(corpus), str(given)]
    atheris.Setup(arguments, judge)
    atheris.Fuzz()


def lines_of(judge: Judge, data: bytes) -> set[Line]:
    """The lines of the library that judging ``data`` runs."""
    seen: set[Line] = set()
    package = str(ROOT / "llamafile_format") + os.sep

    def local(frame: Any, event: str, _: object) -> Any:
        """Note one line."""
        if event == "line":
            seen.add((frame.f_code, frame.f_lineno))
        return local

    def entered(frame: Any, _: str, __: object) -> Any:
        """Follow functions of the library alone."""
        return local if frame.f_code.co_filename.startswith(package) else None

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        judge(data)
    finally:
        sys.settrace(before)
    return seen


def keep(judge: Judge, starts: Sequence[bytes], work: Path, into: Path) -> int:
    """Copy what is worth it from ``work`` to ``into``; returns how many inputs that are."""
    known: set[Line] = set()
    for data in (*starts, *starts):  # twice: what is computed once and kept is no find
        known |= lines_of(judge, data)
    room, kept = FOUND_BYTES - sum(path.stat().st_size for path in into.glob("*")), 0
    inputs = [path for path in work.glob("*") if "-" not in path.name]
    for path in sorted(inputs, key=lambda path: (path.stat().st_size, path.name)):
        data = path.read_bytes()
        if len(data) > min(room, FOUND_BYTES // 4):
            break
        if (lines := lines_of(judge, data)) - known:
            known |= lines
            into.mkdir(parents=True, exist_ok=True)
            (into / _digest(data)).write_bytes(data)
            room, kept = room - len(data), kept + 1
    return kept


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def main() -> int:
    """Fuzz, judge one input, or keep what was found; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=50)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--input", type=Path)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    if not (options.input or options.keep):
        import atheris

        atheris.instrument_imports(include=["llamafile_format"]).__enter__()  # also of what is imported later
    from tests.fuzz.seeds import FOUND, found
    from tests.fuzz.targets import TARGETS

    if options.target not in TARGETS:
        parser.error(f"there is no target {options.target}; there are {', '.join(TARGETS)}")
    target = TARGETS[options.target]
    if options.input:
        target(options.input.read_bytes())
        return 0
    starts = [*target.seeds(), *found(options.target)]
    if options.keep:
        print(keep(target.judge, starts, options.work / options.target, FOUND / options.target))
        return 0
    hunt(target, starts, options.work, seconds=options.seconds, name=options.target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
