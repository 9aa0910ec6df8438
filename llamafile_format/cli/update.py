"""``llamafile-format update``: FILE made the newer one that is elsewhere."""

from __future__ import annotations

import click

from llamafile_format.cli.arguments import PATH, refuse_unreadable
from llamafile_format.cli.outdated import tell_outdated
from llamafile_format.cli.reaching import Reach, reaching
from llamafile_format.cli.terminal import progress
from llamafile_format.cli.trusting import chosen_policy, moment_of, trusting
from llamafile_format.reports import printable


@click.command("update")
@click.argument("file", metavar="FILE", type=PATH)
@click.option("--from", "newer", metavar="URL|FILE", required=True, help="The newer file, here or elsewhere.")
@trusting
@click.option("--as-of", metavar="DATE", default=None, help="Judge as of this day or moment (UTC) instead of now.")
@click.option("--force", is_flag=True, help="Take it without a signer that FILE has, and whatever the policy says.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@reaching
def command(
    file: str,
    newer: str,
    policy: str | None,
    keys: tuple[str, ...],
    as_of: str | None,
    force: bool,
    as_json: bool,
    reach: Reach,
) -> None:
    """Make FILE the newer one that is at URL, and fetch only what differs.

    Manifest, chunk list and signatures come first: a file that has lost a signer of FILE, or that nobody signed whom
    --key or --policy names, is refused before anything else is asked for. Chunks that FILE has are taken from it. The
    new file is put together beside FILE, verified in full, and only then takes its place, bit for bit. A FILE that is
    the newer one already is verified in full too, and made again where it is damaged.

    \b
    llamafile-format update model.llamafile --from https://example.org/m.llamafile
    """
    from llamafile_format.exchanging import update

    refuse_unreadable(file)
    reach.judge([newer])
    trust = chosen_policy(policy, keys)
    with reach.opened(newer, whole=True) as source, progress("updating") as callback:
        result = update(file, source, policy=trust, as_of=moment_of(as_of), force=force, progress=callback)
    if as_json:
        import json

        from llamafile_format.plain_json import plain

        click.echo(json.dumps({**plain(result), "path": str(result.path)}, indent=1, sort_keys=True))
        return
    for signer in result.lost:
        click.echo(f"note: {printable(signer)} has not signed it, and had signed FILE", err=True)
    tell_outdated(result.path)
    what = f"{result.fetched} bytes fetched, {result.reused} were here" if result.changed else "it is the newer one"
    click.echo(f"{result.manifest_sha256}  {printable(file)}  {result.size} bytes, {what}")
