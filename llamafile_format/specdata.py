"""Locate the data files that come with the package: rules, schemas, registries, and the runtimes' own.

In a checkout they lie in ``spec/`` and ``runtimes/`` beside the package; the wheel carries the same trees as
``llamafile_format/_spec`` and ``llamafile_format/_runtimes``.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any


@cache
def spec_dir() -> Path:
    """Folder that holds ``rules.yaml``, ``schemas/`` and ``registry/``."""
    package = Path(__file__).resolve().parent
    installed = package / "_spec"
    return installed if installed.is_dir() else package.parent / "spec"


@cache
def runtimes_dir() -> Path:
    """Folder that holds the pins, builds and launchers."""
    package = Path(__file__).resolve().parent
    installed = package / "_runtimes"
    return installed if installed.is_dir() else package.parent / "runtimes"


def load_yaml(text: str | bytes) -> Any:
    """Parse YAML with the safe loader, the compiled one where PyYAML has it (ten times faster)."""
    import yaml

    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def load_table(text: str) -> Any:
    """Parse YAML of our own tables: by the fast reader where it is plain enough, else by the library."""
    from llamafile_format.plain_yaml import read_plain

    plain = read_plain(text)
    return load_yaml(text) if plain is None else plain


@cache
def spec_yaml(name: str) -> Any:
    """The parsed YAML file ``name`` (relative to the specification folder)."""
    return load_table((spec_dir() / name).read_text(encoding="utf-8"))
