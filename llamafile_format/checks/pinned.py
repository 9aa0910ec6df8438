"""What goes with builds, compared with what their pin says of it: page, licences, the rest (spec/1, 14.1.11)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from llamafile_format.checks.libraries import LIBRARIES, check_libraries
from llamafile_format.engines.packed import frame_differs
from llamafile_format.engines.pin import Flavour
from llamafile_format.engines.store import document, licences, pins, reach
from llamafile_format.engines.swhid import of_bytes
from llamafile_format.findings import Finding, Value, Where

if TYPE_CHECKING:
    from llamafile_format.container import Container
    from llamafile_format.engines.pin import Pin
    from llamafile_format.manifest.model import Manifest, Member

PAGE, SHADERS, LICENCES, PIN = "webui.tar", "shaders.zst", "LICENCES.txt", "runtime.yaml"
MAX_TEXT = 4 << 20  # bytes of a licence text that are read
MAX_SHADERS = 16 << 20  # compressed bytes of shaders; a gpu build reads no more


def check_companions(container: Container, manifest: Manifest, read: Mapping[str, Pin]) -> Iterator[Finding]:
    """Findings about all members in the folders of pins; ``read`` has the pins by the path of their member."""
    for path, pin in read.items():
        folder = path.removesuffix(PIN)
        inside = {member.path.removeprefix(folder): member for member in manifest.members if _is_in(member, folder)}
        yield from _published(container, pin, inside[PIN])
        if PAGE in inside:
            yield from _page(pin, inside[PAGE])
        elif pin.webui is not None and _serves(manifest, f"{folder}{Flavour.NATIVE}/"):
            yield Finding("LF3353", Where(member=path), {"path": f"{folder}{PAGE}"})
        if SHADERS in inside:
            yield from _shaders(container, pin, inside[SHADERS])
        elif pin.shaders is not None and _has(manifest, f"{folder}{Flavour.GPU}/"):
            yield Finding("LF3354", Where(member=path), {"path": f"{folder}{SHADERS}"})
        if pin.licences:
            yield from _licences(container, pin, inside.get(LICENCES), folder)
        yield from check_libraries(manifest, pin, folder, inside)
        told = {PAGE, SHADERS, PIN, LICENCES} if pin.licences else {PAGE, SHADERS, PIN}
        told |= {name for name in inside if name.startswith(LIBRARIES)} if pin.libraries else set()
        for name, member in inside.items():
            if name not in told:
                yield from _other(container, pin, name, member)


def _serves(manifest: Manifest, native: str) -> bool:
    """True if builds below ``native`` serve a page of this file: the small program of 14.4.2 takes its sibling's."""
    return _has(manifest, native) and manifest.prefix.sibling is None


def _has(manifest: Manifest, folder: str) -> bool:
    """True if there are builds below ``folder``."""
    return any(member.path.startswith(folder) for member in manifest.with_role("runtime"))


def _is_in(member: Member, folder: str) -> bool:
    return member.path.startswith(folder) and member.role != "runtime"


def _at(rule: str, member: Member, **args: Value) -> Finding:
    return Finding(rule, Where(member.offset, member.size, member.path), {"path": member.path, **args})


def _published(container: Container, pin: Pin, member: Member) -> Iterator[Finding]:
    """LF3324: a pin that is not the one that was published under its name and version (14.5.1), if it is known here."""
    known = next((each for each in pins() if each.key == pin.key), None)
    ours = {build.sha256 for build in known.builds} if known is not None else set()
    if known is None or not any(each.sha256 in ours for each in container.members if each.role == "runtime"):
        return  # builds that nobody here knows are told by themselves
    if container.source.read_at(member.offset, member.size) != document(known):
        yield _at("LF3324", member, pin=pin.key)


def _page(pin: Pin, member: Member) -> Iterator[Finding]:
    page = pin.webui
    if page is None or (page.sha256, page.size) != (member.sha256, member.size):
        yield _at("LF3320", member, found=member.sha256, wanted=page.sha256 if page else "no page")


def _shaders(container: Container, pin: Pin, member: Member) -> Iterator[Finding]:
    """LF3327: shaders that a gpu build would refuse, or that hide something behind the frame."""
    wanted = pin.shaders
    if wanted is None:
        yield _at("LF3327", member, reason="its pin names none")
    elif member.size > MAX_SHADERS:
        yield _at("LF3327", member, reason=f"it has {member.size} bytes, more than {MAX_SHADERS}")
    elif reason := frame_differs(container.source.read_at(member.offset, member.size), wanted.sha256, wanted.size):
        yield _at("LF3327", member, reason=reason)


def _licences(container: Container, pin: Pin, member: Member | None, folder: str) -> Iterator[Finding]:
    """LF3321: the licences of everything in the builds, by component and identifier; of a known pin, word by word."""
    if member is None:
        yield Finding("LF3321", args={"path": f"{folder}{LICENCES}", "reason": "it is not in the file"})
        return
    if member.size > MAX_TEXT:
        yield _at("LF3321", member, reason=f"it has {member.size} bytes, more than {MAX_TEXT}")
        return
    data = container.source.read_at(member.offset, member.size)
    known = next((each for each in pins() if each.key == pin.key), None)
    if known is not None and data != licences(known):
        yield _at("LF3321", member, reason="it is not the text that goes with this pin")
        return
    text = data.decode("utf-8", "replace")
    for licence in pin.licences:
        if f"{licence.component}\nSPDX-License-Identifier: {licence.spdx}\n{reach(licence)}\n" not in text:
            yield _at("LF3321", member, reason=f"{licence.component[:80]} under {licence.spdx[:80]} is not in it")
            return


def _other(container: Container, pin: Pin, name: str, member: Member) -> Iterator[Finding]:
    """Anything else in the folder: what the pin names as its own, by its identifier; the rest is remarked."""
    own = next((each for each in pin.own if each.path == name), None)
    if own is None:
        yield _at("LF3325", member)
    elif member.size > MAX_TEXT:
        yield _at("LF3322", member, reason=f"it has {member.size} bytes, more than {MAX_TEXT}")
    elif of_bytes(container.source.read_at(member.offset, member.size)) != own.swhid:
        yield _at("LF3322", member, reason=f"the pin names another: {own.swhid}")
