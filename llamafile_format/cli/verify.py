"""``llamafile-format verify``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click

from llamafile_format.checks.tensors import TensorsAsked
from llamafile_format.checks.verdict import Level, Report
from llamafile_format.cli.arguments import PATH, SIZE
from llamafile_format.cli.config import config
from llamafile_format.cli.reaching import Reach, reaching
from llamafile_format.cli.resuming import Resume
from llamafile_format.cli.terminal import colours, progress
from llamafile_format.cli.trusting import chosen_policy, moment_of, trusting
from llamafile_format.container import CUT_OFF, Kind
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.examining import OURS, expand
from llamafile_format.fleet import Terms, look
from llamafile_format.source.address import is_remote

FORMS = (
    "text",
    "json",
    "jsonl",
    "sarif",
    "junit",
    "github",
    "markdown",
    "html",
    "hub-status",
    "archivematica",
    "jhove",
)
"""All but the first and third are one document at the end of the run."""
ARCHIVEMATICA = "archivematica"
"""There a fault is an outcome, and an exit code other than 0 says that the command failed."""


@click.command("verify")
@click.argument("files", nargs=-1, required=True, metavar="FILE|DIR...", type=PATH)
@click.option(
    "--level",
    type=click.Choice([level.value for level in Level]),
    default="full",
    help="How much to look at (default: full).",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMS),
    metavar="FORM",
    default="text",
    help=f"Form of the report ({', '.join(FORMS)}; default: text).",
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing of files that pass; one line for each of the others.")
@click.option("-v", "--verbose", is_flag=True, help="Whole reports, also of several files.")
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
@click.option(
    "--tensors",
    type=click.Choice(["sample", "all"]),
    default="sample",
    help="At full: look for NaN and the like in samples of the tensors (default), or in all blocks.",
)
@click.option(
    "--tensors-budget",
    "budget",
    type=SIZE,
    default="64MiB",
    metavar="SIZE",
    help="How much of the tensors a sample is (default: 64MiB).",
)
@click.option("--try", "trial", is_flag=True, help="Then start a file that passed once on this host, for one token.")
@click.option("--resume", is_flag=True, help="Of a FILE that is an address: go on where a run was ended.")
@click.option("--journal", metavar="PATH", default=None, help="With --resume: where its journal is, not in the cache.")
@click.option("--signature", "signatures", multiple=True, metavar="RECORD", help="A signature record beside FILE.")
@reaching
def command(
    files: tuple[str, ...],
    level: str,
    form: str,
    quiet: bool,
    verbose: bool,
    strict: bool,
    policy: str | None,
    keys: tuple[str, ...],
    trusted_root: str | None,
    identity: str | None,
    issuer: str | None,
    authorities: tuple[str, ...],
    require_signature: bool,
    as_of: str | None,
    tensors: str,
    budget: int,
    trial: bool,
    resume: bool,
    journal: str | None,
    signatures: tuple[str, ...],
    reach: Reach,
) -> None:
    """Check that files are intact and what they claim to be.

    Of a folder, every llamafile below it. Several files get one line each and a summary; the exit code is the
    worst, whatever the format. JSON is one object for one FILE, else a list (jsonl: one object a line). sarif is
    for code scanning, junit for build servers, github for the log of an action, markdown for a comment, html a page of
    its own; hub-status is the object that model hubs show. archivematica is what its validation commands print, of one
    file, with exit code 0 whatever was found; jhove is XML in JHOVE's words.

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
    llamafile-format verify -q /srv/models
    """
    if tensors == "all" and level == Level.QUICK.value:
        raise UsageError("level quick reads no tensor", hint="leave --level quick or --tensors all out")
    if trial and level == Level.QUICK.value:
        raise UsageError("a file is started only after every byte was read", hint="leave --level quick out")
    several = len(files) != 1 or Path(files[0]).is_dir()
    if form == ARCHIVEMATICA and several:
        raise UsageError("--format archivematica is about one FILE", hint="Archivematica calls once for each file")
    if signatures and several:
        raise UsageError("--signature goes with one FILE", hint="a record beside a file speaks of that file only")
    if trial and any(map(is_remote, files)):
        raise UsageError("--try starts files of this machine", hint="fetch the file first")
    resuming = Resume(resume, journal)
    resuming.judge(files, level, several=several)
    if quiet and (verbose or form != "text"):
        raise UsageError("--quiet is for text, and the opposite of --verbose")
    reach.judge(files)
    trust = chosen_policy(
        policy, keys, trusted_root=trusted_root, identity=identity, issuer=issuer, authorities=authorities
    )
    terms = Terms(
        level=Level(level),
        policy=trust,
        as_of=moment_of(as_of) or datetime.now(UTC),  # one moment for all files
        require_signature=require_signature,
        signatures=signatures,
        tensors=TensorsAsked(tensors == "all", budget),
        trial=trial,
        remember=True,
        cache=config().cache if trust is None else None,  # with a policy nothing is remembered
        reach=reach,
        resume=resuming,
    )
    show = _Show(form, several=several and not verbose, quiet=quiet, strict=strict)
    with _judging(terms, several=several) as judge:
        for name, named in expand(files):
            report = judge(name)
            if named or report.kind is not Kind.OTHER or not report.complete or name.lower().endswith(OURS):
                show.add(report)
            else:
                show.skipped += 1
    click.get_current_context().exit(show.end(listed=several))


@contextmanager
def _judging(terms: Terms, *, several: bool) -> Iterator[Callable[[str], Report]]:
    """What gives the report about one file. Of several, none may end or hold up what is said of the others: they are
    verified in a child process. What is started meanwhile has bounds of its own.
    """
    if not several:

        def here(name: str) -> Report:
            """The report about the one file that was named."""
            try:
                with progress("verifying") as callback:
                    return look(name, terms, callback)
            except FormatError as error:  # of a record named with --signature; a fault of FILE is a finding
                raise UsageError(str(error), hint=error.hint) from error

        yield here
        return
    from llamafile_format.fleet import Bounds, Guard

    with Guard(Bounds(memory=0, silence=0) if terms.starts_programs else Bounds()) as guard:

        def guarded(name: str) -> Report:
            """The report about one of several."""
            with progress("verifying") as callback:
                return guard.report(name, terms, progress=callback)

        yield guarded


@dataclass(slots=True)
class _Show:
    """Prints reports as they come, and at the end what they come to."""

    form: str
    several: bool
    quiet: bool
    strict: bool
    skipped: int = 0
    answers: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    kept: list[Report] = field(default_factory=list)

    def add(self, report: Report) -> None:
        """Show ``report``, or keep it for the list at the end."""
        from llamafile_format.reports import answer, report_json, report_line, report_text

        self.codes.append(report.exit_code(strict=self.strict))
        self.answers.append(answer(report, strict=self.strict))
        if self.form == "jsonl":
            click.echo(report_json(report))
        elif self.form != "text":
            self.kept.append(report)
        elif self.quiet or self.several:
            if self.codes[-1] or not self.quiet:
                click.echo(report_line(report, strict=self.strict, color=colours()))
        else:
            click.echo(report_text(report, color=colours()))

    def end(self, *, listed: bool) -> int:
        """Show list or summary; the exit code: the worst, and 3 where there was nothing to verify."""
        from llamafile_format.reports import FORMS as DOCUMENTS
        from llamafile_format.reports import WORST_FIRST, Batch, summary_line

        code = next((code for code in WORST_FIRST if code in self.codes), 3)
        if self.form in DOCUMENTS:
            click.echo(DOCUMENTS[self.form](Batch(self.kept, listed, self.strict)))
        elif self.form == "text" and listed and not self.quiet:
            click.echo(summary_line(self.answers, self.skipped, code))
        read = all(report.complete or CUT_OFF & {finding.rule for finding in report.findings} for report in self.kept)
        return 0 if self.form == ARCHIVEMATICA and read else code
