"""``llamafile-format runtimes``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llamafile_format.cli.groups import Group
from llamafile_format.cli.terminal import size_text, steps
from llamafile_format.errors import UsageError

if TYPE_CHECKING:
    from llamafile_format.engines.pin import Flavour, Pin
    from llamafile_format.engines.sources import Step
    from llamafile_format.engines.work import Workshop

Command = Callable[..., Any]


def _options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        """``command`` with the options, in their order."""
        for option in reversed(options):
            command = option(command)
        return command

    return add


NAME = click.argument("name", metavar="NAME[@VERSION]")
ORIGIN = click.option("--from", "origin", metavar="DIR", default="", help="Take the inputs from DIR; fetch nothing.")
WORK = click.option("--work", metavar="DIR", default="", help="Work in this folder (default: one in the cache).")
JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
WHICH = _options(
    click.option("--target", "targets", metavar="T", multiple=True, help="Such as linux-aarch64, or all."),
    click.option("--flavour", type=click.Choice(["native", "reference", "gpu", "both", "all"]), default=None),
    click.option("--webui", is_flag=True, help="The chat page."),
    click.option("--shaders", is_flag=True, help="The shaders of graphics processors."),
)
HOW = _options(ORIGIN, WORK, click.option("--jobs", type=int, default=0, help="Compilers at once (default: all)."))


@click.group("runtimes", cls=Group)
def command() -> None:
    """Show, build and check the engines that are pinned here."""


@command.command("list")
@JSON
def list_command(as_json: bool) -> None:
    """List the engines and what is here of each."""
    from llamafile_format.engines.libraries import package_here
    from llamafile_format.engines.store import is_here, pins

    rows = []
    for pin in pins():
        here = [build for build in pin.builds if is_here(pin, build)]
        flavours: dict[str, list[str]] = {}
        for build in here:
            flavours.setdefault(str(build.flavour), []).append(build.target)
        libraries = {one.target: package_here(pin, one) is not None for one in pin.libraries}
        row = {
            "kind": str(pin.kind),
            "libraries": libraries,
            "key": pin.key,
            "name": pin.name,
            "version": pin.version,
            "complete": pin.complete,
            "builds": flavours,
        }
        rows.append(row)
    if as_json:
        click.echo(json.dumps({"runtimes": rows}, indent=1, sort_keys=True))
        return
    for row in rows:
        click.echo(row["key"])
        for flavour, targets in sorted(row["builds"].items()):  # type: ignore[attr-defined]
            click.echo(f"  {flavour:<10} {' '.join(targets)}")
        if not row["builds"]:
            click.echo("  no builds here; runtimes build makes them")
        if row["libraries"]:
            missing = [target for target, there in row["libraries"].items() if not there]  # type: ignore[attr-defined]
            click.echo(
                f"  libraries  prebuilt by others, not rebuilt{'; runtimes fetch gets those for ' if missing else ''}"
                f"{' '.join(missing)}"
            )
        if row["builds"] and not row["complete"]:
            click.echo("  builds are missing: taken only where its version is named")


@command.command("show")
@NAME
@JSON
def show_command(name: str, as_json: bool) -> None:
    """Show what an engine is made of, what it knows, and the digests of its builds."""
    from llamafile_format.engines.libraries import package_here
    from llamafile_format.engines.store import find_pin, is_here

    pin = find_pin(name)
    if as_json:
        click.echo(json.dumps(_facts(pin), indent=1, sort_keys=True))
        return
    click.echo(f"{pin.key}  {pin.title}")
    at = f" at {pin.upstream.commit[:12]}" if pin.upstream.commit else ""
    click.echo(f"upstream  {pin.upstream.url}{at} ({pin.upstream.release})")
    click.echo(f"          {pin.upstream.tree or 'prebuilt by others, not rebuilt'}")
    for source in pin.inputs:
        click.echo(f"input     {source.name:<22} {source.version:<9} {source.sha256[:16]}  {size_text(source.size)}")
    for own in pin.own:
        click.echo(f"ours      {own.id:<22} {own.swhid}")
    click.echo(
        f"knows     {len(pin.architectures)} architectures, {len(pin.tensor_types)} tensor types ({pin.type_registry})"
    )
    if pin.formats:
        click.echo(f"knows     {', '.join(pin.formats)}")
    for library in pin.libraries:
        state = "here" if package_here(pin, library) else "not here: runtimes fetch"
        click.echo(f"library   {library.path}  {library.sha256}  {size_text(library.size)}, {state}")
    for licence in pin.licences:
        click.echo(f"licence   {licence.spdx:<34} {licence.component}")
    for build in pin.builds:
        state = "here" if is_here(pin, build) else "not here"
        click.echo(f"build     {build.flavour:<9} {build.target:<15} {build.sha256}  {size_text(build.size)}, {state}")
    if pin.webui is not None:
        click.echo(f"chat page {'':<25} {pin.webui.sha256}  {size_text(pin.webui.size)}")
    for target in pin.targets:
        click.echo(f"target    {target.name:<15} {target.tested or 'not run by us'}")


def _facts(pin: Pin) -> dict[str, Any]:
    from llamafile_format.engines.libraries import package_here
    from llamafile_format.engines.store import is_here

    return {
        "name": pin.name,
        "version": pin.version,
        "title": pin.title,
        "kind": str(pin.kind),
        "formats": list(pin.formats),
        "libraries": [
            {"path": one.path, "sha256": one.sha256, "size": one.size, "here": package_here(pin, one) is not None}
            for one in pin.libraries
        ],
        "upstream": {"url": pin.upstream.url, "commit": pin.upstream.commit, "tree": pin.upstream.tree},
        "inputs": [
            {"name": one.name, "version": one.version, "file": one.file, "sha256": one.sha256} for one in pin.inputs
        ],
        "architectures": sorted(pin.architectures),
        "tensor_types": sorted(pin.tensor_types),
        "type_registry": pin.type_registry,
        "licences": [{"component": one.component, "spdx": one.spdx} for one in pin.licences],
        "builds": [
            {
                "target": one.target,
                "flavour": str(one.flavour),
                "sha256": one.sha256,
                "size": one.size,
                "here": is_here(pin, one),
            }
            for one in pin.builds
        ],
        "webui": None if pin.webui is None else {"sha256": pin.webui.sha256, "size": pin.webui.size},
    }


@command.command("fetch")
@NAME
@click.option("--target", "target", metavar="T", default="", help="Only what programs for T load (default: all).")
@ORIGIN
def fetch_command(name: str, target: str, origin: str) -> None:
    """Fetch the libraries of an engine that others built, by digest.

    They are not part of this installation. What is fetched is kept among the inputs of builds in the cache, and pack
    takes it from there; nothing else is ever fetched for packing. Exit code 0 if all is there.

    \b
    llamafile-format runtimes fetch onnxruntime
    llamafile-format runtimes fetch mlx
    llamafile-format runtimes fetch onnxruntime --target linux-x86_64 --from VAULT
    """
    from llamafile_format.engines.libraries import fetch_packages
    from llamafile_format.engines.store import find_pin

    pin = find_pin(name)
    if not pin.libraries:
        raise UsageError(
            f"{pin.key} has no libraries that others built", hint="its builds are here, or are made: runtimes build"
        )
    if target and not pin.libraries_for(target):
        there = ", ".join(dict.fromkeys(one.target for one in pin.libraries))
        raise UsageError(f"{pin.key} has no library for {target}", hint=f"targets: {there}")
    with steps() as step:
        found = fetch_packages(pin, target, Path(origin) if origin else None, step)
    for path in found:
        click.echo(f"{path}  {size_text(path.stat().st_size)}")


@command.command("build")
@NAME
@WHICH
@HOW
@click.option(
    "-o", "--output", metavar="PATH", default="", help="Copy the result here: a file, or a folder for several."
)
@click.option("--record", is_flag=True, help="For developers: take the results into the pin.")
def build_command(
    name: str,
    targets: tuple[str, ...],
    flavour: str | None,
    webui: bool,
    shaders: bool,
    origin: str,
    work: str,
    jobs: int,
    output: str,
    record: bool,
) -> None:
    """Build an engine from its pin.

    Without --target it is built for this machine, without --flavour as native. Inputs are fetched through pip's own
    settings, or taken from a vault; either way only with the digests that the pin names. A build that was interrupted
    goes on where it stopped.

    \b
    llamafile-format runtimes build llama.cpp --flavour reference -o runtime
    llamafile-format runtimes build llama.cpp --target all --flavour both --from VAULT -o DIR
    """
    from llamafile_format.engines.build import build
    from llamafile_format.engines.page import build_page
    from llamafile_format.engines.recording import record_build, record_page, record_sources
    from llamafile_format.engines.store import find_pin

    pin = find_pin(name)
    wanted = _selected(pin, targets, flavour, webui or shaders)
    with steps() as step:
        shop = _workshop(pin, origin, work, step, jobs)
        if shaders:  # before the builds that name their digest
            from llamafile_format.engines.recording import record_shaders
            from llamafile_format.engines.shaders import build_shaders

            made = build_shaders(pin, shop)
            if record:
                pin = record_shaders(pin, made)
            path = _put(made.path, output, made.path.name, several=webui or bool(wanted))
            click.echo(f"{made.sha256}  {made.size} bytes  {path}")
        for target, kind in wanted:
            built = build(pin, target, kind, shop)
            path = _put(built.path, output, f"{kind}-{target}", several=len(wanted) > 1)
            if record:
                pin = record_sources(record_build(pin, built), shop.folder)
            click.echo(f"{built.sha256}  {built.size} bytes  {path}")
            _say_if_changed(pin, built.as_pinned or record)
        if webui:
            page = build_page(pin, shop)
            if record:
                pin = record_page(pin, page, reproducible=True)
            path = _put(page.path, output, page.path.name, several=bool(wanted))
            click.echo(f"{page.sha256}  {page.size} bytes  {path}")
            _say_if_changed(pin, page.as_pinned or record)


@command.command("verify")
@NAME
@WHICH
@HOW
@click.option("--static", is_flag=True, help="Rebuild nothing: check digests and headers of the builds that are here.")
def verify_command(
    name: str,
    targets: tuple[str, ...],
    flavour: str | None,
    webui: bool,
    shaders: bool,
    origin: str,
    work: str,
    jobs: int,
    static: bool,
) -> int:
    """Build an engine again and compare with the digests of its pin.

    Exit code 0 if they are equal, 1 if not. With --static nothing is built: the builds that are here are compared with
    their digests, and what they need from the system with what the pin allows (default: all of them); code 1 too if
    none is here.
    """
    from llamafile_format.engines.store import find_pin

    pin = find_pin(name)
    if static:
        from llamafile_format.cli.runtimes_here import verify_here

        return verify_here(pin, targets, _flavours(flavour or "all"))
    from llamafile_format.engines.build import build
    from llamafile_format.engines.page import build_page

    different = False
    with steps() as step:
        shop = _workshop(pin, origin, work, step, jobs)
        for target, kind in _named(pin, _selected(pin, targets, flavour, webui or shaders), targets):
            pinned = pin.build(target, kind)
            if pinned is None:
                raise UsageError(f"{pin.key} names no {kind} build for {target}", hint=f"runtimes show {pin.key}")
            built = build(pin, target, kind, shop, fresh=not work)
            different |= _compare(f"{kind} {target}", built.sha256, pinned.sha256)
            _say_if_changed(pin, built.as_pinned)
        if webui and pin.webui is not None:
            page = build_page(pin, shop, fresh=not work)
            different |= _compare("chat page", page.sha256, pin.webui.sha256)
            _say_if_changed(pin, page.as_pinned)
        if shaders and pin.shaders is not None:
            from llamafile_format.engines.shaders import build_shaders

            made = build_shaders(pin, shop, fresh=not work)
            different |= _compare("shaders", made.sha256, pin.shaders.sha256)
    return int(different)


@command.command("vault")
@NAME
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@ORIGIN
@WORK
def vault_command(name: str, folder: Path, origin: str, work: str) -> None:
    """Collect in DIR everything that a rebuild needs, for cold storage.

    Sources, compiler, tools, the packages of the chat page, our own sources, the pin and its builds, and how to use
    them with nothing else at hand.
    """
    from llamafile_format.engines.page import fetch_packages
    from llamafile_format.engines.store import find_pin
    from llamafile_format.engines.vault import fill_vault

    pin = find_pin(name)
    with steps() as step:
        shop = _workshop(pin, origin, work, step)
        if pin.page is not None and not origin:
            fetch_packages(pin, shop)
        size = fill_vault(pin, folder, shop)
    click.echo(f"{folder}  {size_text(size)}  to check: cd {folder} && sha256sum -c SHA256SUMS")


def _selected(pin: Pin, targets: tuple[str, ...], flavour: str | None, companions: bool) -> list[tuple[str, Flavour]]:
    """The builds that the options name."""
    from llamafile_format.engines.host import host_target

    if companions and not targets and flavour is None:
        return []
    flavours = _flavours(flavour or "native")
    if "all" in targets:
        return [(one.name, kind) for kind in flavours for one in pin.targets if kind in one.flavours]
    return [(target, kind) for kind in flavours for target in targets or (host_target() or "this machine",)]


def _named(pin: Pin, wanted: list[tuple[str, Flavour]], targets: tuple[str, ...]) -> list[tuple[str, Flavour]]:
    """``wanted``; of all targets those builds that the pin names, if there are any, and the others are told."""
    if "all" not in targets or not any(pin.build(*one) for one in wanted):
        return wanted
    for target, kind in wanted:
        if pin.build(target, kind) is None:
            click.echo(f"{f'{kind} {target}':<26} not built: the pin names none")
    return [one for one in wanted if pin.build(*one)]


def _flavours(word: str) -> list[Flavour]:
    """The flavours that ``--flavour`` means."""
    from llamafile_format.engines.pin import Flavour

    several = {"both": [Flavour.NATIVE, Flavour.REFERENCE], "all": list(Flavour)}
    return several.get(word) or [Flavour(word)]


def _workshop(pin: Pin, origin: str, work: str, step: Step, jobs: int = 0) -> Workshop:
    from llamafile_format.engines.cache import work_folder
    from llamafile_format.engines.work import Workshop

    folder = Path(work).resolve() if work else work_folder("build", f"{pin.name}-{pin.version}")
    return Workshop(folder, work_folder("inputs"), Path(origin) if origin else None, jobs, step)


def _put(path: Path, output: str, name: str, *, several: bool) -> Path:
    """Copy a result to where the user wants it; where it is then."""
    if not output:
        return path
    copy = Path(output)
    if several or copy.is_dir():
        copy.mkdir(parents=True, exist_ok=True)
        copy /= name
    partial = copy.with_name(f"{copy.name}.partial")
    shutil.copy(path, partial)
    partial.replace(copy)
    return copy


def _compare(label: str, found: str, pinned: str) -> bool:
    """Say whether a digest is the pinned one; True if it differs."""
    if found == pinned:
        click.echo(f"{label:<26} equal      {found}")
        return False
    click.echo(f"{label:<26} DIFFERENT  built  {found}\n{'':<38}pinned {pinned}")
    return True


def _say_if_changed(pin: Pin, as_pinned: bool) -> None:
    if not as_pinned:
        click.echo(f"note: our own sources beside {pin.key} are not those that the pin names", err=True)
