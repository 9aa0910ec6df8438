"""What a repack does to the runtimes inside a container, and whether they still fit the models (spec/1, 8.2.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from llamafile_format.engines.members import is_of_runtime
from llamafile_format.errors import UsageError
from llamafile_format.findings import Finding
from llamafile_format.manifest.roles import DEFAULT_ALIGNMENT, MODEL_ROLES
from llamafile_format.packing import (
    DEFAULT_RUNTIME,
    LAUNCHER,
    NONE,
    Carried,
    CarriedEngine,
    Content,
    choose,
    pins_among,
    runtime_contents,
)
from llamafile_format.source import BytesSource

if TYPE_CHECKING:
    from llamafile_format.changing.order import Order


def new_launcher() -> CarriedEngine:
    """The launcher of this release, before it knows what it starts."""
    from llamafile_format.engines.implied import LAUNCHER_VERSION, blank_launcher

    return CarriedEngine(BytesSource(blank_launcher(), LAUNCHER), LAUNCHER, version=LAUNCHER_VERSION)


def exchanged(contents: Mapping[str, Content], order: Order) -> tuple[list[str], list[Content]]:
    """(paths that go, members that come) for the runtime in ``order``; ``contents`` are the members by path.

    A launcher that is asked for where nothing could be started brings the usual runtime. UsageError for contradictions.
    """
    runtime = order.runtime
    if runtime is None and order.prefix == LAUNCHER and not any(c.role == "runtime" for c in contents.values()):
        runtime = DEFAULT_RUNTIME
    if order.flavour and runtime in (None, NONE):
        raise UsageError("--flavour chooses among the builds of a runtime", hint="name it with --runtime llama.cpp")
    if runtime is None:
        return [], []
    if runtime == NONE:
        return sorted(path for path in contents if is_of_runtime(path)), []
    chosen = choose(runtime, order.flavour or "")
    wanted = runtime_contents(chosen, order.align or DEFAULT_ALIGNMENT, contents)
    paths = {content.path for content in wanted}
    if twice := sorted(paths & {*order.remove, *order.rename, *order.rename.values()}):
        raise UsageError(f"{twice[0]} belongs to the runtime that is put in", hint="do it in two steps")
    return sorted(path for path in contents if is_of_runtime(path, chosen.pin.name) and path not in paths), wanted


def new_misfits(
    carried: Carried, contents: Mapping[str, Content], default: str, *, force: bool = False
) -> tuple[Finding, ...]:
    """What the runtimes inside do not know of the models, if this step brought in either of them.

    FormatError, unless ``force`` insists, if a text is missing beside the model without which none of them starts it.
    """
    from llamafile_format.packing import misfits, refuse_lacking

    old = {content.path: content.source for content in carried.contents}
    new = [content for path, content in contents.items() if content.source is not old.get(path)]
    if not any(content.role == "runtime" or content.role in MODEL_ROLES for content in new):
        return ()
    pins = pins_among(contents.values())
    if not force:
        refuse_lacking(pins, list(contents.values()), default)
    return tuple(misfits(pins, list(contents.values()), default)) if pins else ()
