"""Entry point. ``--version`` is answered before anything is imported: a script that asks must not wait."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code (spec/1, 10.7)."""
    if sys.argv[1:] == ["--version"]:
        from llamafile_format import __version__

        sys.stdout.write(f"llamafile-format {__version__}\n")
        return
    from llamafile_format.cli.main import run

    sys.exit(run())


if __name__ == "__main__":
    main()
