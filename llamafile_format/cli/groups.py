"""Groups of commands that answer a misspelt name with the one that was meant, and cut no summary short."""

from __future__ import annotations

import click

from llamafile_format.errors import meant

_SUMMARY = 200  # characters; click would cut at 45


class Group(click.Group):
    """A click group with the manners of this command."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Click's, but for what it says of an unknown name."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            hint = meant(name, self.list_commands(ctx))
            ctx.fail(f"no such command {name!r}; {hint}" if hint else f"no such command {name!r}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One row for each command, its summary whole."""
        rows = [(name, self.summary(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def summary(self, ctx: click.Context, name: str) -> str:
        """What one row says of the command ``name``."""
        command = self.get_command(ctx, name)
        assert command is not None
        return command.get_short_help_str(_SUMMARY)
