"""``llamafile-format pack``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from llamafile_format.checks.verdict import Report
from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.terminal import progress
from llamafile_format.errors import UsageError
from llamafile_format.packing import FLAVOURS, PROFILES, Include, PackResult, data_of, include_of, pack
from llamafile_format.reports import printable, report_text, report_value
from llamafile_format.running import verify
from llamafile_format.source import read_small

WINDOWS_LIMIT = 0xFFFF_FFFF  # clause 3.4.2: sizes in Windows' loader are 32 bits wide, whatever the program is

MAX_ARGUMENTS = 1 << 20  # bytes


@click.command("pack")
@click.argument("files", nargs=-1, metavar="MODEL.gguf [FILE]...", type=PATH)
@click.option("-o", "--output", "out", metavar="OUT", default="", help="Where to write (default: MODEL.llamafile).")
@click.option(
    "--runtime",
    metavar="NAME[@VERSION][:TARGET,...]|none",
    default="",
    help="Pinned runtime to carry (default: llama.cpp, for every system that there is a build for).",
)
@click.option(
    "--flavour",
    type=click.Choice(FLAVOURS),
    default=None,
    help="Builds to carry: fast ones, the same bits everywhere, both; gpu: fast ones, and those for GPUs.",
)
@click.option(
    "--prefix",
    metavar="launcher|FILE|none",
    default="",
    help="What to put in front: the launcher of the runtime (default), another engine, or nothing.",
)
@click.option(
    "--args", "args", metavar="TEXT", default=None, help="Default arguments of the engine, quoted as in a shell."
)
@click.option("--args-file", metavar="F", default="", help="Read the default arguments from a file.")
@click.option("--recipe", metavar="YAML", default="", help="Take everything from a pack recipe (llamafile.yaml).")
@click.option(
    "--include",
    "includes",
    metavar="PATH[=MEMBER]",
    multiple=True,
    help="Include a file, under its own or another name.",
)
@click.option(
    "--role",
    "roles",
    metavar="[MEMBER=]ROLE",
    multiple=True,
    help="Role of an included file, where its contents do not tell.",
)
@click.option(
    "--data",
    "data",
    metavar="PATH[=MEMBER]",
    multiple=True,
    help="Include a file that is no model, and that nothing opens or checks (role document).",
)
@click.option("--name", default="", help="Name of the model, for catalogues.")
@click.option("--license", "license_", default="", help="Licence as an SPDX expression, such as Apache-2.0.")
@click.option("--source", default="", help="Where the model comes from, such as a URL.")
@click.option(
    "--created", metavar="TIME", default="", help="Time to record: 2026-11-20T00:00:00Z, or now (default: none)."
)
@click.option(
    "--align", metavar="BYTES", type=int, default=0, help="Alignment of weights and runtimes (default: 65536)."
)
@click.option("--default", "default", metavar="MEMBER", default="", help="Model that starts, when there are several.")
@click.option("--merge-splits", is_flag=True, help="Merge the shards of a split GGUF into one member.")
@click.option(
    "--profile",
    type=click.Choice(PROFILES),
    default=None,
    help="archive: SHA-512 beside every digest, and --recovery 5 --flavour both --viewer.",
)
@click.option(
    "--recovery",
    metavar="N",
    type=click.IntRange(0, 100),
    default=None,
    help="Recovery data inside: so many percent of the file may be lost (default: none).",
)
@click.option("--no-recovery", is_flag=True, help="No recovery data, whatever profile or recipe say.")
@click.option(
    "--viewer/--no-viewer",
    "viewer",
    default=None,
    help="Put in the page that reads the file in a browser (default: no).",
)
@click.option("--engine-only", is_flag=True, help="Pack an engine without a model: it takes one with -m.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists; pack a model that is at fault or does not fit.")
@click.option("--try", "trial", is_flag=True, help="Verify OUT in full, and start it once on this host.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    files: tuple[str, ...],
    out: str,
    runtime: str,
    flavour: str | None,
    prefix: str,
    args: str | None,
    args_file: str,
    recipe: str,
    includes: tuple[str, ...],
    roles: tuple[str, ...],
    data: tuple[str, ...],
    name: str,
    license_: str,
    source: str,
    created: str,
    align: int,
    default: str,
    merge_splits: bool,
    profile: str | None,
    recovery: int | None,
    no_recovery: bool,
    viewer: bool | None,
    engine_only: bool,
    force: bool,
    trial: bool,
    as_json: bool,
) -> None:
    """Pack a model, and what goes with it, into one file.

    The file starts on every system that the runtime inside has a build for: ./FILE opens a chat page. --prefix none
    packs data only. The same inputs give the same bytes on any machine. One shard of a split GGUF stands for its whole
    set. Files that are not models get their role from contents and name: licences, model cards, templates, documents.
    What a file is its bytes say: a pointer, a page or an empty file called model is refused.

    --profile archive packs what is meant to last: SHA-512 beside every digest, fast builds and those that give the same
    bits everywhere, recovery data inside, and a page that reads the file in a browser. Each can be given otherwise:
    --flavour, --no-recovery, --no-viewer.

    \b
    llamafile-format pack model.gguf --license Apache-2.0 -o model.llamafile
    llamafile-format pack model.gguf --args "-m model.gguf --temp 0 ..."
    llamafile-format pack model.gguf --runtime llama.cpp:linux-x86_64 --flavour both
    llamafile-format pack model.gguf --prefix llamafile-0.9.3
    llamafile-format pack --recipe llamafile.yaml -o model.llamafile
    """
    if no_recovery and recovery:
        raise UsageError("--recovery and --no-recovery contradict one another")
    with progress("packing") as callback:
        result = pack(
            files,
            out,
            prefix=prefix,
            runtime=runtime,
            flavour=flavour or "",
            args=read_args(args, args_file),
            include=[*with_roles([include_of(text) for text in includes], roles), *map(data_of, data)],
            recipe=recipe,
            name=name,
            license=license_,
            source=source,
            created=created,
            default=default,
            align=align,
            profile=profile or "",
            merge_splits=merge_splits,
            recovery=0 if no_recovery else recovery,
            viewer=viewer,
            engine_only=engine_only,
            force=force,
            progress=callback,
        )
    _warn(result, prefix)
    report = _tried(result.path) if trial else None
    _tell(result, report, as_json=as_json)
    if report is not None:
        click.get_current_context().exit(report.exit_code())


def _warn(result: PackResult, prefix: str) -> None:
    """What the packer should know, on standard error."""
    if result.size > WINDOWS_LIMIT and not result.extra and prefix not in ("", "none", "launcher"):
        click.echo(
            f"note: Windows starts no file of more than {WINDOWS_LIMIT} bytes; for Windows, use: "
            f"llamafile-format repack {printable(str(result.path))} --split-weights -o NAME.exe",
            err=True,
        )
    for text in result.notes:
        click.echo(f"note: {printable(text)}", err=True)


def _tell(result: PackResult, report: Report | None, *, as_json: bool) -> None:
    """What was written, and what a trial found."""
    if as_json:
        import json

        value: dict[str, object] = {"path": str(result.path), "size": result.size}
        value |= {"manifest_sha256": result.manifest_sha256, "extra": [str(path) for path in result.extra]}
        value |= {"report": report_value(report)} if report is not None else {}
        click.echo(json.dumps(value, indent=1, sort_keys=True))
        return
    click.echo(f"{printable(str(result.path))}  {result.size} bytes  manifest sha256:{result.manifest_sha256}")
    for path in result.extra:
        click.echo(f"{printable(str(path))}  {path.stat().st_size} bytes")
    if sys.stderr.isatty():
        click.echo(f"check it with: llamafile-format verify {printable(str(result.path))}", err=True)
    if report is not None:
        click.echo(report_text(report))


def _tried(path: Path) -> Report:
    """The report of a full verification of what was packed, and of one start."""
    with progress("verifying") as callback:
        return verify(path, trial=True, remember=True, progress=callback)


def read_args(args: str | None, args_file: str) -> str | None:
    """The text of ``--args`` or of the file in ``--args-file``; None if neither is given."""
    if args is not None and args_file:
        raise UsageError("--args and --args-file exclude each other")
    return _text(args_file) if args_file else args


def _text(path: str) -> str:
    """The arguments in the file ``path``, which may be a pipe. UsageError if they are no text of ours."""
    data = read_small(path, MAX_ARGUMENTS)
    if len(data) > MAX_ARGUMENTS:
        raise UsageError(f"{path} has more than {MAX_ARGUMENTS} bytes, and is no list of arguments")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is no text: byte {error.start} is not UTF-8", hint="write arguments in UTF-8"
        ) from None


def with_roles(includes: list[Include], roles: tuple[str, ...]) -> list[Include]:
    """Apply ``--role``: ``MEMBER=ROLE`` by name; plain roles in the order of the includes, a single one to all."""
    named = dict(text.rsplit("=", 1) for text in roles if "=" in text)
    plain = [text for text in roles if "=" not in text]
    if len(plain) == 1:
        plain *= len(includes)
    if plain and len(plain) != len(includes):
        raise UsageError(f"{len(includes)} --include but {len(plain)} --role", hint="write --role MEMBER=ROLE")
    result = [replace(item, role=role) for item, role in zip(includes, plain, strict=True)] if plain else includes
    members = {item.member or item.path.name for item in result}
    if unknown := named.keys() - members:
        raise UsageError(f"--role names {', '.join(sorted(unknown))}, which is not included with --include")
    return [replace(item, role=named.get(item.member or item.path.name, item.role)) for item in result]
