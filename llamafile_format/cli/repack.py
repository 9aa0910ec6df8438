"""``llamafile-format repack``."""

from __future__ import annotations

import click

from llamafile_format.changing import RepackResult, repack
from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.outdated import tell_outdated
from llamafile_format.cli.pack import read_args, with_roles
from llamafile_format.cli.terminal import progress
from llamafile_format.errors import UsageError
from llamafile_format.packing import FLAVOURS, PROFILES, data_of, include_of
from llamafile_format.reports import printable


@click.command("repack")
@click.argument("file", metavar="FILE", type=PATH)
@click.option("-o", "--output", "out", metavar="OUT", default=None, help="Where to write the new file.")
@click.option("--in-place", is_flag=True, help="Change FILE itself, under a lock and a journal.")
@click.option(
    "--prefix",
    metavar="launcher|FILE|none",
    default=None,
    help="Put the launcher in front, another engine, or nothing.",
)
@click.option(
    "--runtime",
    metavar="NAME[@VERSION][:TARGET,...]|none",
    default=None,
    help="Carry these builds instead of those of the same engine; none takes all out.",
)
@click.option("--flavour", type=click.Choice(FLAVOURS), default=None, help="Builds to carry (default: native).")
@click.option("--args", "args", metavar="TEXT", default=None, help="New default arguments, quoted as in a shell.")
@click.option("--args-file", metavar="F", default="", help="Read the new default arguments from a file.")
@click.option("--drop-args", metavar="NAME", multiple=True, help="Take an option out of the arguments; the rest stays.")
@click.option(
    "--include",
    "includes",
    metavar="PATH[=MEMBER]",
    multiple=True,
    help="Add a file, or replace the member of that name.",
)
@click.option("--role", "roles", metavar="[MEMBER=]ROLE", multiple=True, help="Role of an included file.")
@click.option(
    "--data",
    "data",
    metavar="PATH[=MEMBER]",
    multiple=True,
    help="Include a file that is no model, and that nothing opens or checks (role document).",
)
@click.option("--remove", metavar="MEMBER", multiple=True, help="Leave a member out.")
@click.option(
    "--rename", "renames", metavar="OLD=NEW", multiple=True, help="Give a member another name; arguments follow."
)
@click.option("--to", type=click.Choice(["1.0", "legacy"]), default="1.0", help="Form of the new file (default: 1.0).")
@click.option("--split-weights", is_flag=True, help="Write the weights beside OUT, for Windows beyond 4 GiB.")
@click.option("--profile", type=click.Choice(PROFILES), default=None, help="archive adds SHA-512 to every digest.")
@click.option("--default", "default", metavar="MEMBER", default=None, help="Model that starts, when there are several.")
@click.option("--align", metavar="BYTES", type=int, default=None, help="New alignment of weights and runtimes.")
@click.option("--name", default=None, help="Name of the model, for catalogues.")
@click.option("--license", "license_", default=None, help="Licence as an SPDX expression, such as Apache-2.0.")
@click.option("--source", default=None, help="Where the model comes from, such as a URL.")
@click.option("--created", metavar="TIME", default=None, help="Time to record: 2026-11-20T00:00:00Z, or now.")
@click.option(
    "--recovery", metavar="N", type=click.IntRange(0, 100), default=None, help="Recovery data inside; 0 for none."
)
@click.option(
    "--viewer/--no-viewer",
    "viewer",
    default=None,
    help="Put in the newest page that reads the file in a browser, or take it out.",
)
@click.option("--engine-only", is_flag=True, help="Allow to take out the last model.")
@click.option("--force", is_flag=True, help="Replace OUT; change a signed file; keep or bring in what is not valid.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    file: str,
    out: str | None,
    in_place: bool,
    prefix: str | None,
    runtime: str | None,
    flavour: str | None,
    args: str | None,
    args_file: str,
    drop_args: tuple[str, ...],
    includes: tuple[str, ...],
    roles: tuple[str, ...],
    data: tuple[str, ...],
    remove: tuple[str, ...],
    renames: tuple[str, ...],
    to: str,
    split_weights: bool,
    profile: str | None,
    default: str | None,
    align: int | None,
    name: str | None,
    license_: str | None,
    source: str | None,
    created: str | None,
    recovery: int | None,
    viewer: bool | None,
    engine_only: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Change prefix, members or form of a container or legacy llamafile; weights stay as they are.

    Digests of bytes that do not change are reused. The manifest's history says what was done. A signed file becomes
    unsigned; its signatures are kept as history. Changing nothing gives the same bytes.

    \b
    llamafile-format repack old.llamafile --prefix launcher -o new.llamafile
    llamafile-format repack old.llamafile --prefix llamafile-0.9.3 -o new.llamafile
    llamafile-format repack model.llamafile --in-place --rename model.gguf=tiny.gguf
    llamafile-format repack model.llamafile --to legacy --prefix ENGINE -o old.llamafile
    """
    with progress("repacking") as callback:
        result = repack(
            file,
            out,
            in_place=in_place,
            prefix=prefix,
            runtime=runtime,
            flavour=flavour,
            args=read_args(args, args_file),
            drop_args=drop_args,
            include=[*with_roles([include_of(text) for text in includes], roles), *map(data_of, data)],
            remove=remove,
            rename=_renames(renames),
            to=to,
            split_weights=split_weights,
            profile=profile,
            default=default,
            align=align,
            name=name,
            license=license_,
            source=source,
            created=created,
            recovery=recovery,
            viewer=viewer,
            engine_only=engine_only,
            force=force,
            progress=callback,
        )
    warn_unsigned(result)
    tell_outdated(result.path)
    if as_json:
        import json

        click.echo(json.dumps(result_value(result), indent=1, sort_keys=True))
        return
    manifest = f"  manifest sha256:{result.manifest_sha256}" if result.manifest_sha256 else ""
    click.echo(f"{printable(str(result.path))}  {result.size} bytes{manifest}")
    for path in result.extra:
        click.echo(f"{printable(str(path))}  {path.stat().st_size} bytes")
    if not result.changed:
        click.echo("nothing to change: the bytes are the same")
    for change in result.changes:
        click.echo(f"  {printable(change)}")
    for note in result.notes:
        click.echo(f"  note: {printable(note)}")


def warn_unsigned(result: RepackResult) -> None:
    """Say loudly on stderr that nobody vouches for the new file, whoever vouched for the old one."""
    if not result.unsigned:
        return
    path = printable(str(result.path))
    names = ", ".join(printable(name) for name in result.unsigned)
    click.echo(f"warning: {path} is NOT signed. The old file was: {names}.", err=True)
    for key_id in result.claimed_keys:
        click.echo(f"warning:   by the key {key_id}, as the signature says; it was not checked here", err=True)
    if result.manifest_sha256:
        click.echo("warning:   The old signatures are kept as history, where they vouch for nothing.", err=True)
        click.echo(f"warning:   To vouch for the new file: llamafile-format sign {path} --key KEY", err=True)


def result_value(result: RepackResult) -> dict[str, object]:
    """The result as a JSON object."""
    return {
        "path": str(result.path),
        "size": result.size,
        "manifest_sha256": result.manifest_sha256,
        "changed": result.changed,
        "shared": result.shared,
        "method": result.method,
        "unsigned": list(result.unsigned),
        "claimed_keys": list(result.claimed_keys),
        "changes": list(result.changes),
        "notes": list(result.notes),
        "extra": [str(path) for path in result.extra],
    }


def _renames(texts: tuple[str, ...]) -> dict[str, str]:
    """``OLD=NEW`` texts; the first equals sign divides."""
    result: dict[str, str] = {}
    for text in texts:
        old, equals, new = text.partition("=")
        if not equals or not old or not new:
            raise UsageError(f"--rename {text!r} is not OLD=NEW")
        if result.setdefault(old, new) != new:
            raise UsageError(f"--rename gives {old} two names")
    return result
