"""Containers that are sent away and come back, and images as strangers make them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import resource
import signal
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import zstandard

import llamafile_format as lf
from llamafile_format.caring import protect_inside
from llamafile_format.changing import convert
from llamafile_format.container import open_container
from llamafile_format.exchanging import Sent, layout_writer, send
from llamafile_format.packing import Include
from tests.laws.containers import tiny_gguf
from tests.repack_samples import engine, gguf
from tests.signing_samples import TIME, container, keys

IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json"
PACK = "application/vnd.cncf.model."


def plain(path: Path) -> Path:
    """A tiny model and two documents."""
    return container(path, members=("a.txt", "docs/b.md"))


def signed_by_three(path: Path) -> Path:
    """Signed by two keys, and countersigned by a third."""
    plain(path)
    lf.sign(path, keys("p384"), declared_time=TIME)
    lf.sign(path, keys("ed25519"), declared_time=TIME)
    lf.sign(path, keys("p256"), countersign=True, declared_time=TIME)
    return path


def converted(path: Path) -> Path:
    """A signed launcher, converted to ELF."""
    container(path, launcher=True)
    lf.sign(path, keys(), declared_time=TIME)
    convert(path, "elf-x86_64")
    return path


def odd_members(path: Path) -> Path:
    """An empty member, and two with one digest."""
    folder = path.parent / f"{path.name}.parts"
    folder.mkdir()
    (folder / "m.gguf").write_bytes(gguf("odd", 5 << 20))
    for name, data in (("empty.txt", b""), ("one.txt", b"same"), ("two.txt", b"same")):
        (folder / name).write_bytes(data)
    names = ("empty.txt", "one.txt", "two.txt")
    lf.pack([folder / "m.gguf"], path, prefix="none", include=[Include(folder / name) for name in names])
    return path


def with_engine(path: Path) -> Path:
    """An engine that brings files of its own, in an archive of profile ``archive``."""
    folder = path.parent / f"{path.name}.parts"
    folder.mkdir()
    (folder / "m.gguf").write_bytes(gguf())
    (folder / "engine").write_bytes(engine("e", 70_000, [("zone/a.txt", b"a" * 900), ("zone/b.txt", b"b")]))
    lf.pack([folder / "m.gguf"], path, prefix=folder / "engine", profile="archive", recovery=0, viewer=False)
    return path


def with_recovery(path: Path) -> Path:
    """With recovery data inside, and signed."""
    plain(path)
    protect_inside(path)
    lf.sign(path, keys(), declared_time=TIME)
    return path


KINDS: dict[str, Callable[[Path], Path]] = {
    "plain": plain,
    "signed by three": signed_by_three,
    "converted": converted,
    "odd members": odd_members,
    "engine": with_engine,
    "recovery": with_recovery,
}


def sent(path: Path, layout: Path, tag: str = "v1") -> Sent:
    """``path`` in a layout."""
    with open_container(path) as found, layout_writer(layout, tag) as taker:
        return send(found, taker)


def blob(layout: Path, digest: str) -> Path:
    """The file of a blob."""
    return layout / "blobs" / digest.replace(":", "/")


def put(layout: Path, data: bytes) -> dict[str, Any]:
    """``data`` as a blob; digest and size for its descriptor."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    path = blob(layout, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"digest": digest, "size": len(data)}


def named(layout: Path, image: dict[str, Any], tag: str = "v1") -> dict[str, Any]:
    """``image`` as the only image of the layout, whatever it says; its descriptor."""
    entry = {"mediaType": IMAGE_TYPE, **put(layout, json.dumps(image).encode())}
    entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return entry


def image_of(layout: Path) -> dict[str, Any]:
    """The image of a layout with one tag."""
    entries = json.loads((layout / "index.json").read_bytes())["manifests"]
    (entry,) = [each for each in entries if "org.opencontainers.image.ref.name" in each.get("annotations", {})]
    found: dict[str, Any] = json.loads(blob(layout, entry["digest"]).read_bytes())
    return found


def foreign(
    layout: Path, layers: Sequence[tuple[str, str, bytes]], config: str = f"{PACK}config.v1+json", tag: str = "v1"
) -> Path:
    """An image of others: (media type, name or nothing, bytes) of each layer."""
    rows = []
    for kind, name, data in layers:
        note = {"annotations": {"org.cncf.model.filepath": name}} if name else {}
        rows.append({"mediaType": kind, **put(layout, data), **note})
    image = {"schemaVersion": 2, "mediaType": IMAGE_TYPE, "layers": rows}
    named(layout, {**image, "config": {"mediaType": config, **put(layout, b"{}")}}, tag)
    return layout


def tarred(files: Sequence[tuple[str, bytes]], packing: str = "", *, link: str = "") -> bytes:
    """A tar archive of ``files``, packed, with a link in it if it is named."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)
    data = buffer.getvalue()
    if packing == "gzip":
        return gzip.compress(data, mtime=0)
    return zstandard.ZstdCompressor().compress(data) if packing == "zstd" else data


def model() -> bytes:
    """A model that ``pack`` takes."""
    return tiny_gguf()


def digests(path: Path) -> dict[str, str]:
    """SHA-256 of the members of a container that a store could keep, by path."""
    with open_container(path) as found:
        assert found.manifest is not None
        members = found.manifest.members
    kept = [each for each in members if each.role not in ("readme", "chunks", "manifest", "runtime", "recovery")]
    return {each.path: each.sha256 for each in kept}


def damaged(path: Path) -> Path:
    """The same file, with one bit of its model's numbers another."""
    data = bytearray(path.read_bytes())
    with open_container(path) as found:
        assert found.manifest is not None
        (member, *_) = found.manifest.with_role("weights")
    data[member.offset + member.size - 2] ^= 1
    path.write_bytes(data)
    return path


def small_disk() -> None:
    """To be called in a child: no file of more than 1 MiB can be written, which stands in for a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


def all_below(folder: Path) -> list[str]:
    """Every file and folder below ``folder``."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
