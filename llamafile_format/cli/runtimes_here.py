"""``runtimes verify --static``: the builds and libraries that are here, as they are; nothing is built (14.5)."""

from __future__ import annotations

from collections.abc import Sequence

import click

from llamafile_format.engines.libraries import library_file, list_of, listed, package_here
from llamafile_format.engines.needs import against
from llamafile_format.engines.pin import Flavour, Library, Pin
from llamafile_format.engines.store import is_here, read_build
from llamafile_format.errors import FormatError, LlamafileError


def verify_here(pin: Pin, targets: tuple[str, ...], flavours: Sequence[Flavour]) -> int:
    """Say of each build of ``flavours`` for ``targets`` (none, or all: of every one) whether it is as the pin names it.

    1 if anything is not, or if nothing at all is here; of several, what is not here is no fault.
    """
    failed = compared = False
    for build in pin.builds:
        elsewhere = targets and "all" not in targets and build.target not in targets
        if elsewhere or build.flavour not in flavours:
            continue
        label = f"{build.flavour} {build.target}"
        compared |= is_here(pin, build)
        if not is_here(pin, build):
            click.echo(f"{label:<26} not here")
            continue
        try:
            wrong = against(pin, build.target, build.flavour, read_build(pin, build))
        except FormatError as error:
            wrong = [str(error)]
        click.echo(f"{label:<26} {'; '.join(wrong) or 'fine'}")
        failed |= bool(wrong)
    chosen = [one for one in pin.libraries if not targets or "all" in targets or one.target in targets]
    failed |= _libraries_differ(pin, chosen)
    if not compared and not any(package_here(pin, one) for one in chosen):
        click.echo("nothing was compared: nothing of it is here")
        return 1
    return int(failed)


def _libraries_differ(pin: Pin, chosen: Sequence[Library]) -> bool:
    """Compare the libraries that are here with their digests, and the lists in programs with the pin (14.9.4)."""
    failed = False
    for library in chosen:
        state = "not here"
        if package_here(pin, library):
            try:
                library_file(pin, library)
                state = "as pinned; prebuilt by others, not rebuilt"
            except LlamafileError as error:
                state, failed = str(error), True
        click.echo(f"{library.path:<26} {state}")
    for target in dict.fromkeys(one.target for one in chosen if one.member):  # a runner lists nothing
        for build in pin.builds:
            if (
                build.target == target
                and is_here(pin, build)
                and listed(read_build(pin, build)) != list_of(pin, target)
            ):
                click.echo(f"{build.flavour} {target}: it loads other libraries than the pin names")
                failed = True
    return failed
