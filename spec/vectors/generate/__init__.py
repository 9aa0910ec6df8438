"""Programs that make the test vectors: one small function a vector, one fault a vector.

A function decorated with :func:`vector` returns the payload's bytes. ``python -m spec.vectors.generate`` (from the
root of the repository) writes ``spec/vectors/<chapter>/<name>.vector``, where the chapter is the name of the module,
or its ``CHAPTER``. The format of a vector is in ``load.py``.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path

from spec.vectors.generate.load import Vector

Maker = Callable[[], bytes]

ROOT = Path(__file__).resolve().parents[1]
WELL_FORMED_LAYERS = {"prefix", "archive", "manifest", "chunks", "legacy", "signatures"}
VALID_LAYERS = {"weights", "content"}
AS_OF = "2027-01-01"
"""The day of verification of vectors that name somebody to trust, unless they say another."""

_registry: dict[str, tuple[Vector, Maker]] = {}


def vector(
    name: str,
    *,
    comment: str,
    rules: str = "",
    layer: str = "none",
    near: str = "",
    kind: str = "container",
    well_formed: str = "",
    valid: str = "",
    encoding: str = "raw",
    trust: str = "",
    as_of: str = "",
    authentic: str = "",
    policy: str = "",
) -> Callable[[Maker], Maker]:
    """Register the decorated function as the maker of vector ``name``.

    ``rules`` and ``near`` are rule ids separated by blanks. Where the verdicts are not given they follow from
    ``layer``: a layer of bytes means not well-formed, one of content not valid, ``none`` a good vector. ``trust`` is
    the name of a policy (``trust.py``), and asks for the verdicts authentic and policy too; ``-`` for one of them says
    that it is not given.
    """
    verdict = {
        "well_formed": well_formed or ("no" if layer in WELL_FORMED_LAYERS else "yes"),
        "valid": valid or ("no" if layer in VALID_LAYERS | WELL_FORMED_LAYERS - {"signatures"} else "yes"),
    }
    if trust:
        verdict["authentic"] = authentic or ("yes" if layer in ("none", "policy") else "no")
        verdict["policy"] = policy or ("no" if layer == "policy" else "yes")
        verdict = {name: "" if value == "-" else value for name, value in verdict.items()}

    def register(maker: Maker) -> Maker:
        module = sys.modules[maker.__module__]
        chapter = getattr(module, "CHAPTER", maker.__module__.rpartition(".")[2])
        path = f"{chapter}/{name}"
        if path in _registry:
            raise ValueError(f"two vectors are named {path}")
        head = Vector(
            name=path,
            kind=kind,
            **verdict,
            layer=layer,
            rules=tuple(sorted(rules.split())),
            near=tuple(sorted(near.split())),
            encoding=encoding,
            comment=comment,
            payload=b"",
            trust=trust,
            as_of=(as_of or AS_OF) if trust else "",
        )
        _registry[path] = (head, maker)
        return maker

    return register


def all_vectors(only: str = "") -> list[Vector]:
    """Make every registered vector (of chapter ``only``, if given), sorted by name."""
    package = sys.modules[__name__]
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{__name__}.{module.name}")
    return [
        head.with_payload(maker())
        for path, (head, maker) in sorted(_registry.items())
        if not only or path.startswith(f"{only}/")
    ]
