"""``llamafile-format events``."""

from __future__ import annotations

import click

from llamafile_format import __version__
from llamafile_format.caring import KINDS, Event, Logged, add_event, manifest_of, read_log
from llamafile_format.cli.arguments import PATH
from llamafile_format.errors import UsageError
from llamafile_format.packing import created_text
from llamafile_format.reports import printable


@click.command("events")
@click.argument("file", metavar="FILE", type=PATH)
@click.option("--add", "kind", metavar="KIND", default=None, help="Write down an event: a term of PREMIS.")
@click.option("--detail", metavar="TEXT", default="", help="With --add: what happened.")
@click.option("--outcome", metavar="WORD", default="", help="With --add: how it ended, such as pass.")
@click.option("--date", metavar="TIME", default="now", help="With --add: when it happened (default: now).")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(file: str, kind: str | None, detail: str, outcome: str, date: str, as_json: bool) -> None:
    """List what happened to FILE, as FILE.events.jsonl has it; or write something down.

    Each line of that file names the manifest that FILE had and the line before it, so that none can be changed or
    dropped unseen. `export` tells the events of the manifest that FILE has now, in PREMIS. FILE itself is not touched.

    \b
    llamafile-format events model.llamafile --add ingestion --detail "given by its author"
    llamafile-format events model.llamafile
    """
    if kind is None:
        if detail or outcome:
            raise UsageError("--detail and --outcome go with --add")
        shown = read_log(file)
    else:
        if kind not in KINDS:
            raise UsageError(f"{kind!r} is no kind of event", hint=f"write one of {', '.join(KINDS)}")
        event = Event(kind, created_text(date), detail, outcome, f"llamafile-format {__version__}")
        shown = (add_event(file, event),)
    now = manifest_of(file)
    if as_json:
        import json

        from llamafile_format.plain_json import plain

        click.echo(json.dumps([{**plain(each.event), **_bound(each, now)} for each in shown], indent=1, sort_keys=True))
        return
    for each in shown:
        earlier = "" if each.manifest_sha256 == now else f"  (an earlier file, {each.manifest_sha256[:12]})"
        words = "  ".join(filter(None, (each.event.moment, each.event.kind, each.event.outcome, each.event.detail)))
        click.echo(f"{printable(words)}{printable(earlier)}")


def _bound(logged: Logged, now: str) -> dict[str, object]:
    return {"manifest_sha256": logged.manifest_sha256, "of_this_file": logged.manifest_sha256 == now}
