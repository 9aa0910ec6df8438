"""Credentials as Docker's own tools keep them: ``config.json``, and the programs that it names (helpers).

They are looked up when a registry asks for them, for its very name and no other, and stand in no message.
"""

from __future__ import annotations

import base64
import binascii
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llamafile_format.bounded_json import parse_json
from llamafile_format.errors import FormatError, SourceError, UsageError
from llamafile_format.source import read_small

_LARGEST = 1 << 20
_ANSWER = 1 << 16
_PATIENCE = 60.0  # seconds: a helper may have to ask its user
_HELPER = re.compile(r"[A-Za-z0-9._-]+")
_NONE_FOUND = b"credentials not found"
_IDENTITY = "<token>"
"""The user of a secret that is no password: it is changed for a token at the realm."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are to a registry: user and password, or an identity token."""

    user: str = field(repr=False)
    password: str = field(repr=False)
    identity: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The two as a header has them."""
        coded = base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")
        return f"Basic {coded}"


def config_path(environment: Mapping[str, str]) -> Path:
    """Where Docker's tools keep their configuration."""
    folder = environment.get("DOCKER_CONFIG", "")
    return (Path(folder) if folder else Path.home() / ".docker") / "config.json"


def find_login(host: str, config: Path) -> Login | None:
    """What ``config`` has for the registry ``host`` (with its port, if one was named); None if it has nothing.

    UsageError for a configuration that cannot be read, SourceError for a helper that fails.
    """
    if not config.exists():
        return None
    try:
        value = parse_json(read_small(config, _LARGEST)[: _LARGEST + 1], depth=16)
    except FormatError as error:
        raise UsageError(f"{config} cannot be read: it is no JSON") from error
    if not isinstance(value, dict):
        raise UsageError(f"{config} cannot be read: it is no JSON object")
    helper = _named(value.get("credHelpers"), host)
    if isinstance(helper, str):
        return _asked(helper, host)
    found = _named(value.get("auths"), host)
    store = value.get("credsStore")
    if isinstance(store, str) and store:
        return _asked(store, host)
    return _stored(found, config) if isinstance(found, dict) else None


def _named(table: Any, host: str) -> Any:
    """What ``table`` has under the name of ``host``: with or without scheme and version, as tools have written it."""
    if not isinstance(table, dict):
        return None
    for key, value in table.items():
        if re.sub(r"\Ahttps://|(?:/v[12])?/?\Z", "", key.lower()) == host:
            return value
    return None


def _stored(found: dict[str, Any], config: Path) -> Login | None:
    identity, coded = found.get("identitytoken", ""), found.get("auth", "")
    if isinstance(identity, str) and identity:
        return Login("", "", _plain(identity))
    if not isinstance(coded, str) or not coded:
        return None
    try:
        user, colon, password = base64.b64decode(coded, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if not colon:
        raise UsageError(
            f"{config} holds credentials that cannot be read", hint="log in again with the tool that made it"
        )
    return Login(_plain(user), _plain(password.rstrip("\0")))


def _plain(text: str) -> str:
    """``text``, which may stand in a header; UsageError, which does not show it, if it may not."""
    if len(text) > _ANSWER or not text.isprintable():
        raise UsageError("the credentials for the registry hold characters that no credentials have")
    return text


def _asked(helper: str, host: str) -> Login | None:
    """What the program ``docker-credential-HELPER`` says; None if it has nothing for ``host``."""
    if not _HELPER.fullmatch(helper):
        raise UsageError(
            "Docker's configuration names a helper that is none", hint="its name is letters, digits, . _ -"
        )
    program = f"docker-credential-{helper}"
    with tempfile.TemporaryFile() as said:  # a file, and no pipe that a grandchild could hold open
        try:
            done = subprocess.run(
                [program, "get"],
                input=host.encode(),
                stdout=said,
                stderr=subprocess.DEVNULL,
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SourceError(f"{program} did not answer within {_PATIENCE:g} seconds") from None
        except OSError as error:
            raise SourceError(
                f"cannot run {program}: {error.strerror}", hint="Docker's configuration names it"
            ) from None
        said.seek(0)
        data = said.read(_ANSWER + 1)
    if done.returncode and data.strip().startswith(_NONE_FOUND):
        return None
    if done.returncode or len(data) > _ANSWER:
        raise SourceError(f"{program} failed with exit code {done.returncode}")
    try:
        value = parse_json(data, depth=4)
        user, secret = value["Username"], value["Secret"]
    except (FormatError, KeyError, TypeError):
        raise SourceError(f"{program} answers something else than credentials") from None
    if not isinstance(user, str) or not isinstance(secret, str):
        raise SourceError(f"{program} answers something else than credentials")
    return Login("", "", _plain(secret)) if user == _IDENTITY else Login(_plain(user), _plain(secret))
