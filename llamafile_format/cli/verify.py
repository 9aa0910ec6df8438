"""``llamafile-format verify``."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from llamafile_format.checks.verdict import Level, Report
from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.terminal import colours, progress
from llamafile_format.cli.trusting import chosen_policy, moment_of, trusting
from llamafile_format.container import Kind
from llamafile_format.errors import FormatError, SourceError, UsageError
from llamafile_format.running import verify

_WORST_FIRST = (4, 1, 5, 6, 3, 0)


@click.command("verify")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=PATH)
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
@trusting
@click.option("--trusted-root", metavar="FILE", default=None, help="Trust an identity under these roots.")
@click.option("--identity", metavar="ID", default=None, help="Whom a certificate under --trusted-root must name.")
@click.option("--issuer", metavar="URL", default=None, help="With Sigstore: by whose word.")
@click.option(
    "--tsa", "authorities", multiple=True, metavar="ROOTS", help="Trust time stamps under these certificates."
)
@click.option("--require-signature", is_flag=True, help="Fail with code 5 unless somebody trusted signed.")
@click.option("--as-of", metavar="DATE", default=None, help="Judge as of this day or moment (UTC) instead of now.")
@click.option("--signature", "signatures", multiple=True, metavar="RECORD", help="A signature record beside FILE.")
def command(
    files: tuple[str, ...],
    level: str,
    form: str,
    strict: bool,
    policy: str | None,
    keys: tuple[str, ...],
    trusted_root: str | None,
    identity: str | None,
    issuer: str | None,
    authorities: tuple[str, ...],
    require_signature: bool,
    as_of: str | None,
    signatures: tuple[str, ...],
) -> None:
    """Check that files are intact and what they claim to be.

    Nothing in a file is executed, rendered or trusted, but for level behaviour. All faults are reported. Verdicts are
    separate: well-formed (the bytes), valid (the contents). Each is yes, no or undetermined; a level says what it did
    not look at.

    \b
    quick       structure only; same time for any size
    full        every chunk against its digest, every structure byte
    exhaustive  also whole-member digests and CRCs
    behaviour   also replays the behaviour records, by a build that is pinned here

    Whom to trust comes from you, never from a file: --key, --policy or --trusted-root ask for the verdict authentic
    too, and end with code 5 unless it is yes.

    \b
    llamafile-format verify model.llamafile --key alice.pub
    llamafile-format verify model.llamafile --policy archive.yaml --as-of 2055-01-01
    """
    from llamafile_format.reports import report_json, report_text, reports_json

    if signatures and len(files) != 1:
        raise UsageError("--signature goes with one FILE", hint="a record beside a file speaks of that file only")
    trust = chosen_policy(
        policy, keys, trusted_root=trusted_root, identity=identity, issuer=issuer, authorities=authorities
    )
    at = moment_of(as_of) or datetime.now(UTC)  # one moment for all files
    reports, codes = [], []
    for name in files:
        try:
            with progress("verifying") as callback:
                report = verify(
                    name,
                    level=level,
                    policy=trust,
                    as_of=at,
                    require_signature=require_signature,
                    signatures=signatures,
                    progress=callback,
                )
        except SourceError as error:
            report = _unreadable(name, Level(level), error)
        except FormatError as error:  # of a record named with --signature; a fault of FILE is a finding
            raise UsageError(str(error), hint=error.hint) from error
        codes.append(report.exit_code(strict=strict))
        if form == "text":
            click.echo(report_text(report, color=colours()))
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
