"""A member as the checks of contents see it, whether it lies in a file or is about to be packed (spec/1, 10.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llamafile_format.checks.templates import Texts
from llamafile_format.source import ByteSource
from llamafile_format.weights.gguf_model import Gguf

if TYPE_CHECKING:
    from llamafile_format.weights.onnx_model import Onnx


Place = tuple[int, int]
"""Offset and size of a stored member's data."""


@dataclass(frozen=True, slots=True)
class Beside:
    """The members around a model. ``find`` gives the place of a stored one; ``named`` are those that models name."""

    find: Callable[[str], Place | None]
    named: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Subject:
    """A member to be judged. ``source`` are its bytes as they are used, ``base`` where they start in the file.

    ``listed`` says that the role is somebody's claim and not a guess of ours from the name; ``read`` reads the GGUF
    with at most so many bytes of its header, ``onnx`` such a model, if somebody keeps it; ``uses`` are reasons besides
    name and role to take it for weights, as phrases that continue "it is weights: ..."; ``texts`` are the templates of
    the file so far; ``beside`` are the members around it, None where there is no container yet.
    """

    path: str
    role: str
    media_type: str
    source: ByteSource
    base: int
    read: Callable[[int | None], Gguf]
    onnx: Callable[[], Onnx] | None = None
    listed: bool = True
    uses: tuple[str, ...] = ()
    texts: Texts = field(default_factory=Texts)
    beside: Beside | None = None
