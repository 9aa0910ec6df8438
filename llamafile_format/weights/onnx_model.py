"""What an ONNX model says, as data (spec/1, 7.17). Offsets count from the first byte of the model; sizes are bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from llamafile_format.findings import Finding


@dataclass(frozen=True, slots=True)
class External:
    """Where the data of a tensor lies outside the model: a path beside it; ``length`` None if it is not said.

    ``at`` is where the model says so.
    """

    location: str
    offset: int
    length: int | None
    at: int


@dataclass(frozen=True, slots=True)
class OnnxTensor:
    """An initializer, or a constant in an attribute. ``type`` is the number of 7.17.5, ``size`` what its data take.

    ``size`` is None for texts; ``start`` is where raw data begin, None if they lie elsewhere or are typed.
    """

    name: str
    type: int
    dims: tuple[int, ...]
    elements: int
    size: int | None
    start: int | None
    external: External | None


@dataclass(frozen=True, slots=True)
class OnnxValue:
    """An input or output: its type in words (``FLOAT``, ``sequence``), and its shape with names of free dimensions."""

    name: str
    type: str
    shape: tuple[str, ...] | None


@dataclass(slots=True)
class Onnx:
    """What a model says, as far as it was read. ``stopped`` is empty, ``fault`` or ``cap``; findings say which.

    ``operators`` counts nodes by (domain, name), those in attributes and functions included. ``tensors`` are those that
    hold data, wherever they stand; ``inputs`` leave out initializers. ``words`` are the ranges of what is written for
    people, with the name of the field; ``wordy`` if there are more.
    """

    size: int
    ir_version: int = 0
    producer: str = ""
    domain: str = ""
    graph: str = ""
    opsets: dict[str, int] = field(default_factory=dict)
    operators: dict[tuple[str, str], int] = field(default_factory=dict)
    inputs: list[OnnxValue] = field(default_factory=list)
    outputs: list[OnnxValue] = field(default_factory=list)
    tensors: list[OnnxTensor] = field(default_factory=list)
    functions: set[tuple[str, str]] = field(default_factory=set)
    metadata: dict[str, str] = field(default_factory=dict)
    words: list[tuple[str, int, int]] = field(default_factory=list)
    wordy: bool = False
    findings: tuple[Finding, ...] = ()
    stopped: str = ""

    @property
    def complete(self) -> bool:
        """True if the model was read to its end."""
        return not self.stopped

    @property
    def nodes(self) -> int:
        """Operators that run, wherever they stand."""
        return sum(self.operators.values())

    @property
    def external(self) -> Mapping[str, list[OnnxTensor]]:
        """Tensors whose data lie outside, by location."""
        found: dict[str, list[OnnxTensor]] = {}
        for tensor in self.tensors:
            if tensor.external is not None:
                found.setdefault(tensor.external.location, []).append(tensor)
        return found
