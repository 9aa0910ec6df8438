"""A store of Ollama, written here as it is described, and not by our own writer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

KIND = "application/vnd.ollama.image."
CONFIG = {"model_format": "gguf", "model_family": "llama", "architecture": "amd64", "os": "linux"}


def blob(store: Path, digest: str) -> Path:
    """The file of a blob."""
    return store / "blobs" / digest.replace(":", "-")


def layer(store: Path, kind: str, data: bytes) -> dict[str, Any]:
    """``data`` as a blob, and its descriptor."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    path = blob(store, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"mediaType": kind if "/" in kind else f"{KIND}{kind}", "digest": digest, "size": len(data)}


def manifest_path(store: Path, tag: str = "latest", name: str = "tiny") -> Path:
    """Where the manifest of a model lies."""
    return store / "manifests" / "registry.ollama.ai" / "library" / name / tag


def stored(
    store: Path, layers: Sequence[tuple[str, bytes]], *, tag: str = "latest", config: Mapping[str, Any] = CONFIG
) -> Path:
    """The model ``tiny`` of ``layers`` (kind, bytes); the store."""
    said = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": layer(store, "application/vnd.docker.container.image.v1+json", json.dumps(config).encode()),
        "layers": [layer(store, kind, data) for kind, data in layers],
    }
    write_manifest(store, said, tag)
    return store


def write_manifest(store: Path, said: Any, tag: str = "latest") -> None:
    """``said`` as a manifest, whatever it is."""
    path = manifest_path(store, tag)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(said))


def manifest_of(store: Path, tag: str = "latest", name: str = "tiny") -> dict[str, Any]:
    """The manifest of a model."""
    found: dict[str, Any] = json.loads(manifest_path(store, tag, name).read_bytes())
    return found
