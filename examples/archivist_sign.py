"""An archivist who vouches for a file, and a reader years later who asks whether it is still the one.

python examples/archivist_sign.py FILE.llamafile KEY KEY.pub
"""

from __future__ import annotations

import sys

import llamafile_format as lf


def main(file: str, key: str, public: str) -> None:
    """Sign ``file`` with ``key`` (as `llamafile-format keygen` makes it), then ask who vouches for it."""
    for record in lf.sign(file, key).records:
        print(f"added {record}")
    report = lf.verify(file, policy=lf.key_policy(lf.read_public(public)))
    print(f"authentic: {report.verdicts[lf.Layer.AUTHENTIC].value}")
    for fact in report.signatures:
        print(f"{fact.record}: {fact.standing.value}, because {fact.because}")


if __name__ == "__main__":
    main(*sys.argv[1:4])
