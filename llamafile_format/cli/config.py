"""The user's own defaults: whom to trust, and where the cache is (spec/1, 10.10).

``$XDG_CONFIG_HOME/llamafile-format/config.yaml``, or under ``~/.config``; nothing in the folder that one happens to
work in, because that may be a stranger's. Whatever comes from here is named in the output; ``--no-config`` leaves it
out.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from llamafile_format.errors import UsageError, meant

_F = TypeVar("_F", bound=Callable[..., Any])
_FIELDS = ("key", "policy", "cache")
_MAX = 1 << 16  # bytes
_WITHOUT = "llamafile_format.no_config"  # in click's meta


@dataclass(frozen=True, slots=True)
class Config:
    """What the file at ``path`` says: ``keys`` and ``policy`` as of --key and --policy, and the place of the cache."""

    path: Path | None = None
    keys: tuple[str, ...] = ()
    policy: str | None = None
    cache: str | None = None


def without(function: _F) -> _F:
    """The option ``--no-config``."""
    return click.option(
        "--no-config",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_leave_out,
        help="Leave the user's configuration out.",
    )(function)


def _leave_out(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        ctx.meta[_WITHOUT] = True


def place() -> Path | None:
    """Where the configuration lies, if there is any; relative folders do not count (XDG Base Directory 0.8)."""
    home = os.environ.get("HOME", "")
    for folder in (os.environ.get("XDG_CONFIG_HOME", ""), f"{home}/.config" if home else ""):
        if Path(folder).is_absolute():
            return Path(folder, "llamafile-format", "config.yaml")
    return None


def config() -> Config:
    """The configuration that counts here. UsageError if it is there and cannot be used."""
    ctx = click.get_current_context(silent=True)
    path = place()
    if path is None or (ctx is not None and ctx.meta.get(_WITHOUT)):
        return Config()
    data = _read(path)
    return Config() if data is None else _parse(path, data)


def use_cache() -> None:
    """Let the configured cache stand where $LFF_CACHE would, if one is needed at all."""
    from llamafile_format.engines.cache import preferred

    preferred.set(lambda: config().cache)


def _read(path: Path) -> bytes | None:
    flags = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NONBLOCK"))
    try:
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    with contextlib.closing(os.fdopen(descriptor, "rb")) as file:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise _unusable(path, "it is no file")
        if os.name == "posix" and (info.st_uid not in (0, os.getuid()) or info.st_mode & 0o022):
            raise _unusable(path, "others can write to it")
        return file.read(_MAX + 1)


def _parse(path: Path, data: bytes) -> Config:
    from llamafile_format.signing.trust.profiles import is_bare
    from llamafile_format.strict_yaml import parse

    value, fault = parse(data, _MAX)
    if fault:
        raise _unusable(path, fault)
    if value is None:
        return Config(path)
    if not isinstance(value, dict):
        raise _unusable(path, f"it has no fields; there are {', '.join(_FIELDS)}")
    for name in value:
        if name not in _FIELDS:
            hint = meant(str(name), _FIELDS) or f"there are {', '.join(_FIELDS)}"
            raise _unusable(path, f"{name} is no field of it; {hint}")
    keys = value.get("key", [])
    keys = [keys] if isinstance(keys, str) else keys
    if not isinstance(keys, list):
        raise _unusable(path, "key is a path, or a list of paths")
    policy = value.get("policy")
    profile = policy if isinstance(policy, str) and policy and is_bare(policy) else None
    if keys and "policy" in value and not profile:
        raise _unusable(path, "key and policy exclude each other: add the key to the policy")
    return Config(
        path,
        tuple(_file(path, "key", each) for each in keys),
        profile or (_file(path, "policy", policy) if "policy" in value else None),
        _file(path, "cache", value["cache"]) if "cache" in value else None,
    )


def _file(path: Path, name: str, value: Any) -> str:
    """A path; ``~`` is home, and a relative one counts from the configuration's own folder."""
    if not isinstance(value, str) or not value:
        raise _unusable(path, f"{name} is no path")
    return str(path.parent / Path(value).expanduser())


def _unusable(path: Path, why: str) -> UsageError:
    return UsageError(f"the configuration {path} cannot be used: {why}", hint="mend it, or add --no-config")


def with_defaults(policy: str | None, keys: Sequence[str], *, named: bool = False) -> tuple[str | None, Sequence[str]]:
    """``policy`` and ``keys`` as given; if nobody is (nor ``named`` in another way), those of the configuration."""
    if policy is not None or keys or named:
        return policy, keys
    found = config()
    if found.policy is None and not found.keys:
        return policy, keys
    told = [f"the policy {found.policy}"] if found.policy else []
    told += [f"the key {', '.join(found.keys)}"] if found.keys else []
    what = " and ".join(told)
    from llamafile_format.reports import printable

    click.echo(f"note: {printable(what)} is from {printable(str(found.path))}", err=True)
    return found.policy, found.keys
