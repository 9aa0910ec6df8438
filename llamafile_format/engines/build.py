"""Build an engine from its pin (spec/1, 14.5.4 to 14.5.6): nothing of this machine gets into the result.

Everything happens in a work folder: inputs are unpacked there, our own sources copied, the compiler's caches kept, and
every target and flavour has a build folder of its own. What was finished before is not done again, so that a build
that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.engines.needs import against
from llamafile_format.engines.pin import Flavour, Kind, Pin, Target
from llamafile_format.engines.sources import file_digest
from llamafile_format.engines.toolchain import fill, toolchain_files, write_toolchain
from llamafile_format.engines.work import BuildFailed, Workshop, environment, locked, prepare, run
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.source import FileSource

LOG = "log.txt"
_SIMPLE = re.compile(r"[A-Za-z0-9/._+@-]+")  # what build tools pass on to each other without a mistake
_COUNT = re.compile(r"\[([0-9]+)/([0-9]+)\]")


@dataclass(frozen=True, slots=True)
class Built:
    """A finished program of ``size`` bytes; ``as_pinned`` says whether our own sources are those that the pin names."""

    target: str
    flavour: Flavour
    path: Path
    sha256: str
    size: int
    log: Path
    as_pinned: bool


def build(pin: Pin, target: str, flavour: Flavour, shop: Workshop, *, fresh: bool = False) -> Built:
    """Build ``pin`` for ``target`` in ``shop``; ``fresh`` forgets an earlier build of this target.

    Raises UsageError for what the pin cannot do here, BuildFailed when a tool gives up.
    """
    wanted = _wanted(pin, target, flavour)
    if not _SIMPLE.fullmatch(str(shop.folder)):
        raise UsageError(
            f"programs cannot be built in {shop.folder}: its name is not simple", hint="name another: --work"
        )
    uses = [name for recipe in wanted.recipes(flavour) for name in pin.flavours[recipe].uses]
    places, as_pinned = prepare(pin, (*pin.recipe.uses, *uses), shop)
    folder = shop.folder / f"{flavour}-{target}"
    folder.mkdir(exist_ok=True)
    places |= {"target": target, "flavour": str(flavour), "toolchain": str(folder / "toolchain")}
    places["libraries"] = ";".join(library.line for library in pin.libraries_for(target))
    with locked(folder / "lock"):
        if pin.kind is Kind.PYTHON_WHEELS:  # the build is the text itself (14.10.2)
            result = folder / wanted.result
            shutil.copyfile(fill(pin.recipe.project, places), result)
            _compare(pin, target, flavour, result)
            return Built(target, flavour, result, file_digest(result), result.stat().st_size, folder / LOG, as_pinned)
        tree = _configured(pin, wanted, flavour, shop, places, fresh=fresh)
        result = _compiled(pin, wanted, tree, shop, places)
    _compare(pin, target, flavour, result)
    return Built(target, flavour, result, file_digest(result), result.stat().st_size, folder / LOG, as_pinned)


def _compare(pin: Pin, target: str, flavour: Flavour, result: Path) -> None:
    """BuildFailed for a program that needs something else of its system than the pin says (14.5.9)."""
    with FileSource(result) as program:
        try:
            wrong = against(pin, target, flavour, program)
        except FormatError as error:
            wrong = [error.message]
    if wrong:
        raise BuildFailed(f"the build of {pin.key} for {target} {flavour} is not what its pin says: {'; '.join(wrong)}")


def _wanted(pin: Pin, name: str, flavour: Flavour) -> Target:
    target = pin.target(name)
    if target is None or flavour not in target.flavours:
        there = ", ".join(one.name for one in pin.targets if flavour in one.flavours)
        raise UsageError(f"{pin.key} is not built as {flavour} for {name}", hint=f"targets: {there}")
    return target.of(flavour)


def _configured(
    pin: Pin, target: Target, flavour: Flavour, shop: Workshop, places: Mapping[str, str], *, fresh: bool
) -> Path:
    """The build folder, configured by CMake; emptied first if it was made in another way, or if it is to be fresh."""
    folder = Path(places["toolchain"]).parent
    tree, log, stamp = folder / "build", folder / LOG, folder / "configured"
    files = toolchain_files(pin, target, flavour, places)
    command = configure_command(pin, target.recipes(flavour), tree, places)
    identity = _identity(files, command)
    if fresh or not stamp.is_file() or stamp.read_text(encoding="utf-8") != identity:
        stamp.unlink(missing_ok=True)
        shutil.rmtree(tree, ignore_errors=True)
        log.unlink(missing_ok=True)
    write_toolchain(folder / "toolchain", files)
    shop.step(f"configuring {target.name} {flavour}", 0, 0)
    run(command, environment(shop.folder), log)
    stamp.write_text(identity, encoding="utf-8")
    return tree


def _compiled(pin: Pin, target: Target, tree: Path, shop: Workshop, places: Mapping[str, str]) -> Path:
    """The program that Ninja makes in the build folder."""
    label = f"{target.name} {places['flavour']}"

    def count(line: str) -> None:
        """Tell how far the build is, if ``line`` of its output says so."""
        if match := _COUNT.match(line):
            shop.step(f"building {label}", int(match[1]), int(match[2]))

    log = tree.parent / LOG
    ninja = fill(pin.recipe.tools["ninja"], places)
    parallel = ["-j", str(shop.jobs)] if shop.jobs else []
    run([ninja, "-C", str(tree), *parallel, pin.recipe.goal], environment(shop.folder), log, count)
    result = tree / target.result
    if not result.is_file():
        raise BuildFailed(f"the build of {pin.key} for {label} left no {target.result}", hint=f"log: {log}")
    return result


def configure_command(pin: Pin, recipes: Sequence[Flavour], tree: Path, places: Mapping[str, str]) -> list[str]:
    """The command line of CMake that configures the build folder ``tree``, by the recipes of these flavours."""
    definitions = dict(pin.recipe.definitions)
    for flavour in recipes:
        definitions |= pin.flavours[flavour].definitions
    return [
        fill(pin.recipe.tools["cmake"], places),
        "-G",
        "Ninja",
        "-S",
        fill(pin.recipe.project, places),
        "-B",
        str(tree),
        f"-DCMAKE_MAKE_PROGRAM={fill(pin.recipe.tools['ninja'], places)}",
        f"-DCMAKE_TOOLCHAIN_FILE={places['toolchain']}/toolchain.cmake",
        *(f"-D{name}={fill(value, places)}" for name, value in definitions.items()),
    ]


def _identity(files: Mapping[str, str], command: Sequence[str]) -> str:
    """Digest of what a build folder was configured with; another one starts it anew."""
    digest = hashlib.sha256()
    for text in (*(part for pair in sorted(files.items()) for part in pair), *command):
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()
