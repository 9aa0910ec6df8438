"""A model hub at upload: one status for each file with a reason, bounded time and memory, nothing executed.

python examples/hub_gate.py FILE...
"""

from __future__ import annotations

import sys

import llamafile_format as lf

LIMITS = lf.Limits(seconds=600)
ADMITTED = (lf.HubStatus.SAFE, lf.HubStatus.CAUTION)


def admit(path: str) -> bool:
    """True if others may see the upload; prints the status that the hub shows, and every error with its place."""
    report = lf.validate_upload(path, policy="hub", limits=LIMITS)
    status, message = lf.hub_status(report)
    print(f"{path}: {status.value}: {message}")
    for finding in report.findings:
        row = lf.rule(finding.rule)
        if report.severity(finding.rule) is lf.Severity.ERROR:
            print(f"  {finding.rule} at byte {finding.where.offset}: {row.render(finding)}. {row.advise(finding)}")
    return status in ADMITTED


if __name__ == "__main__":
    admitted = [admit(path) for path in sys.argv[1:]]  # every file gets its say, also behind a bad one
    sys.exit(0 if all(admitted) else 1)
