"""Faults in the form of the manifest (5.2): texts that are not the one canonical spelling of a value."""

from __future__ import annotations

from spec.vectors.generate import vector
from spec.vectors.generate.manifest import edited, respelt

CHAPTER = "manifest"


@vector("not-json", rules="LF3002 LF9003", valid="undetermined", layer="manifest", comment="A comma is missing.")
def not_json() -> bytes:
    return respelt(lambda data: data.replace(b'",\n', b'"\n', 1))


@vector("crlf", rules="LF3002 LF9003", valid="undetermined", layer="manifest", comment="Lines end in CR LF.")
def crlf() -> bytes:
    return respelt(lambda data: data.replace(b"\n", b"\r\n"))


@vector(
    "no-final-newline", rules="LF3002 LF9003", valid="undetermined", layer="manifest", comment="The last LF is missing."
)
def no_final_newline() -> bytes:
    return respelt(lambda data: data[:-1])


@vector(
    "duplicate-key",
    rules="LF3002 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="A key stands twice; parsers take one or the other.",
)
def duplicate_key() -> bytes:
    return respelt(lambda data: data.replace(b' "format": "llamafile",\n', b' "format": "llamafile",\n' * 2))


@vector(
    "unsorted-keys",
    rules="LF3002 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="Keys are not in code point order.",
)
def unsorted_keys() -> bytes:
    def swap(data: bytes) -> bytes:
        line = b' "format": "llamafile",\n'
        return data.replace(line, b"").replace(b"{\n", b"{\n" + line, 1)

    return respelt(swap)


@vector(
    "escaped-ascii",
    rules="LF3002 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="A letter is written as an escape.",
)
def escaped_ascii() -> bytes:
    return respelt(lambda data: data.replace(b'"profile": "default"', b'"profile": "def\\u0061ult"'))


@vector(
    "float",
    rules="LF3002 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="A size is written with an exponent.",
)
def float_() -> bytes:
    return respelt(lambda data: data.replace(b'"engine_size": 0', b'"engine_size": 0e0'))


@vector("negative", rules="LF3002 LF9003", valid="undetermined", layer="manifest", comment="An integer below zero.")
def negative() -> bytes:
    return respelt(lambda data: data.replace(b'"engine_size": 0', b'"engine_size": -1'))


@vector(
    "huge-integer", rules="LF3002 LF9003", valid="undetermined", layer="manifest", comment="An integer of 400 digits."
)
def huge_integer() -> bytes:
    return respelt(lambda data: data.replace(b'"engine_size": 0', b'"engine_size": 1' + b"0" * 400))


@vector("null", rules="LF3002 LF9003", valid="undetermined", layer="manifest", comment="A null.")
def null() -> bytes:
    return respelt(lambda data: data.replace(b'"default": "tiny.gguf"', b'"default": null'))


@vector(
    "deep",
    rules="LF3002 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="Lists nested 2,000 deep would exhaust a recursive parser's stack.",
)
def deep() -> bytes:
    return respelt(lambda data: b"[" * 2000 + b"]" * 2000 + b"\n")


@vector(
    "not-utf8",
    rules="LF3002 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="A byte that is not UTF-8 in a string.",
)
def not_utf8() -> bytes:
    return respelt(lambda data: data.replace(b'"profile": "default"', b'"profile": "defa\xfflt"'))


@vector(
    "lone-surrogate",
    rules="LF3002 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="An escaped lone surrogate has no UTF-8.",
)
def lone_surrogate() -> bytes:
    return respelt(lambda data: data.replace(b'"profile": "default"', b'"profile": "\\ud800"'))


@vector(
    "byte-order-mark",
    rules="LF3002 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="A byte order mark in front.",
)
def byte_order_mark() -> bytes:
    return respelt(lambda data: b"\xef\xbb\xbf" + data)


@vector("empty", rules="LF3002 LF9003", valid="undetermined", layer="manifest", comment="A manifest of no bytes.")
def empty() -> bytes:
    return respelt(lambda data: b"")


@vector("list", rules="LF3003 LF9003", valid="undetermined", layer="manifest", comment="The manifest is a list.")
def list_() -> bytes:
    return respelt(lambda data: b"[]\n")


@vector(
    "other-format",
    rules="LF3003 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="Another format's manifest under our path.",
)
def other_format() -> bytes:
    return edited(lambda value: value.update(format="dduf"))


@vector(
    "deep-behind-an-escape",
    rules="LF3002 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="Lists nested 9 deep behind a text with an escaped line feed, which ends a careless search for quotes.",
)
def deep_behind_an_escape() -> bytes:
    return edited(lambda value: value.update(name="two\nlines", zz=[[[[[[[[]]]]]]]]))


@vector("good-brackets-in-a-text", near="LF3002", comment="Brackets in a text with an escape nest nothing.")
def good_brackets_in_a_text() -> bytes:
    return edited(lambda value: value.update(name="two\nlines", source="see [[[[[[[[[here]"))
