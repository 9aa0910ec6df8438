"""The screen of ``inspect`` in colours, for a terminal. The only module here that needs rich, which takes its time."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from llamafile_format.examining import Inspection
from llamafile_format.reports.inspect_screen import DRAWN, PLAIN, screen

_STYLES = {
    "title": "bold",
    "kind": "bold cyan",
    "rule": "dim",
    "label": "cyan",
    "role": "dim cyan",
    "strong": "bold",
    "digest": "dim",
    "dim": "dim",
    "warn": "yellow",
    "yes": "bold green",
    "no": "bold red",
    "undetermined": "yellow",
    "empty": "dim",
    "bar0": "blue",
    "bar1": "magenta",
    "bar2": "green",
    "bar3": "yellow",
}


def print_screen(inspection: Inspection) -> None:
    """Print the screen to standard output; rich respects NO_COLOR and what the terminal can do."""
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    drawn = (console.encoding or "").lower().startswith("utf")
    for line in screen(inspection, DRAWN if drawn else PLAIN):
        text = Text()  # appended piece by piece: nothing from the file is ever read as markup
        for piece, style in line:
            text.append(piece, _STYLES.get(style, ""))
        text.rstrip()
        console.print(text)
