"""``import ollama:NAME[:TAG]``: a model out of a store of Ollama, every blob compared with its name.

Model, projectors, adapters and licences become members; parameters and system prompt become arguments where a file may
have them. The template is in the language of Go and is kept as a document, which nothing here opens.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llamafile_format.bounded_json import parse_json
from llamafile_format.errors import FormatError, LimitExceeded, UsageError
from llamafile_format.exchanging.anew import imported_anew
from llamafile_format.exchanging.descriptors import MAX_DOCUMENT, Descriptor, read_image
from llamafile_format.exchanging.included import Included
from llamafile_format.exchanging.modelpack import TITLE
from llamafile_format.exchanging.ollama import KIND, WHAT, models_of_ollama, read_named
from llamafile_format.exchanging.ollama_params import MAX_TEXT, Wished, wished
from llamafile_format.exchanging.store import Store, opened
from llamafile_format.output.orders import Imported, ImportOrder
from llamafile_format.packing import Include
from llamafile_format.source import FileSource

_MEMBERS = {
    "model": ("model.gguf", ""),
    "projector": ("projector.gguf", ""),
    "adapter": ("adapter.gguf", ""),
    "draft": ("draft.gguf", "draft"),
    "license": ("LICENSE.txt", "license"),
    "template": ("ollama-template.txt", "document"),
    "prompt": ("ollama-prompt.txt", "document"),
    "messages": ("ollama-messages.json", "document"),
}
"""What a layer of each kind is called where it does not say it itself, and its role; empty where its bytes tell."""

_SYSTEM = "ollama-system.txt"
_IN_PIECES = ("tensor", "json")


@dataclass(slots=True)
class _Layers:
    """What the layers were found to be."""

    files: Included = field(default_factory=Included)
    system: Descriptor | None = None
    params: Descriptor | None = None
    seen: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def import_ollama(order: ImportOrder) -> Imported:
    """A container of the model ``order.place``. ``settings``: ``store`` and ``OLLAMA_MODELS`` say where the store is,
    ``runtime`` and ``default`` are as ``pack`` has them.

    UsageError for a name that is none or is not there, FormatError for blobs of another digest or size than the
    manifest says, for links, and for what is no model in files.
    """
    named = read_named(order.place)
    store = opened(models_of_ollama(order.settings), WHAT)
    if store.look(*named.steps) is None:
        known = ", ".join(store.names(*named.steps[:-1])) or "none"
        raise UsageError(f"{named} is not in {store.root}", hint=f"tags of {named.model} there: {known}")
    image = read_image(store.read(MAX_DOCUMENT, *named.steps), str(named))
    found = _Layers(notes=_about(store, image.config))
    for layer in image.layers:
        _take(store, layer, found)
    if not found.seen["model"]:
        raise FormatError(f"{named} has no layer that is a model", hint="fetch the model again: ollama pull")
    asked = _asked(store, found, order.settings.get("runtime", ""))
    found.notes += asked.refused
    return imported_anew(
        order,
        found.files.done(),
        str(named),
        source=f"ollama:{named.whole}",
        args=asked.arguments or None,
        notes=found.notes,
    )


def _take(store: Store, layer: Descriptor, found: _Layers) -> None:
    """Note what ``layer`` is, and open its blob if it is to be a member."""
    kind = layer.media_type.removeprefix(KIND).partition(";")[0].strip()
    found.seen[kind] += 1
    if kind in ("system", "params"):
        setattr(found, kind, layer)  # as for Ollama, the last one counts
    elif kind in _MEMBERS and layer.media_type.startswith(KIND):
        name, role = _MEMBERS[kind]
        name = layer.annotations.get(TITLE) or _numbered(name, found.seen[kind])
        found.files.add(Include(_place(store, layer), name, role, sha256=layer.hex, source=_blob(store, layer)))
        if role == "document":
            found.notes.append(f"the {kind} is kept as the document {name}, which nothing opens")
    elif kind in _IN_PIECES:
        raise FormatError("the model lies in the store tensor by tensor, and in no file", hint="pack it from its files")
    else:
        found.notes.append(f"left out: a layer of {layer.media_type[:100]}")


def _numbered(name: str, number: int) -> str:
    stem, dot, ending = name.rpartition(".")
    return name if number == 1 else f"{stem}-{number}{dot}{ending}"


def _place(store: Store, layer: Descriptor) -> Any:
    return store.path(*_steps(store, layer))


def _steps(store: Store, layer: Descriptor) -> tuple[str, str]:
    """Where the blob lies: its digest is one (see ``descriptors``). Stores of before 2024 have a colon in its name."""
    old = ("blobs", f"sha256:{layer.hex}")
    new = ("blobs", f"sha256-{layer.hex}")
    return old if store.look(*new) is None and store.look(*old) is not None else new


def _blob(store: Store, layer: Descriptor) -> FileSource:
    source = store.open(*_steps(store, layer))
    if source.size != layer.size:
        source.close()
        raise FormatError(
            f"{source.name} has another size than its manifest says",
            found=source.size,
            allowed=f"{layer.size}",
            hint="fetch the model again: ollama pull",
        )
    return source


def _text(store: Store, layer: Descriptor | None, most: int) -> bytes:
    """The bytes of a small ``layer``, which have its digest; nothing if there is none."""
    if layer is None:
        return b""
    with _blob(store, layer) as source:
        if source.size > most:
            raise LimitExceeded(f"{source.name} is too large", found=source.size, allowed=f"{most} bytes")
        data = source.read_at(0, source.size)
    if hashlib.sha256(data).hexdigest() != layer.hex:
        raise FormatError(
            f"{source.name} is not what its name says: its bytes have another SHA-256",
            allowed=layer.hex,
            hint="fetch the model again: ollama pull",
        )
    return data


def _asked(store: Store, found: _Layers, runtime: str) -> Wished:
    """The arguments of the new file; a prompt that it may not have there becomes a document."""
    data = _text(store, found.system, MAX_TEXT)
    try:
        system = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError("the system prompt is not UTF-8", offset=error.start) from error
    asked = wished(_text(store, found.params, MAX_TEXT), system, runtime)
    if found.system is not None and system and not asked.system:
        layer = found.system
        include = Include(_place(store, layer), _SYSTEM, "document", sha256=layer.hex, source=_blob(store, layer))
        found.files.add(include)
    return asked


def _about(store: Store, config: Descriptor) -> list[str]:
    """What the configuration says that a file has no place for. FormatError for a model that runs elsewhere."""
    try:
        said = parse_json(_text(store, config, MAX_DOCUMENT), depth=16)
    except FormatError as error:
        raise FormatError(f"the configuration of the model cannot be read: {error}") from error
    said = said if isinstance(said, Mapping) else {}
    if said.get("remote_host") or said.get("remote_model"):
        raise FormatError("the model is not in the store: it runs on another machine")
    left = [name for name in ("renderer", "parser") if isinstance(said.get(name), str) and said[name]]
    return (
        [f"left out: Ollama's own {' and '.join(left)} ({', '.join(said[name][:80] for name in left)})"] if left else []
    )
