"""``llamafile-format keygen``."""

from __future__ import annotations

import click

from llamafile_format.cli.passphrase import new_passphrase
from llamafile_format.errors import UsageError
from llamafile_format.reports import printable
from llamafile_format.signing.keys.key_files import DEFAULT_KIND, KINDS, generate, key_paths, write_keys


@click.command("keygen")
@click.option(
    "--type",
    "kind",
    metavar="TYPE",
    type=click.Choice(list(KINDS)),
    default=DEFAULT_KIND,
    help=f"Kind of key (default: {DEFAULT_KIND}).",
)
@click.option("-o", "--output", "out", metavar="KEY", required=True, help="Where to write KEY and KEY.pub.")
@click.option("--passphrase-file", metavar="FILE", default=None, help="File whose one line is the passphrase.")
@click.option("--no-passphrase", is_flag=True, help="Leave the private key unencrypted.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(kind: str, out: str, passphrase_file: str | None, no_passphrase: bool, as_json: bool) -> None:
    """Make a key to sign files with: KEY, which stays with you, and KEY.pub, which goes to everybody.

    The private key is encrypted with a passphrase that is asked for, and nobody but you may read its file. An existing
    key is never replaced. Both files are PEM and open with openssl.

    \b
    p256, p384, p521          elliptic curves; every openssl and model_signing verify them
    ed25519                   every openssl verifies it, model_signing does not know it
    ml-dsa-65, ml-dsa-87      safe from quantum computers; openssl verifies it from 3.5 on
    p384+ml-dsa-65            a pair: two keys of one signer, of which neither is enough;
                              so are all others of an elliptic curve or ed25519 and ml-dsa
    """
    if no_passphrase and passphrase_file is not None:
        raise UsageError("--no-passphrase and --passphrase-file contradict each other")
    key_paths(out)  # better told before somebody thinks of a passphrase
    passphrase = None if no_passphrase else new_passphrase(passphrase_file)
    keys = generate(kind)
    private, public = write_keys(out, keys, passphrase)
    if as_json:
        import json

        value = {
            "private": str(private),
            "public": str(public),
            "encrypted": passphrase is not None,
            "keys": [
                {"algorithm": key.public.algorithm.value, "id": key.public.key_id, "hint": key.public.hint}
                for key in keys
            ],
        }
        click.echo(json.dumps(value, indent=1, sort_keys=True))
        return
    secrecy = "open: whoever reads it can sign" if passphrase is None else "encrypted"
    click.echo(f"private  {printable(str(private))}  ({secrecy})")
    click.echo(f"public   {printable(str(public))}")
    for key in keys:
        click.echo(f"key id   {key.public.key_id}  {key.public.algorithm.value}")
