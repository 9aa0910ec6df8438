"""``llamafile-format explain``."""

from __future__ import annotations

import io
import sys

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.terminal import colours


@click.command("explain")
@click.argument("file", metavar="FILE", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="The same, as one JSON object.")
def command(file: str, as_json: bool) -> None:
    """Print how to check FILE by hand: commands ready to paste, for sh, unzip and openssl.

    One step for each signature, time stamp and digest in the file, with what it proves and what it does not. Nothing
    is checked by this command; the general procedure is in the file's own META-LLAMAFILE/README.txt.
    """
    from llamafile_format.examining import explain
    from llamafile_format.reports import explain_json, explain_text

    facts = explain(file)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    text = explain_json(facts) if as_json else explain_text(facts, color=colours())
    sys.stdout.write(text + "\n")
