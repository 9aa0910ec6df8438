"""Doors: what a room exports, loaded when somebody first asks for it, so that a command which needs little starts fast.

    open_door(__name__, {"extract": ("Extracted", "extract"), "diff": ("diff",)})

in a package's ``__init__`` makes ``from package import extract`` import ``package.extract`` and take the name from it.
``"name as other"`` exports it under another name. Type checkers read the same imports under ``TYPE_CHECKING``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import ModuleType


class _Door(ModuleType):
    """A package with a door. ``_exports`` holds, by exported name, the module that has it and its name there."""

    _exports: Mapping[str, tuple[str, str]] = {}

    def __getattr__(self, name: str) -> object:
        if name not in self._exports:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        module, there = self._exports[name]
        value = getattr(import_module(f"{self.__name__}.{module}"), there)
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: object) -> None:
        """Importing a submodule binds it here by its name; what the room exports under that name goes first."""
        if not (isinstance(value, ModuleType) and name in self._exports):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted(self.__dict__.get("__all__", self._exports))


def open_door(package: str, exports: Mapping[str, Sequence[str]]) -> None:
    """Give ``package``, which is being imported, a door: ``exports`` names what each of its modules lends to others."""
    found = {}
    for module, names in exports.items():
        for name in names:
            there, _, here = name.partition(" as ")
            found[here or there] = (module, there)
    door = sys.modules[package]
    door.__dict__["_exports"] = found
    door.__class__ = _Door
