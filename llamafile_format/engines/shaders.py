"""Compile the shaders of graphics processors from the pin: once, for every target (spec/1, 14.5.14).

The archive is an uncompressed tar, made like that of the chat page. ``spv/`` holds the shaders, ``table/`` what a
runtime compiles in: where in this very archive each shader lies, and upstream's tables of them.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llamafile_format.engines.page import write_archive
from llamafile_format.engines.pin import Pin, ShaderRecipe
from llamafile_format.engines.sources import file_digest
from llamafile_format.engines.toolchain import fill
from llamafile_format.engines.work import BuildFailed, Workshop, environment, locked, prepare, run
from llamafile_format.errors import UsageError

ARCHIVE = "shaders.tar"
HEADER = "ggml-vulkan-shaders.hpp"
_BLOCK = 512  # of a tar: a header takes one, and data whole ones
_TABLE = re.compile(r"const (?:void \*|uint64_t) \w+(?:\[[0-9]\])+ =")
_DECLARED = re.compile(r"extern const (?:void \*|uint64_t) \w+(?:\[[0-9]\])+;")
_NAME = re.compile(r"[a-z0-9_]+")


@dataclass(frozen=True, slots=True)
class BuiltShaders:
    """Finished shaders. ``size`` in bytes."""

    path: Path
    sha256: str
    size: int
    log: Path


def build_shaders(pin: Pin, shop: Workshop, *, fresh: bool = False) -> BuiltShaders:
    """Compile the shaders of ``pin`` in ``shop``; ``fresh`` compiles again what is there.

    Raises UsageError if the pin has none, BuildFailed when a tool gives up.
    """
    recipe = pin.shader_recipe
    if recipe is None:
        raise UsageError(f"{pin.key} has no shaders")
    places, _ = prepare(pin, recipe.uses, shop)
    folder = shop.folder / "shaders-build"
    folder.mkdir(exist_ok=True)
    with locked(folder / "lock"):
        if fresh:
            shutil.rmtree(folder / "made", ignore_errors=True)
        bench = _Bench(folder, Path(fill(recipe.source, places)), folder / "log.txt", shop)
        bench.log.unlink(missing_ok=True)
        generator = _generator(bench, recipe, [fill(word, places) for word in recipe.compiler])
        compiler = folder / "glslc"
        words = shlex.join(fill(word, places) for word in recipe.glslc)
        compiler.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
        compiler.chmod(0o755)
        result = _archive(bench, _compiled(bench, generator, compiler))
    return BuiltShaders(result, file_digest(result), result.stat().st_size, bench.log)


@dataclass(frozen=True, slots=True)
class _Bench:
    """Where shaders are made: a folder, upstream's sources of them, what the tools say, and who hears of it."""

    folder: Path
    source: Path
    log: Path
    shop: Workshop

    def run(self, command: Sequence[str | Path]) -> None:
        """Run a tool that sees nothing of this machine."""
        run([str(word) for word in command], environment(self.shop.folder), self.log)


def _generator(bench: _Bench, recipe: ShaderRecipe, compiler: Sequence[str]) -> Path:
    """Upstream's generator, built for this machine. It decides by macros which kernels there are."""
    bench.shop.step("building the generator of shaders", 0, 0)
    program = bench.folder / "vulkan-shaders-gen"
    macros = [f"-DGGML_VULKAN_{feature}_GLSLC_SUPPORT" for feature in recipe.features]
    bench.run([*compiler, *macros, bench.source / "vulkan-shaders-gen.cpp", "-o", program])
    return program


def _compiled(bench: _Bench, generator: Path, compiler: Path) -> Path:
    """The folder with all that the generator writes. A source that was finished is not compiled again."""
    made, stamp = bench.folder / "made", bench.folder / "made.for"
    identity = f"{file_digest(generator)} {file_digest(compiler)}\n"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != identity:
        shutil.rmtree(made, ignore_errors=True)
        stamp.write_text(identity, encoding="utf-8")
    spirv = made / "spv"
    spirv.mkdir(parents=True, exist_ok=True)
    common: list[str | Path] = ["--output-dir", spirv, "--target-hpp", made / HEADER]
    bench.run([generator, *common])
    sources = sorted(bench.source.glob("*.comp"))
    for done, source in enumerate(sources):
        bench.shop.step("compiling shaders", done, len(sources))
        finished, text = made / f"{source.name}.tables", made / f"{source.name}.cpp"
        if finished.is_file():
            continue
        bench.run([generator, "--glslc", compiler, "--source", source, *common, "--target-cpp", text])
        with open(text, encoding="utf-8") as lines:  # the shaders as numbers are left out
            finished.write_text("".join(line for line in lines if _TABLE.match(line)), encoding="utf-8")
        text.unlink()
    return made


def _archive(bench: _Bench, made: Path) -> Path:
    """The archive: shaders first, so that where they lie does not depend on the tables that say so."""
    tree, result = bench.folder / "tree", bench.folder / ARCHIVE
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "table").mkdir(parents=True)
    shutil.copytree(made / "spv", tree / "spv", ignore=lambda _folder, names: {n for n in names if n[-4:] != ".spv"})
    shaders = sorted((tree / "spv").iterdir())
    names = [shader.stem for shader in shaders]
    header = (made / HEADER).read_text(encoding="utf-8")
    declared = re.findall(r"extern const unsigned char (\w+)_data\[\];", header)
    if sorted(declared) != sorted(names) or not all(map(_NAME.fullmatch, names)):
        raise BuildFailed("the generator declares other shaders than it made", hint=f"log: {bench.log}")
    sizes = [shader.stat().st_size for shader in shaders]
    texts = {
        "shaders.inc": layout(names, sizes),
        "tables.h": "".join(f"{line}\n" for line in header.splitlines() if _DECLARED.match(line)),
        "tables.inc": "".join(path.read_text(encoding="utf-8") for path in sorted(made.glob("*.tables"))),
    }
    for name, text in texts.items():
        (tree / "table" / name).write_text(text, encoding="utf-8")
    write_archive(tree, result)
    return result


def layout(names: Sequence[str], sizes: Sequence[int]) -> str:
    """One line for each shader, ``SHADER(name, offset, size)``: where in the archive its ``size`` bytes begin."""
    lines, at = [], _BLOCK
    for name, size in zip(names, sizes, strict=True):
        lines.append(f"SHADER({name}, {at}, {size})\n")
        at += _BLOCK + -(-size // _BLOCK) * _BLOCK
    return "".join(lines)
