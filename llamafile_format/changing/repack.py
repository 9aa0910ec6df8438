"""``repack``: another engine, other members, another form, around weights that nobody touches (spec/1, 8.2).

The order of work is that of the chapter: read what the old file hands over (8.3), apply what was asked for (8.2),
remember what is lost (8.4), then write a new file, or change the old one in place under a journal (8.5).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llamafile_format.changing.changes import Plan, plan_changes
from llamafile_format.changing.damage import check_crcs, check_written
from llamafile_format.changing.from_legacy import carry_legacy
from llamafile_format.changing.history import claimed_signers, entry, legacy_order
from llamafile_format.changing.order import Order
from llamafile_format.container import Container, Kind, Openable, open_container
from llamafile_format.engines.members import is_of_runtime
from llamafile_format.errors import UsageError
from llamafile_format.manifest.roles import DEFAULT_ALIGNMENT
from llamafile_format.output.publish import output, spare_inputs
from llamafile_format.output.room import require_room
from llamafile_format.output.transfer import copy
from llamafile_format.packing import (
    ANOTHER_NAME,
    LAUNCHER,
    Args,
    Assembled,
    Carried,
    Companion,
    Content,
    Include,
    Judgement,
    assemble,
    carry,
    judge,
    license_notes,
    notes_about,
    refuse_errors,
    with_forced,
)
from llamafile_format.progress import Advance, Progress, counted
from llamafile_format.source import FileSource
from llamafile_format.source.pending import real_path, refuse_pending


@dataclass(frozen=True, slots=True)
class RepackResult:
    """What ``repack`` did. Sizes are bytes.

    ``changed`` is False if the new file has the old one's bytes. ``manifest_sha256`` is empty for a legacy file.
    ``shared`` counts data bytes that share disk blocks with the input, or stayed on theirs. ``method`` is ``new file``,
    ``in place``, ``replaced`` (a new file took the old one's name) or ``nothing to do``. ``unsigned`` names the
    signature records that no longer sign the file, ``claimed_keys`` the ids of the keys that these records name, which
    nobody has checked. ``changes`` and ``notes`` are sentences; ``extra`` are files written beside ``path``.
    """

    path: Path
    size: int
    manifest_sha256: str
    changed: bool
    shared: int = 0
    method: str = "new file"
    unsigned: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    extra: tuple[Path, ...] = ()
    claimed_keys: tuple[str, ...] = ()


def repack(
    what: Openable,
    out: str | os.PathLike[str] | None = None,
    *,
    in_place: bool = False,
    prefix: str | os.PathLike[str] | None = None,
    runtime: str | None = None,
    flavour: str | None = None,
    args: Args | None = None,
    drop_args: Sequence[str] = (),
    include: Sequence[Include] = (),
    remove: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    to: str = "1.0",
    split_weights: bool = False,
    profile: str | None = None,
    default: str | None = None,
    align: int | None = None,
    name: str | None = None,
    license: str | None = None,  # noqa: A002
    source: str | None = None,
    created: str | None = None,
    recovery: int | None = None,
    viewer: bool | None = None,
    engine_only: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> RepackResult:
    """Write ``what``, a container or a legacy llamafile, anew as ``out``, or change the file itself with ``in_place``.

    ``prefix`` is the path of an engine, ``launcher``, ``none``, or None to keep the one there is. ``runtime`` takes the
    place of all builds of the same engine, ``none`` takes out all builds. ``drop_args`` are options to take out of the
    default arguments. ``rename`` maps old member names to new ones.
    ``to`` is ``1.0`` or ``legacy``. ``engine_only`` allows to take out the last model. ``force`` replaces an existing
    ``out``, allows to change a signed file in place, and overrides what ``verify`` would call not valid. Other options
    are those of ``pack``; None keeps what the file says. Recovery data inside are made anew, with the percentage
    that they had; ``recovery`` 0 takes them out. ``viewer`` puts the newest page in (11.10), or takes the page out.

    Weights are never encoded again, and their digests are reused. Raises UsageError for contradictions, FormatError
    for a damaged input, SourceError when reading or writing fails: then the input is as it was, or, in place, its
    journal says so and ``recover`` finishes the work.
    """
    order = Order(
        prefix=None if prefix is None else os.fspath(prefix),
        runtime=runtime,
        flavour=flavour,
        args=args,
        drop_args=tuple(drop_args),
        include=tuple(include),
        remove=tuple(remove),
        rename=dict(rename or {}),
        profile=profile,
        default=default,
        align=align,
        name=name,
        license=license,
        source=source,
        created=created,
        recovery=recovery,
        viewer=viewer,
        engine_only=engine_only,
        force=force,
    )
    if to not in ("1.0", "legacy"):
        raise UsageError(f"unknown form {to!r}", hint="--to 1.0 or --to legacy")
    target = _target(what, out, order, in_place=in_place, split=split_weights)
    with _open(what, in_place=in_place) as container:
        carried = _carry(container, order, target.parent)
        plan = plan_changes(carried, order)
        named = Path(what) if in_place and isinstance(what, str | os.PathLike) else target  # as the user calls it
        job = _Job(container, carried, plan, target, named, in_place=in_place, force=force, progress=progress)
        if split_weights:
            return job.split()
        if to == "legacy":
            return job.legacy()
        return job.write()


def _target(what: Openable, out: str | os.PathLike[str] | None, order: Order, *, in_place: bool, split: bool) -> Path:
    path = Path(what) if isinstance(what, str | os.PathLike) else None
    if in_place:
        if path is None or out is not None:
            raise UsageError("--in-place changes a file that is named by its path, and has no other output")
        if split:
            raise UsageError("--split-weights writes new files", hint="say where with -o OUT")
        return real_path(path)
    if not out:
        raise UsageError("no output name", hint="say where to write with -o OUT, or change the file with --in-place")
    target = Path(out)
    if path is not None:
        spare_inputs(target, [path], "change it with --in-place, or choose another name")
    spare_inputs(target, order.inputs, ANOTHER_NAME)
    return target


@contextlib.contextmanager
def _open(what: Openable, *, in_place: bool) -> Iterator[Container]:
    if isinstance(what, str | os.PathLike):
        refuse_pending(what)
    if in_place and isinstance(what, str | os.PathLike):
        from llamafile_format.changing.surgery import locked

        with locked(real_path(what)) as source, open_container(source) as container:
            yield container
        return
    with open_container(what) as container:
        yield container


def _carry(container: Container, order: Order, folder: Path) -> Carried:
    if container.kind is Kind.CONTAINER:
        return carry(container)
    align = order.align or DEFAULT_ALIGNMENT
    return carry_legacy(container, rename=order.rename, remove=order.remove, align=align, folder=folder)


class _Job:
    """One repack on its way to disk."""

    def __init__(
        self,
        container: Container,
        carried: Carried,
        plan: Plan,
        target: Path,
        named: Path,
        *,
        in_place: bool,
        force: bool,
        progress: Progress | None,
    ) -> None:
        self.container = container
        self.carried = carried
        self.plan = plan
        self.target = target
        self.named = named
        self.in_place = in_place
        self.force = force
        self.progress = progress

    @property
    def companion(self) -> Companion:
        """What the new file needs on Windows."""
        return Companion(self.target, self.plan.contents if self.plan.prefix.kind == LAUNCHER else ())

    def write(self) -> RepackResult:
        """Write a 1.0 container."""
        if not self.plan.changes and self.carried.origin is None:
            return self._unchanged()
        self._allow_in_place()
        if self.plan.misfits and not self.force:
            from llamafile_format.packing import refuse

            refuse(self.plan.misfits, "the runtime inside")
        self.companion.check(self.plan.prefix, self.plan.contents, overwrite=self.force or self.in_place)
        plan = self._with_history()
        notes: tuple[str, ...] = ()
        if self.in_place and self.carried.origin is None:
            from llamafile_format.changing.surgery import Refusal, operate

            judgement = self._judgement(plan)
            done = operate(
                self.container, self.carried, plan, self.target, judgement=judgement, progress=self._advance(plan)
            )
            if not isinstance(done, Refusal):
                return self._result(done, "in place")
            notes = (f"not changed in place, because {done.reason}: a new file took its name",)
        elif self.in_place:
            notes = ("a legacy llamafile is written anew: a new file took its name",)
        self._require_room(plan)
        with self._output(plan.prefix.size > 0) as out:
            written = assemble(
                out, plan.prefix, plan.contents, plan.labels, recovery=plan.recovery, progress=self._advance(plan)
            )
            check_written(written, self.carried, plan)
            source = FileSource.from_descriptor(out, self.target.name)
            written = self._judgement(plan).of(source, out, written, plan.prefix.records)
        return self._result(written, "replaced" if self.in_place else "new file", notes)

    def legacy(self) -> RepackResult:
        """Write a legacy llamafile: same members, no manifest, digests gone."""
        from llamafile_format.changing.to_legacy import legacy_contents, write_legacy

        if self.plan.prefix.kind == LAUNCHER:
            raise UsageError(
                "a launcher starts containers only, not legacy llamafiles", hint="add --prefix ENGINE, or --prefix none"
            )

        self._allow_in_place()
        plan = self.plan
        history = plan.labels.history
        if self.carried.origin is not None:
            history = (*history, entry(self.carried, plan.changes))
        paths = [content.path for content in sorted_contents(plan)]
        contents = legacy_contents(plan.contents, legacy_order(history, paths))
        self._require_room(plan)
        with self._output(plan.prefix.size > 0) as out:
            size, shared, crcs = write_legacy(out, plan.prefix, contents, progress=self._advance(plan))
            check_crcs(crcs, self.carried, plan)
            refuse_errors(judge(FileSource.from_descriptor(out, self.target.name), plan.fresh), force=self.force)
        notes = ("a legacy llamafile has no manifest: digests, history and signatures stay behind",)
        return replace(self._base("replaced" if self.in_place else "new file"), size=size, shared=shared, notes=notes)

    def split(self) -> RepackResult:
        """Write a container without weights, and the weights beside it; if that fails, neither."""
        from llamafile_format.changing.split_weights import loose_weights, split_plan, write_loose

        loose = loose_weights(self.plan)
        if self.plan.prefix.kind == LAUNCHER and not self.force:
            raise UsageError(
                "what a launcher starts is given a model inside the file: with the weights beside it, verify would "
                "call the file not valid (LF6122)",
                hint="add --prefix ENGINE, or keep the weights inside; or insist with --force",
            )
        if os.path.lexists(self.target) and not self.force:
            raise UsageError(f"{self.target} exists", hint="add --force to replace it, or choose another name")
        advance = self._advance(self.plan)
        extra, digests = write_loose(self.target, loose, self.carried.crc32, force=self.force, progress=advance)
        self.plan = split_plan(self.carried, self.plan, loose, digests)
        try:
            return replace(self.write(), extra=tuple(extra))
        except BaseException:
            for path in extra:
                path.unlink(missing_ok=True)
            raise

    def _with_history(self) -> Plan:
        plan = self.plan
        history = (*plan.labels.history, entry(self.carried, plan.changes, plan.created))
        return replace(plan, labels=replace(plan.labels, history=history))

    def _judgement(self, plan: Plan) -> Judgement:
        """How the finished file is judged; what is forced goes into the last history entry of ``plan``."""
        history = plan.labels.history
        record = with_forced(history[:-1], history[-1])
        return Judgement(record, plan.fresh, self.force, plan.misfits if self.force else ())

    def _unchanged(self) -> RepackResult:
        """The same bytes, signatures and all."""
        base = replace(
            self._base("nothing to do"),
            size=self.container.size,
            manifest_sha256=self.carried.manifest_sha256,
            changed=False,
            unsigned=(),
            claimed_keys=(),
        )
        if self.in_place:
            return base
        source = self.container.source
        total = source.size
        require_room(self.target.parent, [source])
        with self._output(self.plan.prefix.size > 0) as out:
            shared = copy(source, 0, total, out, 0, progress=counted(self.progress, total))
            os.ftruncate(out, total)
        return replace(base, shared=shared, method="new file")

    def _allow_in_place(self) -> None:
        if self.in_place and self.carried.signatures and not self.force:
            names = ", ".join(name for name, _ in self.carried.signatures)
            raise UsageError(
                f"{self.target} is signed ({names}), and the changed file would not be",
                hint="keep it and write a new file with -o OUT, or add --force",
            )

    def _require_room(self, plan: Plan) -> None:
        sources = [plan.prefix.engine, *(content.source for content in plan.contents)]
        require_room(self.target.parent, sources, sum(source.size for source in sources) * plan.recovery // 100)

    @contextlib.contextmanager
    def _output(self, executable: bool) -> Iterator[int]:
        mode = 0o777 if executable else 0o666
        with output(self.target, force=self.force or self.in_place, mode=mode) as out:
            if self.in_place:  # the new file takes the old one's place: its permissions stay
                old = self.target.stat().st_mode & 0o7777
                os.fchmod(out, old | ((old & 0o444) >> 2 if executable else 0))
            yield out

    def _advance(self, plan: Plan) -> Advance:
        total = plan.prefix.engine.size + sum(content.source.size for content in plan.contents)
        return counted(self.progress, total)

    def _base(self, method: str) -> RepackResult:
        return RepackResult(
            path=self.named,
            size=0,
            manifest_sha256="",
            changed=True,
            method=method,
            unsigned=tuple(name for name, _ in self.carried.signatures),
            claimed_keys=claimed_signers(self.carried.signatures),
            changes=sentences(self.plan.changes),
            notes=(*self.plan.notes, *self._about_the_licence()),
        )

    def _about_the_licence(self) -> tuple[str, ...]:
        new = self.plan.labels.license
        return license_notes(new) if new != self.carried.labels.license else ()

    def _result(self, written: Assembled, method: str, notes: tuple[str, ...] = ()) -> RepackResult:
        new_prefix = any(change.get("what") == "prefix" for change in self.plan.changes)
        about = notes_about(self.plan.prefix) if new_prefix else ()
        beside = self.companion.write(written.size, overwrite=self.force or self.in_place)
        return replace(
            self._base(method),
            size=written.size,
            manifest_sha256=written.manifest_sha256,
            shared=written.shared,
            notes=(*notes, *self.plan.notes, *self._about_the_licence(), *about, *beside.get("notes", ())),
            extra=beside.get("extra", ()),
        )


def sorted_contents(plan: Plan) -> list[Content]:
    """Contents in file order."""
    from llamafile_format.manifest.roles import file_order

    return sorted(plan.contents, key=lambda content: file_order(content.role, content.path))


def sentences(changes: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """``changes`` in plain words; what came or went with a runtime in one sentence."""
    result: dict[str, int] = {}
    for change in changes:
        path, what = str(change.get("path", "")), str(change.get("what", ""))
        if is_of_runtime(path) and what in ("remove", "include"):
            verb = "removed" if what == "remove" else "replaced" if change.get("from") else "added"
            text = f"{verb} {{}} in {'/'.join(path.split('/')[:3])}"
        else:
            text = sentence(change).replace("{", "{{").replace("}", "}}")
        result[text] = result.get(text, 0) + 1
    return tuple(text.format("1 member" if count == 1 else f"{count} members") for text, count in result.items())


def sentence(change: Mapping[str, object]) -> str:
    """``change`` in plain words. Values come from files: escape them on output."""
    what = str(change.get("what", ""))
    path, old, new = (str(change.get(key, "")) for key in ("path", "from", "to"))
    texts = {
        "prefix": f"prefix replaced: {_engine_name(old)} became {_engine_name(new)}",
        "profile": f"profile changed from {old} to {new}",
        "remove": f"removed {path}",
        "rename": f"renamed {old} to {new}",
        "align": f"aligned to {new}: {', '.join(_paths(change))}",
        "include": f"{'replaced' if old else 'added'} {path} ({change.get('role', '')})",
        "arguments": f"{'rewrote' if old else 'added'} {path}",
        "readme": "wrote META-LLAMAFILE/README.txt anew",
        "recovery": f"recovery data for {old or 0} % became {new or 0} %",
        "split-weights": f"took out {', '.join(_paths(change))}",
    }
    return texts.get(what, f"{what} changed from {old or 'nothing'} to {new or 'nothing'}")


_NOTHING = hashlib.sha256().hexdigest()  # the engine of a file that has none


def _engine_name(digest: str) -> str:
    return "none" if digest == _NOTHING else f"engine {digest[:16]}…"


def _paths(change: Mapping[str, object]) -> list[str]:
    paths = change.get("paths", ())
    return [str(path) for path in paths] if isinstance(paths, list | tuple) else []
