"""``llamafile-format attest``."""

from __future__ import annotations

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.outdated import tell_outdated
from llamafile_format.cli.sign import chain_of, result_value, show_result, signers_of
from llamafile_format.cli.terminal import progress
from llamafile_format.source import read_small


@click.command("attest")
@click.argument("file", metavar="FILE", type=PATH)
@click.option("--report", metavar="R.json", required=True, help="The report, as verify --format json writes it.")
@click.option("--key", metavar="KEY", required=True, help="Private key; with --signer its public half.")
@click.option("--passphrase-file", metavar="F", default=None, help="File whose one line is the key's passphrase.")
@click.option("--certificate", metavar="CHAIN.pem", default=None, help="Certificate of the key, then its issuers'.")
@click.option("--signer", metavar="COMMAND", default="", help="Command that reads bytes and writes their signature.")
@click.option("--declared-time", metavar="TIME|none", default="", help="Time to declare (default: now).")
@click.option("--detached", is_flag=True, help="Write FILE.NNNN.att.json beside FILE, which stays as it is.")
@click.option("-o", "--output", "out", metavar="OUT", default=None, help="Write a new file instead of changing FILE.")
@click.option("--force", is_flag=True, help="Replace OUT; attest again what this key has attested.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    file: str,
    report: str,
    key: str,
    passphrase_file: str | None,
    certificate: str | None,
    signer: str,
    declared_time: str,
    detached: bool,
    out: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Vouch for a report about FILE with a key, as an in-toto attestation.

    The report must be about this very FILE, by the digest of its manifest. It becomes a record behind the others, or
    lies beside the file. It vouches for what was found, and never for the file itself.

    \b
    llamafile-format verify model.llamafile --format json > report.json
    llamafile-format attest model.llamafile --report report.json --key KEY --detached
    """
    from llamafile_format.vouching import MAX_REPORT, attest

    with progress("copying") as callback:
        result = attest(
            file,
            read_small(report, MAX_REPORT),
            signers_of(key, passphrase_file, signer),
            out,
            certificates=chain_of(certificate),
            declared_time=declared_time,
            detached=detached,
            force=force,
            progress=callback,
        )
    tell_outdated(result.path)
    if as_json:
        import json

        click.echo(json.dumps(result_value(result), indent=1, sort_keys=True))
        return
    show_result(result)
