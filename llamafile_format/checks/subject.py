"""A member as the checks of contents see it, whether it lies in a file or is about to be packed (spec/1, 10.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from llamafile_format.checks.onnx_data import Beside
from llamafile_format.checks.templates import Texts
from llamafile_format.source import ByteSource
from llamafile_format.weights.gguf_model import Gguf
from llamafile_format.weights.onnx_model import Onnx


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
