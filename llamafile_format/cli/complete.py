"""``llamafile-format complete``."""

from __future__ import annotations

import click

from llamafile_format.cli.run import Asked, Passing, begin, starting
from llamafile_format.errors import UsageError


@click.command("complete", cls=Passing)
@click.option("-p", "--prompt", metavar="TEXT", default=None, help="The prompt.")
@click.option(
    "-f", "--prompt-file", metavar="F", default=None, help="Read the prompt from a file; - is standard input."
)
@click.option("-n", "--tokens", metavar="N", type=click.IntRange(0), default=None, help="At most so many tokens.")
@click.option("--temp", metavar="T", type=float, default=None, help="Temperature (default: 0, always the same text).")
@click.option("--seed", metavar="S", type=click.IntRange(0), default=None, help="Seed, for a temperature above 0.")
@click.option("-t", "--threads", metavar="N", type=click.IntRange(1), default=None, help="Threads.")
@click.option("-c", "--context", metavar="N", type=click.IntRange(1), default=None, help="Context size in tokens.")
@click.option("--chat", is_flag=True, help="The prompt is a message, to be answered by the model's chat template.")
@starting
def command(
    asked: Asked,
    *,
    prompt: str | None,
    prompt_file: str | None,
    tokens: int | None,
    temp: float | None,
    seed: int | None,
    threads: int | None,
    context: int | None,
    chat: bool,
) -> int:
    """Verify FILE, then print what its model writes after a prompt, and nothing else.

    \b
    llamafile-format complete model.llamafile -p "Once upon a time" -n 64
    llamafile-format complete model.gguf --chat -p "Who are you?"
    """
    if (prompt is None) == (prompt_file is None):
        raise UsageError("give one prompt", hint="-p TEXT, or -f FILE")
    given = ["--complete", *(["-p", prompt] if prompt is not None else ["-f", prompt_file or "-"])]
    for option, value in (("-n", tokens), ("--temp", temp), ("--seed", seed), ("-t", threads), ("-c", context)):
        if value is not None:
            given += [option, str(value)]
    given += ["--chat"] if chat else []
    return begin(asked, *given)
