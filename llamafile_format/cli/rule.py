"""``llamafile-format rule``."""

from __future__ import annotations

import textwrap

import click

from llamafile_format.errors import UsageError, meant


@click.command("rule")
@click.argument("rule_id", metavar="[ID]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(rule_id: str | None, as_json: bool) -> None:
    """Explain a rule: clause, reason, remedy. Without ID, list all rules."""
    from llamafile_format.rules import all_rules

    rules = all_rules()
    if rule_id is not None and rule_id.upper() not in rules:
        hint = meant(rule_id.upper(), rules) or "list all rules with: llamafile-format rule"
        raise UsageError(f"there is no rule {rule_id}", hint=hint)
    chosen = [rules[rule_id.upper()]] if rule_id else list(rules.values())
    if as_json:
        import json
        from dataclasses import asdict

        rows = [{k: getattr(v, "value", v) for k, v in asdict(row).items()} for row in chosen]
        click.echo(json.dumps(rows[0] if rule_id else rows, indent=1, sort_keys=True))
    elif rule_id is None:
        for row in chosen:
            click.echo(f"{row.id}  {row.severity.value:<7}  {row.layer.value:<11}  {row.title}")
    else:
        row = chosen[0]
        click.echo(f"{row.id}  {row.title}")
        click.echo(f"clause    spec/1.0, {row.clause}   verdict {row.layer.value}   severity {row.severity.value}")
        for label, text in (("message", row.message), ("why", row.why), ("remedy", row.remedy)):
            click.echo(textwrap.fill(text, 78, initial_indent=f"{label:<10}", subsequent_indent=" " * 10))
