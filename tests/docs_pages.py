"""The pages of docs/ as programs: their ``sh`` blocks, in the order printed, one script that stops at a fault.

A ``python`` block is saved as library.py, as the page says.
"""

from __future__ import annotations

import re

_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EXIT = re.compile(r"^(?P<command>.*?)  # exit (?P<code>\d+)$")


def script_of(page: str) -> str:
    """All blocks, one behind the other; a line that ends in ``# exit N`` must end so, every other one with 0."""
    lines = ["set -eu"]
    for language, block in _BLOCK.findall(page):
        if language == "python":
            lines += ["cat > library.py <<'END_OF_BLOCK'", block.rstrip("\n"), "END_OF_BLOCK"]
            continue
        for line in block.splitlines():
            match = _EXIT.match(line)
            lines.append(
                f'rc=0; {match["command"]} || rc=$?; [ "$rc" = {match["code"]} ] || exit 99' if match else line
            )
    return "\n".join(lines) + "\n"
