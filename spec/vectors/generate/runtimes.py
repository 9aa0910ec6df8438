"""Runtimes as members (14.1): names, pins, and whether they fit the weights. The programs are a few bytes long."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import replace

from llamafile_format.engines.implied import implied_launcher
from spec.vectors.generate import Maker, vector
from spec.vectors.generate.contents import TFLITE
from spec.vectors.generate.forge import Part, Spec, container, gguf, parts, weights

FOLDER = "runtimes/tiny/1.0/"


def program(machine: int = 62, loader: bytes = b"", text: bytes = b"and so on\n") -> bytes:
    """A program of 64 bits that has nothing but headers; static, unless it names a ``loader``."""
    head = struct.pack(
        "<4s5B7xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 0, 2, machine, 1, 0, 64, 0, 0, 64, 56, bool(loader), 64, 0, 0
    )
    interpreter = struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(loader) + 1, len(loader) + 1, 1) + loader + b"\0"
    return head + (interpreter if loader else b"") + text


PROGRAM = program()
ZEROS = "0" * 40
UNKNOWN = "LF3330"

PIN = """\
# A pin for vectors: everything that the schema asks for, and an engine that nobody can build.
format: llamafile-runtime/1
name: tiny
version: "1.0"
title: an engine of a few bytes
upstream:
  {url: "https://example.org/tiny", commit: "@ZEROS@", release: "1.0", folder: "{tiny}", tree: "swh:1:dir:@ZEROS@"}
inputs:
  - {id: tiny, name: tiny, version: "1.0", file: tiny-1.0.tar.gz, sha256: "@SHA256@", size: 1}
own:
  - {id: project, path: ../source, swhid: "swh:1:dir:@ZEROS@"}
recipe:
  {version: 1, host: linux-x86_64, uses: [tiny], project: "{project}", goal: runtime, tools: {zig: "{tiny}/zig"},
   definitions: {}, toolchain: {}, flags: [], link: []}
flavours: {native: {}, reference: {}}
targets:
  - {name: linux-x86_64, zig: x86_64-linux-musl, system: Linux, processor: x86_64, result: runtime, flavours: [native]}
builds:
  - {target: linux-x86_64, flavour: native, sha256: "@SHA256@", size: @SIZE@, file: builds/native/linux-x86_64.zst}
licences: []
type_registry: ggml
tensor_types: [0, 1]
architectures: [llama]
"""
for name, value in (("ZEROS", ZEROS), ("SHA256", hashlib.sha256(PROGRAM).hexdigest()), ("SIZE", str(len(PROGRAM)))):
    PIN = PIN.replace(f"@{name}@", value)


def pin(text: str = PIN) -> Part:
    """The pin as a member."""
    return Part(f"{FOLDER}runtime.yaml", text.encode(), "document", "application/yaml")


def build(data: bytes = PROGRAM, path: str = f"{FOLDER}native/linux-x86_64") -> Part:
    """A build, aligned to 32 so that vectors stay small."""
    return Part(path, data, "runtime", "application/octet-stream", 32, 0o100755)


def with_runtime(*more: Part, **changes: object) -> bytes:
    """README, licence, weights, pin and build; ``more`` replaces parts of the same path."""
    given = {part.path: part for part in (pin(), build(), *more)}
    return container(Spec(parts(*given.values()), labels={"default": "tiny.gguf"}, **changes))  # type: ignore[arg-type]


def built(name: str, *, comment: str, rules: str = "", **more: str) -> Callable[[Maker], Maker]:
    """Register a vector with the build of this engine, which no installation knows (LF3330)."""
    return vector(name, comment=comment, rules=f"{rules} {UNKNOWN}", **more)  # type: ignore[arg-type]


_ALL = "LF3300 LF3301 LF3302 LF3303 LF3304 LF3305 LF3307 LF3321 LF3325 LF3334 LF3351"


@built("good", near=_ALL, comment="A build, and the pin that names it.")
def good() -> bytes:
    return with_runtime()


@built("name-without-flavour", rules="LF3300", comment="Nobody knows for which flavour the second program is.")
def name_without_flavour() -> bytes:
    return with_runtime(build(path=f"{FOLDER}linux-x86_64"))


@built("architecture-unknown", rules="LF3301", layer="content", comment="The pin knows another architecture.")
def architecture_unknown() -> bytes:
    return with_runtime(pin(PIN.replace("[llama]", "[mamba]")))


@built("type-unknown", rules="LF3302", layer="content", comment="The pin does not know tensors of 32-bit numbers.")
def type_unknown() -> bytes:
    return with_runtime(pin(PIN.replace("[0, 1]", "[1]")))


@built(
    "weights-of-another-format",
    rules="LF3303 LF5086",
    valid="undetermined",
    comment="The model that starts is no GGUF; there is no reader for it either.",
)
def weights_of_another_format() -> bytes:
    other = Part("tiny.tflite", TFLITE, "weights", "application/x-tflite", 32)
    return container(Spec(parts(other, pin(), build()), labels={"default": "tiny.tflite"}))


@built("pin-missing", rules="LF3304", valid="undetermined", comment="A build without a pin.")
def pin_missing() -> bytes:
    return container(Spec(parts(build()), labels={"default": "tiny.gguf"}))


def _unreadable(name: str, comment: str, change: Callable[[str], str], encoding: str = "raw") -> None:
    mark = built(name, rules="LF3304", valid="undetermined", comment=comment, encoding=encoding)
    mark(lambda: with_runtime(pin(change(PIN))))


_unreadable("pin-cut", "The pin ends in the middle.", lambda text: text[:200])
_unreadable("pin-of-another", "The pin is that of another version.", lambda text: text.replace('"1.0"', '"1.1"', 1))
_unreadable("pin-with-alias", "An anchor and an alias.", lambda text: text.replace("[0, 1]", "&a [0, 1]"))
_unreadable("pin-deep", "Brackets in brackets.", lambda text: text + "more: " + "[" * 1000 + "]" * 1000 + "\n")
_unreadable("pin-too-large", "A megabyte of comment.", lambda text: text + "#" * (1 << 20), "zlib")


@built("build-of-another-digest", rules="LF3305", layer="content", comment="One byte of the program differs.")
def build_of_another_digest() -> bytes:
    return with_runtime(build(PROGRAM[:-1] + b"\0"))


@built("build-that-the-pin-has-not", rules="LF3305", layer="content", comment="A second build, not in the pin.")
def build_that_the_pin_has_not() -> bytes:
    return with_runtime(build(path=f"{FOLDER}reference/linux-x86_64"))


def shard(number: int, count: int = 2) -> bytes:
    """The tiny model with the keys of a split; shard ``number`` from 0."""
    data = gguf()
    entries = b"".join(
        struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + value
        for key, kind, value in (
            ("split.no", 2, struct.pack("<H", number)),
            ("split.count", 2, struct.pack("<H", count)),
            ("split.tensors.count", 5, struct.pack("<i", 2)),
        )
    )
    name = b"general.name"
    at = data.index(struct.pack("<Q", len(name)) + name)
    end = data.index(struct.pack("<Q", 17) + b"token_embd.weight")
    table = data[end : end + 8 + 17 + 24]
    head = data[:8] + struct.pack("<QQ", 1, 5) + data[24:at] + data[at:end] + entries + table
    return head + bytes(-len(head) % 32) + struct.pack("<8f", *(index / 8 for index in range(8)))


def shards(second: str) -> bytes:
    """A split model whose second shard is called ``second``."""
    first, default = shard(0), "tiny-00001-of-00002.gguf"
    given = [part for part in parts(pin(), build()) if part.role != "weights"]
    given += sorted((weights(default, first), weights(second, shard(1))), key=lambda part: part.name)
    return container(Spec(given, labels={"default": default}))


@built("good-shards", near="LF3306", comment="Two shards under the names by which a runtime finds them.")
def good_shards() -> bytes:
    return shards("tiny-00002-of-00002.gguf")


@built("shard-renamed", rules="LF3306", layer="content", comment="The second shard has a name of its own.")
def shard_renamed() -> bytes:
    return shards("tiny-second.gguf")


@vector(
    "launcher-without-runtime",
    rules="LF3307",
    near="LF3330 LF3331 LF3350 LF3352",
    encoding="zlib",
    comment="A launcher that has nothing to start.",
)
def launcher_without_runtime() -> bytes:
    def made(prefix: bytes) -> bytes:
        return container(Spec(parts(), prefix=prefix, kind="launcher", labels={"default": "tiny.gguf"}))

    class Model:
        role, path, sha256 = "weights", "tiny.gguf", ""

        def __init__(self, offset: int, size: int) -> None:
            self.offset, self.size = offset, size

    blank = made(implied_launcher([], ""))
    start = blank.rindex(b'{\n "default"')
    members = json.loads(blank[start : blank.index(b"\n}\n", start) + 3])["members"]
    model = next(member for member in members if member["path"] == "tiny.gguf")
    return made(implied_launcher([Model(model["offset"], model["size"])], "tiny.gguf"))


GENUINE = "ced7635a74a2e5640f17f206bc3f34e186a352755edd0012fc09a05acabbf5bb"
"""SHA-256 of the native build of llama.cpp 0.3.36 for linux-x86_64."""

GENUINE_ELSEWHERE = "841efa25fb64475b121fe065232e22577e3ae672ac9b1e4d81052e7b8e58f099"
"""SHA-256 of the native build of llama.cpp 0.3.36+2 for windows-x86_64, which has no sandbox."""

# Everything that a pin names (14.1.11)

PAGE = b"a page of a few bytes\n"
SYMBOLS = b"tiny_init\n"
LICENCES = b"tiny\nSPDX-License-Identifier: MIT\n(in every program)\n\nDo as you like.\n"


def _swhid(data: bytes) -> str:
    return "swh:1:cnt:" + hashlib.sha1(f"blob {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()


RICH = PIN.replace(
    "licences: []",
    "licences: [{component: tiny, spdx: MIT, text: licences/tiny.txt}]\n"
    f'webui: {{sha256: "{hashlib.sha256(PAGE).hexdigest()}", size: {len(PAGE)}, file: webui.zst, reproducible: true}}',
).replace("own:\n", f'own:\n  - {{id: symbols, path: symbols.txt, swhid: "{_swhid(SYMBOLS)}"}}\n')


def companions(
    page: bytes = PAGE, licences: bytes = LICENCES, symbols: bytes = SYMBOLS, role: str = "asset"
) -> list[Part]:
    """Page, licences and a file of the pin's own."""
    return [
        Part(f"{FOLDER}webui.tar", page, role, "application/octet-stream"),
        Part(f"{FOLDER}LICENCES.txt", licences, "license", "text/plain"),
        Part(f"{FOLDER}symbols.txt", symbols, "document", "text/plain"),
    ]


_ORDER = ["readme", "document", "license", "asset", "runtime", "weights"]


def with_companions(*given: Part, text: str = RICH) -> bytes:
    """A container with pin, build and ``given``."""
    all_of = {part.path: part for part in (*parts(), pin(text), build(), *given)}
    ordered = sorted(all_of.values(), key=lambda part: (_ORDER.index(part.role), part.name))
    return container(Spec(ordered, labels={"default": "tiny.gguf"}))


@built(
    "companions",
    near="LF3320 LF3321 LF3322 LF3323 LF3324 LF3353",
    comment="All that the pin names is there, and is it.",
)
def good_companions() -> bytes:
    return with_companions(*companions())


@built("page-exchanged", rules="LF3320", layer="content", comment="Another page than the one that the pin names.")
def page_exchanged() -> bytes:
    return with_companions(*companions(page=PAGE.upper()))


@built("page-exchanged-as-document", rules="LF3035 LF3320", layer="content", comment="The same, under another role.")
def page_exchanged_as_document() -> bytes:
    return with_companions(*companions(page=PAGE.upper(), role="document"))


@built(
    "page-missing", rules="LF3353", comment="The page that the pin names, and that a native build serves, is missing."
)
def page_missing() -> bytes:
    return with_companions(*(part for part in companions() if "webui" not in part.path))


@built("licences-of-no-pin", rules="LF3325", comment="Licences that the pin does not name.")
def licences_of_no_pin() -> bytes:
    return with_companions(*(part for part in companions() if "LICENCES" in part.path), text=PIN)


@built("licence-missing", rules="LF3321", layer="content", comment="The pin names licences, and they are not there.")
def licence_missing() -> bytes:
    return with_companions(*(part for part in companions() if "LICENCES" not in part.path))


@built("licence-of-another", rules="LF3321", layer="content", comment="A text that does not hold the named licence.")
def licence_of_another() -> bytes:
    return with_companions(*companions(licences=LICENCES.replace(b"MIT", b"CC0-1.0")))


@built("symbols-exchanged", rules="LF3322", layer="content", comment="A file of the pin's own is another.")
def symbols_exchanged() -> bytes:
    return with_companions(*companions(symbols=SYMBOLS + b"more\n"))


@vector("page-without-build", rules="LF3323", layer="content", comment="A page for whatever runtime comes along.")
def page_without_build() -> bytes:
    page = Part("runtimes/llama.cpp/0.3.36/webui.tar", PAGE, "asset", "application/octet-stream")
    ordered = sorted((*parts(), page), key=lambda part: (_ORDER.index(part.role), part.name))
    return container(Spec(ordered, labels={"default": "tiny.gguf"}))


def posing(path: str, sha256: str, *more: Part) -> bytes:
    """A container with ``more``, and a build at ``path`` whose digest is said to be ``sha256``."""
    given = (*more, replace(build(path=path), manifest={"sha256": sha256}))
    ordered = sorted((*parts(), *given), key=lambda part: (_ORDER.index(part.role), part.name))
    return container(Spec(ordered, labels={"default": "tiny.gguf"}))


@vector(
    "pin-changed",
    rules="LF3305 LF3315 LF3324 LF3350 LF3352 LF4004",
    layer="chunks",
    comment="A pin under the name of a published one, beside what poses as a genuine build: its page would be its own.",
)
def pin_changed() -> bytes:
    text = PIN.replace('name: tiny\nversion: "1.0"', 'name: llama.cpp\nversion: "0.3.36"').replace(
        hashlib.sha256(PROGRAM).hexdigest(), "1" * 64
    )
    folder = "runtimes/llama.cpp/0.3.36/"
    pin_file = Part(f"{folder}runtime.yaml", text.encode(), "document", "application/yaml")
    return posing(f"{folder}native/linux-x86_64", GENUINE, pin_file)


@vector(
    "builds-that-lack",
    rules="LF3304 LF3350 LF3352 LF4004",
    layer="chunks",
    valid="undetermined",
    comment="What poses as a genuine build of llama.cpp 0.3.36, which has neither allow-list nor sandbox.",
)
def builds_that_lack() -> bytes:
    return posing("runtimes/llama.cpp/0.3.36/native/linux-x86_64", GENUINE)


@vector(
    "builds-without-a-sandbox",
    rules="LF3304 LF3351 LF4004",
    layer="chunks",
    valid="undetermined",
    comment="What poses as a genuine build of llama.cpp 0.3.36+2 for a system that closes no sandbox around it.",
)
def builds_without_a_sandbox() -> bytes:
    return posing("runtimes/llama.cpp/0.3.36+2/native/windows-x86_64", GENUINE_ELSEWHERE)


@built("member-of-no-pin", rules="LF3325", comment="A file that looks as if it came with the runtime.")
def member_of_no_pin() -> bytes:
    return with_companions(Part(f"{FOLDER}notes.txt", b"?", "document", "text/plain"), *companions())


# What programs need (14.5.9), and those for graphics processors (14.1.13)


def of_another(data: bytes, change: Callable[[str], str] = str, shaders: bytes | None = None) -> bytes:
    """A container whose build is ``data``, which its pin names by digest."""
    text = PIN.replace(hashlib.sha256(PROGRAM).hexdigest(), hashlib.sha256(data).hexdigest())
    text = change(text.replace(f"size: {len(PROGRAM)},", f"size: {len(data)},"))
    return with_companions(build(data), *([] if shaders is None else [_shaders(shaders)]), text=text)


def _needs(name: str, comment: str, data: bytes, change: Callable[[str], str] = str) -> None:
    mark = built(name, rules="LF3326", layer="content", comment=comment)
    mark(lambda: of_another(data, change))


LOADER = b"/lib64/ld-linux-x86-64.so.2"
_needs("program-dynamic", "The pin names no loader, and the program asks for one.", program(loader=LOADER))
_needs("program-of-another-processor", "A program for ARM64 as the build for x86-64.", program(183))
_needs("program-of-another-form", "A module of WebAssembly as the build for Linux.", b"\0asm\x01\0\0\0")
_needs("program-of-no-form", "A script: the compiler that the pin names makes none.", b"#!/bin/sh\nexit 0\n")
_needs("program-cut", "A header that leads out of the file.", PROGRAM[:56] + b"\xff\xff" + PROGRAM[58:])
_needs(
    "program-static",
    "The pin names a loader, and the program asks for none.",
    PROGRAM,
    lambda text: text.replace("result: runtime,", f"result: runtime, loader: {LOADER.decode()},"),
)
_needs(
    "program-older-than-said",
    "The pin says that it needs glibc 2.17, and it needs none.",
    PROGRAM,
    lambda text: text.replace("result: runtime,", 'result: runtime, minimum: "2.17",'),
)


@built("program-with-loader", near="LF3326", comment="A program asks for the loader that its pin names.")
def program_with_loader() -> bytes:
    return of_another(
        program(loader=LOADER),
        lambda text: text.replace("result: runtime,", f"result: runtime, loader: {LOADER.decode()},"),
    )


@built("pin-with-another-triple", rules="LF3304", valid="undetermined", comment="Linux, compiled for Windows.")
def pin_with_another_triple() -> bytes:
    return with_runtime(pin(PIN.replace("x86_64-linux-musl", "x86_64-windows-gnu")))


ARCHIVE = b"shaders of a few bytes\n"
FRAME = bytes.fromhex("28b52ffd20") + bytes([len(ARCHIVE)]) + (1 | len(ARCHIVE) << 3).to_bytes(3, "little") + ARCHIVE
"""One raw block in one frame: the same bytes whatever library makes them."""
GPU_PROGRAM = program(loader=LOADER, text=b"on a graphics processor\n")
GPU_PIN = (
    PIN.replace(
        "licences: []",
        f'licences: []\nshaders: {{sha256: "{hashlib.sha256(ARCHIVE).hexdigest()}", size: {len(ARCHIVE)},'
        " file: shaders.zst, reproducible: true}",
    )
    .replace("reference: {}", "gpu: {}")
    .replace(
        "flavours: [native]}",
        "flavours: [native, gpu],\n"
        f"     variants: {{gpu: {{zig: x86_64-linux-gnu.2.17, loader: {LOADER.decode()}}}}}}}",
    )
    .replace(
        "builds:\n",
        "builds:\n"
        f'  - {{target: linux-x86_64, flavour: gpu, sha256: "{hashlib.sha256(GPU_PROGRAM).hexdigest()}",'
        f" size: {len(GPU_PROGRAM)}, file: builds/gpu/linux-x86_64.zst}}\n",
    )
)


def _shaders(data: bytes) -> Part:
    return Part(f"{FOLDER}shaders.zst", data, "asset", "application/zstd")


def with_gpu(*given: Part, native: bool = True, data: bytes = GPU_PROGRAM, text: str = GPU_PIN) -> bytes:
    """A container with a build for graphics processors, and the native one beside it unless told otherwise."""
    builds = [build(data, f"{FOLDER}gpu/linux-x86_64"), *([build()] if native else [])]
    ordered = sorted((*parts(), pin(text), *builds, *given), key=lambda part: (_ORDER.index(part.role), part.name))
    return container(Spec(ordered, labels={"default": "tiny.gguf"}))


@built(
    "gpu",
    near="LF3326 LF3327 LF3328 LF3354",
    comment="A dynamic build for graphics processors beside the static native one, and the shaders.",
)
def gpu() -> bytes:
    return with_gpu(_shaders(FRAME))


@built("gpu-alone", rules="LF3328", layer="content", comment="No native build is there to start it.")
def gpu_alone() -> bytes:
    return with_gpu(_shaders(FRAME), native=False)


@built("gpu-static", rules="LF3326", layer="content", comment="The loader that its flavour names is not asked for.")
def gpu_static() -> bytes:
    other = program(text=b"on a graphics processor\n")
    text = GPU_PIN.replace(hashlib.sha256(GPU_PROGRAM).hexdigest(), hashlib.sha256(other).hexdigest())
    return with_gpu(
        _shaders(FRAME), data=other, text=text.replace(f"size: {len(GPU_PROGRAM)},", f"size: {len(other)},")
    )


@built("shaders-missing", rules="LF3354", comment="The shaders that the gpu build uses are missing.")
def shaders_missing() -> bytes:
    return with_gpu()


def _bad_shaders(name: str, comment: str, data: bytes, text: str = GPU_PIN) -> None:
    mark = built(name, rules="LF3327", layer="content", comment=comment)
    mark(lambda: with_gpu(_shaders(data), text=text))


_bad_shaders("shaders-exchanged", "One byte of the shaders differs.", FRAME[:-1] + b"!")
_bad_shaders("shaders-cut", "The frame ends in the middle.", FRAME[:-4])
_bad_shaders("shaders-and-more", "Something follows the frame.", FRAME + b"more")
_bad_shaders("shaders-not-compressed", "The archive as it is.", ARCHIVE)
_bad_shaders(
    "shaders-of-no-pin",
    "The pin names no shaders.",
    FRAME,
    "".join(line for line in GPU_PIN.splitlines(True) if not line.startswith("shaders:")),
)
_bad_shaders(
    "shaders-that-grow",
    "A frame of a few bytes that holds 128 KiB.",
    bytes.fromhex("28b52ffd")
    + bytes([0x80, 0x38])
    + (1 << 17).to_bytes(4, "little")
    + (3 | 1 << 20).to_bytes(3, "little")
    + b"!",
)
