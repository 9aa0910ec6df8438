"""Images of others: ModelPacks, KitOps kits, Docker model artifacts. Their files are packed as ``pack`` would.

A layer that is stored as it is goes into the container from where it lies and is hashed on the way. What is a tar
archive is unpacked beside the new file first. All names are strangers' (clause 4.8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from llamafile_format.errors import FormatError
from llamafile_format.exchanging.depot import Giver
from llamafile_format.exchanging.descriptors import Descriptor, Image
from llamafile_format.exchanging.included import Included
from llamafile_format.exchanging.modelpack import PATH, TITLE
from llamafile_format.exchanging.tar_layer import Budget, Unpacked, tar_files
from llamafile_format.packing import Include
from llamafile_format.source import ByteSource

_PACKS = re.compile(
    r"application/vnd\.(cncf\.model\.[a-z.]+\.v1\.|kitops\.modelkit\.[a-z]+\.v1\.)(?P<form>raw|tar)(\+(?P<packing>gzip|zstd))?"
)
_DOCKER = "application/vnd.docker.ai."
_DOCKER_NAMES = {
    "gguf.v3": "model.gguf",
    "mmproj": "mmproj.gguf",
    "safetensors": "model.safetensors",
    "license": "LICENSE",
    "chat.template.jinja": "chat_template.jinja",
    "model.file": "",
}
_PIECE = 1 << 20


def includes_of(giver: Giver, image: Image, folder: Path) -> list[Include]:
    """The files of ``image``: those that lie on this machine from where they are, the others brought to ``folder``.

    FormatError for an image that is no model, for a layer of another digest, and for names that no member may have.
    """
    files, budget = Included(), Budget()
    for number, layer in enumerate(image.layers):
        form, packing = _form(layer)
        if form == "raw":
            name = _name(layer)
            path = giver.place(layer)
            if path is None or giver.blob(layer).size != layer.size:
                path = _brought(giver, layer, folder / f"{number}.blob")
            files.add(Include(path, name, sha256=layer.hex))
            continue
        for name, path in _unpacked(giver, layer, Unpacked(giver.blob(layer), packing, budget), folder / str(number)):
            files.add(Include(path, name))
    return files.done()


def _form(layer: Descriptor) -> tuple[str, str]:
    """``raw`` or ``tar``, and how that is packed. FormatError for layers of anything else."""
    kind = layer.media_type
    if match := _PACKS.fullmatch(kind):
        if match["form"] == "raw" and match["packing"]:
            raise FormatError(f"layers of {kind} are not read", hint="unpack it with the tool that made it")
        return match["form"], match["packing"] or ""
    if kind.startswith(_DOCKER):
        rest = kind.removeprefix(_DOCKER)
        if rest in _DOCKER_NAMES:
            return "raw", ""
        if rest in ("vllm.config.tar", "dir.tar"):
            return "tar", ""
    raise FormatError(
        f"the image is no model that is known here: it has a layer of {kind[:100]!r}",
        hint="taken are ModelPacks, KitOps kits and Docker model artifacts",
    )


def _name(layer: Descriptor) -> str:
    """What the layer says it is called, or what its kind suggests."""
    named = layer.annotations.get(PATH) or layer.annotations.get(TITLE)
    named = named or _DOCKER_NAMES.get(layer.media_type.removeprefix(_DOCKER), "")
    if not named:
        raise FormatError(f"the layer {layer.digest} has no name")
    return named.removeprefix("./")


def _brought(giver: Giver, layer: Descriptor, path: Path) -> Path:
    source: ByteSource = giver.blob(layer)
    with open(path, "xb") as file:
        file.writelines(source.read_at(at, min(_PIECE, layer.size - at)) for at in range(0, layer.size, _PIECE))
    return path


def _unpacked(giver: Giver, layer: Descriptor, stream: Unpacked, folder: Path) -> Iterator[tuple[str, Path]]:
    """Name and place of every file in the archive ``layer``. Nothing of it is used before its digest was compared."""
    folder.mkdir()
    found = []
    for number, each in enumerate(tar_files(stream.read)):
        path = folder / str(number)  # never a stranger's name
        with open(path, "xb") as file:
            file.writelines(each.blocks)
        found.append((each.name.removeprefix("./"), path))
    stream.drain()
    if stream.sha256 != layer.hex:
        raise FormatError(f"the layer {layer.digest} of {giver.name} has another digest than its name")
    yield from found
