"""``llamafile-format record``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.outdated import tell_outdated
from llamafile_format.cli.run import foreign_build, verifying
from llamafile_format.cli.terminal import steps
from llamafile_format.engines.launch import parse_via
from llamafile_format.engines.trace import MAX_THREADS, TIMEOUT
from llamafile_format.errors import UsageError
from llamafile_format.reports import printable
from llamafile_format.running import FLAVOURS, Wanted

if TYPE_CHECKING:
    from llamafile_format.signing.keys.key import Signer


@click.command("record")
@click.argument("file", metavar="FILE", type=PATH)
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
@click.option("--attest", is_flag=True, help="Sign the record and append it; nothing else in FILE changes.")
@click.option("--key", metavar="KEY", default=None, help="Private key for --attest.")
@click.option("--passphrase-file", metavar="F", default=None, help="File whose one line is the key's passphrase.")
@verifying
@foreign_build
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
    attest: bool,
    key: str | None,
    passphrase_file: str | None,
    reading: str,
    foreign_build: str,
    force: bool,
    as_json: bool,
) -> None:
    """Run the model in FILE and put what it answered into the file, exact to the bit.

    Everything is asked three times; how far the runs agree is the class of the record: E the same bits, T the same
    tokens, N within a tolerance. `replay` asks again, today or in thirty years. The weights do not move.

    \b
    llamafile-format record model.llamafile --in-place
    llamafile-format record model.llamafile --prompts prompts.yaml -o recorded.llamafile
    llamafile-format record signed.llamafile --in-place --attest --key KEY
    """
    from llamafile_format.reports import record_text
    from llamafile_format.running import record

    signers = _signers(attest, key, passphrase_file)
    with steps() as callback:
        result = record(
            file,
            out,
            in_place=in_place,
            prompts=prompts,
            name=name,
            wanted=Wanted(flavour or "", target, parse_via(via), runtime, foreign_build),
            threads=threads,
            attest=signers,
            reading=reading,
            force=force,
            timeout=timeout,
            progress=lambda done, total: callback("recording", done, total),
        )
    for note in result.notes:
        click.echo(f"note: {printable(note)}", err=True)
    repacked = result.repacked
    if repacked.unsigned:
        from llamafile_format.cli.repack import warn_unsigned

        warn_unsigned(repacked)
    tell_outdated(repacked.path)
    if as_json:
        from llamafile_format.reports import record_json

        click.echo(record_json(result))
        return
    click.echo(f"{printable(str(repacked.path))}  {repacked.size} bytes  manifest sha256:{repacked.manifest_sha256}")
    if not repacked.changed:
        click.echo("nothing to change: the file has this very record")
    click.echo(record_text(result))
    for key_id in result.signed.keys if result.signed else ():
        click.echo(f"  attested by the key {key_id}")


def _signers(attest: bool, key: str | None, passphrase_file: str | None) -> tuple[Signer, ...]:
    if not attest:
        if key is not None or passphrase_file is not None:
            raise UsageError("a record is signed only if it is attested", hint="add --attest, or leave --key out")
        return ()
    if key is None:
        raise UsageError("an attestation needs somebody who signs it", hint="name a key with --key")
    from llamafile_format.cli.passphrase import private_keys

    return private_keys(key, passphrase_file)
