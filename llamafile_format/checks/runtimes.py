"""Findings about runtimes in a container: names, pins, and whether they fit the weights (spec/1, 14.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llamafile_format.checks.fitting import LOADED, check_fit, check_shards, other_format
from llamafile_format.checks.libraries import check_list
from llamafile_format.checks.loading import Model, check_loading
from llamafile_format.checks.together import Piece, check_taken, check_template_taken
from llamafile_format.engines.members import RuntimeName, parse_runtime_path
from llamafile_format.engines.pin import Flavour
from llamafile_format.errors import FormatError
from llamafile_format.findings import Finding, Where
from llamafile_format.manifest.roles import MODEL_ROLES
from llamafile_format.source import Window
from llamafile_format.weights.formats import GGUF, recognise_format

if TYPE_CHECKING:
    from llamafile_format.container import Container
    from llamafile_format.engines.pin import Pin
    from llamafile_format.manifest.model import Manifest, Member


def check_runtimes(container: Container, *, deep: bool) -> Iterator[Finding]:
    """Findings about the runtimes of ``container``. Without ``deep`` the pins inside are not read."""
    manifest = container.manifest
    if manifest is None:
        return
    builds: dict[str, list[tuple[RuntimeName, Member]]] = {}
    for member in manifest.with_role("runtime"):
        name = parse_runtime_path(member.path)
        if name is None:
            yield Finding("LF3300", Where(member.offset, member.size, member.path), {"path": member.path})
        else:
            builds.setdefault(f"runtimes/{name.engine}/{name.version}/runtime.yaml", []).append((name, member))
    if manifest.prefix.kind == "launcher" and not builds:
        yield Finding("LF3307", Where(0, manifest.prefix.size, field="prefix.kind"))
    if not builds:
        return
    from llamafile_format.checks.known_builds import check_known_builds

    yield from check_known_builds(found for members in builds.values() for found in members)
    for members in builds.values():
        yield from _check_gpu(members)
    if not deep:
        yield Finding("LF9006", args={"path": "runtimes", "what": "their pins, and whether they fit the weights"})
        return
    from llamafile_format.checks.pinned import check_companions

    pins: dict[str, Pin] = {}
    unread = False
    for path, members in builds.items():
        pin = _pin(container, manifest, path)
        if isinstance(pin, Finding):
            unread = True
            yield pin
        else:
            pins[path] = pin
            yield from _compare(container, pin, members)
    yield from check_companions(container, manifest, pins)
    if pins and not unread:  # an engine that nobody here knows may know what the others do not
        yield from check_fits(container, manifest, list(pins.values()))


def _pin(container: Container, manifest: Manifest, path: str) -> Pin | Finding:
    """The pin in the member ``path``, or why it cannot be had."""
    from llamafile_format.engines.embedded import MAX_PIN, read_embedded

    member = manifest.member(path)
    if member is None:
        return Finding("LF3304", args={"path": path, "reason": "it is not in the file"})
    where = Where(member.offset, member.size, path)
    if member.size > MAX_PIN:
        return Finding("LF3304", where, {"path": path, "reason": f"it has {member.size} bytes, more than {MAX_PIN}"})
    try:
        return read_embedded(container.source.read_at(member.offset, member.size), path)
    except FormatError as error:
        return Finding("LF3304", where, {"path": path, "reason": error.message})


def _compare(container: Container, pin: Pin, members: list[tuple[RuntimeName, Member]]) -> Iterator[Finding]:
    """LF3305: builds that are not the ones that their pin names; LF3326: that need what it does not say."""
    for name, member in members:
        where = Where(member.offset, member.size, member.path)
        build = pin.build(name.target, name.flavour)
        if build is None or (build.sha256, build.size) != (member.sha256, member.size):
            wanted = build.sha256 if build is not None else "no such build"
            yield Finding("LF3305", where, {"path": member.path, "found": member.sha256, "wanted": wanted})
            continue
        if reason := _needs(pin, name, Window(container.source, member.offset, member.size)):
            yield Finding("LF3326", where, {"path": member.path, "reason": reason})
        yield from check_list(container, pin, member, name.target)


def _needs(pin: Pin, name: RuntimeName, program: Window) -> str:
    """What in the headers of ``program`` is not what its pin says; empty if nothing."""
    from llamafile_format.engines.needs import against

    try:
        return "; ".join(against(pin, name.target, name.flavour, program)[:4])
    except FormatError as error:
        return error.message


def _check_gpu(names: list[tuple[RuntimeName, Member]]) -> Iterator[Finding]:
    """LF3328: builds for a graphics processor that nothing starts; ``names`` are those of one engine and version."""
    native = {name.target for name, _ in names if name.flavour is Flavour.NATIVE}
    for name, member in names:
        if name.flavour is Flavour.GPU and name.target not in native:
            where = Where(member.offset, member.size, member.path)
            yield Finding("LF3328", where, {"path": member.path, "target": name.target, "runtime": name.key})


def check_fits(container: Container, manifest: Manifest, pins: list[Pin]) -> Iterator[Finding]:
    """LF3301 to LF3303, LF3306 and LF3310 to LF3318: what the runtimes can do with the models."""
    shards, bases = {}, {}
    for member in container.members:
        if member.role not in MODEL_ROLES or not member.stored or member.offset < 0:
            continue
        where = Where(member.offset, member.size, member.path)
        found = recognise_format(Window(container.source, member.offset, member.size))
        if found is not GGUF:
            yield from other_format(found, member, manifest.default, pins, where)
            continue
        gguf = container.gguf(member)
        if gguf.stopped in ("fault", "cap"):  # said already; what was read is not all
            continue
        yield from check_fit(gguf, pins, path=member.path, role=member.role, base=member.offset)
        yield from check_loading(Model(gguf, member.path, member.offset, whole=member.role in LOADED), pins)
        piece = Piece(member.path, member.role, gguf, member.offset)
        yield from check_taken(piece, [pin.key for pin in pins])
        if member.path == manifest.default:
            yield from check_template_taken(piece, [pin.key for pin in pins])
        if member.role in LOADED:
            shards[member.path], bases[member.path] = gguf, member.offset
    yield from check_shards(shards, bases)
