"""From bytes to a :class:`Manifest`: a strict decoder that reports every fault with the path of its field.

The functions read like the grammar of chapter 5. A fault is a :class:`Finding`, never an exception; a manifest is
returned only if it can be used to compute a layout, so a caller need not guard against half-read values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from llamafile_format.errors import FormatError, LimitExceeded
from llamafile_format.findings import Finding, Value, Where
from llamafile_format.limits import JSON_MARKS
from llamafile_format.manifest.canonical_json import decode
from llamafile_format.manifest.model import (
    FORMAT,
    MANIFEST_PATH,
    MAX_MANIFEST,
    PROFILES,
    VERSION,
    EngineAsset,
    EngineDirectory,
    Manifest,
    Member,
    Prefix,
    Sibling,
    numbers_of,
)
from llamafile_format.manifest.roles import MAX_ALIGNMENT

MAX_TEXT = 4096  # clause 5.3: characters of name, license, source; a catalogue field, not a document
MAX_MEMBERS = 65534  # clause 4.6: one below the 16-bit sentinel, so that no reader meets a count of 65,535

_HEX = {length: re.compile(rf"[0-9a-f]{{{length}}}\Z") for length in (8, 64, 128)}
_CREATED = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ\Z", re.ASCII)
_VERSION = re.compile(r"(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})\Z", re.ASCII)


T = TypeVar("T")


class _Reader:
    """Collects findings while the grammar is walked."""

    def __init__(self, base: int) -> None:
        self.base = base
        self.findings: list[Finding] = []
        self.fatal = False

    def report(self, rule: str, field: str, *, fatal: bool = True, **args: Value) -> None:
        """Note that ``field`` breaks ``rule``; after a ``fatal`` fault the manifest is not used."""
        where = Where(offset=self.base, field=field, member="META-LLAMAFILE/manifest.json")
        self.findings.append(Finding(rule, where, {"field": field, **args}))
        self.fatal = self.fatal or fatal

    def get(self, value: Mapping[str, Any], key: str, path: str, *, kind: type, default: Any = None) -> Any:
        """``value[key]`` if it is of ``kind``; else a finding and ``default`` (required unless a default is given)."""
        field = f"{path}{key}"
        if key not in value:
            if default is None:
                self.report("LF3006", field)
            return kind() if default is None else default
        found = value[key]
        if type(found) is not kind:  # bool is an int to isinstance, and true is not a size
            self.report("LF3007", field, found=type(found).__name__, allowed=kind.__name__)
            return kind()
        return found

    def text(self, value: Mapping[str, Any], key: str, path: str, *, default: str | None = None) -> str:
        """The text at ``key``; ``default``, if one is given, where it is absent. ``path`` leads to ``value``."""
        text = str(self.get(value, key, path, kind=str, default=default))
        if len(text) > MAX_TEXT:
            self.report("LF3007", f"{path}{key}", found=f"{len(text)} characters", allowed=f"at most {MAX_TEXT}")
        return text

    def digest(self, value: Mapping[str, Any], key: str, path: str, length: int, *, optional: bool = False) -> str:
        """The digest at ``key``: ``length`` lower-case hex digits; empty where it is ``optional`` and absent."""
        text = str(self.get(value, key, path, kind=str, default="" if optional else None))
        if text and not _HEX[length].match(text):
            self.report("LF3007", f"{path}{key}", found=text[:72], allowed=f"{length} lower-case hex digits")
        elif not text and key in value:
            self.report("LF3007", f"{path}{key}", found="an empty text", allowed=f"{length} lower-case hex digits")
        return text

    def number(self, value: Mapping[str, Any], key: str, path: str) -> int:
        """The whole number at ``key``."""
        return int(self.get(value, key, path, kind=int))

    def items(self, value: Mapping[str, Any], key: str, path: str, *, optional: bool = False) -> list[Any]:
        """The list at ``key``, whatever is in it; empty where it is ``optional`` and absent."""
        found = self.get(value, key, path, kind=list, default=[] if optional else None)
        return list(found)

    def objects(
        self, value: Mapping[str, Any], key: str, path: str, *, optional: bool = False
    ) -> list[Mapping[str, Any]]:
        """The objects in the list at ``key``; what is in it and no object is reported."""
        result: list[Mapping[str, Any]] = []
        for index, item in enumerate(self.items(value, key, path, optional=optional)):
            if isinstance(item, dict):
                result.append(item)
            else:
                self.report("LF3007", f"{path}{key}[{index}]", found=type(item).__name__, allowed="object")
        return result

    def unknown(self, value: Mapping[str, Any], allowed: frozenset[str], path: str) -> dict[str, Any]:
        """The fields of ``value`` that are not ``allowed``, each reported: a later version may have put them there."""
        extra = {key: item for key, item in value.items() if key not in allowed}
        for key in extra:
            self.report("LF3009", f"{path}{key}", fatal=False)
        return extra


def read_manifest(data: bytes, *, base: int = 0) -> tuple[Manifest | None, list[Finding]]:
    """The manifest in ``data`` and all faults of its form. ``base`` is its absolute offset, for the findings.

    None is returned when a fault makes the layout undefined; unknown fields and roles do not.
    """
    reader = _Reader(base)
    if len(data) > MAX_MANIFEST:
        reader.report("LF3001", "", size=len(data), limit=MAX_MANIFEST)
        return None, reader.findings
    try:
        value = decode(data)
    except LimitExceeded as error:
        where = Where(offset=base, length=len(data), member=MANIFEST_PATH)
        args: dict[str, Value] = {"what": "values in the manifest", "found": str(error.found), "limit": JSON_MARKS}
        return None, [Finding("LF2014", where, args)]
    except FormatError as error:
        where = Where(offset=base + (error.offset or 0), member=MANIFEST_PATH)
        return None, [Finding("LF3002", where, {"reason": str(error)})]
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        found = repr(value.get("format"))[:40] if isinstance(value, dict) else type(value).__name__
        reader.report("LF3003", "format", found=found)
        return None, reader.findings
    if not _read_version(reader, value):
        return None, reader.findings
    manifest = _manifest(reader, value)
    return (None if reader.fatal else manifest), reader.findings


def _read_version(reader: _Reader, value: Mapping[str, Any]) -> bool:
    version = reader.text(value, "version", "")
    match = _VERSION.match(version)
    if not match:
        reader.report("LF3007", "version", found=version[:20], allowed="MAJOR.MINOR")
        return False
    major, minor = numbers_of(VERSION)
    if int(match[1]) != major:
        reader.report("LF3004", "version", found=version, allowed=f"{major}.x")
        return False
    if int(match[2]) > minor:
        reader.report("LF3005", "version", fatal=False, found=version, allowed=VERSION)
    return True


_MANIFEST_FIELDS = frozenset(
    {"format", "version", "profile", "created", "name", "license", "source", "default", "critical", "history"}
    | {"prefix", "members"}
)


def _manifest(reader: _Reader, value: Mapping[str, Any]) -> Manifest:
    profile = reader.text(value, "profile", "")
    if profile not in PROFILES:
        reader.report("LF3011", "profile", found=profile[:40], allowed=", ".join(PROFILES))
    critical = reader.items(value, "critical", "", optional=True)
    for index, name in enumerate(critical):
        if not isinstance(name, str) or name not in _MANIFEST_FIELDS:
            reader.report("LF3008", f"critical[{index}]", found=str(name)[:60])
    created = reader.text(value, "created", "", default="")
    if created and not _CREATED.match(created):
        reader.report("LF3007", "created", found=created[:40], allowed="YYYY-MM-DDThh:mm:ssZ")
    members = reader.objects(value, "members", "")
    if len(members) > MAX_MEMBERS:
        reader.report("LF3024", "members", found=len(members), allowed=MAX_MEMBERS)
        members = []
    archive = profile == "archive"
    return Manifest(
        prefix=_prefix(reader, reader.get(value, "prefix", "", kind=dict), archive),
        members=tuple(_member(reader, item, f"members[{index}].", archive) for index, item in enumerate(members)),
        version=str(value["version"]),
        profile=profile,
        created=created,
        name=reader.text(value, "name", "", default=""),
        license=reader.text(value, "license", "", default=""),
        source=reader.text(value, "source", "", default=""),
        default=reader.text(value, "default", "", default=""),
        critical=tuple(str(name) for name in critical),
        history=tuple(reader.objects(value, "history", "", optional=True)),
        extra=reader.unknown(value, _MANIFEST_FIELDS, ""),
    )


_MEMBER_FIELDS = frozenset(
    {
        "alignment",
        "chunk_root",
        "crc32",
        "media_type",
        "merged_from",
        "offset",
        "path",
        "role",
        "sha256",
        "sha512",
        "size",
    }
)


def _member(reader: _Reader, value: Mapping[str, Any], path: str, archive: bool) -> Member:
    alignment = reader.number(value, "alignment", path)
    if not 1 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        reader.report("LF3015", f"{path}alignment", found=alignment, allowed=f"a power of two up to {MAX_ALIGNMENT}")
    sha512 = reader.digest(value, "sha512", path, 128, optional=True)
    _check_second_digest(reader, path, sha512, archive)
    return Member(
        path=reader.text(value, "path", path),
        role=reader.text(value, "role", path),
        media_type=reader.text(value, "media_type", path),
        offset=reader.number(value, "offset", path),
        size=reader.number(value, "size", path),
        alignment=alignment,
        crc32=reader.digest(value, "crc32", path, 8),
        sha256=reader.digest(value, "sha256", path, 64),
        chunk_root=reader.digest(value, "chunk_root", path, 64),
        sha512=sha512,
        extra={**_merged_from(reader, value, path), **reader.unknown(value, _MEMBER_FIELDS, path)},
    )


def _merged_from(reader: _Reader, value: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The shards that a merged member was made of (clause 8.1.3), checked and kept as they are."""
    if "merged_from" not in value:
        return {}
    for index, shard in enumerate(reader.objects(value, "merged_from", path)):
        at = f"{path}merged_from[{index}]."
        reader.text(shard, "path", at)
        reader.number(shard, "size", at)
        reader.digest(shard, "sha256", at, 64)
    return {"merged_from": value["merged_from"]}


def _check_second_digest(reader: _Reader, path: str, sha512: str, archive: bool) -> None:
    if archive != bool(sha512):
        found, allowed = ("no sha512", "a sha512") if archive else ("a sha512", "none in this profile")
        reader.report("LF3025", f"{path}sha512", found=found, allowed=allowed)


_PREFIX_FIELDS = frozenset(
    {"kind", "size", "sha256", "sha512", "engine_size", "engine_sha256", "directory", "opaque", "sibling"}
)


def _prefix(reader: _Reader, value: Mapping[str, Any], archive: bool) -> Prefix:
    directory = value.get("directory")
    if directory is not None and not isinstance(directory, dict):
        reader.report("LF3007", "prefix.directory", found=type(directory).__name__, allowed="object")
        directory = None
    sibling = value.get("sibling")
    if sibling is not None and not isinstance(sibling, dict):
        reader.report("LF3007", "prefix.sibling", found=type(sibling).__name__, allowed="object")
        sibling = None
    sha512 = reader.digest(value, "sha512", "prefix.", 128, optional=True)
    _check_second_digest(reader, "prefix.", sha512, archive)
    size = reader.number(value, "size", "prefix.")
    engine_size = reader.number(value, "engine_size", "prefix.")
    if size % 65536 or not (size - 65536 < engine_size <= size):
        # A prefix of another length could not be replaced in place, and slack behind the engine could carry code.
        allowed = "size is a multiple of 65536 and holds engine_size bytes with less than 65536 zeros behind"
        reader.report("LF3017", "prefix.size", found=f"size {size}, engine_size {engine_size}", allowed=allowed)
    return Prefix(
        kind=reader.text(value, "kind", "prefix."),
        size=size,
        sha256=reader.digest(value, "sha256", "prefix.", 64),
        engine_size=engine_size,
        engine_sha256=reader.digest(value, "engine_sha256", "prefix.", 64),
        directory=_directory(reader, directory, archive) if directory is not None else None,
        opaque=reader.text(value, "opaque", "prefix.", default=""),
        sha512=sha512,
        sibling=_sibling(reader, sibling) if sibling is not None else None,
        extra=reader.unknown(value, _PREFIX_FIELDS, "prefix."),
    )


def _sibling(reader: _Reader, value: Mapping[str, Any]) -> Sibling:
    """The container beside a small executable (clause 14.4.2)."""
    path = "prefix.sibling."
    weights = None
    if "weights_offset" in value or "weights_size" in value:
        weights = reader.number(value, "weights_offset", path), reader.number(value, "weights_size", path)
    return Sibling(
        offset=reader.number(value, "offset", path),
        size=reader.number(value, "size", path),
        sha256=reader.digest(value, "sha256", path, 64),
        weights=weights,
    )


def _directory(reader: _Reader, value: Mapping[str, Any], archive: bool) -> EngineDirectory:
    path = "prefix.directory."

    def asset(index: int, item: Mapping[str, Any]) -> EngineAsset:
        """The engine asset in ``item``, which is number ``index``."""
        at = f"{path}assets[{index}]."
        if (role := reader.text(item, "role", at)) != "engine-asset":
            reader.report("LF3007", f"{at}role", found=role[:40], allowed="engine-asset")
        sha512 = reader.digest(item, "sha512", at, 128, optional=True)
        _check_second_digest(reader, at, sha512, archive)
        return EngineAsset(
            path=reader.text(item, "path", at),
            size=reader.number(item, "size", at),
            sha256=reader.digest(item, "sha256", at, 64),
            sha512=sha512,
        )

    def dropped(index: int, item: Mapping[str, Any]) -> tuple[str, str]:
        """(path, reason) in ``item``, which is number ``index``."""
        at = f"{path}dropped[{index}]."
        return reader.text(item, "path", at), reader.text(item, "reason", at)

    return EngineDirectory(
        offset=reader.number(value, "offset", path),
        size=reader.number(value, "size", path),
        count=reader.number(value, "count", path),
        assets=_each(asset, reader.objects(value, "assets", path)),
        dropped=_each(dropped, reader.objects(value, "dropped", path)),
    )


def _each(read: Callable[[int, Mapping[str, Any]], T], items: list[Mapping[str, Any]]) -> tuple[T, ...]:
    return tuple(read(index, item) for index, item in enumerate(items))
