"""A curator with somebody's llamafile: what is in it, without running a byte of it.

python examples/curator_inspect.py FILE
"""

from __future__ import annotations

import sys

import llamafile_format as lf


def main(path: str) -> None:
    """List members with their place, and the spans that account for every byte."""
    with lf.open(path) as container:
        print(f"{container.name}: {container.kind.value}, prefix {container.prefix.kind.value}")
        for member in container.members:
            print(f"{member.offset:>12} {member.size:>12}  {member.role:<10} {member.path}")
        print(f"{sum(span.length for span in container.spans)} of {container.size} bytes accounted for")


if __name__ == "__main__":
    main(sys.argv[1])
