"""Writes ``share/``: man pages and completion of the command, from the command itself. ``python -m share.generate``

The wheel installs what is here into ``share/`` of the environment, where ``man`` and the shells look. A test compares
these files with what this program writes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from llamafile_format import __version__
from llamafile_format.cli.main import cli

NAME = "llamafile-format"
HERE = Path(__file__).resolve().parent
SHELLS: dict[str, type[ShellComplete]] = {
    f"bash-completion/completions/{NAME}": BashComplete,
    f"zsh/site-functions/_{NAME}": ZshComplete,
    f"fish/vendor_completions.d/{NAME}.fish": FishComplete,
}
CODES = (
    ("0", "Nothing that was asked for failed."),
    ("1", "Errors were found, a policy is not met, or files differ."),
    ("2", "The command line or an argument makes no sense."),
    ("3", "Not this format at all."),
    ("4", "Could not complete: reading or writing failed, the file is cut off, or a journal is pending."),
    ("5", "Authenticity was required and is not established."),
    ("6", "Behaviour differs from what was recorded."),
)
FILES = (
    (
        "$XDG_CONFIG_HOME/llamafile-format/config.yaml, ~/.config/llamafile-format/config.yaml",
        "Default key or policy, and cache.",
    ),
    ("$LFF_CACHE, $XDG_CACHE_HOME, ~/.cache", "Place of the private cache; see llamafile-format-cache(1)."),
    ("$LFF_TOKEN, $LFF_TOKEN_HOST", "A token for remote files, and the only host, or host:port, that it is sent to."),
    ("FILE.journal", "An unfinished change of FILE; see llamafile-format-recover(1)."),
)


def files() -> dict[str, str]:
    """Every file by its path in ``share/``."""
    found = {f"man/man1/{'-'.join(ctx.command_path.split())}.1": page(ctx) for ctx in commands()}
    for path, shell in SHELLS.items():
        complete = shell(cli, {}, NAME, f"_{NAME.replace('-', '_').upper()}_COMPLETE")
        found[path] = (complete.source_template % complete.source_vars()).strip() + "\n"
    return found


def commands(command: click.Command = cli, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Every command, in the context that the command line gives it: what one says of itself depends on that."""
    ctx = click.Context(command, parent=parent, info_name=command.name if parent else NAME, **command.context_settings)
    yield ctx
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            assert inner is not None
            yield from commands(inner, ctx)


def page(ctx: click.Context) -> str:
    """The man page of a command, in the macros of man(7)."""
    command, words = ctx.command, ctx.command_path.split()
    name = "-".join(words)
    help_text = (command.help or "").replace("\f", "")
    title, _, body = help_text.partition("\n")
    if words == [NAME]:
        body = body.partition("Exit codes:")[0]
    lines = [
        f'.TH {name.upper()} 1 "" "{NAME} {__version__}" "{NAME}"',
        ".SH NAME",
        f"{escape(name)} \\- {escape(title.strip())}",
    ]
    usage = " ".join(command.collect_usage_pieces(ctx))
    lines += [".SH SYNOPSIS", f".B {escape(' '.join(words))}", escape(usage)]
    if body.strip():
        lines += [".SH DESCRIPTION", *prose(body)]
    parameters = [parameter for parameter in command.get_params(ctx) if isinstance(parameter, click.Option)]
    options = [record for parameter in parameters if (record := parameter.get_help_record(ctx))]
    if options:
        lines.append(".SH OPTIONS")
        for names, meaning in options:
            lines += [".TP", f"\\fB{escape(names)}\\fR", escape(meaning)]
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for inner in command.list_commands(ctx):
            one = command.get_command(ctx, inner)
            assert one is not None
            lines += [".TP", f".BR {escape(f'{name}-{inner}')} (1)", escape(one.get_short_help_str(200))]
    lines += [".SH EXIT STATUS"]
    for code, meaning in CODES:
        lines += [".TP", f".B {code}", escape(meaning)]
    lines += ["Of several, the worst: 4, 1, 5, 6, 3. A command that a signal ends dies of that signal."]
    if words == [NAME]:
        lines.append(".SH FILES")
        for path, meaning in FILES:
            lines += [".TP", f".I {escape(path)}", escape(meaning)]
    else:
        lines += [".SH SEE ALSO", f".BR {escape('-'.join(words[:-1]))} (1)"]
    return "\n".join(lines) + "\n"


def prose(text: str) -> Iterator[str]:
    """Paragraphs; one that click does not wrap (it begins with a line of ``\\b``) stays as it is."""
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        rows = [row.strip() for row in paragraph.splitlines()]
        if rows[0] == "\b":
            yield from (".PP", ".nf", *(escape(row.rstrip()) for row in _dedented(paragraph)), ".fi")
        else:
            yield from (".PP", escape(" ".join(rows)))


def _dedented(paragraph: str) -> list[str]:
    rows = paragraph.splitlines()[1:]
    indent = min((len(row) - len(row.lstrip()) for row in rows if row.strip()), default=0)
    return [row[indent:] for row in rows]


def escape(text: str) -> str:
    """``text`` as roff shows it: its own characters have no meaning, and a hyphen stays one that can be copied."""
    text = " ".join(text.split()) if "\n" in text else text
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text


def main() -> None:
    """Write what is missing or different, remove what nothing writes any more."""
    wanted = files()
    for path in HERE.rglob("*"):
        name = path.relative_to(HERE).as_posix()
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in name and name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        target = HERE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_text("utf-8") != text:
            target.write_text(text, "utf-8")
    sys.stdout.write(f"{len(wanted)} files\n")


if __name__ == "__main__":
    main()
