"""Everything that a rebuild needs, in one folder for cold storage (spec/1, 14.5.10).

It can be used without this package: for each build there are the toolchain's scripts and the command line, written
out for a work folder that is called ``/work``.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from posixpath import normpath

from llamafile_format.engines.build import configure_command
from llamafile_format.engines.page import LOCK, cached, fill_cache, packages
from llamafile_format.engines.pin import Flavour, Kind, Pin, Target
from llamafile_format.engines.sources import Step, file_digest
from llamafile_format.engines.swhid import LEFT_BY_PYTHON
from llamafile_format.engines.toolchain import fill, toolchain_files
from llamafile_format.engines.work import SHADERS, Workshop
from llamafile_format.errors import UsageError

SUMS = "SHA256SUMS"
_WORK = "/work"
_LEFT = shutil.ignore_patterns("*.pyc", *LEFT_BY_PYTHON)


def fill_vault(pin: Pin, folder: Path, shop: Workshop) -> int:
    """Put everything about ``pin`` into ``folder``; the bytes that it holds then. What is there already is checked.

    The archives of the chat page's packages come from the vault that the workshop takes its inputs from, or else from
    what a build of the page has left in its cache. Raises UsageError if there was none.
    """
    (folder / "inputs").mkdir(parents=True, exist_ok=True)
    for source in pin.inputs:
        _copy(shop.obtain(source), folder / "inputs" / source.file, shop.step)
    _keep_packages(pin, folder / "npm", shop)
    _keep_pin(pin, folder)
    for target in pin.targets if pin.kind is not Kind.PYTHON_WHEELS else ():  # there the build is a text of ours
        for flavour in target.flavours:
            _write_by_hand(pin, target, flavour, folder / "by-hand" / f"{flavour}-{target.name}")
    (folder / "README.md").write_text(_readme(pin), encoding="utf-8")
    return _sum_up(folder, shop.step)


def check_vault(folder: Path, step: Step) -> list[str]:
    """Names of files in ``folder`` that are missing or differ from its list of digests."""
    wrong = []
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    for index, line in enumerate(lines):
        step("checking", index, len(lines))
        digest, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file() or file_digest(path) != digest:
            wrong.append(name)
    return wrong


def _keep_packages(pin: Pin, folder: Path, shop: Workshop) -> None:
    """The archives of the chat page's packages, under names that people can read; each has the lock file's digest."""
    if pin.page is None:
        return
    cache = shop.folder / "npm-cache"
    if shop.origin is not None:
        fill_cache(shop.origin / "npm", cache)
    places = {source.id: str(shop.unpack(source)) for source in pin.inputs if source.id in pin.page.uses}
    found = [(package, cached(cache, package)) for package in packages(Path(fill(pin.page.source, places)) / LOCK)]
    found = [(package, path) for package, path in found if path.is_file()]
    if not found:
        raise UsageError(
            "the packages of the chat page are not here", hint=f"fetch them: runtimes build {pin.key} --webui"
        )
    folder.mkdir(exist_ok=True)
    for index, (package, path) in enumerate(found):
        shop.step("collecting packages", index, len(found))
        data = path.read_bytes()
        if hashlib.sha512(data).hexdigest() == package.sha512:
            (folder / package.file).write_bytes(data)


def _keep_pin(pin: Pin, folder: Path) -> None:
    """The pin, its builds and licences, and what is ours, lying to each other as they do here."""
    home = folder / "runtimes" / pin.name / pin.version
    shutil.copytree(pin.folder, home, ignore=_LEFT, dirs_exist_ok=True)
    for own in pin.own:
        path = pin.folder / own.path
        if path.is_dir():
            copy = normpath((home / own.path).as_posix())
            shutil.copytree(path, copy, ignore=_LEFT, dirs_exist_ok=True)


def _write_by_hand(pin: Pin, target: Target, flavour: Flavour, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    places = {name: f"{_WORK}/{name}" for name in (*(one.id for one in pin.inputs), *(one.id for one in pin.own))}
    home = f"{_WORK}/{flavour}-{target.name}"
    places |= {"work": _WORK, "version": pin.version, "target": target.name, "flavour": str(flavour)}
    places |= {"toolchain": f"{home}/toolchain"}
    places["libraries"] = ";".join(library.line for library in pin.libraries_for(target.name))
    if pin.shaders is not None:
        places |= {SHADERS: f"{_WORK}/{SHADERS}", "shaders_sha256": pin.shaders.sha256}
        places |= {"shaders_size": str(pin.shaders.size)}
    for name, text in toolchain_files(pin, target, flavour, places).items():
        (folder / name).write_text(text, encoding="utf-8")
    command = configure_command(pin, target.recipes(flavour), Path(home) / "build", places)
    ninja = [fill(pin.recipe.tools["ninja"], places), "-C", f"{home}/build", pin.recipe.goal]
    lines = [
        "#!/bin/sh -e",
        "# Inputs are unpacked below /work, the files beside this one are in:",
        f"# {home}/toolchain",
    ]
    lines += [
        "export LC_ALL=C TZ=UTC GIT_DIR=/nonexistent SOURCE_DATE_EPOCH=315532800",
        f"export ZIG_GLOBAL_CACHE_DIR={_WORK}/zig-cache ZIG_LOCAL_CACHE_DIR={_WORK}/zig-cache",
        shlex.join(command),
        shlex.join(ninja),
        f"sha256sum {home}/build/{target.result}",
    ]
    if build := pin.build(target.name, flavour):
        lines.append(f"# {build.sha256}")
    (folder / "build.sh").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _readme(pin: Pin) -> str:
    pages = "" if pin.page is None else "| `npm/` | the packages of the chat page |\n"
    by_hand = "| `by-hand/` | for each build: the compiler's wrapper scripts and the commands, for a work folder "
    by_hand += f"`{_WORK}` |\n"
    wheels = pin.kind is Kind.PYTHON_WHEELS
    flavours = "both" if len(pin.flavours) > 1 else next(iter(pin.flavours))
    return f"""# Vault of {pin.key}

Everything that is needed to {"run" if wheels else "build"} {pin.title} again, bit for bit.
{_foreign(pin)}
| here | what it is |
|---|---|
| `inputs/` | {"packages" if wheels else "sources, compiler and tools"}, as package indexes served them |
{pages}| `runtimes/` | the pin (`runtime.yaml`), our own sources, the finished builds, licences |
{"" if wheels else by_hand}| `{SUMS}` | SHA-256 of every file: `sha256sum -c {SUMS}` |

With the package llamafile-format, on {pin.recipe.host}:

    llamafile-format runtimes verify {pin.key} --target all --flavour {flavours} --from .

{_text_alone(pin) if wheels else _without_us(pin)}"""


def _text_alone(pin: Pin) -> str:
    """Of a pin whose build is a text of ours (14.10.2)."""
    (path,) = (normpath(f"{pin.name}/{pin.version}/{one.path}") for one in pin.own if one.id in pin.recipe.uses)
    digests = "\n".join(f"    {build.sha256}  {build.target}" for build in pin.builds)
    return f"""The build is the text `runtimes/{path}` itself. Its digest:

{digests}

What cannot be kept in a folder: a Python that the packages are for, which their names say, and a system that runs it.
"""


def _without_us(pin: Pin) -> str:
    """How everything is built without this package."""
    uses = {*pin.recipe.uses, *(name for flavour in pin.flavours.values() for name in flavour.uses)}
    unpacked = "\n".join(f"    {_WORK}/{one.id:<8} {one.file}" for one in pin.inputs if one.id in uses)
    if pin.shaders is not None and SHADERS in uses:
        path = f"runtimes/{pin.name}/{pin.version}/{pin.shaders.file}"
        unpacked += f"\n    {_WORK}/{SHADERS:<8} {path} (zstd, then tar)"
    ours = "\n".join(
        f"    {_WORK}/{one.id:<8} runtimes/{normpath(f'{pin.name}/{pin.version}/{one.path}')}"
        for one in pin.own
        if one.id in uses
    )
    host = pin.recipe.host
    return f"""Without it, on {host}: unpack the archives (wheels are ZIP files) and copy the folders, so that

{unpacked}
{ours}

and for each build copy `by-hand/NAME/*` to `{_WORK}/NAME/toolchain/`, make the scripts executable, and run `build.sh`
there. It prints the digest; its last line names the one that must come out.

What cannot be kept in a folder: a processor and a kernel on which the pinned compiler runs ({host}; an
emulator such as qemu will do), and `/bin/sh`.
"""


def _foreign(pin: Pin) -> str:
    """What is kept and cannot be built: what others built (14.9, 14.10)."""
    if not pin.libraries:
        return ""
    files = {source.id: source.file for source in pin.inputs}
    lines = "\n".join(
        f"    {one.path}  {one.sha256}\n        inputs/{', '.join(filter(None, (files[one.input], one.member)))}"
        for one in pin.libraries
    )
    return f"""
Of the engine that is the program alone. What it loads others built, and nothing here builds it again: packages in
`inputs/` {"are" if pin.kind is Kind.PYTHON_WHEELS else "hold"} it, named by digest.

{lines}

`llamafile-format runtimes fetch {pin.key} --from .` puts the packages where `pack` looks for them.
"""


def _sum_up(folder: Path, step: Step) -> int:
    """Write the list of digests; the bytes of all files."""
    total, lines = 0, []
    files = sorted(_files(folder))
    for index, name in enumerate(files):
        step("checking", index, len(files))
        total += (folder / name).stat().st_size
        lines.append(f"{file_digest(folder / name)}  {name}\n")
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")
    return total


def _files(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != SUMS:
            yield name


def _copy(source: Path, copy: Path, step: Step) -> None:
    if not copy.is_file() or copy.stat().st_size != source.stat().st_size:
        step(f"copying {source.name}", 0, 0)
        partial = copy.with_name(f"{copy.name}.part")
        shutil.copyfile(source, partial)
        partial.replace(copy)
