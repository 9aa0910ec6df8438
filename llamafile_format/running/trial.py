"""Start a file once on this machine, for one token (spec/1, 10.4.9): after a full verification, and never before.

A file can be all that the specification asks and still not run: too little memory, an engine that refuses a key.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from llamafile_format.checks.verdict import Level, Report, Trial, Verdict
from llamafile_format.container import Container, Kind
from llamafile_format.engines.ask import trace
from llamafile_format.engines.trace import Prompt, Request
from llamafile_format.errors import FormatError, RuntimeFailure, SourceError, UsageError
from llamafile_format.running.builds import Selection, program_for
from llamafile_format.running.default_model import default_model
from llamafile_format.running.shut_in import shut_in
from llamafile_format.signing.trust.policy import Starting
from llamafile_format.source import FileSource

if TYPE_CHECKING:
    from llamafile_format.signing.trust.policy import Policy

TIMEOUT = 600.0
"""Seconds; a large model is read from a slow disk first."""
_PROMPT = Prompt("trial", text="Hello", max_tokens=1, top=1)


def tried(container: Container, report: Report, policy: Policy | None = None) -> Report:
    """``report`` with what became of one start of ``container``, which it is about.

    Nothing is started of a file that was not verified in full, that is not well-formed or not valid, that is not what
    the policy demands, or where the policy forbids it. Then the report stays as it is.
    """
    if report.level is Level.QUICK:
        raise UsageError("a file is started only after every byte was read", hint="leave --level quick out")
    if report.exit_code() or report.kind is Kind.OTHER or Verdict.NO in report.verdicts.values():
        return report
    if policy is not None and policy.run is Starting.FORBID:
        return report
    return replace(report, trial=_trial(container))


def _trial(container: Container) -> Trial:
    source = container.origin
    assert isinstance(source, FileSource)
    try:
        program = program_for(container, Selection().settled())
    except (UsageError, FormatError, RuntimeFailure) as error:
        return Trial("no build", embedded=False, reason=error.message)
    model = default_model(container)
    build = f"{program.build.key} {program.build.flavour} {program.build.target}"
    try:
        trace(
            program.path,
            Path(source.name),
            Request((_PROMPT,)),
            weights=(model.offset, model.size) if model is not None else None,
            opened=source,
            before=shut_in(container, model, program.sha256, program.path),
            timeout=TIMEOUT,
        )
    except (RuntimeFailure, FormatError, SourceError) as error:
        return Trial(build, program.embedded, error.message)
    return Trial(build, program.embedded)
