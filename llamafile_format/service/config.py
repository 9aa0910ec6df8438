"""``gate.yaml``: who may ask, for what, and how much of it (spec/1, 10.16.2).

Read whole and strictly before anything is served: a limit that was misspelt must not count as none. No key and no token
stands in the file itself, which people show one another: keys are named by digest or by file, tokens by file.
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llamafile_format.checks.verdict import Level
from llamafile_format.errors import FormatError, SourceError, UsageError
from llamafile_format.fleet import Bounds
from llamafile_format.signing.trust.policy import Policy
from llamafile_format.signing.trust.policy_reader import read_policy
from llamafile_format.source import read_small
from llamafile_format.source.address import HUB
from llamafile_format.source.allow_list import AllowList, is_plain_host, server_of
from llamafile_format.source.traffic import Limits
from llamafile_format.strict_fields import FieldFault, Fields
from llamafile_format.strict_yaml import parse, place_of

CLAUSE = "10.16.2"
LEVELS = (Level.QUICK, Level.FULL, Level.EXHAUSTIVE)
MIB = 1 << 20
_LARGEST = 1 << 20  # bytes of the configuration
_MOST = 1 << 40
_SECRET = re.compile(rb"[!-~]{24,512}")
_TOKEN = re.compile(rb"[!-~]{1,4096}")
_WORD = r"[a-z0-9][a-z0-9._-]{0,63}"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """Who asks: the SHA-256 of the secret, and how many jobs may wait and how many bytes be sent in a day."""

    name: str
    digest: bytes
    waiting: int
    day: int


@dataclass(frozen=True, slots=True)
class Caps:
    """How much there is for everybody: bytes of an upload and of all together, jobs that wait, seconds and days."""

    upload: int
    storage: int
    waiting: int
    idle: float
    keep: float
    tries: int


@dataclass(frozen=True, slots=True, repr=False)
class Gate:
    """What ``gate.yaml`` says. ``limits`` are those of an object elsewhere, ``bounds`` those of a verification."""

    state: Path
    host: str
    port: int
    names: tuple[str, ...]
    tls: tuple[str, str] | None
    policy: Policy | None
    levels: tuple[Level, ...]
    keys: tuple[Key, ...]
    allowed: AllowList
    workers: int
    bounds: Bounds
    limits: Limits
    caps: Caps
    open_metrics: bool


def read_gate(path: str | os.PathLike[str]) -> Gate:
    """The configuration in ``path``; files that it names are relative to its folder.

    FormatError that names the field, what was found and what is allowed; SourceError if it cannot be read.
    """
    data = read_small(Path(path), _LARGEST)
    value, reason = parse(data, _LARGEST)
    if reason:
        raise FormatError(f"{path}: the configuration cannot be read: {reason}", clause=CLAUSE)
    try:
        with Fields(value, "", CLAUSE) as fields:
            return _gate(fields, Path(path).resolve().parent)
    except FieldFault as fault:
        place = place_of(data, fault.path, key=fault.key)
        fault.message = f"{path}: {place + ': ' if place else ''}{fault.message}"
        raise


def _gate(fields: Fields, folder: Path) -> Gate:
    version = fields.take("gate")
    if type(version) is not int or version != 1:
        raise fields.wrong("gate", version, "1")
    tls = fields.optional("tls", lambda inner: _tls(inner, folder))
    behind_proxy = fields.has("behind_proxy") and fields.flag("behind_proxy")
    host, port = _listen(fields, safe=tls is not None or behind_proxy)
    limits = fields.optional("limits", _limits) or _limits(Fields({}, "limits", CLAUSE))
    return Gate(
        state=folder / fields.text("state"),
        host=host,
        port=port,
        names=_names(fields),
        tls=tls,
        policy=_policy(fields, folder),
        levels=_levels(fields),
        keys=_keys(fields, folder),
        allowed=fields.optional("references", lambda inner: _references(inner, folder)) or AllowList(),
        workers=_count(fields, "workers", 1, 2, 256),
        bounds=limits.bounds,
        limits=limits.reading,
        caps=limits.caps,
        open_metrics=fields.has("open_metrics") and fields.flag("open_metrics"),
    )


def _listen(fields: Fields, *, safe: bool) -> tuple[str, int]:
    text = fields.text("listen", "127.0.0.1:8787")
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not is_plain_host(host) or not re.fullmatch(r"\d{1,5}", port, re.ASCII) or int(port) > 65535:
        raise fields.wrong("listen", text, "HOST:PORT, such as 127.0.0.1:8787")
    if host not in _LOOPBACK and not safe:
        raise fields.wrong("listen", text, "this machine only, or tls, or behind_proxy: keys are not sent over http")
    return host, int(port)


def _names(fields: Fields) -> tuple[str, ...]:
    names = fields.texts("names")
    for index, name in enumerate(names):
        if not is_plain_host(name):
            raise fields.wrong(f"names[{index}]", name, "a host, without a port")
    return names


def _tls(fields: Fields, folder: Path) -> tuple[str, str]:
    certificate, key = (str(folder / fields.text(name)) for name in ("certificate", "key"))
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        raise fields.wrong("certificate", f"{certificate} with {key}", "a chain and its key, as PEM") from error
    return certificate, key


def _policy(fields: Fields, folder: Path) -> Policy | None:
    name = fields.text("policy", "hub")
    bare = "/" not in name and not name.endswith((".yaml", ".yml"))
    try:
        return read_policy(name if bare else folder / name)
    except (FormatError, SourceError) as error:
        raise fields.wrong("policy", f"{name}: {error}", "a profile, or a file with a policy") from error


def _levels(fields: Fields) -> tuple[Level, ...]:
    words = fields.texts("levels") if fields.has("levels") else ("full", "quick")
    known = [level.value for level in LEVELS]
    if not words or len(set(words)) < len(words) or not set(words) <= set(known):
        raise fields.wrong("levels", list(words), f"some of {', '.join(known)}, the one for who names none first")
    return tuple(map(Level, words))


def _keys(fields: Fields, folder: Path) -> tuple[Key, ...]:
    keys = fields.many("keys", lambda inner: _key(inner, folder))
    if not keys:
        raise fields.wrong("keys", [], "at least one key: without any nobody could ask")
    for what in ("name", "digest"):
        if len({getattr(key, what) for key in keys}) < len(keys):
            raise fields.wrong("keys", f"two of the same {'name' if what == 'name' else 'secret'}", "each once")
    return keys


def _key(fields: Fields, folder: Path) -> Key:
    name = fields.text("name", pattern=_WORD)
    if fields.has("sha256"):
        digest = bytes.fromhex(fields.digest("sha256"))
    else:
        digest = hashlib.sha256(_secret(fields, "file", folder, _SECRET, "24 to 512 characters")).digest()
    return Key(name, digest, _count(fields, "waiting", 1, 100, 1 << 20), _mib(fields, "day_mib", 1 << 20))


def _secret(fields: Fields, name: str, folder: Path, form: re.Pattern[bytes], size: str) -> bytes:
    """What is in the file that the field ``name`` names: one word, for nobody else to read."""
    path = folder / fields.text(name)
    try:
        data = read_small(path, 8192).strip()
        mode = path.stat().st_mode
    except (SourceError, OSError) as error:
        raise fields.wrong(name, str(error), "a file that can be read") from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise fields.wrong(
            name, f"{path} of mode {stat.S_IMODE(mode):o}", "a file that nobody else can read: chmod 600"
        )
    if not form.fullmatch(data):
        raise fields.wrong(name, f"{path}, whose content is not shown", f"{size} of ASCII without blanks")
    return data


def _references(fields: Fields, folder: Path) -> AllowList:
    tokens: dict[str, str] = {}
    hosts: list[str] = []

    def token(inner: Fields) -> str:
        """The token that a row names, or an empty text."""
        return _secret(inner, "token_file", folder, _TOKEN, "a token").decode() if inner.has("token_file") else ""

    def host(inner: Fields) -> None:
        """One row of ``hosts``."""
        name = inner.text("host")
        try:
            server_of(name)
        except UsageError as error:
            raise inner.wrong("host", name, error.hint or "HOST or HOST:PORT") from error
        hosts.append(name)
        if value := token(inner):
            tokens[name] = value

    fields.many("hosts", host)
    rows = fields.many("repositories", lambda inner: (inner.text("repository"), token(inner)))
    buckets = fields.many("buckets", lambda inner: (inner.text("bucket"), _settings(inner, folder)))
    ca_file = fields.text("ca_file", "")
    options: dict[str, Any] = {
        "tokens": tokens,
        "buckets": dict(buckets),
        "repositories": dict(rows),
        "hub": fields.text("hub", HUB),
        "allow_private": fields.texts("allow_private"),
        "ca_file": str(folder / ca_file) if ca_file else "",
    }
    try:
        return AllowList.of(hosts, **options)
    except UsageError as error:
        raise fields.wrong("", error.message, error.hint or "what the list can hold") from error


def _settings(fields: Fields, folder: Path) -> dict[str, str]:
    """Of a store: plain ones as they stand, secret ones in files."""
    plain = dict(fields.table("settings"))
    for name in plain:
        if re.search(r"KEY|SECRET|TOKEN|CREDENTIALS", name):
            raise fields.wrong(f"settings.{name}", "a secret", "its place among secret_files")
    for name, path in fields.table("secret_files").items():
        with Fields({"file": path}, f"secret_files.{name}", CLAUSE) as row:
            plain[name] = _secret(row, "file", folder, _TOKEN, "a secret").decode()
    return plain


@dataclass(frozen=True, slots=True)
class _Limits:
    bounds: Bounds
    reading: Limits
    caps: Caps


def _limits(fields: Fields) -> _Limits:
    seconds = _count(fields, "seconds", 1, 3600, 1 << 24)
    try:
        bounds = Bounds(memory=_mib(fields, "memory_mib", 2048), seconds=seconds)
    except UsageError as error:
        raise fields.wrong("memory_mib", error.message, error.hint) from error
    read = _mib(fields, "read_mib", 0) if fields.has("read_mib") else None
    requests = _count(fields, "requests", 1, 1, _MOST) if fields.has("requests") else None
    return _Limits(
        bounds,
        Limits(requests=requests, bytes=read, seconds=seconds),
        Caps(
            upload=_mib(fields, "upload_mib", 50 << 10),
            storage=_mib(fields, "storage_mib", 200 << 10),
            waiting=_count(fields, "waiting", 1, 1000, 1 << 20),
            idle=_count(fields, "idle_seconds", 1, 60, 3600),
            keep=86400.0 * _count(fields, "keep_days", 1, 30, 36500),
            tries=3,
        ),
    )


def _count(fields: Fields, name: str, least: int, default: int, most: int) -> int:
    if not fields.has(name):
        return default
    value = fields.number(name)
    if not least <= value <= most:
        raise fields.wrong(name, value, f"a whole number from {least} to {most}")
    return value


def _mib(fields: Fields, name: str, default: int) -> int:
    return MIB * _count(fields, name, 1, default, _MOST)
