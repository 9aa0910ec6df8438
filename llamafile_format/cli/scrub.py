"""``llamafile-format scrub``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from llamafile_format.cli.arguments import PATH, SIZE
from llamafile_format.cli.terminal import progress, size_text
from llamafile_format.errors import UsageError
from llamafile_format.keeping import Budget, Everything, Part, Scrubbed, Share, schedule, scrub
from llamafile_format.reports import plural, printable

_PART = re.compile(r"([0-9]{1,6})/([0-9]{1,6})\Z")


@click.command("scrub")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=PATH)
@click.option("--state", "state", metavar="DIR", required=True, help="Where to remember what was proven, and when.")
@click.option("--subset", metavar="n/t", default=None, help="Read part n of t of every file.")
@click.option("--bytes", "size", metavar="SIZE", type=SIZE, default=None, help="Read so much, such as 50G.")
@click.option(
    "--percent", metavar="N", type=click.IntRange(1, 100), default=None, help="Read so much of all that is watched."
)
@click.option("--repair", is_flag=True, help="Repair what is damaged, into what was recorded of it.")
@click.option("--accept", is_flag=True, help="Record what was changed, signed or removed on purpose as it is now.")
@click.option("--events", is_flag=True, help="Write the outcome into FILE.events.jsonl of each file, too.")
@click.option("--schedule", "plan", is_flag=True, help="Print this run as a systemd timer and a cron line, and stop.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing if all is well.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    paths: tuple[str, ...],
    state: str,
    subset: str | None,
    size: int | None,
    percent: int | None,
    repair: bool,
    accept: bool,
    events: bool,
    plan: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Read kept files again, and say what is not as it was.

    The first run takes in the containers that PATHs name, or that lie below them: the digests of manifest and
    signature records are the measure from then on. Each run reads a share of the bytes, what was proven longest ago
    first, and adds a line to DIR/scrub.jsonl; one that was killed goes on where it was. Keep DIR on another medium.

    A file is changed (damaged, or another one: that is told apart), missing, or untracked (new, and not in order). With
    --repair, damage is undone by the recovery data of `protect` if that gives the recorded manifest and signatures; the
    damaged copy stays as FILE.damaged-DATE. A file with another valid manifest is never repaired.

    Exit codes: 0 all is as recorded, or is so again; 1 something is changed, missing or untracked; 2 usage, or another
    run writes to DIR; 3 nothing is there to watch; 4 something could not be read.

    \b
    llamafile-format scrub /archive --state /var/lib/scrub --percent 5
    llamafile-format scrub /archive --state /var/lib/scrub --percent 5 --repair --schedule
    """
    share = _share(subset, size, percent)
    if plan:
        if isinstance(share, Part):
            raise UsageError("a schedule with --subset would read the same part for ever", hint="--percent or --bytes")
        click.echo(schedule(_words(paths, state, size, percent, repair, events), daily=share != Everything()), nl=False)
        return
    with progress("scrubbing") as callback:
        result = scrub(paths, state, share=share, repair=repair, accept=accept, events=events, progress=callback)
    if as_json:
        import json

        click.echo(json.dumps(result.value(), indent=1, sort_keys=True))
    elif not (quiet and result.exit_code == 0 and not result.of("repaired")):
        _show(result)
    click.get_current_context().exit(result.exit_code)


def _share(subset: str | None, size: int | None, percent: int | None) -> Share:
    if sum(each is not None for each in (subset, size, percent)) > 1:
        raise UsageError("--subset, --bytes and --percent are three ways to say how much", hint="name one of them")
    if subset is not None:
        match = _PART.match(subset)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"{subset!r} is no part", hint="write 1/7 for the first of seven parts")
        return Part(int(match[1]), int(match[2]))
    if size is not None:
        if size < 1:
            raise UsageError("--bytes 0 would read nothing", hint="write 50G")
        return Budget(size=size)
    return Budget(percent=percent) if percent is not None else Everything()


def _words(
    paths: tuple[str, ...], state: str, size: int | None, percent: int | None, repair: bool, events: bool
) -> list[str]:
    """The command that a schedule runs; it runs elsewhere, so every path is absolute."""
    words = [sys.executable, "-m", "llamafile_format", "scrub", "--quiet"]
    words += ["--state", str(Path(state).absolute())]
    words += ["--bytes", str(size)] if size is not None else []
    words += ["--percent", str(percent)] if percent is not None else []
    words += ["--repair"] if repair else []
    words += ["--events"] if events else []
    return [*words, "--", *(str(Path(path).absolute()) for path in paths)]


def _show(result: Scrubbed) -> None:
    for each in result.outcomes:
        what = f"{each.word} (damaged)" if each.word == "changed" and each.damaged else each.word
        click.echo(f"{what:<19} {printable(each.path)}{f'  {printable(each.detail)}' if each.detail else ''}")
        for fault in each.faults:
            where = f" of {printable(fault.member)}" if fault.member else ""
            click.echo(f"  {fault.length} bytes at {fault.offset}{where}")
        if each.kept:
            click.echo(f"  the damaged copy: {printable(each.kept)}; proved by {each.proof}")
    for note in result.notes:
        click.echo(f"note: {printable(note)}", err=True)
    if result.empty:
        click.echo(f"run {result.run}: nothing here is a container, or was recorded as one")
        return
    counts = ", ".join(
        f"{len(found)} {word}"
        for word in ("changed", "missing", "untracked", "unreadable", "repaired", "added", "accepted", "forgotten")
        if (found := result.of(word))
    )
    click.echo(
        f"run {result.run}: {plural(result.files, 'file')} watched, {size_text(result.read)} of "
        f"{size_text(result.size)} read, {len(result.whole)} proven whole; {counts or 'all as recorded'}"
    )
