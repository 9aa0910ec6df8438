"""Names: what is refused, what only looks dangerous, and what folds together."""

from __future__ import annotations

import pytest

from llamafile_format.zip.names import (
    NameProblem,
    collisions,
    is_reserved,
    is_safe,
    is_weights_name,
    name_faults,
    name_problems,
)

P = NameProblem


@pytest.mark.parametrize(
    ("name", "problems"),
    [
        (b"", {P.EMPTY}),
        (b"caf\xe9", {P.ENCODING}),
        (b"a\0b", {P.CONTROL}),
        (b"a\x7fb", {P.CONTROL}),
        ("a\u0085b".encode(), {P.CONTROL}),
        ("a\u202eb".encode(), {P.CONTROL}),
        ("a\u2028b".encode(), {P.CONTROL}),
        ("a\U000e0041b".encode(), {P.CONTROL}),
        (b"a\\b", {P.BACKSLASH}),
        (b"/a", {P.ABSOLUTE}),
        (b"../a", {P.TRAVERSAL}),
        (b"a/./b", {P.TRAVERSAL}),
        (b"a//b", {P.TRAVERSAL}),
        (b"/", {P.ABSOLUTE, P.FOLDER, P.TRAVERSAL}),
        (b"a/", {P.FOLDER}),
        (b"C:/a", {P.WINDOWS}),
        (b"NUL", {P.WINDOWS}),
        (b"com1.txt", {P.WINDOWS}),
        ("COM\u00b2.txt".encode(), {P.WINDOWS}),
        (b"aux .txt", {P.WINDOWS}),
        (b"a. ", {P.WINDOWS}),
        ("re\u0301sume\u0301".encode(), {P.NORMAL_FORM}),
        (b"a" * 256, {P.LENGTH}),
        (b"/".join([b"a" * 204] * 5) + b"bc", {P.LENGTH}),
    ],
)
def test_refused(name: bytes, problems: set[NameProblem]) -> None:
    assert set(name_problems(name)) == problems


@pytest.mark.parametrize(
    "name",
    [
        "a",
        ".args",
        "...txt",
        "a..b",
        "com.txt",
        "com10.txt",
        "auxiliary",
        "r\u00e9sum\u00e9.txt",
        "\u6a21\u578b.gguf",
        "a" * 255,
    ],
)
def test_allowed(name: str) -> None:
    assert is_safe(name)
    assert name_faults(name) == ()


def test_lone_surrogate_is_no_name() -> None:
    assert not is_safe("a\udce9")
    assert name_faults("a\udce9")


def test_collisions() -> None:
    assert collisions(["a", "b", "A"]) == [(2, 0)]
    assert collisions(["stra\u00dfe", "STRASSE"]) == [(1, 0)]
    assert collisions(["\u00e9", "e\u0301"]) == [(1, 0)]
    assert collisions(["\u1e9e", "ss"]) == [(1, 0)]
    assert collisions(["a/b", "a"]) == [(1, 0)]
    assert collisions(["A", "a/b"]) == [(1, 0)]
    assert collisions(["a/b", "a/c", "ab", "a.b"]) == []
    assert collisions(["\u0345\u0399", "\u03b9\u03b9"]) in ([], [(1, 0)])


def test_reserved_and_weights() -> None:
    assert is_reserved("META-LLAMAFILE/x")
    assert is_reserved("meta-llamafile")
    assert not is_reserved("META-LLAMAFILES/x")
    assert not is_reserved("a/META-LLAMAFILE/x")
    assert is_weights_name("a.GGUF")
    assert not is_weights_name(".gguf")
    assert not is_weights_name("a.gguf.txt")
