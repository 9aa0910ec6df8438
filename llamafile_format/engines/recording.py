"""Take finished builds into a pin: compressed beside it, digest and size in it (spec/1, 14.5.7). For developers."""

from __future__ import annotations

from pathlib import Path

from llamafile_format.engines import knowledge, pin_writer, swhid
from llamafile_format.engines.build import Built
from llamafile_format.engines.packed import compress
from llamafile_format.engines.page import ARCHIVE, BuiltPage
from llamafile_format.engines.pin import Build, Kind, Page, Pin
from llamafile_format.engines.pin_reader import load_pin
from llamafile_format.engines.shaders import BuiltShaders
from llamafile_format.engines.toolchain import fill
from llamafile_format.errors import FormatError


def record_build(pin: Pin, built: Built) -> Pin:
    """Keep ``built`` under ``builds/`` and name it in the pin; the pin that it is now."""
    file = f"builds/{built.flavour}/{built.target}.zst"
    _keep(pin.folder / file, built.path.read_bytes())
    pin = load_pin(pin.folder)  # the build took minutes, in which another may have been recorded
    build = Build(built.target, built.flavour, built.sha256, built.size, file)
    return pin_writer.rewrite(pin, pin_writer.with_build(pin_writer.text_of(pin), pin, build))


def record_page(pin: Pin, built: BuiltPage, reproducible: bool) -> Pin:
    """Keep the chat page under ``builds/`` and name it in the pin; the pin that it is now."""
    file = f"builds/{ARCHIVE}.zst"
    _keep(pin.folder / file, built.path.read_bytes())
    page = Page(built.sha256, built.size, file, reproducible)
    return pin_writer.rewrite(pin, pin_writer.with_page(pin_writer.text_of(pin), page))


def record_shaders(pin: Pin, built: BuiltShaders) -> Pin:
    """Keep the shaders under ``builds/`` and name them in the pin; the pin that it is now."""
    file = "builds/shaders.zst"
    _keep(pin.folder / file, built.path.read_bytes())
    shaders = Page(built.sha256, built.size, file, reproducible=True)
    return pin_writer.rewrite(pin, pin_writer.with_shaders(pin_writer.text_of(pin), shaders))


def record_sources(pin: Pin, work: Path) -> Pin:
    """Write what the sources unpacked in ``work`` say: what the engine knows, and who our own files are.

    Of an engine that others built there are no sources, and only the latter is written. Raises FormatError unless
    upstream's folder is, file by file, the tree that git keeps for the pinned commit.
    """
    text = pin_writer.text_of(pin)
    if pin.kind is Kind.BUILT:
        places = {source.id: str(work / source.id) for source in pin.inputs}
        upstream = Path(fill(pin.upstream.folder, places))
        check_upstream(pin, upstream)
        text = pin_writer.with_facts(text, knowledge.architectures(upstream), knowledge.tensor_types(upstream))
    for own in pin.own:
        text = pin_writer.with_swhid(text, own.id, swhid.of_path(pin.folder / own.path))
    return pin_writer.rewrite(pin, text)


def check_upstream(pin: Pin, upstream: Path) -> None:
    """Raise FormatError unless the folder ``upstream`` has the identity that the pin gives it."""
    found = swhid.of_folder(upstream, leave_out=frozenset({".git"}))
    if found != pin.upstream.tree:
        raise FormatError(f"{upstream} is not the pinned tree", found=found, allowed=pin.upstream.tree)


def _keep(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(compress(data))
    partial.replace(path)
