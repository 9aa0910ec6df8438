"""``llamafile-format record``."""

from __future__ import annotations

import click

from llamafile_format.cli.terminal import steps
from llamafile_format.operations.choose_runtime import FLAVOURS, Wanted
from llamafile_format.reports.escape import printable
from llamafile_format.runtimes.launch import parse_via
from llamafile_format.runtimes.trace import MAX_THREADS, TIMEOUT


@click.command("record")
@click.argument("file", metavar="FILE", type=click.Path(path_type=str))
@click.option("--prompts", metavar="YAML", default=None, help="What to ask (default: a few plain questions).")
@click.option("-o", "--output", "out", metavar="OUT", default=None, help="Where to write the file with the record.")
@click.option("--in-place", is_flag=True, help="Put the record into FILE itself.")
@click.option("--name", default="", help="Name of the record (default: the flavour of the build).")
@click.option(
    "--flavour", type=click.Choice(FLAVOURS), default=None, help="Build to record (default: reference if there is one)."
)
@click.option("--target", metavar="TARGET", default="", help="Build to record, such as linux-aarch64.")
@click.option("--via", metavar="WAY", default="", help="Run a foreign build by qemu, qemu:CPU, wine or wasmtime.")
@click.option("--runtime", metavar="NAME", default="", help="Record a stored runtime instead of the one in the file.")
@click.option(
    "--threads", type=click.IntRange(1, MAX_THREADS), default=None, help="Threads (default: as the prompts say)."
)
@click.option("--timeout", metavar="SECONDS", type=click.FloatRange(min=1), default=TIMEOUT, help="Most for each run.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists; record into a signed file.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    file: str,
    prompts: str | None,
    out: str | None,
    in_place: bool,
    name: str,
    flavour: str | None,
    target: str,
    via: str,
    runtime: str,
    threads: int | None,
    timeout: float,
    force: bool,
    as_json: bool,
) -> None:
    """Run the model in FILE and put what it answered into the file, exact to the bit.

    Everything is asked three times; how far the runs agree is the class of the record: E the same bits, T the same
    tokens, N within a tolerance. `replay` asks again, today or in thirty years. The weights do not move.

    \b
    llamafile-format record model.llamafile --in-place
    llamafile-format record model.llamafile --prompts prompts.yaml -o recorded.llamafile
    """
    from llamafile_format.operations.record import record
    from llamafile_format.reports.replay_text import record_text

    with steps() as callback:
        result = record(
            file,
            out,
            in_place=in_place,
            prompts=prompts,
            name=name,
            wanted=Wanted(flavour or "", target, parse_via(via), runtime),
            threads=threads,
            force=force,
            timeout=timeout,
            progress=lambda done, total: callback("recording", done, total),
        )
    repacked = result.repacked
    if repacked.unsigned:
        names = ", ".join(printable(name) for name in repacked.unsigned)
        click.echo(f"warning: {printable(str(repacked.path))} is NOT signed: {names} signed the old file.", err=True)
    if as_json:
        from llamafile_format.reports.replay_json import record_json

        click.echo(record_json(result))
        return
    click.echo(f"{printable(str(repacked.path))}  {repacked.size} bytes  manifest sha256:{repacked.manifest_sha256}")
    if not repacked.changed:
        click.echo("nothing to change: the file has this very record")
    click.echo(record_text(result))
