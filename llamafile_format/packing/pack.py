"""``pack``: from a model and its companions to one container (spec/1, 8.1).

The same inputs give the same bytes: members are ordered by role and name, no clock, host, user or tool version enters,
and the only time in the file is the one that the user asked for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llamafile_format.engines.members import kinds_of
from llamafile_format.errors import UsageError
from llamafile_format.findings import Finding
from llamafile_format.manifest.model import README_PATH
from llamafile_format.manifest.roles import DEFAULT_ALIGNMENT
from llamafile_format.output.publish import spare_inputs
from llamafile_format.output.resumable import resumable
from llamafile_format.output.room import require_room
from llamafile_format.packing.admitting import admit, require_model
from llamafile_format.packing.assemble import Assembled, Content, Labels, PrefixContent, assemble
from llamafile_format.packing.created import created_text
from llamafile_format.packing.in_front import (
    Args,
    arguments_content,
    dialect_of_engine,
    notes_about,
    prefix_content_of,
    prefix_of,
)
from llamafile_format.packing.inputs import (
    ANOTHER_NAME,
    Include,
    check_alignment,
    choose_default,
    content_of,
    expand_splits,
    paths_of,
    read_recipe,
    text_content,
    viewer_content,
)
from llamafile_format.packing.judging import Judgement, with_forced
from llamafile_format.packing.planned import lowest_version
from llamafile_format.packing.protecting import check_protectable
from llamafile_format.packing.readme import readme_text
from llamafile_format.packing.refuse_arguments import refuse_arguments
from llamafile_format.packing.runtime_members import (
    DEFAULT_RUNTIME,
    LAUNCHER,
    NONE,
    Choice,
    choose,
    launcher_prefix,
    runtime_contents,
    strange_builds,
)
from llamafile_format.packing.telling import license_notes, weight_notes
from llamafile_format.packing.windows import Companion
from llamafile_format.progress import Progress, counted
from llamafile_format.source import ByteSource, FileSource

if TYPE_CHECKING:
    from llamafile_format.engines.pin import Kind

PROFILES = ("default", "archive")


@dataclass(frozen=True, slots=True)
class PackResult:
    """What ``pack`` wrote: where, how large, the SHA-256 of its manifest, and bytes shared with the inputs.

    ``notes`` are sentences about what the user might not expect, such as engine files that were not carried over.
    ``extra`` are files written beside ``path``.
    """

    path: Path
    size: int
    manifest_sha256: str
    shared: int
    notes: tuple[str, ...] = ()
    extra: tuple[Path, ...] = ()


ARCHIVE_PERCENT = 5
"""Recovery data that profile ``archive`` means."""


@dataclass(frozen=True, slots=True)
class _Order:
    """Everything that was asked for, recipe and options together."""

    includes: tuple[Include, ...]
    recipe: str = ""
    prefix: str = ""
    runtime: str = ""
    flavour: str = ""
    args: Args | None = None
    labels: Labels = field(default_factory=Labels)
    alignment: int = DEFAULT_ALIGNMENT
    merge_splits: bool = False
    engine_only: bool = False
    recovery: int | None = None
    viewer: bool | None = None


def pack(
    files: Sequence[str | os.PathLike[str]] = (),
    out: str | os.PathLike[str] = "",
    *,
    prefix: str | os.PathLike[str] = "",
    runtime: str = "",
    flavour: str = "",
    args: Args | None = None,
    include: Sequence[Include] = (),
    recipe: str | os.PathLike[str] = "",
    name: str = "",
    license: str = "",  # noqa: A002
    source: str = "",
    created: str = "",
    default: str = "",
    align: int = 0,
    profile: str = "",
    merge_splits: bool = False,
    engine_only: bool = False,
    recovery: int | None = None,
    viewer: bool | None = None,
    resume: str = "",
    overwrite: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> PackResult:
    """Pack ``files`` (GGUF models and anything that goes with them) into the container ``out``.

    ``runtime`` is ``NAME[@VERSION][:TARGET,…]`` or ``none``, ``flavour`` one of :data:`FLAVOURS`.
    ``prefix`` is ``launcher``, ``none`` or the path of an engine. Without both, the launcher goes in front of every
    native build of llama.cpp that is at hand; ``engine_only`` says that no model is meant to go in. A model that is at
    fault, or that the runtime will not start, is refused, or with ``force`` packed and recorded; what is no model at
    all is always refused. ``recovery`` is how many percent of the file's slices recovery data inside it can give back
    (17.8); 0 for none. ``viewer`` puts the page in that reads the file in a browser (11.10). ``profile`` ``archive``
    adds SHA-512 to every digest, and means ``recovery`` 5, ``flavour`` ``both`` and ``viewer`` unless these are given.
    ``created`` is a UTC time (``2026-11-20T00:00:00Z``) or ``now``; without it ``SOURCE_DATE_EPOCH`` is used if set.
    ``resume`` names what goes in, if it comes from afar: what has come when the line breaks stays beside ``out``, and
    the next call of the same name goes on with those members whose ``sha256`` is known. ``overwrite`` replaces ``out``
    if it exists, and insists on nothing else; ``force`` does both.
    Options win over the recipe. Raises UsageError, FormatError and SourceError;
    nothing is left under ``out`` unless it is complete.
    """
    given = Labels(profile, created_text(created), name, license, source, default)
    order = _Order(
        includes=(*(Include(path) for path in expand_splits([Path(f) for f in files])), *include),
        recipe=os.fspath(recipe),
        prefix=os.fspath(prefix),
        runtime=runtime,
        flavour=flavour,
        args=args,
        labels=given,
        alignment=align,
        merge_splits=merge_splits,
        engine_only=engine_only,
        recovery=recovery,
        viewer=viewer,
    )
    if recipe:
        order = _with_recipe(order, Path(recipe))
    if order.labels.profile not in ("", *PROFILES):
        raise UsageError(f"unknown profile {order.labels.profile!r}", hint=f"profiles: {', '.join(PROFILES)}")
    order = replace(
        order,
        alignment=check_alignment(order.alignment or DEFAULT_ALIGNMENT),
        labels=replace(order.labels, profile=order.labels.profile or "default"),
    )
    return _packed(implied(settle(order)), out, resume=resume, overwrite=overwrite, force=force, progress=progress)


def _packed(
    order: _Order,
    out: str | os.PathLike[str],
    *,
    resume: str,
    overwrite: bool,
    force: bool,
    progress: Progress | None,
) -> PackResult:
    """What was asked for, which is all settled now: contents, runtime, prefix, file."""
    overwrite = overwrite or force
    engine = prefix_of("none" if order.prefix == LAUNCHER else order.prefix)
    contents = _contents(order, engine, force=force)
    if not order.includes and not engine.size and not (order.engine_only and order.runtime):
        raise UsageError("there is nothing to pack", hint="name a GGUF file")
    target = _target(order, out)
    spare_inputs(target, (*paths_of(order.includes, order.prefix), *filter(None, [order.recipe])), ANOTHER_NAME)
    weights = [content.path for content in contents if content.role == "weights"]
    labels = replace(order.labels, default=choose_default(weights, order.labels.default))
    notes = license_notes(labels.license)
    misfits: list[Finding] = []
    if order.runtime:
        chosen = choose(order.runtime, order.flavour)
        added = runtime_contents(chosen, order.alignment)
        contents += added
        notes += weight_notes(contents, added, chosen)
        misfits = _fitting(chosen, contents, labels.default, force=force)
    kinds = frozenset(kinds_of(content.path for content in contents).values())
    contents.append(text_content(README_PATH, "readme", _readme(order, engine, kinds)))
    if order.prefix == LAUNCHER:
        prefix_content = launcher_prefix(contents, labels.default)
        notes += strange_builds(contents)
    else:
        prefix_content = prefix_content_of(engine, contents, archive=labels.profile == "archive")
    refuse_arguments(contents, dialect_of_engine(engine), written=True)
    windows = Companion(target, contents) if order.prefix == LAUNCHER else None
    if windows:
        windows.check(prefix_content, contents, overwrite=overwrite)
    result = write_container(
        target,
        prefix_content,
        contents,
        labels,
        recovery=order.recovery or 0,
        resume=resume,
        overwrite=overwrite,
        force=force,
        overridden=misfits,
        progress=progress,
    )
    result = replace(result, notes=(*result.notes, *notes))
    return _with_companion(result, windows, overwrite=overwrite) if windows else result


def _with_companion(result: PackResult, windows: Companion, *, overwrite: bool) -> PackResult:
    beside = windows.write(result.size, overwrite=overwrite)
    return replace(result, notes=(*result.notes, *beside.get("notes", ())), extra=beside.get("extra", ()))


def settle(order: _Order) -> _Order:
    """``order`` with the prefix and runtime that it means (clause 8.1.2)."""
    prefix, runtime = order.prefix, order.runtime
    if not runtime and prefix in ("", LAUNCHER):
        runtime = DEFAULT_RUNTIME
    prefix = prefix or (NONE if runtime == NONE else LAUNCHER)
    if runtime in ("", NONE) and order.flavour:
        raise UsageError("--flavour chooses among the builds of a runtime, and there is none", hint="add --runtime")
    return replace(order, prefix=prefix, runtime="" if runtime == NONE else runtime)


def implied(order: _Order) -> _Order:
    """``order`` with what its profile means besides digests (clause 8.1.11), where nothing else was said."""
    archive = order.labels.profile == "archive"
    return replace(
        order,
        recovery=order.recovery if order.recovery is not None else ARCHIVE_PERCENT if archive else 0,
        viewer=order.viewer if order.viewer is not None else archive,
        flavour=order.flavour or ("both" if archive and order.runtime else ""),
    )


def _fitting(chosen: Choice, contents: Sequence[Content], default: str, *, force: bool) -> list[Finding]:
    """Refuse, before anything is written, models that the runtime will not start; what ``force`` overrides."""
    from llamafile_format.packing.fitting import misfits, refuse, refuse_lacking

    found = misfits([chosen.pin], contents, default)
    if found and not force:
        refuse(found, chosen.pin.key)
    if not force:
        refuse_lacking([chosen.pin], contents, default)
    return found


def write_container(
    target: Path,
    prefix: PrefixContent,
    contents: Sequence[Content],
    labels: Labels,
    *,
    recovery: int = 0,
    resume: str = "",
    overwrite: bool = False,
    force: bool = False,
    overridden: Sequence[Finding] = (),
    progress: Progress | None = None,
) -> PackResult:
    """Assemble a container under a temporary name, judge it, and publish it as ``target``.

    ``overridden`` are findings that ``force`` has overridden already; ``resume`` and ``overwrite`` are as :func:`pack`
    has them.
    """
    if recovery:
        check_protectable(contents, recovery)
    total = prefix.engine.size + sum(content.source.size for content in contents)
    require_room(target.parent, [prefix.engine, *(content.source for content in contents)], total * recovery // 100)
    mode = 0o777 if prefix.size else 0o666
    with resumable(target, resume, force=overwrite, mode=mode) as begun:
        descriptor = begun.fd
        advance = counted(progress, total)
        written: Assembled = assemble(descriptor, prefix, contents, labels, recovery=recovery, progress=advance)
        judgement = Judgement(with_forced(labels.history, {"action": "pack"}), force=force, overridden=overridden)
        source = FileSource.from_descriptor(descriptor, target.name)
        written = judgement.of(source, descriptor, written, prefix.records)
    return PackResult(target, written.size, written.manifest_sha256, written.shared, notes_about(prefix))


def _target(order: _Order, out: str | os.PathLike[str]) -> Path:
    if out:
        return Path(out)
    models = [include.path for include in order.includes if include.path.suffix.lower() == ".gguf"]
    if not models:
        raise UsageError("no output name", hint="say where to write with -o OUT")
    return Path(models[0].stem + ".llamafile")


def _with_recipe(order: _Order, path: Path) -> _Order:
    """``order`` completed by the recipe at ``path``; its paths are relative to the recipe's folder."""
    recipe = read_recipe(path)
    folder = path.parent
    mine = order.labels
    weights = expand_splits([folder / str(item) for item in recipe.get("weights", ())])
    extra = [_recipe_include(folder, item) for item in recipe.get("include", ())]
    prefix = str(recipe.get("prefix", ""))
    if prefix not in ("", NONE, LAUNCHER):
        prefix = os.fspath(folder / prefix)
    labels = Labels(
        profile=mine.profile or str(recipe.get("profile", "")),
        created=mine.created or (created_text(str(recipe["created"])) if "created" in recipe else ""),
        name=mine.name or str(recipe.get("name", "")),
        license=mine.license or str(recipe.get("license", "")),
        source=mine.source or str(recipe.get("source", "")),
        default=mine.default or str(recipe.get("default", "")),
    )
    args = order.args if order.args is not None else recipe.get("args")
    return replace(
        order,
        includes=(*order.includes, *(Include(item) for item in weights), *extra),
        prefix=order.prefix or prefix,
        runtime=order.runtime or ("" if order.prefix == NONE else str(recipe.get("runtime", ""))),
        flavour=order.flavour or ("" if NONE in (order.prefix, order.runtime) else str(recipe.get("flavour", ""))),
        args=[str(token) for token in args] if isinstance(args, list) else args,
        labels=labels,
        alignment=order.alignment or int(recipe.get("align", 0)),
        merge_splits=order.merge_splits or bool(recipe.get("merge_splits", False)),
        recovery=order.recovery if order.recovery is not None else recipe.get("recovery"),
        viewer=order.viewer if order.viewer is not None else recipe.get("viewer"),
    )


def _recipe_include(folder: Path, item: Any) -> Include:
    if isinstance(item, str):
        return Include(folder / item)
    if not isinstance(item, Mapping) or "path" not in item or item.keys() - {"path", "member", "role"}:
        raise UsageError(f"a recipe's include is a path, or path with member and role; found {item!r}")
    return Include(folder / str(item["path"]), str(item.get("member", "")), str(item.get("role", "")))


def _contents(order: _Order, engine: ByteSource, *, force: bool) -> list[Content]:
    """Everything that was named, admitted, and what follows from it; but for the runtime."""
    contents = [content_of(include, order.alignment) for include in order.includes]
    admit(contents, force=force)
    require_model(contents, engine=bool(engine.size or order.runtime), engine_only=order.engine_only)
    if order.merge_splits:
        from llamafile_format.packing.splits import merge_splits

        contents = merge_splits(contents)
    if order.viewer:
        contents.append(viewer_content())
    if order.args is not None:
        if any(content.role == "arguments" for content in contents):
            raise UsageError("arguments are given twice: as a file and with --args")
        contents.append(arguments_content(order.args, engine, [content.path for content in contents]))
    return contents


def _readme(order: _Order, engine: ByteSource, kinds: Set[Kind]) -> bytes:
    version = lowest_version(["recovery"] * bool(order.recovery) + ["viewer"] * bool(order.viewer))
    return readme_text(
        order.labels.name,
        engine=bool(engine.size),
        launcher=order.prefix == LAUNCHER,
        kinds=kinds,
        version=version,
        recovery=bool(order.recovery),
        viewer=bool(order.viewer),
    )
