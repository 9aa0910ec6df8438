"""The caps of clause 12.4: the table is the code's, and reading at a cap stays within its bounds."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llamafile_format as lf
from llamafile_format import limits
from llamafile_format.bounded_json import parse_json
from llamafile_format.bounded_yaml import parse_yaml
from llamafile_format.errors import FormatError, LimitExceeded
from llamafile_format.manifest.canonical_json import decode, encode
from llamafile_format.rules import rule
from spec.vectors.generate import behaviour, caps, onnx
from spec.vectors.generate.contents import named
from spec.vectors.generate.forge import End, Part, Spec, archive, container, parts
from spec.vectors.generate.gguf_builder import STRING, V3, model_entries

CHAPTER = Path(__file__).resolve().parents[2] / "spec" / "1" / "12-security.md"
FORMAT_LIMITS = {"LF3002", "LF8001", "LF9100"}
"""Rules of limits that are the format's own, so that a file beyond them is wrong (12.4.3)."""


def rows() -> list[limits.Cap]:
    """The table of 12.4.2."""
    text = CHAPTER.read_text("utf-8").partition("**12.4.2**")[2].partition("**12.4.3**")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [limits.Cap(what, int(most.replace(",", "")), name) for what, most, name, _ in cells]


def test_the_table_is_the_code() -> None:
    assert tuple(rows()) == limits.CAPS


def test_beyond_a_cap_nothing_is_determined() -> None:
    for cap in limits.CAPS:
        if cap.rule != "-":
            assert rule(cap.rule).undetermined == (cap.rule not in FORMAT_LIMITS), cap


def test_every_number_is_in_the_table() -> None:
    """A cap that the table does not name would be a secret of this reader."""
    source = Path(limits.__file__).read_text("utf-8")
    names = set(re.findall(r"^([A-Z_]+) =", source, re.MULTILINE)) - {"CAPS"}
    table = source[source.index("CAPS = (") :]
    assert {name for name in names if f", {name}, " not in table} == {"DEFLATE_RATIO"}


# What reading costs: measured in a child, in processor time and resident memory. The bounds are those of 12.4.2 with a
# margin for slow and busy machines.

_TELLING = """
import atexit, pathlib, sys
told = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: told.write_text(pathlib.Path("/proc/self/status").read_text()))
from llamafile_format.__main__ import main
main()
"""
CPU = 10.0
MEMORY = 256 << 20


def cost(*words: str | Path) -> tuple[float, int, str]:
    """(seconds of processor, bytes resident at most, what it printed) of a command.

    Linux carries the peak of this process over into the child's usage, so the child tells its own.
    """
    told = Path(words[-1]).with_name("status")
    command = [sys.executable, "-c", _TELLING, str(told), *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        assert child.stdout is not None
        said = child.stdout.read().decode()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode in (0, 1, 3), said
    peak = re.search(r"^VmHWM:\s+(\d+) kB$", told.read_text(), re.MULTILINE)
    assert peak
    return usage.ru_utime + usage.ru_stime, int(peak[1]) * 1024, said


def in_container(gguf: bytes) -> bytes:
    """The good container around another model."""
    members = parts()
    members[-1].data = gguf
    return container(Spec(members, labels={"default": "tiny.gguf"}))


def many_members(count: int) -> bytes:
    """A container with ``count`` documents of long names."""
    first, *others = parts()
    documents = (Part(f"{'d' * 240}/{number:05}", b"x", "document", "text/plain") for number in range(count))
    return container(Spec([first, *documents, *others], labels={"default": "tiny.gguf"}))


def one_template_under_many_names() -> bytes:
    text = "{% if a %}" * 20 + "{{ messages[0]['content'] }}" * 8000 + "{% endif %}" * 20
    keys = [V3.entry(f"tokenizer.chat_template.n{number}", STRING, text) for number in range(100)]
    return in_container(V3.build([*model_entries(), *keys]))


def one_template(text: str) -> bytes:
    return in_container(V3.build([*model_entries(), V3.entry("tokenizer.chat_template", STRING, text)]))


AT_THE_CAPS: dict[str, Callable[[], bytes]] = {
    "members": lambda: many_members(limits.DIRECTORY_ENTRIES - 6),
    "empty strings": lambda: in_container(
        V3.build([*model_entries(), caps.strings("x.a", 3 << 19), caps.strings("x.b", 3 << 19)])
    ),
    "strings beyond ASCII": lambda: in_container(
        V3.build([*model_entries(), caps.strings("x.a", 3 << 19, "\u00e9".encode() * 8), caps.strings("x.b", 3 << 19)])
    ),
    "strings that are no text": lambda: in_container(
        V3.build([*model_entries(), caps.strings("tokenizer.ggml.tokens", 1 << 20, b"\xff")])
    ),
    "tokens of bytes": lambda: in_container(caps.vocabulary(1 << 20, 6, b"<0x41>")),
    "tensors": lambda: in_container(
        b"GGUF"
        + struct.pack("<IQQ", 3, 65_536, 0)
        + b"".join(V3.tensor(f"{n:063}", (1, 1, 1, 1), 0, 32 * n) for n in range(65_536))
        + bytes(64)
    ),
    "tensors of ONNX": lambda: named(
        onnx.model(onnx.graph(*(onnx.tensor(f"{n:06}", b"1234", (1,)) for n in range(65_536)))), "m.onnx"
    ),
    "operators of ONNX": lambda: named(
        onnx.model(onnx.graph(nodes=tuple(onnx.field(4, f"{n:025}") for n in range(260_000)))), "m.onnx"
    ),
    "words of ONNX": lambda: named(
        onnx.model(
            onnx.graph(nodes=(onnx.node(more=onnx.field(6, "curl " * 2000)),) * 100),
            more=b"".join(onnx.field(14, onnx.field(1, f"{n}") + onnx.field(2, "eval " * 2000)) for n in range(100)),
        ),
        "m.onnx",
    ),
    "values of YAML": lambda: behaviour.recorded(lambda text: text + "z:\n" + "- 2001-01-01\n" * 290_000),
    "lists of lists in YAML": lambda: behaviour.recorded(lambda text: text + "z: [" + "[[[[1]]]]," * 350_000 + "]\n"),
    "one template under a hundred names": one_template_under_many_names,
    "one macro told and called thousands of times": lambda: one_template(
        "{% macro m(a) %}{% endmacro %}" * 2000 + "{{ m(1) }}" * 4000
    ),
    "calls in thousands of blocks": lambda: one_template(
        "{% macro m() %}{{ caller(1) }}{% endmacro %}" + "{% call(a) m() %}{{ caller(2) }}{% endcall %}" * 2000
    ),
    "macros that call one another in a row": lambda: one_template(
        "".join(f"{{% macro a{n}() %}}{{{{ a{n + 1}() }}}}{{% endmacro %}}" for n in range(5500))
    ),
}


@pytest.mark.parametrize("what", AT_THE_CAPS)
@pytest.mark.parametrize("command", [pytest.param("inspect", marks=pytest.mark.slow), "verify"])
def test_reading_at_a_cap_is_bounded(tmp_path: Path, what: str, command: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(AT_THE_CAPS[what]())
    seconds, memory, said = cost(command, path)
    assert seconds < CPU, said
    assert memory < MEMORY, said


def sparse_gguf(path: Path, declared: int, size: int) -> None:
    """A GGUF whose vocabulary is a hole."""
    key = V3.text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, declared)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + key)
    os.truncate(path, size)


def sparse_archive(path: Path, size: int) -> None:
    """A legacy llamafile whose stored model is nearly all hole."""
    start = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + V3.text("tokenizer.ggml.tokens")
    start += struct.pack("<IIQ", 9, 8, size // 8 - 16)
    name = b"model.gguf"
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 10, 0x800, 0, 0, 0x21, 0, size, size, len(name), 0) + name
    record = struct.pack("<IHHHHHHIII", 0x02014B50, 0x32D, 10, 0x800, 0, 0, 0x21, 0, size, size)
    record += struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0o644 << 16, 0)
    with path.open("wb") as file:
        file.write(local + start)
        file.seek(len(local) + size)
        file.write(record + name)
        file.write(struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(record) + len(name), len(local) + size, 0))


def test_holes_are_nothing_special(tmp_path: Path) -> None:
    """8 GB of nothing on some kilobytes of disk: reading stops where it always does, and says so."""
    path = tmp_path / "model.gguf"
    sparse_gguf(path, (1 << 30) - 64, 8 << 30)
    seconds, memory, _ = cost("inspect", path)
    assert seconds < CPU
    assert memory < MEMORY
    path = tmp_path / "model.llamafile"
    sparse_archive(path, 128 << 20)
    for command in (["inspect"], ["verify", "--level", "quick"], ["verify"]):
        seconds, memory, said = cost(*command, path)
        assert seconds < CPU
        assert memory < MEMORY
    assert "LF5073" in said


def test_a_small_archive_does_not_fill_the_disk(tmp_path: Path) -> None:
    """26 records of one deflated member: 26 times what it unpacks to, were it written."""
    data = archive([Part("0.gguf", bytes(1 << 20), method=8)], end=End(comment=b""))
    start, record = data[: data.index(b"PK\1\2")], data[data.index(b"PK\1\2") : data.index(b"PK\5\6")]
    many = b"".join(record.replace(b"0.gguf", f"{chr(letter)}.gguf".encode()) for letter in (48, *range(65, 90)))
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 26, 26, len(many), len(start), 0)
    path = tmp_path / "bomb"
    path.write_bytes(start + many + end)
    with pytest.raises(FormatError, match="shares bytes"):
        lf.extract(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# JSON and YAML: what is refused is asked of a parser, never of a search for quotes.

TEXTS = st.text(st.sampled_from('"\\nbtfru/[]{},:\n\t \u00e9'), max_size=12)
VALUES = st.recursive(
    TEXTS | st.integers(0, 9), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
)


def depth(value: object) -> int:
    """Dicts and lists nested in ``value``, the plain way."""
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(VALUES, st.integers(0, 12), TEXTS)
def test_depth_of_json_is_what_the_parser_says(value: object, wraps: int, beside: str) -> None:
    for _ in range(wraps):
        value = [beside, value, beside]
    data = encode(value)
    if depth(value) <= limits.JSON_DEPTH:
        assert decode(data) == value
    else:
        with pytest.raises(FormatError, match="nested too deeply"):
            decode(data)


@pytest.mark.parametrize("count", [9, 10, 500, 5000, 200_000])
@pytest.mark.parametrize("before", [b"[", b'["\\n",', b'["\\t\\"[",', b'{"a\\\\":'])
def test_nesting_is_refused_whatever_stands_before(count: int, before: bytes) -> None:
    close = b"}" if before.startswith(b"{") else b"]"
    with pytest.raises(FormatError):
        decode(before + b"[" * count + b"]" * count + close, exact=False)


@given(VALUES)
def test_marks_never_count_too_few(value: object) -> None:
    """The bound that is compared before parsing is never below the number of values."""

    def count(inner: object) -> int:
        below = inner.values() if isinstance(inner, dict) else inner if isinstance(inner, list) else ()
        return 1 + sum(map(count, below))

    data = json.dumps(value).encode()
    assert count(value) <= 1 + sum(data.count(mark) for mark in (b",", b"[", b"{"))


def test_json_with_too_many_values_is_not_built() -> None:
    parse_json(b"[" + b"0," * (limits.JSON_MARKS - 1) + b"0]")
    with pytest.raises(LimitExceeded):
        parse_json(b"[" + b"0," * limits.JSON_MARKS + b"0]")


@pytest.mark.parametrize("word", ["010", "1_0", "1:30", "0b11", "0o17", "0x1F", "1e3", "no", "On", "y", ".5", "="])
def test_scalars_that_readers_take_differently(word: str) -> None:
    assert "not the same to every reader" in parse_yaml(f"a: {word}\n".encode(), 100)[1]
    assert parse_yaml(f'a: "{word}"\n'.encode(), 100) == ({"a": word}, "")


@given(st.text(st.sampled_from("0123456789+-._:eExXoObBtTzZ yYnN~<=truefalsn"), min_size=1, max_size=10))
def test_plain_scalars_are_what_a_yaml_library_says(word: str) -> None:
    """Or they are refused: never is a scalar something else here than in PyYAML."""
    import yaml

    try:
        theirs = yaml.safe_load(f"- {word}\n")
    except (yaml.YAMLError, ValueError):
        return
    ours, reason = parse_yaml(f"- {word}\n".encode(), 100)
    if not reason:
        assert repr(ours) == repr(theirs)


@given(VALUES)
def test_documents_are_what_a_yaml_library_says(value: object) -> None:
    import yaml

    text = yaml.safe_dump(value, allow_unicode=True, default_style='"')
    ours, reason = parse_yaml(text.encode(), 1 << 20)
    if depth(value) > limits.YAML_DEPTH:
        assert "deep" in reason
    elif not reason:
        assert ours == yaml.safe_load(text)
