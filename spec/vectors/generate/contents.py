"""What a member is by its bytes, against what its name, role and use say (7.13, 10.5): one disagreement a vector."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable

from spec.vectors.generate import vector
from spec.vectors.generate.forge import Part, Spec, container, gguf, license_, parts, readme, weights
from spec.vectors.generate.gguf_builder import STRING, V3, model
from spec.vectors.generate.weights_shards import shard

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 4096\n"
XET = b"# xet version 0\nfilesize = 4096\nhash = '0'\n"
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n"
ANSWER = b'{"error": "Repository not found"}\n'
ONNX = b"\x08\x09\x3a\x00\x42\x02\x10\x15"
SAFETENSORS = struct.pack("<Q", 2) + b"{}"
PICKLE = b"\x80\x02}q\x00."
PYTORCH = b"PK\3\4" + bytes(22) + struct.pack("<HH", 16, 0) + b"archive/data.pkl"
TFLITE = b"\x1c\0\0\0TFL3" + bytes(24)
LITERTLM = b"LITERTLM" + struct.pack("<III", 1, 0, 0) + bytes(12)
GGJT = b"tjgg" + struct.pack("<II", 3, 32000) + bytes(32)
DATA = bytes(range(256))


def alone(part: Part) -> bytes:
    """README and ``part``, which is the default if it is weights."""
    return container(Spec([readme(), part], labels={"default": part.path if part.role == "weights" else None}))


def beside(part: Part) -> bytes:
    """A good container with ``part``."""
    return container(Spec(parts(part), labels={"default": "tiny.gguf"}))


def named(data: bytes, path: str = "tiny.gguf", media: str = "application/octet-stream") -> bytes:
    """``data`` as weights called ``path``."""
    return alone(Part(path, data, "weights", media, 32))


_INSTEAD: list[tuple[str, bytes, str]] = [
    ("instead-lfs-pointer", POINTER, "A Git LFS pointer called model."),
    ("instead-xet-pointer", XET, "A Xet pointer called model."),
    ("instead-html", PAGE, "A page called model."),
    ("instead-json", ANSWER, "A server's answer called model."),
    ("instead-empty", b"", "Nothing called model."),
    ("instead-gzip", gzip.compress(b"a model", mtime=0), "A packed file called model."),
    ("instead-zeros", bytes(4096), "Nothing but zeros called model."),
]


def _instead(name: str, data: bytes, comment: str) -> None:
    for role in ("weights", "asset"):
        mark = vector(f"{name}-{role}", rules="LF5085", layer="content", comment=f"{comment} Role {role}.")
        if role == "weights":
            mark(lambda: named(data))
        else:
            mark(lambda: alone(Part("tiny.gguf", data, "asset", "application/octet-stream")))


for _row in _INSTEAD:
    _instead(*_row)


@vector("text-called-gguf", rules="LF5001", layer="content", comment="Text called model, role asset.")
def text_called_gguf() -> bytes:
    return alone(Part("tiny.gguf", b"FUGG, a model of words\n" * 4, "asset", "application/octet-stream"))


@vector("named-safetensors", rules="LF5085", layer="content", comment="Text called safetensors.")
def named_safetensors() -> bytes:
    return named(b"weights, in words\n" * 4, "tiny.safetensors")


@vector("ggjt-called-gguf", rules="LF5085 LF5087", layer="content", comment="Old weights under the new name.")
def ggjt_called_gguf() -> bytes:
    return named(GGJT)


_UNREAD: list[tuple[str, bytes, str]] = [
    ("pickle", PICKLE, "tiny.bin"),
    ("pytorch", PYTORCH, "tiny.pt"),
    ("tflite", TFLITE, "tiny.tflite"),
    ("litert-lm", LITERTLM, "tiny.litertlm"),
]


def _unread(name: str, data: bytes, path: str) -> None:
    comment = f"Weights in the format {name}, told from their bytes."
    mark = vector(f"unread-{name}", rules="LF5086", near="LF5085", valid="undetermined", comment=comment)
    mark(lambda: named(data, path))


for _row in _UNREAD:
    _unread(*_row)


@vector("old-weights", rules="LF5087", near="LF5086", valid="undetermined", comment="GGJT, kept as what it is.")
def old_weights() -> bytes:
    return named(GGJT, "tiny.bin")


def _role(name: str, role: str, data: Callable[[], bytes], path: str, rules: str, comment: str) -> None:
    mark = vector(f"role-{name}", rules=rules, layer="content", comment=comment)
    mark(lambda: beside(Part(path, data(), role, "application/octet-stream", 32 if role == "projector" else 1)))


_role("model-asset", "asset", gguf, "other.bin", "LF3034", "A whole model as asset.")
_role("model-document", "document", gguf, "notes.txt", "LF3034", "A whole model as document, called text.")
_role("model-projector", "projector", gguf, "other.gguf", "LF3034", "A whole model as projector.")
_role("safetensors-asset", "asset", lambda: SAFETENSORS, "o.safetensors", "LF3034", "Weights as asset.")


def named_tensor(architecture: str, *names: str) -> bytes:
    """A GGUF of which only the architecture and the names of its tensors matter."""
    rows = [V3.tensor(name, (8,), 0, 32 * index) for index, name in enumerate(names)]
    return V3.build([V3.entry("general.architecture", STRING, architecture)], rows, bytes(32 * len(rows)))


def diffusion() -> bytes:
    return named_tensor("flux", "double_blocks.0.img_attn.qkv.weight")


def low_rank() -> bytes:
    return named_tensor("llama", "blocks.0.attn.lora_down.weight", "blocks.0.attn.lora_up.weight")


_role("diffusion-asset", "asset", diffusion, "other.bin", "LF3034", "A diffusion model as asset.")
_role("lora-projector", "projector", low_rank, "other.gguf", "LF3034", "A LoRA without the keys of an adapter.")


@vector("role-diffusion", near="LF3034", comment="A diffusion model as weights.")
def role_diffusion() -> bytes:
    return named(diffusion(), media="application/x-gguf")


@vector("role-decoder", near="LF3034", comment="An image decoder as asset.")
def role_decoder() -> bytes:
    return beside(Part("vae.gguf", named_tensor("pig", "decoder.conv_in.weight"), "asset", "application/x-gguf"))


@vector("role-broken-asset", rules="LF3034 LF5050", layer="content", comment="A model cut short, with role asset.")
def role_broken_asset() -> bytes:
    cut = model()[:-32]
    return alone(Part("tiny.bin", cut, "asset", "application/octet-stream"))


@vector("role-draft", near="LF3034 LF3035 LF5086 LF5087", comment="A whole model as draft.")
def role_draft() -> bytes:
    return container(Spec([readme(), license_(), weights(), Part("d.gguf", gguf(), "draft", "application/x-gguf", 32)]))


@vector("role-of-adapter", rules="LF3034", layer="content", comment="An adapter as draft.")
def role_of_adapter() -> bytes:
    data = model(V3.entry("general.type", STRING, "adapter"))
    return container(Spec([readme(), license_(), weights(), Part("d.gguf", data, "draft", "application/x-gguf", 32)]))


@vector("data", rules="LF3035", near="LF3034 LF3036", comment="Bytes of no known kind, kept as document.")
def data() -> bytes:
    return beside(Part("field-notes.bin", DATA, "document", "application/octet-stream"))


@vector("pointer-as-licence", rules="LF3036", layer="content", comment="A licence that was never fetched.")
def pointer_as_licence() -> bytes:
    return beside(license_(POINTER))


@vector("used-by-option", rules="LF5001 LF6122", layer="content", comment="An option opens what is no model.")
def used_by_option() -> bytes:
    arguments = Part(".args", b"--lora /zip/notes.bin ...", "arguments", "text/plain")
    return beside_two(arguments, Part("notes.bin", DATA, "asset", "application/octet-stream"))


def beside_two(*more: Part) -> bytes:
    """A good container with ``more``."""
    return container(Spec(parts(*more), labels={"default": "tiny.gguf"}))


# Shards, by their headers (7.8.9)


def shards(*numbers: int, count: int) -> bytes:
    """A container with those shards of ``count``."""
    given = [weights(f"tiny-{number}.gguf", shard(number, count)) for number in numbers]
    return container(Spec([readme(), *given], labels={"default": given[0].path}))


@vector("shards-missing", rules="LF5089", layer="content", comment="Two of three shards.")
def shards_missing() -> bytes:
    return shards(0, 2, count=3)


@vector("shards-missing-many", rules="LF5089", layer="content", comment="One shard of 65,535.")
def shards_missing_many() -> bytes:
    return shards(7, count=65_535)


@vector("shards-all", near="LF5089", comment="All shards, under names that say nothing.")
def shards_all() -> bytes:
    return shards(0, 1, count=2)


@vector(
    "default-second-shard",
    rules="LF3018",
    valid="yes",
    layer="manifest",
    comment="The default is the second of two shards.",
)
def default_second_shard() -> bytes:
    names = [f"tiny-0000{number}-of-00002.gguf" for number in (1, 2)]
    given = [weights(name, shard(number, 2)) for number, name in enumerate(names)]
    return container(Spec([readme(), *given], labels={"default": names[1]}))


@vector("shard-by-name-only", near="LF5089", comment="A whole model that is called like a shard.")
def shard_by_name_only() -> bytes:
    path = "tiny-00001-of-00013.gguf"
    return container(Spec([readme(), weights(path)], labels={"default": path}))
