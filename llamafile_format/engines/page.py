"""Build the chat page from its pin: upstream's sources, the packages of their lock file (spec/1, 14.5.8).

The archive is an uncompressed tar; every file in it is a gzip stream under the file's own name, which a server hands
out as it is. Names are sorted; there are no folders, no times, no owners.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shlex
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.engines.pin import PageRecipe, Pin
from llamafile_format.engines.sources import file_digest
from llamafile_format.engines.toolchain import fill
from llamafile_format.engines.work import BuildFailed, Workshop, environment, locked, prepare, run
from llamafile_format.errors import FormatError, UsageError

CONFIG = "svelte.config.js"
UPSTREAM_CONFIG = "svelte.config.upstream.js"
LOCK = "package-lock.json"
ARCHIVE = "webui.tar"


@dataclass(frozen=True, slots=True)
class BuiltPage:
    """A finished page. ``size`` in bytes; ``as_pinned`` says whether our own files are those that the pin names."""

    path: Path
    sha256: str
    size: int
    log: Path
    as_pinned: bool


@dataclass(frozen=True, slots=True)
class Package:
    """A package of a lock file; ``sha512`` is the digest of its archive as 128 hexadecimal digits."""

    name: str
    version: str
    sha512: str

    @property
    def file(self) -> str:
        """Its name in a vault."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


def build_page(pin: Pin, shop: Workshop, *, fresh: bool = False) -> BuiltPage:
    """Build the chat page of ``pin`` in ``shop``; ``fresh`` fetches and unpacks its packages again."""
    bench, as_pinned = _bench(pin, shop)
    with locked(bench.folder / "lock"):
        if fresh:
            shutil.rmtree(bench.folder / "modules", ignore_errors=True)
        _lay_out(bench, shop)
        shop.step("building the chat page", 0, 0)
        result = _build(bench)
    return BuiltPage(result, file_digest(result), result.stat().st_size, bench.log, as_pinned)


def fetch_packages(pin: Pin, shop: Workshop) -> None:
    """Bring the packages of the chat page into the cache of ``shop``, as a build of the page would."""
    bench, _ = _bench(pin, shop)
    with locked(bench.folder / "lock"):
        _lay_out(bench, shop)


@dataclass(frozen=True, slots=True)
class _Bench:
    """Where the page is built: a folder, what goes in, the pinned Node.js and npm, and the environment they see."""

    folder: Path
    source: Path
    own: Path
    lock: str
    node: str
    npm: tuple[str, str]
    seen: Mapping[str, str]

    @property
    def tree(self) -> Path:
        """The copy of upstream's folder."""
        return self.folder / "ui"

    @property
    def log(self) -> Path:
        """What the tools say."""
        return self.folder / "log.txt"


def _bench(pin: Pin, shop: Workshop) -> tuple[_Bench, bool]:
    """The bench, and whether our own files are those that the pin names. UsageError if there is no page."""
    recipe = pin.page
    if recipe is None:
        raise UsageError(f"{pin.key} has no chat page")
    places, as_pinned = prepare(pin, recipe.uses, shop)
    folder = shop.folder / "chat-page"
    folder.mkdir(exist_ok=True)
    node, npm = fill(recipe.node, places), fill(recipe.npm, places)
    return _Bench(
        folder=folder,
        source=Path(fill(recipe.source, places)),
        own=Path(fill(recipe.own, places)),
        lock=recipe.lock,
        node=node,
        npm=(node, npm),
        seen=_environment(recipe, places, _commands(folder / "bin", node, npm)),
    ), as_pinned


def _lay_out(bench: _Bench, shop: Workshop) -> None:
    """Make a fresh copy of upstream's folder, with its packages."""
    bench.log.unlink(missing_ok=True)
    shutil.rmtree(bench.tree, ignore_errors=True)
    shutil.copytree(bench.source, bench.tree, symlinks=True)
    if file_digest(bench.tree / LOCK) != bench.lock:
        raise FormatError(f"{LOCK} of the chat page is not the pinned one", allowed=bench.lock)
    _install(bench, shop)


def _build(bench: _Bench) -> Path:
    """The archive of the page."""
    (bench.tree / CONFIG).rename(bench.tree / UPSTREAM_CONFIG)
    shutil.copyfile(bench.own / CONFIG, bench.tree / CONFIG)
    for script in ("prepare", "build"):
        run([*bench.npm, "run", script], bench.seen, bench.log, folder=bench.tree)
    pages, packed = bench.tree / "dist", bench.tree / "compressed"
    if not (pages / "index.html").is_file():
        raise BuildFailed("the build of the chat page left no index.html", hint=f"log: {bench.log}")
    run([bench.node, str(bench.own / "compress.js"), str(pages), str(packed)], bench.seen, bench.log)
    result = bench.folder / ARCHIVE
    write_archive(packed, result)
    return result


def _commands(folder: Path, node: str, npm: str) -> Path:
    """The folder of the commands ``node`` and ``npm``, as scripts of packages call them."""
    folder.mkdir(exist_ok=True)
    for name, words in (("node", [node]), ("npm", [node, npm])):
        (folder / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


def _environment(recipe: PageRecipe, places: Mapping[str, str], commands: Path) -> dict[str, str]:
    work = Path(places["work"])
    (work / "npm-cache").mkdir(exist_ok=True)
    seen = environment(work)
    seen["PATH"] = f"{commands}:{seen['PATH']}"
    seen |= {name: fill(value, places) for name, value in recipe.environment.items()}
    seen |= {
        "CI": "1",
        "NO_COLOR": "1",
        "npm_config_cache": str(work / "npm-cache"),
        "npm_config_update_notifier": "false",
    }
    return seen


def _install(bench: _Bench, shop: Workshop) -> None:
    """Put the packages of the lock file into the copy; they are kept beside it for the next time.

    npm compares every package with its digest in the lock file, and runs no script of theirs. Without a vault it
    fetches by the user's own settings for npm.
    """
    modules = bench.folder / "modules"
    stamp = modules / "lock.sha256"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != bench.lock:
        shutil.rmtree(modules, ignore_errors=True)
        modules.mkdir()
        shop.step("installing the packages of the chat page", 0, 0)
        command, seen = [*bench.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], bench.seen
        if shop.origin is None:
            seen = {**os.environ, **seen, "HOME": os.environ.get("HOME", seen["HOME"])}
        else:
            fill_cache(shop.origin / "npm", Path(seen["npm_config_cache"]))
            command.append("--offline")
        run(command, seen, bench.log, folder=bench.tree)
        (bench.tree / "node_modules").rename(modules / "node_modules")
        stamp.write_text(bench.lock, encoding="utf-8")
    shutil.copytree(modules / "node_modules", bench.tree / "node_modules", symlinks=True, copy_function=os.link)


def packages(lock: Path) -> list[Package]:
    """Every package that a lock file names by digest, each once, by name."""
    value = json.loads(lock.read_text(encoding="utf-8"))
    found = set()
    for path, entry in value["packages"].items():
        if "integrity" in entry:
            name = entry.get("name") or path.rpartition("node_modules/")[2]
            found.add(Package(name, entry["version"], _sha512(entry["integrity"], path)))
    return sorted(found, key=lambda package: (package.name, package.version))


def _sha512(integrity: str, path: str) -> str:
    for word in integrity.split():
        if word.startswith("sha512-"):
            return base64.b64decode(word.removeprefix("sha512-")).hex()
    raise FormatError(f"{LOCK} gives {path} no SHA-512", found=integrity)


def cached(cache: Path, package: Package) -> Path:
    """Where npm keeps the archive of a package in its ``cache``: by digest alone."""
    digest = package.sha512
    return cache / "_cacache" / "content-v2" / "sha512" / digest[:2] / digest[2:4] / digest[4:]


def fill_cache(vault: Path, cache: Path) -> None:
    """Put the archives in ``vault`` where npm looks for them. UsageError if there are none."""
    archives = sorted(vault.glob("*.tgz"))
    if not archives:
        raise UsageError(f"{vault} has no packages for the chat page")
    for archive in archives:
        data = archive.read_bytes()
        place = cached(cache, Package("", "", hashlib.sha512(data).hexdigest()))
        if not place.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)


def write_archive(folder: Path, path: Path) -> None:
    """All files in ``folder`` as a tar at ``path`` that is the same for the same files."""
    with open(path, "wb") as out, tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()):
            data = (folder / name).read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))


def read_archive(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Names and gzip streams of the files in an archive of a page."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None:
                yield member.name, file.read()
