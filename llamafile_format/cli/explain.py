"""``llamafile-format explain``."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import click

from llamafile_format.cli.arguments import PATH
from llamafile_format.cli.reaching import Reach, reaching
from llamafile_format.cli.terminal import colours

if TYPE_CHECKING:
    from llamafile_format.examining import Facts


@click.command("explain")
@click.argument("file", metavar="FILE", type=PATH)
@click.option("--clauses", is_flag=True, help="Then print the parts of the specification that the steps rest on.")
@click.option("--json", "as_json", is_flag=True, help="The same, as one JSON object.")
@reaching
def command(file: str, clauses: bool, as_json: bool, reach: Reach) -> None:
    """Print how to check FILE by hand: commands ready to paste, for sh, unzip and openssl.

    One step for each signature, time stamp and digest in the file, with what it proves and what it does not. Nothing
    is checked by this command; the general procedure is in the file's own META-LLAMAFILE/README.txt.
    """
    from llamafile_format.errors import UsageError
    from llamafile_format.examining import explain
    from llamafile_format.reports import explain_json, explain_text

    if clauses and as_json:
        raise UsageError("--clauses is for reading, and --json is not")
    reach.judge([file])
    with reach.opened(file, whole=False) as what:
        facts = explain(what)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    text = explain_json(facts) if as_json else explain_text(facts, color=colours())
    sys.stdout.write(text + "\n")
    if clauses:
        _clauses(facts)


def _clauses(facts: Facts) -> None:
    from llamafile_format.clauses import clause
    from llamafile_format.reports import clause_lines, explain_clauses

    for number in explain_clauses(facts):
        sys.stdout.write("\n" + "\n".join(clause_lines(clause(number))) + "\n")
