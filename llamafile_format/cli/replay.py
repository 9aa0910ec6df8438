"""``llamafile-format replay``."""

from __future__ import annotations

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.run import foreign_build
from llamafile_format.cli.terminal import colours, steps
from llamafile_format.engines.launch import parse_via
from llamafile_format.engines.trace import MAX_THREADS, TIMEOUT
from llamafile_format.running import FLAVOURS, Wanted


@click.command("replay")
@click.argument("file", metavar="FILE", type=PATH)
@click.option("--record", "records", metavar="NAME", multiple=True, help="Replay this record only.")
@click.option("--flavour", type=click.Choice(FLAVOURS), default=None, help="Build to run (default: the recorded one).")
@click.option("--target", metavar="TARGET", default="", help="Build to run, such as linux-aarch64.")
@click.option("--via", metavar="WAY", default="", help="Run a foreign build by qemu, qemu:CPU, wine or wasmtime.")
@click.option("--runtime", metavar="NAME", default="", help="Run a stored runtime instead of the one in the file.")
@foreign_build
@click.option("--threads", type=click.IntRange(1, MAX_THREADS), default=None, help="Threads (default: as recorded).")
@click.option("--timeout", metavar="SECONDS", type=click.FloatRange(min=1), default=TIMEOUT, help="Most for a record.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    file: str,
    records: tuple[str, ...],
    flavour: str | None,
    target: str,
    via: str,
    runtime: str,
    foreign_build: str,
    threads: int | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Ask the model in FILE again what it was asked when it was recorded, and compare.

    Needs nothing but the file, and runs the runtime that is in it. Compared are, in this order, the rendered prompt,
    its tokens, the logits of every step, the output. Exit codes: 0 as recorded, 6 it differs, 4 it could not be run.

    \b
    llamafile-format replay model.llamafile
    llamafile-format replay model.llamafile --via qemu --target linux-riscv64
    llamafile-format replay model.llamafile --flavour native
    """
    from llamafile_format.running import replay

    with steps() as callback:
        result = replay(
            file,
            records=records,
            wanted=Wanted(flavour or "", target, parse_via(via), runtime, foreign_build),
            threads=threads,
            timeout=timeout,
            progress=lambda done, total: callback("replaying", done, total),
        )
    if as_json:
        from llamafile_format.reports import replay_json

        click.echo(replay_json(result))
    else:
        from llamafile_format.reports import replay_text

        click.echo(replay_text(result, color=colours()))
    click.get_current_context().exit(result.exit_code)
