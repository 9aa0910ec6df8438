"""``export --ollama NAME[:TAG]``: the model that starts by default, written into a store of Ollama that nobody uses.

The blobs come first and the manifest last, so that whatever is named is there. Nothing that is there is replaced, and
what fails takes away what it made.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llamafile_format.checks.what_will_run import WillRun, what_will_run
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.exchanging.descriptors import DOCKER_MANIFEST_TYPE, Descriptor, canonical, described
from llamafile_format.exchanging.leaving import Leaving, leaving
from llamafile_format.exchanging.modelpack import TITLE
from llamafile_format.exchanging.ollama import CONFIG, KIND, WHAT, Named, models_of_ollama, read_named, refuse_in_use
from llamafile_format.exchanging.ollama_params import parameters
from llamafile_format.exchanging.store import Store
from llamafile_format.manifest.hashing import digest_range
from llamafile_format.manifest.model import Member
from llamafile_format.output.checked_copy import checked_copy
from llamafile_format.output.folder import made_folders
from llamafile_format.output.orders import Exported, ExportOrder
from llamafile_format.output.publish import output
from llamafile_format.output.room import require_room
from llamafile_format.output.transfer import write_at
from llamafile_format.packing import split_sets
from llamafile_format.progress import Advance, counted
from llamafile_format.source import ByteSource, BytesSource
from llamafile_format.weights.facts import describe
from llamafile_format.weights.formats import GGUF, recognise_format
from llamafile_format.weights.gguf import read_gguf

_KINDS = {"projector": "projector", "adapter": "adapter", "license": "license"}
"""Layers beside the model, by the role of a member."""

_SAID = ("--model", "--mmproj", "--lora")
"""Options that name members, which the layers themselves stand for."""

_AGAIN = "wait until that is done, and run the command again"


@dataclass(frozen=True, slots=True)
class _Blob:
    layer: Descriptor
    source: ByteSource


def export_ollama(order: ExportOrder) -> Exported:
    """Write the model as ``order.target``. ``settings``: ``store``, ``OLLAMA_MODELS`` and ``OLLAMA_HOST``.

    UsageError for a name that is none or is taken, for a store in use, and for a model that is not one GGUF file;
    FormatError for a blob that is there with other bytes, and what :func:`leaving` raises.
    """
    named = read_named(str(order.target))
    root = models_of_ollama(order.settings)
    _refuse_taken(Store(root, WHAT), named)
    refuse_in_use(root, order.settings)
    with leaving(order) as given:
        runs = what_will_run(given.container)
        members, model = _members(given, runs)
        asked = parameters(runs.options, _SAID)
        blobs = [_Blob(_layer(member), given.source(member)) for member in members]
        for kind, data in (("system", asked.system.encode()), ("params", asked.params)):
            blobs += [_of_bytes(data, f"{KIND}{kind}")] if data else []
        config = _of_bytes(_config(given.source(model), [blob.layer.digest for blob in blobs]), CONFIG)
        manifest = _manifest(config.layer, [blob.layer for blob in blobs])
        with _held(root, order) as store:
            _refuse_taken(store, named)
            _written(store, named, [*blobs, config], manifest, order)
    left = [given.stays(tuple(member for member in given.members if member in members or member.path == ".args"))]
    left += [f"left out: {', '.join(asked.left)} of .args"] if asked.left else []
    left += ["name, roles and templates stay behind: Ollama makes its template from the model's own metadata"]
    size = sum(blob.layer.size for blob in (*blobs, config))
    digest = hashlib.sha256(manifest).hexdigest()
    path = store.path(*named.steps)
    return Exported(path, str(named), len(blobs) + 2, size, digest, notes=tuple(note for note in left if note))


def _members(given: Leaving, runs: WillRun) -> tuple[list[Member], Member]:
    """The members that go, the model first, and the model. UsageError if it is not one GGUF file."""
    by_path = {member.path: member for member in given.members}
    model = by_path.get(runs.model.member) if runs.model is not None else None
    if model is None or recognise_format(given.source(model)) is not GGUF:
        raise UsageError(
            "there is no GGUF model that starts by default, and Ollama takes nothing else",
            hint="llamafile-format inspect FILE",
        )
    shards = split_sets(member.path for member in given.manifest.with_role("weights")).get(model.path, [])
    if len(shards) > 1:
        raise UsageError(
            f"{model.path} is one of {len(shards)} shards, and Ollama takes a model of one file",
            hint="llamafile-format pack --merge-splits makes one of them",
        )
    chosen = [each.member for each in (runs.projector, *runs.adapters) if each is not None]
    beside = [member for member in given.members if member.role == "license" or member.path in chosen]
    return [model, *(member for member in beside if member is not model)], model


def _layer(member: Member) -> Descriptor:
    kind = _KINDS.get(member.role, "model")
    return Descriptor(f"{KIND}{kind}", f"sha256:{member.sha256}", member.size, {TITLE: member.path})


def _of_bytes(data: bytes, media_type: str) -> _Blob:
    return _Blob(described(data, media_type), BytesSource(data, media_type))


def _config(model: ByteSource, digests: Sequence[str]) -> bytes:
    facts = describe(read_gguf(model))
    family = facts.architecture or "unknown"
    value: dict[str, Any] = {
        "model_format": "gguf",
        "model_family": family,
        "model_families": [family],
        "model_type": _rounded(facts.parameters),
        "file_type": facts.file_type or "unknown",
        "architecture": "amd64",  # Ollama writes so on every machine
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": list(digests)},
    }
    return canonical(value)


def _rounded(count: int) -> str:
    """A number of parameters as Ollama shows it: ``8.0B``."""
    for unit, letter in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if count >= unit:
            return f"{count / unit:.1f}{letter}"
    return str(count)


def _manifest(config: Descriptor, layers: Sequence[Descriptor]) -> bytes:
    return canonical(
        {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST_TYPE,
            "config": config.to_json(),
            "layers": [layer.to_json() for layer in layers],
        }
    )


def _refuse_taken(store: Store, named: Named) -> None:
    """UsageError if a model is called so: Ollama does not tell upper case from lower case."""
    for depth, step in enumerate(named.steps):
        last = depth == len(named.steps) - 1
        for name in store.names(*named.steps[:depth]):
            if name.casefold() == step.casefold() and (last or name != step):
                raise UsageError(
                    f"{store.path(*named.steps[:depth], name)} is there already, and nothing is replaced",
                    hint=f"choose another name or tag, or take it away first: ollama rm {named}",
                )


@contextlib.contextmanager
def _held(root: Path, order: ExportOrder) -> Iterator[Store]:
    """The store, made if it is not there, for us alone among exports, where the system has locks."""
    with made_folders(root):
        descriptor = os.open(root, os.O_RDONLY) if os.name != "nt" else -1
        try:
            with contextlib.suppress(ImportError):
                import fcntl

                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise UsageError(f"another export is writing into {root}", hint=_AGAIN) from None
            refuse_in_use(root, order.settings)
            yield Store(root, WHAT)
        finally:
            if descriptor >= 0:
                os.close(descriptor)


def _written(store: Store, named: Named, blobs: Sequence[_Blob], manifest: bytes, order: ExportOrder) -> None:
    """All blobs that are not there, and then the manifest; or nothing."""
    missing = [blob for blob in {each.layer.hex: each for each in blobs}.values() if not _is_there(store, blob)]
    advance = counted(order.progress, 2 * sum(blob.layer.size for blob in missing))
    store.look("blobs")
    store.look(*named.steps[:-1])
    path, folder = store.path(*named.steps), store.path("blobs")
    with made_folders(folder), made_folders(path.parent):
        require_room(folder, [blob.source for blob in missing])
        made: list[Path] = []
        try:
            for blob in missing:
                path_of = folder / f"sha256-{blob.layer.hex}"
                _bring(path_of, blob, advance)
                made.append(path_of)
            refuse_in_use(store.root, order.settings)
            with _new(path) as file:
                write_at(file, 0, manifest)
        except BaseException:
            for each in made:
                each.unlink(missing_ok=True)
            raise


def _is_there(store: Store, blob: _Blob) -> bool:
    """True if the blob lies there. It is hashed, not believed; FormatError if its bytes are others."""
    name = f"sha256-{blob.layer.hex}"
    if store.look("blobs", name) is None:
        return False
    with store.open("blobs", name) as source:
        if digest_range(source, 0, source.size).sha256.hex() != blob.layer.hex:
            raise FormatError(
                f"{source.name} is damaged: its bytes have another SHA-256 than its name, and nothing is replaced",
                hint="take that file away, and run the command again",
            )
    return True


def _bring(path: Path, blob: _Blob, advance: Advance) -> None:
    with _new(path) as file:
        if checked_copy(blob.source, file, progress=advance).sha256 != blob.layer.hex:
            raise FormatError(
                f"{blob.source.name} is damaged: its bytes have another SHA-256 than its manifest says",
                allowed=blob.layer.hex,
                hint="llamafile-format verify --level full FILE",
            )


@contextlib.contextmanager
def _new(path: Path) -> Iterator[int]:
    """:func:`output` for a file that is never replaced, whatever else is written meanwhile."""
    try:
        with output(path) as file:
            yield file
    except UsageError as error:
        raise UsageError(error.message, hint=f"somebody else writes into the store: {_AGAIN}") from error
