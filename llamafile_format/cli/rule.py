"""``llamafile-format rule``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from llamafile_format.errors import UsageError, meant

if TYPE_CHECKING:
    from llamafile_format.rules import Rule


@click.command("rule")
@click.argument("name", metavar="[ID|CLAUSE]", required=False)
@click.option("--clause", "with_clause", is_flag=True, help="Print the clause of the rule too.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(name: str | None, with_clause: bool, as_json: bool) -> None:
    """Explain a rule: clause, reason, remedy. Without ID, list all rules.

    With the number of a clause, a section or a chapter, print that part of the specification.

    \b
    llamafile-format rule LF4001 --clause
    llamafile-format rule 14.3.3
    """
    from llamafile_format.clauses import is_clause

    if name is not None and is_clause(name):
        _clause(name, as_json)
        return
    from llamafile_format.rules import all_rules

    rules = all_rules()
    if name is None:
        if as_json:
            _print([_value(row) for row in rules.values()])
        else:
            for row in rules.values():
                click.echo(f"{row.id}  {row.severity.value:<7}  {row.layer.value:<11}  {row.title}")
        return
    row_ = rules.get(name.upper())
    if row_ is None:
        raise UsageError(
            f"there is no rule {name}",
            hint=meant(name.upper(), rules) or "list all rules with: llamafile-format rule",
        )
    if as_json:
        _print(_value(row_) | ({"text": _found(row_.clause).text} if with_clause else {}))
        return
    for line in _lines(row_):
        click.echo(line)
    if with_clause:
        click.echo()
        _clause(row_.clause, False)


def _lines(row: Rule) -> Iterator[str]:
    yield f"{row.id}  {row.title}"
    yield f"clause    spec/1, {row.clause}   verdict {row.layer.value}   severity {row.severity.value}"
    for label, text in (("message", row.message), ("why", row.why), ("remedy", row.remedy)):
        yield textwrap.fill(text, 78, initial_indent=f"{label:<10}", subsequent_indent=" " * 10)
    yield f"read      llamafile-format rule {row.clause}"


def _value(row: Rule) -> dict[str, Any]:
    from dataclasses import asdict

    return {key: getattr(value, "value", value) for key, value in asdict(row).items()}


def _clause(number: str, as_json: bool) -> None:
    from llamafile_format.reports import clause_lines

    found = _found(number)
    if as_json:
        _print({"clause": found.number, "title": found.title, "text": found.text})
        return
    for line in clause_lines(found):
        click.echo(line)


def _found(number: str) -> Any:
    from llamafile_format.clauses import chapters, clause

    try:
        return clause(number)
    except KeyError:
        raise UsageError(
            f"there is no clause {number} in the specification",
            hint=f"chapters are 1 to {chapters()}: llamafile-format rule 1",
        ) from None


def _print(value: Any) -> None:
    import json

    click.echo(json.dumps(value, indent=1, sort_keys=True))
