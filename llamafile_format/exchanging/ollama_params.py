"""Parameters and system prompt of an Ollama model as the arguments that a file may have, and back.

Both ways only what both sides have; whatever the allow-list does not let a file ask for (spec/1, 3.10) is left out and
said.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llamafile_format.bounded_json import parse_json
from llamafile_format.checks.allowed_arguments import objections
from llamafile_format.errors import FormatError
from llamafile_format.exchanging.descriptors import canonical
from llamafile_format.packing import DEFAULT_RUNTIME, NONE, choose
from llamafile_format.prefix.argument_options import Option, read_options
from llamafile_format.prefix.argument_tables import Table, choose_table
from llamafile_format.prefix.arguments import REST, Arguments, Dialect
from llamafile_format.prefix.arguments_token import literal

SYSTEM = "--system-prompt"
OPTIONS = {
    "temperature": "--temp",
    "top_k": "--top-k",
    "top_p": "--top-p",
    "min_p": "--min-p",
    "repeat_penalty": "--repeat-penalty",
    "num_ctx": "--ctx-size",
    "seed": "--seed",
    "stop": "--reverse-prompt",
}
"""Parameters that mean the same to llama.cpp, by the option that stands for each."""

_PARAMETERS = {option: name for name, option in OPTIONS.items()}
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
MAX_TEXT = 1 << 20
"""Bytes of parameters or of a system prompt that are read."""

_MOST = 64  # values of one parameter


@dataclass(frozen=True, slots=True)
class Wished:
    """Arguments that a file may have; ``refused`` are sentences about the others, ``system`` whether that is in."""

    arguments: tuple[str, ...]
    refused: tuple[str, ...]
    system: bool


def wished(params: bytes, system: str, runtime: str) -> Wished:
    """What ``params`` (JSON) and the prompt ``system`` ask for, as ``.args`` of a file with ``runtime`` may have it.

    FormatError if ``params`` are no parameters.
    """
    table = _table(runtime)
    kept: list[str] = []
    refused = []
    has_system = bool(system) and not _why_not(SYSTEM, system, table)
    if has_system:
        kept += [SYSTEM, system]
    elif system:
        refused.append(f"the system prompt stays a document: {_why_not(SYSTEM, system, table)}")
    for name, value in _pairs(params):
        option = OPTIONS.get(name)
        why = _why_not(option, value, table) if option else "it has no argument of the same meaning"
        if why:
            refused.append(f"the parameter {name} is left out: {why}")
        elif option:
            kept += [option, value]
    return Wished(tuple(kept), tuple(dict.fromkeys(refused)), has_system)


def _table(runtime: str) -> Table:
    if runtime == NONE:
        return choose_table(Dialect.NATIVE).table
    pin = choose(runtime or DEFAULT_RUNTIME).pin
    return choose_table(Dialect.NATIVE, [(pin.name, pin.version)]).table


def _why_not(option: str, value: str, table: Table) -> str:
    """What speaks against ``option`` with ``value`` in a file; empty if nothing does."""
    if value == REST:
        return "its value is the place of the user's own arguments"
    options = read_options(Arguments(Dialect.NATIVE, (literal(option), literal(value)), None), table)
    found = next(objections(options, {}, bundles=True), None)
    return "" if found is None else found.reason or "the engine has no such option"


def _pairs(params: bytes) -> Iterator[tuple[str, str]]:
    """Names and values as text, one for each value of a list; what is neither text nor number becomes JSON again."""
    try:
        found = parse_json(params or b"{}", depth=4, number=_Literal, fraction=_Literal, constant=_Literal)
    except FormatError as error:
        raise FormatError(f"the parameters cannot be read: {error}") from error
    if not isinstance(found, dict) or len(found) > _MOST:
        raise FormatError("the parameters are no JSON object of a few names")
    for name, value in sorted(found.items()):
        values = value if isinstance(value, list) else [value]
        if len(values) > _MOST:
            raise FormatError(f"the parameter {name[:40]!r} has too many values", found=len(values), allowed=f"{_MOST}")
        for each in values:
            yield name[:80], _text(each)


class _Literal(str):
    """A number as it stands there: nothing is computed with it, so it cannot grow."""

    __slots__ = ()


def _text(value: Any) -> str:
    if isinstance(value, _Literal):
        return _plain_number(value)
    return value if isinstance(value, str) else json.dumps(value)


def _plain_number(text: str) -> str:
    """``text`` without an exponent, which no argument may have, where it is of a size that means something."""
    if _NUMBER.fullmatch(text) or len(text) > 40:
        return str(text)
    try:
        number = float(text)
    except ValueError:
        return str(text)
    if not math.isfinite(number) or abs(number) > 1e15:
        return str(text)
    return f"{number:.12f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What of a file's arguments Ollama has a place for: ``params`` as JSON, empty without any; the prompt ``system``.

    ``left`` are options that it has none for.
    """

    params: bytes
    system: str
    left: tuple[str, ...]


def parameters(options: Iterable[Option], without: Sequence[str] = ()) -> Parameters:
    """``options`` of ``.args`` as parameters, without those called as in ``without``. The last of two counts."""
    found: dict[str, Any] = {}
    system, left = "", []
    for option in options:
        name = _PARAMETERS.get(option.name)
        if option.name in without:
            continue
        if option.name == SYSTEM and option.values:
            system = option.values[0]
        elif name is None or not option.values:
            left.append(option.name)
        elif name == "stop":
            found.setdefault(name, []).append(option.values[0])
        elif _NUMBER.fullmatch(option.values[0]):
            found[name] = _number(option.values[0])
    return Parameters(canonical(found) if found else b"", system, tuple(dict.fromkeys(left)))


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def params_of(value: Mapping[str, Any]) -> bytes:
    """``value`` as the bytes of a layer."""
    return canonical(value)
