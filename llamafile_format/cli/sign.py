"""``llamafile-format sign``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.outdated import tell_outdated
from llamafile_format.cli.terminal import progress
from llamafile_format.errors import UsageError
from llamafile_format.reports import printable
from llamafile_format.source import read_small
from llamafile_format.vouching import Attestation, SignResult, sign

if TYPE_CHECKING:
    from llamafile_format.signing.keys.key import Signer

MAX_PREDICATE = 1 << 20  # bytes; no record holds more

_MAX_CHAIN = 1 << 20  # bytes


@click.command("sign")
@click.argument("file", metavar="FILE", type=PATH)
@click.option("--key", metavar="KEY", required=True, help="Private key; with --signer its public half.")
@click.option("--passphrase-file", metavar="F", default=None, help="File whose one line is the key's passphrase.")
@click.option("--certificate", metavar="CHAIN.pem", default=None, help="Certificate of the key, then its issuers'.")
@click.option("--signer", metavar="COMMAND", default="", help="Command that reads bytes and writes their signature.")
@click.option(
    "--cosigner", "cosigners", metavar="ID|KEY.pub", multiple=True, help="Key that is meant to sign too; repeatable."
)
@click.option(
    "--revision", metavar="N", type=click.IntRange(0, (1 << 63) - 1), default=0, help="Revision of the model."
)
@click.option("--declared-time", metavar="TIME|none", default="", help="Time to declare (default: now).")
@click.option("--countersign", is_flag=True, help="Sign all records that are there, instead of the members.")
@click.option("--attest", metavar="PREDICATE.json", default=None, help="Sign another claim, an in-toto predicate.")
@click.option("--predicate-type", metavar="URI", default=None, help="Type of that predicate.")
@click.option("--detached", is_flag=True, help="Write FILE.NNNN.KIND.json beside FILE, which stays as it is.")
@click.option("-o", "--output", "out", metavar="OUT", default=None, help="Write a new file instead of changing FILE.")
@click.option(
    "--verify",
    "level",
    type=click.Choice(["quick", "full"]),
    default="quick",
    help="How FILE is verified first: no weights (default), or every byte.",
)
@click.option("--force", is_flag=True, help="Replace OUT; sign again what this key has signed.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    file: str,
    key: str,
    passphrase_file: str | None,
    certificate: str | None,
    signer: str,
    cosigners: tuple[str, ...],
    revision: int,
    declared_time: str,
    countersign: bool,
    attest: str | None,
    predicate_type: str | None,
    detached: bool,
    out: str | None,
    level: str,
    force: bool,
    as_json: bool,
) -> None:
    """Vouch for FILE with a key: for every byte in front of the signatures.

    A record is put behind the last member. Nothing moves, and signatures that are there stay valid. A file that verify
    refuses is not signed; of damage no weights are read to find it, unless --verify full asks for that. A pair of keys
    makes two records, which name each other.

    \b
    llamafile-format sign model.llamafile --key KEY
    llamafile-format sign model.llamafile --key TOKEN.pub --signer 'COMMAND'
    llamafile-format sign model.llamafile --key KEY --detached
    """
    from llamafile_format.vouching import key_ids

    signers = signers_of(key, passphrase_file, signer)
    with progress("copying") as callback:
        result = sign(
            file,
            signers,
            out,
            certificates=chain_of(certificate),
            cosigners=key_ids(cosigners),
            revision=revision,
            declared_time=declared_time,
            countersign=countersign,
            attest=_attestation(attest, predicate_type),
            detached=detached,
            level=level,
            force=force,
            progress=callback,
        )
    tell_outdated(result.path)
    if as_json:
        import json

        click.echo(json.dumps(result_value(result), indent=1, sort_keys=True))
        return
    show_result(result)


def signers_of(key: str, passphrase_file: str | None, command_: str) -> tuple[Signer, ...]:
    """Whoever signs with the file ``key``, or by ``command_`` in the place of a private key."""
    if not command_:
        from llamafile_format.cli.passphrase import private_keys

        return private_keys(key, passphrase_file)
    if passphrase_file is not None:
        raise UsageError("the command of --signer has its own ways to a passphrase", hint="leave --passphrase-file out")
    from llamafile_format.vouching import read_signers

    return read_signers(key, command=command_)


def chain_of(path: str | None) -> tuple[bytes, ...]:
    """The certificates in the file ``path``, as DER; none without a file."""
    if path is None:
        return ()
    from llamafile_format.signing.x509.certificates import read_certificates

    data = read_small(path, _MAX_CHAIN)
    if len(data) > _MAX_CHAIN:
        raise UsageError(f"{path} is too large for a chain of certificates", hint=f"at most {_MAX_CHAIN} bytes")
    return read_certificates(data, path)


def _attestation(path: str | None, predicate_type: str | None) -> Attestation | None:
    if path is None and predicate_type is None:
        return None
    if path is None or predicate_type is None:
        raise UsageError("an attestation is a predicate and its type", hint="name both: --attest and --predicate-type")
    from llamafile_format.manifest.canonical_json import decode

    data = read_small(path, MAX_PREDICATE)
    if len(data) > MAX_PREDICATE:
        raise UsageError(f"{path} is too large for a record", hint=f"at most {MAX_PREDICATE} bytes")
    value = decode(data, exact=False)
    if not isinstance(value, dict):
        raise UsageError(f"{path} is not a predicate", hint="a predicate is a JSON object")
    return Attestation(predicate_type, value)


def show_result(result: SignResult) -> None:
    """Print what was signed, by whom, and what was read for it."""
    if not result.records:
        names = ", ".join(result.already)
        click.echo(f"{printable(str(result.path))}  nothing to do: this key has said the very same already ({names})")
        return
    click.echo(f"{printable(str(result.path))}  {result.size} bytes  manifest sha256:{result.manifest_sha256}")
    for record, key_id in zip(result.records, result.keys, strict=True):
        click.echo(f"signed   {printable(record)}  key id {key_id}")
    click.echo(f"verified {result.verified}")


def result_value(result: SignResult) -> dict[str, object]:
    """The result as a JSON object."""
    return {
        "path": str(result.path),
        "size": result.size,
        "manifest_sha256": result.manifest_sha256,
        "method": result.method,
        "records": list(result.records),
        "keys": list(result.keys),
        "declared_time": result.declared_time,
        "already": list(result.already),
        "verified": result.verified,
    }
