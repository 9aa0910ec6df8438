"""Does the engine that was chosen read the model, and is what it loads in the file? Asked before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.container import Container, MemberFacts
from llamafile_format.engines.members import companion_path
from llamafile_format.engines.pin import Kind
from llamafile_format.errors import FormatError
from llamafile_format.findings import Finding, Where
from llamafile_format.rules import rule
from llamafile_format.running.builds import Program
from llamafile_format.source import Window

if TYPE_CHECKING:
    from llamafile_format.engines.pin import Pin


def strange_to(container: Container, model: MemberFacts, pin: Pin) -> list[str]:
    """What of ``model`` the engine of ``pin`` does not know, to be told. FormatError if it reads no such format."""
    from llamafile_format.checks.fitting import check_fit, other_format
    from llamafile_format.weights.formats import GGUF, recognise_format

    form = recognise_format(Window(container.source, model.offset, model.size))
    if form is not None and form is not GGUF:
        for finding in other_format(form, model, model.path, [pin], Where(model.offset, None, model.path)):
            raise _unread(container.name, finding)
        return []
    refuse_gguf(container.name, model.path, pin)
    gguf = container.gguf(model, budget=64 << 20)
    found = check_fit(gguf, [pin], path=model.path, role="weights", base=model.offset)
    return [rule(finding.rule).render(finding) for finding in found]


def refuse_gguf(name: str, path: str, pin: Pin) -> None:
    """FormatError if the engine of ``pin``, which is to open the GGUF ``path``, is one for other formats."""
    if not pin.reads_gguf:
        facts = {"path": path, "format": "GGUF", "runtimes": pin.key}
        raise _unread(name, Finding("LF3303", Where(None, None, path), facts))


def _unread(name: str, finding: Finding) -> FormatError:
    """Why the file ``name`` is not started: no engine that was chosen reads its model."""
    return FormatError(
        f"{name} was not started: {rule(finding.rule).render(finding)}",
        clause=finding.rule,
        hint="name a runtime that reads it with --runtime, or take the model out: llamafile-format extract",
    )


def refuse_without_libraries(container: Container, program: Program) -> None:
    """FormatError if a build of this installation would look in the file for libraries that are not there (14.9.3)."""
    pin = program.pin
    if pin is None or pin.kind is not Kind.NATIVE_LIBRARY:
        return
    there = {member.path for member in container.members}
    paths = (companion_path(pin, library.path) for library in pin.libraries_for(program.build.target))
    if missing := [path for path in paths if path not in there]:
        raise FormatError(
            f"{container.name} was not started: {missing[0]} is not in the file, and {pin.key} is nothing without it",
            clause="14.9.3",
            hint=f"put the engine in: llamafile-format repack {container.name} --runtime {pin.name} -o NEW",
        )
