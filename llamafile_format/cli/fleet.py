"""``llamafile-format fleet``: many objects, by one machine or many."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from llamafile_format.checks.verdict import Level
from llamafile_format.cli.arguments import PATH, SIZE
from llamafile_format.cli.groups import Group
from llamafile_format.cli.reaching import Reach
from llamafile_format.cli.terminal import objects
from llamafile_format.cli.trusting import chosen_policy, trusting
from llamafile_format.errors import UsageError
from llamafile_format.reports import plural, printable

if TYPE_CHECKING:
    from llamafile_format.fleet import Change, Tally

_LEVELS = [level.value for level in Level if level is not Level.BEHAVIOUR]
_QUICK_SECONDS = 60.0  # a quick look takes milliseconds, and on a slow network some seconds
_FORMS = ("html", "jsonl", "parquet")


@click.group("fleet", cls=Group)
def command() -> None:
    """Verify many objects, and keep a ledger of what was found.

    Each is judged in a guarded child process: what crashes, hangs or fills it is quarantined, and the others go on.
    The engine is Dask (pip install 'llamafile-format[fleet]').
    """


@command.command("verify")
@click.argument("what", metavar="INVENTORY|URL-PREFIX|DIR", type=PATH)
@click.option("--ledger", metavar="DIR", required=True, type=PATH, help="Where to write down what was found.")
@click.option(
    "--executor",
    metavar="WHERE",
    default="local",
    help="local (default), or a scheduler: dask://HOST:PORT, tls://HOST:PORT.",
)
@click.option(
    "--workers", type=click.IntRange(1, 4096), default=None, help="Processes here (default: one a processor)."
)
@click.option("--insecure", is_flag=True, help="Allow dask:// on a network: who reaches it runs code.")
@click.option("--level", type=click.Choice(_LEVELS), default="full", help="How much to look at (default: full).")
@trusting
@click.option("--shard", type=click.IntRange(1, 10_000), default=100, help="Objects that are given out together (100).")
@click.option("--memory", type=SIZE, default="4GiB", metavar="SIZE", help="Most memory for one object (default: 4GiB).")
@click.option(
    "--seconds",
    type=click.FloatRange(0),
    default=None,
    help="Most time for one object (default: 60 at quick, else none; 300 without progress end it in any case).",
)
@click.option("--again", is_flag=True, help="Judge anew what is quarantined.")
@click.option("--limit", "limits", multiple=True, metavar="NAME=N", help="As of verify, for each object.")
@click.option("--ca-file", metavar="FILE", default="", help="Trust these certificates of hosts (on the workers).")
def verify_command(
    what: str,
    ledger: str,
    executor: str,
    workers: int | None,
    insecure: bool,
    level: str,
    policy: str | None,
    keys: tuple[str, ...],
    shard: int,
    memory: int,
    seconds: float | None,
    again: bool,
    limits: tuple[str, ...],
    ca_file: str,
) -> None:
    """Verify everything in a folder, in a list, or below a prefix in a store.

    A list has a name a line: a path, an address, or a JSON object with name and, if known, version (or etag) and size.
    A prefix is s3://BUCKET/BEGINNING, gs:// or az://. The ledger knows objects by their version, the rules and what
    was demanded: a second run does only what is new, and a run that was stopped goes on. Only one run writes to it.

    \b
    llamafile-format fleet verify /srv/models --ledger ledger --level quick
    llamafile-format fleet verify s3://bucket/models/ --ledger ledger --policy hub
    llamafile-format fleet verify list.txt --ledger ledger --executor tls://scheduler:8786
    """
    from llamafile_format.fleet import Bounds, Executor, Job, Ledger, Terms, inventory, run_fleet

    place = Executor(executor, workers or 0, insecure)
    place.judge()
    reach = Reach(limits, str(Path(ca_file).absolute()) if ca_file else "", "")
    reach.judge([])
    trust = chosen_policy(policy, keys)
    terms = Terms(level=Level(level), policy=trust, as_of=datetime.now(UTC), reach=reach)
    if seconds is None:
        seconds = _QUICK_SECONDS if terms.level is Level.QUICK else 0.0
    job = Job(terms, Bounds(memory=memory, seconds=seconds))
    with Ledger(Path(ledger), job.basis) as book, objects("verifying") as draw:
        tally = run_fleet(
            inventory(what, os.environ, ca_file=ca_file),
            book,
            job,
            place,
            shard=shard,
            told=_drawn(draw),
            again=again,
        )
    _tell(tally)
    click.get_current_context().exit(tally.code)


def _drawn(draw: Callable[[int, int, str], None]) -> Callable[[Tally], None]:
    def told(tally: Tally) -> None:
        """Draw how far it is."""
        bad = sum(count for word, count in tally.answers.items() if word not in ("yes", "passed over", "undetermined"))
        draw(tally.done, tally.total, f"{bad} to look at")

    return told


def _tell(tally: Tally) -> None:
    """What the run comes to."""
    for row in tally.quarantined:
        click.echo(f"quarantined  {printable(row.name)}  {printable(row.why)}")
    if tally.left_out:
        click.echo(f"quarantined  {tally.left_out}{' more' if tally.quarantined else ''}, named in the ledger")
    counts = ", ".join(f"{count} {word}" for word, count in sorted(tally.answers.items(), key=lambda each: -each[1]))
    work = f"{tally.done} verified now, {tally.before} in the ledger before" if tally.total else "nothing to do"
    click.echo(f"{plural(tally.before + tally.done, 'object')}: {counts or 'none'}; {work}; exit code {tally.code}")


@command.command("report")
@click.argument("ledger", metavar="LEDGER", type=PATH)
@click.option("--format", "form", type=click.Choice(_FORMS), default="html", help="Form of the report (default: html).")
@click.option(
    "-o", "--output", "out", metavar="FILE", type=PATH, default="-", help="Where to (default: standard output)."
)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
def report_command(ledger: str, form: str, out: str, force: bool) -> None:
    """Tell what a ledger says, of each object what was found last.

    html is one page that needs nothing else, with filters; jsonl one object a line; parquet a table, if pyarrow is
    installed.
    """
    from llamafile_format.fleet import EXPORTS

    if out == "-":
        stream: IO[bytes] = sys.stdout.buffer
        if form == "parquet" and stream.isatty():
            raise UsageError("a table is nothing for a terminal", hint="name a file: -o FILE")
        EXPORTS[form](Path(ledger), stream)
        return
    from llamafile_format.output.publish import output

    with output(Path(out), force=force) as descriptor, os.fdopen(os.dup(descriptor), "wb") as file:
        EXPORTS[form](Path(ledger), file)


@command.command("diff")
@click.argument("before", metavar="LEDGER", type=PATH)
@click.argument("after", metavar="LEDGER", type=PATH)
@click.option("--format", "form", type=click.Choice(("text", "jsonl")), default="text", help="Form (default: text).")
@click.option("--all", "everything", is_flag=True, help="Also what is better, new or gone.")
def diff_command(before: str, after: str, form: str, everything: bool) -> None:
    """Show what got worse between two ledgers; exit code 1 if anything did."""
    from llamafile_format.fleet import compared

    counts: Counter[str] = Counter()
    for change in compared(Path(before), Path(after)):
        counts[change.kind.value] += 1
        if everything or change.kind.value == "worse":
            _show(change, form)
    if form == "text":
        told = ", ".join(f"{count} {word}" for word, count in counts.most_common())
        click.echo(told or "no object is judged otherwise")
    click.get_current_context().exit(1 if counts["worse"] else 0)


def _show(change: Change, form: str) -> None:
    if form == "jsonl":
        import json

        click.echo(json.dumps(asdict(change), sort_keys=True))
        return
    answers = " -> ".join(word for word in dict.fromkeys((change.before, change.after)) if word)
    rules = f" ({', '.join(change.rules)})" if change.rules else ""
    moved = "" if change.moved or not (change.before and change.after) else "; the object is the same"
    click.echo(f"{change.kind.value:<6}  {printable(change.name)}  {answers}{rules}{moved}")
