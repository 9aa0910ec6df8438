"""Libraries that others built, beside the programs that load them (spec/1, 14.9.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from llamafile_format.engines.libraries import list_of, listed
from llamafile_format.engines.members import parse_runtime_path
from llamafile_format.engines.pin import Kind
from llamafile_format.findings import Finding, Value, Where

if TYPE_CHECKING:
    from llamafile_format.container import Container
    from llamafile_format.engines.pin import Pin
    from llamafile_format.manifest.model import Manifest, Member

LIBRARIES = "lib/"
"""Where libraries lie, relative to the pin's folder."""
MAX_PROGRAM = 64 << 20  # bytes of a program whose list is looked for


def check_libraries(manifest: Manifest, pin: Pin, folder: str, inside: Mapping[str, Member]) -> Iterator[Finding]:
    """LF3329, LF3332, LF3334: the members below ``folder``, by their names in it, against what ``pin`` names."""
    named = {library.path: library for library in pin.libraries}
    for name, member in inside.items():
        wanted = named.get(name)
        if wanted is not None and (wanted.sha256, wanted.size) != (member.sha256, member.size):
            yield _at("LF3329", member, found=member.sha256, wanted=wanted.sha256)
        elif wanted is None and pin.libraries and name.startswith(LIBRARIES):
            yield _at("LF3329", member, found=member.sha256, wanted="no such library")
    targets = {build.target for each in manifest.with_role("runtime") if (build := parse_runtime_path(each.path))}
    for path, library in named.items():
        if path not in inside and library.target in targets:
            yield Finding("LF3332", Where(member=f"{folder}{path}"), {"path": f"{folder}{path}", "runtime": pin.key})
    if pin.libraries:
        where = inside["runtime.yaml"]
        yield _at("LF3334", where, runtime=pin.key, title=pin.title[:200])


def check_list(container: Container, pin: Pin, member: Member, target: str) -> Iterator[Finding]:
    """LF3333: a program that loads other libraries than its pin names."""
    if pin.kind is not Kind.NATIVE_LIBRARY:  # of wheels the pin alone says which are started (14.10.4)
        return
    program = container.source.read_at(member.offset, min(member.size, MAX_PROGRAM))
    found, wanted = listed(program), list_of(pin, target)
    if found != wanted:
        more = next((line for line in (*found, *wanted) if (line in found) != (line in wanted)), "another order")
        yield _at(
            "LF3333", member, reason="it has no list of libraries" if not found else f"they differ in {more[:200]}"
        )


def _at(rule: str, member: Member, **args: Value) -> Finding:
    return Finding(rule, Where(member.offset, member.size, member.path), {"path": member.path, **args})
