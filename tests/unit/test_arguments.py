"""The dialects of ``.args``: what each makes of the same bytes, and what cannot be said in which."""

from __future__ import annotations

import pytest

from llamafile_format.checks.arguments import check_arguments
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.prefix.arguments import (
    MAX_SIZE,
    Dialect,
    Token,
    Variable,
    dialect_of,
    encode,
    migrate,
    parse,
    with_bundled_names,
)
from llamafile_format.prefix.engine import Engine
from llamafile_format.prefix.facts import PrefixKind

QUOTED, LINES, ZIP, NATIVE = Dialect.QUOTED, Dialect.LINES, Dialect.ZIP_QUOTED, Dialect.NATIVE


@pytest.mark.parametrize(
    ("data", "texts", "rest"),
    [
        (b"-m\nmodel.gguf\n...\n", ["-m", "model.gguf"], 2),
        (b"-m\r\n\r\n  a b\t\r\n", ["-m", "  a b\t"], None),
        (b"...\n-m\n", ["...", "-m"], None),  # honoured as the last line only
        (b"a\\nb\n\\t\n", ["a\nb", "\\t"], None),
        (b"'a' #b $c\n", ["'a' #b $c"], None),
        (b"a\n...\0b\n", ["a"], 1),  # a C string ends at NUL
        (b"... \n", ["... "], None),
        (b"\n\n", [], None),
    ],
)
def test_lines(data: bytes, texts: list[str], rest: int | None) -> None:
    parsed = parse(data, LINES)
    assert (list(parsed.texts), parsed.rest) == (texts, rest)


@pytest.mark.parametrize(
    ("data", "texts", "rest"),
    [
        (b"-m model.gguf ...", ["-m", "model.gguf"], 2),
        (b"this\\ is' a single arg'\"ok\"# # comment\n", ["this is a single argok#"], None),
        (b"a ... b ... c", ["a", "b", "c"], 1),
        (b"'...' \\... ....", ["...", "...", "...."], None),
        (b".. . ..x\v...\f", ["..", ".", "..x"], 3),
        (b"a\\\nb  c\\\n d", ["ab", "cd"], None),  # the join leaves the reader between arguments
        (b"a\\\n#c\nb", ["ab"], None),
        (b"a\\\r\nb", ["ab"], None),
        (b"'' \"\" x", ["", "", "x"], None),
        (b"x ''", ["x"], None),  # an empty last argument is dropped
        (b'"\\a\\x41\\x4g\\xg\\101\\1019\\9\\e\\q\\\nz"', ["\aA\x04gxgAA9\t\x1bqz"], None),
        (b"\\n\\q\\\\", ["\nq\\"], None),
        (b"'a\nb'", ["a\nb"], None),
        (b"'open", ["open"], None),
        (b'"cut\\12', ["cut"], None),  # an unfinished number is dropped
        (b"$A ${B}c $ $$ $$D \\$E '$F'", ["${A}", "${B}c", "$", "$$", "$${D}", "$E", "$F"], None),
        (b'"$A b${C}$" ${open', ["${A} b${C}$", "${open"], None),
        (b'"x$', ["x"], None),
        (b"$", ["$"], None),
    ],
)
def test_quoted(data: bytes, texts: list[str], rest: int | None) -> None:
    parsed = parse(data, QUOTED)
    assert (list(parsed.texts), parsed.rest) == (texts, rest)
    assert parse(data, ZIP).tokens == parsed.tokens


def test_native_does_not_read_the_environment() -> None:
    assert parse(b'$A "${B}" $$', NATIVE).texts == ("$A", "${B}", "$$")
    assert parse(b"$A", QUOTED).tokens[0].parts == (Variable("A"),)


def test_tokens_know_their_place() -> None:
    data = b"# x\n-m  'a b'\n..."
    assert [data[t.offset : t.offset + t.length] for t in parse(data, QUOTED).tokens] == [b"-m", b"'a b'"]
    assert [data[t.offset : t.offset + t.length] for t in parse(data, LINES).tokens] == [b"# x", b"-m  'a b'"]


@pytest.mark.parametrize(
    ("tokens", "dialect", "data"),
    [
        (["-m", "model.gguf"], LINES, b"-m\nmodel.gguf\n...\n"),
        (["-m", "model.gguf"], QUOTED, b"-m\nmodel.gguf\n...\n"),
        (["a\nb", "x y"], LINES, b"a\\nb\nx y\n...\n"),
        (["a\nb", "it's", "", "...", "$x", "#"], QUOTED, b"'a\nb'\n'it'\\''s'\n''\n'...'\n'$x'\n'#'\n...\n"),
        ([Token((Variable("A"), "b c"))], QUOTED, b"${A}'b c'\n...\n"),
        ([], ZIP, b"...\n"),
    ],
)
def test_encode(tokens: list[str | Token], dialect: Dialect, data: bytes) -> None:
    assert encode(tokens, dialect) == data


@pytest.mark.parametrize(
    ("tokens", "dialect", "rest"),
    [
        (["..."], LINES, None),
        ([""], LINES, None),
        (["a\\nb"], LINES, None),
        (["a\rb"], LINES, None),
        ([Token((Variable("A"),))], LINES, None),
        ([Token((Variable("A"),))], NATIVE, None),
        (["a\0b"], QUOTED, None),
        (["a\0b"], LINES, None),
        (["a", "b"], LINES, 1),
        (["a"], QUOTED, 2),
        (["x" * MAX_SIZE], QUOTED, None),
        (["\ud800"], QUOTED, None),
    ],
)
def test_what_cannot_be_written(tokens: list[str | Token], dialect: Dialect, rest: int | None) -> None:
    with pytest.raises(UsageError):
        encode(tokens, dialect, rest=rest)


def test_rest_in_front() -> None:
    assert encode(["a"], QUOTED, rest=0) == b"...\na\n"


@pytest.mark.parametrize(
    ("old", "source", "target", "new"),
    [
        (b"-m\nmodel.gguf\n...\n", LINES, QUOTED, b"-m\nmodel.gguf\n...\n"),
        (b"-m\nmodel.gguf\n...\n", LINES, ZIP, b"-m\n/zip/model.gguf\n...\n"),
        (b"-m /zip/model.gguf # note\n", ZIP, QUOTED, b"-m\nmodel.gguf\n...\n"),
        (b"--model=model.gguf", QUOTED, ZIP, b"--model=/zip/model.gguf\n...\n"),
        (b"-p\nsay 'hi'\n", LINES, QUOTED, b"-p\n'say '\\''hi'\\'\n...\n"),
        (b"-p 'two words'", QUOTED, LINES, b"-p\ntwo words\n...\n"),
        (b"--grammar-file\n/zip/notes.txt\n...\n", ZIP, QUOTED, b"--grammar-file\n/zip/notes.txt\n...\n"),
        (b"notes.txt\n...\n", QUOTED, ZIP, b"notes.txt\n...\n"),
        (b"# kept\n-x y", QUOTED, ZIP, b"# kept\n-x y"),  # nothing to change: the bytes stay
        (b"-p $HOME", QUOTED, ZIP, b"-p $HOME"),
    ],
)
def test_migrate(old: bytes, source: Dialect, target: Dialect, new: bytes) -> None:
    names = ["model.gguf", "notes.txt"]
    assert migrate(old, source, target, member_names=names) == new
    assert migrate(new, target, target, member_names=names) == new


def test_migrate_refuses_what_it_cannot_read_or_say() -> None:
    with pytest.raises(FormatError):
        migrate(b"a\0b", QUOTED, LINES)
    with pytest.raises(FormatError):
        migrate(b"x\n" * MAX_SIZE, QUOTED, LINES)
    with pytest.raises(UsageError):
        migrate(b"-p $HOME", QUOTED, LINES)
    with pytest.raises(UsageError):
        migrate(b"... -x", QUOTED, LINES)


def test_bundled_names_from_either_form() -> None:
    assert [t.text for t in with_bundled_names(["m.gguf", "/zip/m.gguf"], ZIP, ["m.gguf"])] == ["/zip/m.gguf"] * 2
    assert [t.text for t in with_bundled_names(["m.gguf", "/zip/m.gguf"], QUOTED, ["m.gguf"])] == ["m.gguf"] * 2
    assert [t.text for t in with_bundled_names(["/zip/x.gguf"], QUOTED, ["m.gguf"])] == ["/zip/x.gguf"]


@pytest.mark.parametrize(
    ("version", "dialect"),
    [
        ((0, 3, 0), LINES),
        ((0, 8, 16), LINES),
        ((0, 8, 17), QUOTED),
        ((0, 9, 3), QUOTED),
        ((0, 10, 0), ZIP),
        ((1, 0, 0), ZIP),
        (None, QUOTED),
    ],
)
def test_dialect_of_a_version(version: tuple[int, int, int] | None, dialect: Dialect) -> None:
    assert dialect_of(Engine("llamafile", version, ())) is dialect


def test_dialect_without_version() -> None:
    assert dialect_of(None) is QUOTED
    assert dialect_of(None, PrefixKind.APE) is QUOTED
    assert dialect_of(None, PrefixKind.NONE) is NATIVE
    assert dialect_of(Engine("llamafile", (0, 9, 3), ()), PrefixKind.LAUNCHER) is NATIVE
    assert dialect_of(Engine("localscore", (0, 9, 3), ())) is LINES
    assert dialect_of(Engine("llamafile", None, (), at_least=(0, 10, 0))) is ZIP
    assert dialect_of(Engine("llamafile", None, (), at_most=(0, 8, 4))) is LINES


def test_findings_have_absolute_places() -> None:
    found = check_arguments(b"-x\n--unsecure\n...\n", QUOTED, base_offset=1000, member=".args")
    _, item = found
    assert (item.rule, item.where.offset, item.where.length, item.where.member) == ("LF6106", 1003, 10, ".args")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("--host=0.0.0.0", "LF6105"),
        ("--host ::", "LF6105"),
        ("--model-url=https://x.example/m", "LF6110"),
        ("--www-root /", "LF6109"),
        ("--mmproj p.gguf", "LF6102"),
        ("--host $HOST", "LF6105"),
    ],
)
def test_doors(text: str, rule: str) -> None:
    assert rule in {item.rule for item in check_arguments(text.encode() + b" ...", QUOTED)}


@pytest.mark.parametrize(
    "text", ["--host 127.0.0.1", "--host localhost", "--host=127.0.0.2", "--host ::1", "-p --host", "-m a.gguf@b"]
)
def test_no_false_alarm(text: str) -> None:
    rules = {item.rule for item in check_arguments(text.encode() + b" ...", QUOTED)}
    assert rules <= ({"LF6103"} if "host " in text else {"LF6103", "LF6130"})


def test_oversized_data_is_not_read() -> None:
    assert [item.rule for item in check_arguments(b"\0" * (MAX_SIZE + 1), QUOTED)] == ["LF6112"]
