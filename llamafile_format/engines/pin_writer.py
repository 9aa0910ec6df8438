"""Write into a pin what only a build can know: digests, sizes, identities, what the engine's sources say it knows.

Only those fields are written, each in one fixed form, and every other byte of ``runtime.yaml`` stays: comments, order.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from llamafile_format.engines.pin import Build, Flavour, Page, Pin
from llamafile_format.engines.pin_reader import load_pin
from llamafile_format.errors import FormatError

_PLAIN = re.compile(r"[a-z][a-z0-9_-]*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_WIDTH = 118


def with_build(text: str, pin: Pin, build: Build) -> str:
    """``text`` of ``pin`` with ``build`` among its builds; flavour by flavour, in the order of the pin's targets."""
    order = {target.name: index for index, target in enumerate(pin.targets)}
    builds = [one for one in pin.builds if (one.target, one.flavour) != (build.target, build.flavour)] + [build]
    builds.sort(key=lambda one: (list(Flavour).index(one.flavour), order[one.target]))
    rows = [
        line
        for one in builds
        for line in (
            f"- target: {one.target}",
            f"  flavour: {one.flavour}",
            f"  sha256: {one.sha256}",
            f"  size: {one.size}",
            f"  file: {one.file}",
        )
    ]
    return with_block(text, "builds", rows)


def with_page(text: str, page: Page) -> str:
    """``text`` with the chat page's digest and size."""
    return with_block(text, "webui", _companion(page))


def with_shaders(text: str, shaders: Page) -> str:
    """``text`` with the digest and size of the shaders."""
    return with_block(text, "shaders", _companion(shaders))


def _companion(page: Page) -> list[str]:
    return [
        f"  sha256: {page.sha256}",
        f"  size: {page.size}",
        f"  file: {page.file}",
        f"  reproducible: {'true' if page.reproducible else 'false'}",
    ]


def with_facts(text: str, architectures: Sequence[str], tensor_types: Sequence[int]) -> str:
    """``text`` with what the engine's sources say that it knows."""
    text = with_block(text, "tensor_types", _flow(map(str, tensor_types)))
    return with_block(text, "architectures", _flow(map(_scalar, architectures)))


def with_swhid(text: str, name: str, swhid: str) -> str:
    """``text`` with the identity of the thing of ours called ``name``."""
    found = re.compile(rf"^- id: {re.escape(name)}\n  path: [^\n]*\n  swhid: (?P<swhid>[^\n]*)$", re.MULTILINE).search(
        text
    )
    if found is None:
        raise FormatError(f"the pin has no entry {name} of the expected form")
    return text[: found.start("swhid")] + swhid + text[found.end("swhid") :]


def with_block(text: str, key: str, rows: Sequence[str]) -> str:
    """``text`` with everything under the top-level ``key`` replaced by ``rows``; the key must be there."""
    lines = text.split("\n")
    starts = [index for index, line in enumerate(lines) if line.startswith(f"{key}:")]
    if len(starts) != 1:
        raise FormatError(f"the pin has {len(starts)} lines {key}:")
    start = end = starts[0]
    while end + 1 < len(lines) and (lines[end + 1].startswith((" ", "- ")) or lines[end + 1] == "]"):
        end += 1
    return "\n".join([*lines[:start], f"{key}:", *rows, *lines[end + 1 :]])


def _flow(words: Iterable[str]) -> list[str]:
    """A list in YAML's flow form, wrapped."""
    inside = textwrap.wrap(", ".join(words), _WIDTH, break_long_words=False, break_on_hyphens=False)
    return ["  [", *(f"  {line}" for line in inside), "  ]"]


def _scalar(word: str) -> str:
    return word if _PLAIN.fullmatch(word) and word not in _WORDS else f'"{word}"'


def rewrite(pin: Pin, text: str) -> Pin:
    """Put ``text`` at the pin's place, if it can be read back; the pin that it is now."""
    path = pin.folder / "runtime.yaml"
    partial = path.with_name("runtime.yaml.partial")
    partial.write_text(text, encoding="utf-8")
    try:
        load_pin(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return load_pin(path)


def text_of(pin: Pin) -> str:
    """The pin as it is written."""
    return Path(pin.folder / "runtime.yaml").read_text(encoding="utf-8")
