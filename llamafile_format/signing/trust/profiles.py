"""Policies that come with this library, by bare names, and policies that extend one (spec/1, 16.11).

A name is bare if it has no ``/`` and does not end in ``.yaml``: whatever lies in the working folder is never meant by
it, and a file is never shadowed by a profile.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from llamafile_format.errors import FormatError
from llamafile_format.specdata import spec_dir

_FOLDER = "policies"
_OVERLAID = ("allow", "deny", "sizes", "time", "rules", "algorithms")
"""Fields of which a policy says only what is different from the profile that it extends."""

_OWN = ("policy", "name", "extends")


def is_bare(name: str | os.PathLike[str]) -> bool:
    """True if ``name`` means a profile; a path object is always a file."""
    return isinstance(name, str) and not any(mark in name for mark in "/\\") and not name.endswith((".yaml", ".yml"))


@cache
def profile_names() -> tuple[str, ...]:
    """The profiles that there are."""
    return tuple(sorted(path.stem for path in (spec_dir() / _FOLDER).glob("*.yaml")))


def profile_bytes(name: str) -> bytes:
    """The profile ``name`` as it is written. FormatError if there is none of this name."""
    if name not in profile_names():
        raise FormatError(
            f"there is no policy {name}",
            allowed=" or ".join(profile_names()),
            hint=f"a file is named with a / or .yaml, such as ./{name or 'policy.yaml'}",
            clause="16.11.1",
        )
    return (spec_dir() / _FOLDER / f"{name}.yaml").read_bytes()


def overlaid(profile: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What a policy with the fields ``own`` means that extends ``profile``: its own words, else the profile's.

    What is not a mapping where one is due stays as it is, to be found at fault.
    """
    found = {name: value for name, value in profile.items() if name not in _OWN}
    for name, value in own.items():
        base = found.get(name)
        if name in _OVERLAID and isinstance(base, dict) and isinstance(value, dict):
            found[name] = base | value
        elif name != "extends":
            found[name] = value
    return found
