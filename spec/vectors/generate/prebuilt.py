"""Engines that others built: a library that a program loads (14.9), and wheels of Python code (14.10)."""

from __future__ import annotations

import hashlib

from spec.vectors.generate.forge import Part
from spec.vectors.generate.runtimes import (
    FOLDER,
    PIN,
    PROGRAM,
    ZEROS,
    build,
    built,
    pin,
    program,
    with_companions,
    with_runtime,
)

CHAPTER = "runtimes"

LIBRARY = b"a library of a few bytes\n"
LINE = f"{hashlib.sha256(LIBRARY).hexdigest()} {len(LIBRARY)} libtiny.so"


def loading(lines: str = LINE) -> bytes:
    """A program that loads what ``lines`` list."""
    return program(text=f"llamafile-libraries/1 linux-x86_64\n{lines}\n".encode() + b"\0")


LIBRARY_PIN = (
    PIN.replace('name: tiny\nversion: "1.0"', 'kind: native-library\nname: tiny\nversion: "1.0"')
    .replace(f', folder: "{{tiny}}", tree: "swh:1:dir:{ZEROS}"', "")
    .replace(
        "recipe:\n",
        "libraries:\n  - {target: linux-x86_64, name: libtiny.so, input: tiny, member: libtiny.so.1,\n"
        f'     sha256: "{hashlib.sha256(LIBRARY).hexdigest()}", size: {len(LIBRARY)}}}\nrecipe:\n',
    )
)


def beside(data: bytes, text: str, name: str, contents: bytes | None) -> bytes:
    """A container with the build ``data``, its pin, and ``contents`` beside it under ``name``."""
    text = text.replace(hashlib.sha256(PROGRAM).hexdigest(), hashlib.sha256(data).hexdigest())
    text = text.replace(f"size: {len(PROGRAM)},", f"size: {len(data)},")
    path = f"{FOLDER}lib/linux-x86_64/{name}"
    more = [] if contents is None else [Part(path, contents, "asset", "application/octet-stream")]
    return with_companions(build(data), *more, text=text)


def with_library(library: bytes | None = LIBRARY, data: bytes | None = None, name: str = "libtiny.so") -> bytes:
    """A container whose program loads ``library``, which is in the file under ``name``."""
    return beside(data or loading(), LIBRARY_PIN, name, library)


@built(
    "library",
    rules="LF3334",
    near="LF3329 LF3332 LF3333",
    comment="A program, the library that it loads, and a pin that names both.",
)
def library_there() -> bytes:
    return with_library()


@built("library-exchanged", rules="LF3329 LF3334", layer="content", comment="One byte of the library differs.")
def library_exchanged() -> bytes:
    return with_library(LIBRARY[:-1] + b"!")


@built(
    "library-of-no-pin", rules="LF3329 LF3332 LF3334", layer="content", comment="The right bytes under another name."
)
def library_of_no_pin() -> bytes:
    return with_library(name="libother.so")


@built("library-missing", rules="LF3332 LF3334", layer="content", comment="The program cannot start without it.")
def library_missing() -> bytes:
    return with_library(None)


@built("library-list-differs", rules="LF3333 LF3334", layer="content", comment="The program loads another library.")
def library_list_differs() -> bytes:
    return with_library(data=loading("0" * 64 + LINE[64:]))


@built("library-list-missing", rules="LF3333 LF3334", layer="content", comment="A program that lists none.")
def library_list_missing() -> bytes:
    return with_library(data=program(text=b"no list\n"))


# Python code that others built (14.10)

RUNNER = b'#!/bin/sh\n"""true"\necho no\nexit 1\n"""\n'
WHEEL = b"a wheel of a few bytes\n"
WHEEL_NAME = "tiny-1.0-py3-none-any.whl"
WHEELS_PIN = (
    PIN.replace('name: tiny\nversion: "1.0"', 'kind: python-wheels\nname: tiny\nversion: "1.0"')
    .replace(f', commit: "{ZEROS}", release: "1.0", folder: "{{tiny}}", tree: "swh:1:dir:{ZEROS}"', ', release: "1.0"')
    .replace(
        f'file: tiny-1.0.tar.gz, sha256: "{hashlib.sha256(PROGRAM).hexdigest()}", size: 1',
        f'file: {WHEEL_NAME}, sha256: "{hashlib.sha256(WHEEL).hexdigest()}", size: {len(WHEEL)}',
    )
    .replace(
        "recipe:\n",
        f"libraries:\n  - {{target: linux-x86_64, name: {WHEEL_NAME}, input: tiny,\n"
        f'     sha256: "{hashlib.sha256(WHEEL).hexdigest()}", size: {len(WHEEL)}}}\nrecipe:\n',
    )
)


def with_wheel(wheel: bytes = WHEEL, data: bytes = RUNNER, text: str = WHEELS_PIN) -> bytes:
    """A container whose build is the runner ``data``, with a wheel beside it."""
    return beside(data, text, WHEEL_NAME, wheel)


@built("wheels", rules="LF3334", near="LF3326 LF3329", comment="A runner, a wheel, and a pin that names both.")
def wheels_there() -> bytes:
    return with_wheel()


@built("wheels-exchanged", rules="LF3329 LF3334", layer="content", comment="One byte of the wheel differs.")
def wheels_exchanged() -> bytes:
    return with_wheel(WHEEL[:-1] + b"!")


@built(
    "wheels-with-a-program", rules="LF3326 LF3334", layer="content", comment="A launcher would start it as a program."
)
def wheels_with_a_program() -> bytes:
    return with_wheel(data=PROGRAM)


@built(
    "wheels-in-part",
    rules="LF3304",
    valid="undetermined",
    comment="A wheel is carried whole, and the pin names a member of it.",
)
def wheels_in_part() -> bytes:
    return with_wheel(text=WHEELS_PIN.replace("input: tiny,\n", "input: tiny, member: tiny.py,\n"))


@built(
    "pin-with-libraries-of-its-own",
    rules="LF3304",
    valid="undetermined",
    comment="Libraries in a pin of another kind.",
)
def pin_with_libraries_of_its_own() -> bytes:
    return with_runtime(pin(LIBRARY_PIN.replace("kind: native-library\n", "")))
