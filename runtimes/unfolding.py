"""Write how much a grammar may repeat as the C++ that is compiled into a runtime (spec/1, 3.10.7 and 14.6.14).

    python runtimes/unfolding.py 0.3.36+2     # runtimes/llama.cpp/0.3.36+2/source/unfolding.inc

The numbers are those by which the library judges a file's arguments. A test compares them.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # the checkout, not what is installed

from llamafile_format.checks.grammars import MAX_REPEAT, MAX_UNFOLDED  # noqa: E402


def place(version: str) -> Path:
    """Where the file for ``version`` lies."""
    return HERE / "llama.cpp" / version / "source" / "unfolding.inc"


def text() -> str:
    """The file."""
    return (
        "// How much a grammar may repeat: written by runtimes/unfolding.py from llamafile_format/checks/grammars.py.\n"
        f"constexpr size_t MAX_REPEAT   = {MAX_REPEAT};   // times\n"
        f"constexpr size_t MAX_UNFOLDED = {MAX_UNFOLDED};  // elements, repetitions written out\n"
    )


if __name__ == "__main__":
    place(sys.argv[1]).write_text(text(), encoding="ascii")
