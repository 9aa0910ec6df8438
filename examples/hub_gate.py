"""A model hub at upload: verdicts with stable rule ids, bounded time and memory, nothing executed.

python examples/hub_gate.py FILE...
"""

from __future__ import annotations

import sys

import llamafile_format as lf


def admit(path: str) -> bool:
    """True if the upload is well-formed and valid as far as a quick look can tell; prints why not."""
    try:
        report = lf.verify(path, level="quick")
    except lf.SourceError as error:
        print(f"{path}: {error}")
        return False
    errors = [f for f in report.findings if lf.rule(f.rule).severity is lf.Severity.ERROR]
    for finding in errors:
        print(f"{path}: {finding.rule} at byte {finding.where.offset}: {lf.rule(finding.rule).render(finding)}")
    return report.kind is not lf.Kind.OTHER and not errors


if __name__ == "__main__":
    admitted = [admit(path) for path in sys.argv[1:]]  # every file gets its say, also behind a bad one
    sys.exit(0 if all(admitted) else 1)
