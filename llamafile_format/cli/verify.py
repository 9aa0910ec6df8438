"""``llamafile-format verify``."""

from __future__ import annotations

import sys

import click

from llamafile_format.checks.verdict import Kind, Level, Report
from llamafile_format.cli.terminal import progress
from llamafile_format.errors import SourceError
from llamafile_format.operations.verify import verify

_WORST_FIRST = (4, 1, 5, 6, 3, 0)


@click.command("verify")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=str))
@click.option(
    "--level",
    type=click.Choice([level.value for level in Level]),
    default="full",
    help="How much to look at (default: full).",
)
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "jsonl"]), default="text", help="Form of the report."
)
@click.option("--strict", is_flag=True, help="Fail also on warnings and on verdicts that stay undetermined.")
def command(files: tuple[str, ...], level: str, form: str, strict: bool) -> None:
    """Check that files are intact and what they claim to be.

    Nothing in a file is executed, rendered or trusted, but for level behaviour. All faults are reported. Verdicts are
    separate: well-formed (the bytes), valid (the contents). Each is yes, no or undetermined; a level says what it did
    not look at.

    \b
    quick       structure only; same time for any size
    full        every chunk against its digest, every structure byte
    exhaustive  also whole-member digests and CRCs
    behaviour   also replays the behaviour records, by a build that is pinned here
    """
    from llamafile_format.reports.verify_json import report_json, reports_json
    from llamafile_format.reports.verify_text import report_text

    reports, codes = [], []
    for name in files:
        try:
            with progress("verifying") as callback:
                report = verify(name, level=level, progress=callback)
        except SourceError as error:
            report = _unreadable(name, Level(level), error)
        codes.append(report.exit_code(strict=strict))
        if form == "text":
            click.echo(report_text(report, color=sys.stdout.isatty()))
        elif form == "jsonl":
            click.echo(report_json(report))
        else:
            reports.append(report)
    if form == "json":
        click.echo(reports_json(reports))
    click.get_current_context().exit(next(code for code in _WORST_FIRST if code in codes))


def _unreadable(name: str, level: Level, error: SourceError) -> Report:
    """A file that cannot be opened is a report too, so that one bad path does not end a run over many."""
    return Report(name, 0, Kind.OTHER, level, {}, (), complete=False, error=error.message)
