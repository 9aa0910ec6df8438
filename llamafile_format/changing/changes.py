"""What a repack is asked for, applied to what a file hands over: the plan of the new file (spec/1, 8.2).

A plan says what is written and, by comparison with the old file, what that changes. If it changes nothing, nothing is
done: repacking twice in the same way gives the same bytes as once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from llamafile_format.changing.history import Change, kept_signatures, removed_before
from llamafile_format.changing.migrate_arguments import (
    ARGUMENTS,
    change_of,
    engine_dialect,
    engine_digest,
    model_named_by,
    new_arguments,
    same_bytes,
)
from llamafile_format.changing.order import Order
from llamafile_format.changing.readme import rewrite_readme
from llamafile_format.changing.runtime_changes import exchanged, new_launcher, new_misfits
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.findings import Finding
from llamafile_format.manifest.hashing import sha256_of
from llamafile_format.manifest.model import VERSION, EngineAsset, EngineDirectory, numbers_of
from llamafile_format.manifest.reader import MAX_TEXT
from llamafile_format.manifest.roles import DEFAULT_ALIGNMENT, MAPPED_ROLES, MODEL_ROLES
from llamafile_format.packing import (
    LAUNCHER,
    PROFILES,
    Carried,
    CarriedEngine,
    Content,
    Labels,
    PrefixContent,
    admit,
    check_alignment,
    check_name,
    choose_default,
    content_of,
    created_text,
    launcher_prefix,
    prefix_content_of,
    prefix_of,
    refuse_arguments,
    require_model,
    strange_builds,
    viewer_content,
    without_second_digest,
)
from llamafile_format.packing import asset_of as asset_digests
from llamafile_format.prefix.arguments import Dialect
from llamafile_format.recovery.sets import recovery_percent
from llamafile_format.zip.engine_archive import engine_records
from llamafile_format.zip.entry import Entry
from llamafile_format.zip.names import collisions, is_reserved


@dataclass(frozen=True, slots=True)
class Plan:
    """The new file: prefix, contents in no particular order, labels without the new history entry, and ``changes``.

    ``created`` is the time for the history entry, if one was asked for; ``notes`` are sentences for the user.
    ``misfits`` say what the runtime inside does not know of the models, ``fresh`` which members this step brought in
    (None: all of them, from a file without digests). ``recovery`` is the percentage of recovery data.
    """

    prefix: PrefixContent
    contents: tuple[Content, ...]
    labels: Labels
    changes: tuple[Change, ...]
    created: str = ""
    notes: tuple[str, ...] = ()
    misfits: tuple[Finding, ...] = ()
    fresh: frozenset[str] | None = None
    recovery: int = 0


def plan_changes(carried: Carried, order: Order) -> Plan:
    """Apply ``order`` to ``carried``. Reads what is new, and nothing of what stays.

    Raises UsageError for contradictions: names that do not exist or collide, a default that is no model.
    """
    _check_order(order, {content.path for content in carried.contents})
    changes: list[Change] = []
    notes: list[str] = []
    if numbers_of(carried.version) > numbers_of(VERSION):
        notes.append(f"the file has version {carried.version}; what version {VERSION} does not know was kept unread")
    engine = _engine(carried.engine, order.prefix, changes)
    profile = order.profile or carried.labels.profile
    contents = {content.path: content for content in carried.contents}
    _profile(carried, profile, changes)
    _remove(contents, carried, order.remove, changes, notes)
    renamed = _rename(contents, carried, order.rename, changes)
    if order.align is not None:
        _align(contents, order.align, changes)
    _include(contents, order, changes)
    _viewer(contents, order, changes)
    recovery = _recovery(contents, order, changes)
    _runtimes(contents, order, changes, notes)
    if not any((include.member or include.path.name) == ARGUMENTS for include in order.include):
        arguments = new_arguments(carried, engine, order, renamed, contents)
        migrated = order.args is None and not renamed and not order.drop_args
        _replace(contents, arguments, "arguments", changes, migrated=migrated)
    labels = _labels(carried, order, contents, renamed, changes)
    rewrite_readme(contents, carried, labels, engine, changes, recovery=recovery, asked=bool(order.recovery))
    engine = _raised(engine, changes)
    if not engine.source.size and not any(content.role == "weights" for content in contents.values()):
        raise UsageError("nothing would be left: neither a model nor an engine")
    if any(content.role in MODEL_ROLES for content in carried.contents):
        if not order.include and not order.engine_only:
            _keep_a_model(contents, carried, order.remove)
        require_model(list(contents.values()), engine=True, engine_only=order.engine_only)
    if changes or carried.origin is not None:
        for content in kept_signatures(carried):
            contents[content.path] = content
    _check_collisions(contents)
    included = any((include.member or include.path.name) == ARGUMENTS for include in order.include)
    dialect = engine_dialect(engine) if ARGUMENTS in contents else Dialect.NATIVE
    refuse_arguments(list(contents.values()), dialect, written=included or order.args is not None)
    if profile == "default":
        contents = {path: _default_profile(content) for path, content in contents.items()}
    prefix = _prefix(engine, list(contents.values()), labels, anew=bool(changes))
    if engine.launcher and not carried.engine.launcher:  # what lay there starts from now on
        notes += strange_builds(contents.values())
    created = labels.created if order.created else ""
    found = new_misfits(carried, contents, labels.default, force=order.force) if changes else ()
    fresh = _fresh(carried, contents)
    return Plan(prefix, tuple(contents.values()), labels, tuple(changes), created, tuple(notes), found, fresh, recovery)


def _recovery(contents: dict[str, Content], order: Order, changes: list[Change]) -> int:
    """Percent of recovery data in the new file. The old ones speak of the old file, and are never carried over."""
    there = [content for content in contents.values() if content.role == "recovery"]
    for content in there:
        del contents[content.path]
    before = recovery_percent(there[0].source) if there else 0
    if order.recovery is None:
        if there and not before:
            raise UsageError(
                f"the recovery data in {there[0].path} cannot be read",
                hint="make them anew: --recovery 5, or 0 for none",
            )
        return before
    if order.recovery != before or (there and not before):
        changes.append({"what": "recovery", "from": before, "to": order.recovery})
    return order.recovery


def _viewer(contents: dict[str, Content], order: Order, changes: list[Change]) -> None:
    """The newest page in the place of whatever page there is, or none."""
    if order.viewer:
        _replace(contents, viewer_content(), "include", changes)
    elif order.viewer is not None:
        for old in [content for content in contents.values() if content.role == "viewer"]:
            del contents[old.path]
            changes.append(
                {"what": "remove", "path": old.path} | ({"sha256": old.known.sha256.hex()} if old.known else {})
            )


def _fresh(carried: Carried, contents: Mapping[str, Content]) -> frozenset[str] | None:
    """Paths of members whose contents nobody has judged yet."""
    if carried.origin is not None:
        return None
    old = {id(content.source) for content in carried.contents}
    return frozenset(path for path, content in contents.items() if id(content.source) not in old)


def _check_order(order: Order, there: set[str]) -> None:
    if order.profile is not None and order.profile not in PROFILES:
        raise UsageError(f"unknown profile {order.profile!r}", hint=f"profiles: {', '.join(PROFILES)}")
    included = [include.member or include.path.name for include in order.include]
    named = [*set(order.remove), *order.rename, *order.rename.values(), *included]
    if order.args is not None:
        named.append(ARGUMENTS)
    if order.drop_args and (
        order.args is not None or ARGUMENTS in {*order.remove, *included} or ARGUMENTS not in there
    ):
        raise UsageError("there are no arguments to take options out of", hint="--drop-args changes those of the file")
    for path, count in Counter(named).items():
        if count > 1:  # done twice, such an order would not lead where it led the first time
            raise UsageError(
                f"{path} is named twice among what to include, remove and rename", hint="do it in two steps"
            )
    for path in (*order.remove, *order.rename):
        if is_reserved(path) and path in there:
            raise UsageError(f"{path} belongs to the format itself", hint="members in META-LLAMAFILE/ cannot be named")
    if order.align is not None:
        check_alignment(order.align)
    for key in ("name", "license", "source"):
        if len(getattr(order, key) or "") > MAX_TEXT:
            raise UsageError(f"the {key} has more than {MAX_TEXT} characters", hint="put it into a document instead")


def _engine(engine: CarriedEngine, wanted: str | None, changes: list[Change]) -> CarriedEngine:
    """The engine to write; the old one, with its digests, if the wanted one is the same."""
    if wanted is None:
        return engine
    anew = _launcher_for(engine) if wanted == LAUNCHER else CarriedEngine(prefix_of(wanted))
    old, new = engine_digest(engine), sha256_of(anew.source)
    if new == old and anew.source.size == engine.source.size:
        return engine
    changes.append({"what": "prefix", "from": old, "to": new})
    return anew


def _launcher_for(engine: CarriedEngine) -> CarriedEngine:
    """The launcher of this release in the place of ``engine``; of an older one it keeps what is not the launcher's."""
    return replace(new_launcher(), sibling=engine.sibling, extra=engine.extra) if engine.launcher else new_launcher()


def _raised(engine: CarriedEngine, changes: list[Change]) -> CarriedEngine:
    """An older launcher gives way to that of this release whenever something is written anyway (8.2.7)."""
    anew = new_launcher()
    if not changes or not engine.launcher or not 0 < engine.version < anew.version:
        return engine
    changes.append({"what": "prefix", "from": engine_digest(engine), "to": sha256_of(anew.source)})
    return _launcher_for(engine)


def _prefix(engine: CarriedEngine, contents: Sequence[Content], labels: Labels, *, anew: bool) -> PrefixContent:
    """The prefix with the records of its own ZIP. Which of them are carried depends on the members' names."""
    if engine.launcher:
        if not engine.version and not anew:
            return PrefixContent(engine.kind, engine.source)
        if not engine.version:
            raise FormatError(
                "this release does not know the launcher of this file, and cannot fit it to other members",
                clause="14.2.3",
                hint="put its own in front: --prefix launcher",
            )
        made = launcher_prefix(contents, labels.default, sibling=engine.sibling, version=engine.version)
        return replace(made, extra=engine.extra)
    archive = labels.profile == "archive"
    if engine.known is None or not engine.source.size:
        return prefix_content_of(engine.source, contents, archive=archive)
    found = engine_records(engine.source, engine.source.size, taken=[content.path for content in contents])
    known = engine.known if archive else (without_second_digest(engine.known[0]), engine.known[1])
    directory: EngineDirectory | None = None
    records: tuple[bytes, ...] = ()
    if found.count:
        assets = tuple(_asset(engine, entry, archive=archive) for entry in found.carried)
        directory = EngineDirectory(found.offset, found.size, found.count, assets, found.dropped)
        records = tuple(engine.source.read_at(entry.record_offset, entry.record.length) for entry in found.carried)
    opaque = "" if found.count else found.opaque_reason
    return PrefixContent(engine.kind, engine.source, directory, records, opaque, known, extra=engine.extra)


def _asset(engine: CarriedEngine, entry: Entry, *, archive: bool) -> EngineAsset:
    """An engine asset with the digests it has; read only for those it does not have, and then checked."""
    old = engine.assets.get(entry.path)
    if old is not None and (old.sha512 or not archive):
        return old if archive else replace(old, sha512="")
    new = asset_digests(engine.source, entry, archive)
    if old is not None and old.sha256 != new.sha256:
        raise UsageError(f"{entry.path}, an asset of the engine, is damaged: it has another SHA-256 than is recorded")
    return new


def _profile(carried: Carried, profile: str, changes: list[Change]) -> None:
    if profile == carried.labels.profile:
        return
    change: dict[str, object] = {"what": "profile", "from": carried.labels.profile, "to": profile}
    if profile == "archive":
        change["first_computed"] = ["sha512"]
    changes.append(change)


def _default_profile(content: Content) -> Content:
    if content.known is None or not content.known.sha512:
        return content
    return replace(content, known=without_second_digest(content.known))


def _remove(
    contents: dict[str, Content], carried: Carried, remove: Sequence[str], changes: list[Change], notes: list[str]
) -> None:
    for path in sorted(set(remove)):
        old = contents.pop(path, None)
        if old is not None:
            change: dict[str, object] = {"what": "remove", "path": path}
            if old.known is not None:
                change["sha256"] = old.known.sha256.hex()
            changes.append(change)
        elif carried.origin is not None and removed_before([carried.origin], path):
            continue  # it was left out when the legacy file was read
        elif removed_before(carried.labels.history, path):
            notes.append(f"{path} was removed before")
        else:
            raise UsageError(f"there is no member {path} to remove", hint=f"members: {_some(contents)}")


def _keep_a_model(contents: Mapping[str, Content], carried: Carried, removed: Sequence[str]) -> None:
    """UsageError if what was ``removed`` by name were the last models of the file."""
    gone = [content.path for content in carried.contents if content.role in MODEL_ROLES and content.path in removed]
    if gone and not any(content.role in MODEL_ROLES for content in contents.values()):
        raise UsageError(
            f"there would be an engine and no model: {', '.join(gone[:4])} was the last",
            hint="put another one in with --include, or say that it is meant: --engine-only",
        )


def _rename(
    contents: dict[str, Content], carried: Carried, rename: Mapping[str, str], changes: list[Change]
) -> dict[str, str]:
    """Rename members; which names really changed, old to new."""
    if carried.origin is not None:  # a legacy file's members got their new names when they were read
        missing = [old for old, new in rename.items() if new not in contents]
        done = {old: new for old, new in rename.items() if new in contents}
    else:
        missing = [old for old, new in rename.items() if old not in contents and new not in contents]
        done = {old: new for old, new in rename.items() if old in contents and old != new}
    if missing:
        raise UsageError(f"there is no member {missing[0]} to rename", hint=f"members: {_some(contents)}")
    if carried.origin is not None:
        return done
    moved = {new: replace(contents.pop(old), path=check_name(new)) for old, new in done.items()}
    if taken := sorted(set(moved) & set(contents)):
        raise UsageError(f"there is a member {taken[0]} already", hint="remove it, or choose another name")
    contents.update(moved)
    changes.extend({"what": "rename", "from": old, "to": new} for old, new in sorted(done.items()))
    return done


def _align(contents: dict[str, Content], align: int, changes: list[Change]) -> None:
    def wanted(content: Content) -> int:  # the launcher counts in units of 64 KiB
        """The alignment of ``content`` in bytes."""
        return max(align, DEFAULT_ALIGNMENT) if content.role == "runtime" else align

    moved = [path for path, c in contents.items() if c.role in MAPPED_ROLES and c.alignment != wanted(c)]
    for path in moved:
        contents[path] = replace(contents[path], alignment=wanted(contents[path]))
    if moved:
        changes.append({"what": "align", "to": align, "paths": sorted(moved)})


def _include(contents: dict[str, Content], order: Order, changes: list[Change]) -> None:
    seen: set[str] = set()
    mapped = {c.alignment for c in contents.values() if c.role in MODEL_ROLES}
    default = mapped.pop() if len(mapped) == 1 else None  # a newcomer is aligned as its neighbours are
    for include in sorted(order.include, key=lambda item: item.member or item.path.name):
        align = order.align or default
        content = content_of(include, align) if align else content_of(include)
        admit([content], force=order.force)
        if content.path in seen:
            raise UsageError(
                f"two includes are named {content.path}", hint="give one another name: --include PATH=NAME"
            )
        seen.add(content.path)
        _replace(contents, content, "include", changes)


def _runtimes(contents: dict[str, Content], order: Order, changes: list[Change], notes: list[str]) -> None:
    """Builds of the wanted runtime instead of those of the same engine; ``none`` takes all of them out."""
    gone, wanted = exchanged(contents, order)
    for path in gone:
        old = contents.pop(path)
        changes.append({"what": "remove", "path": path} | ({"sha256": old.known.sha256.hex()} if old.known else {}))
    if gone and any(content.role == "behaviour" for content in contents.values()):
        notes.append("records of behaviour may name builds that were taken out; replaying them needs those builds")
    for content in wanted:
        _replace(contents, content, "include", changes)


def _replace(
    contents: dict[str, Content], content: Content | None, what: str, changes: list[Change], *, migrated: bool = False
) -> None:
    """Put ``content`` in, unless the same bytes are there in the same role."""
    if content is None:
        return
    old = contents.get(content.path)
    if old is not None and old.role == content.role and same_bytes(old, content):
        return
    change: dict[str, object] = {"what": what, "path": content.path, "role": content.role}
    if what == "arguments" and old is not None:
        change = change_of(old, content, migrated=migrated)
    elif old is not None and old.known is not None:
        change["from"] = old.known.sha256.hex()
    contents[content.path] = content
    changes.append(change)


def _labels(
    carried: Carried,
    order: Order,
    contents: Mapping[str, Content],
    renamed: Mapping[str, str],
    changes: list[Change],
) -> Labels:
    """Catalogue texts and default model; each that differs is a change."""
    old = carried.labels
    weights = [content.path for content in contents.values() if content.role == "weights"]
    kept = renamed.get(old.default, old.default)
    wanted = order.default if order.default is not None else (kept if kept in weights else "")
    if not wanted and len(weights) > 1:
        named = model_named_by(contents.get(ARGUMENTS))
        wanted = named if named in weights else ""
    new = replace(
        old,
        profile=order.profile or old.profile,
        default=choose_default(weights, wanted),
        name=old.name if order.name is None else order.name,
        license=old.license if order.license is None else order.license,
        source=old.source if order.source is None else order.source,
        created=old.created if order.created is None else (created_text(order.created) if order.created else ""),
    )
    for key in ("name", "license", "source", "created", "default"):
        before, after = getattr(old, key), getattr(new, key)
        if before != after and not (key == "default" and (carried.origin is not None or kept == after)):
            changes.append({"what": key, "from": before, "to": after})
    return new


def _check_collisions(contents: Mapping[str, Content]) -> None:
    paths = sorted(contents)
    for index, earlier in collisions(paths):
        raise UsageError(
            f"{paths[index]} and {paths[earlier]} would be one file on some systems", hint="rename one of them"
        )


def _some(contents: Mapping[str, Content]) -> str:
    return ", ".join(path for path in sorted(contents) if not is_reserved(path)) or "none"
