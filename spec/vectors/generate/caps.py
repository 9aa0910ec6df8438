"""Vectors of 12.4: files with more structure than is read, which are not judged, and good ones with as much as is."""

from __future__ import annotations

from spec.vectors.generate import behaviour, vector
from spec.vectors.generate.forge import Part, good
from spec.vectors.generate.gguf_builder import ARRAY, STRING, U8, V3, model, model_entries
from spec.vectors.generate.manifest import edited

CHAPTER = "caps"
HEAD = b"GGUF" + V3.number("I", 3)
INT32 = 5


def strings(key: str, count: int, item: bytes = b"") -> bytes:
    """An entry whose value is an array of ``count`` strings ``item``."""
    return V3.text(key) + V3.number("I", ARRAY) + V3.number("I", STRING) + V3.length(count) + V3.text(item) * count


def types(count: int, kind: int) -> bytes:
    """The types of ``count`` tokens, all ``kind``."""
    head = V3.text("tokenizer.ggml.token_type") + V3.number("I", ARRAY) + V3.number("I", INT32) + V3.length(count)
    return head + V3.number("I", kind) * count


def vocabulary(count: int, kind: int, token: bytes = b"") -> bytes:
    """A GGUF of keys alone with ``count`` equal tokens of one kind."""
    return V3.build(
        [
            *model_entries(),
            V3.entry("tokenizer.ggml.model", STRING, "llama"),
            strings("tokenizer.ggml.tokens", count, token),
            types(count, kind),
        ]
    )


def padded_metadata(size: int) -> bytes:
    """A GGUF whose first keys are arrays of ``size`` zero bytes in all, so that the last key starts behind them."""
    half = size // 2
    arrays = [V3.text(f"x.{n}") + V3.number("I", ARRAY) + V3.number("I", U8) + V3.length(half) for n in "ab"]
    return V3.build([*model_entries(), *(head + bytes(half) for head in arrays), V3.entry("x.last", U8, 1)])


GGUF = (
    (
        "tensors",
        "LF5008",
        "65537 tensors, with the bytes for them.",
        lambda: HEAD + V3.length(65_537) + V3.length(0) + bytes(24 * 65_537),
    ),
    (
        "keys",
        "LF5009",
        "16385 keys, with the bytes for them.",
        lambda: HEAD + V3.length(0) + V3.length(16_385) + bytes(13 * 16_385),
    ),
    (
        "bytes-of-keys",
        "LF5017",
        "17 keys of 65000 bytes each.",
        lambda: model(*(V3.entry(f"{number:02}" + "k" * 64_998, U8, 1) for number in range(17))),
    ),
    ("tokens", "LF5073", "2^20 + 1 tokens.", lambda: vocabulary((1 << 20) + 1, 1)),
    ("byte-tokens", "LF5073", "4097 tokens that stand for a byte.", lambda: vocabulary(4097, 6, b"<0x41>")),
    (
        "strings-in-arrays",
        "LF5073",
        "Two arrays of 3 * 2^20 + 2 empty strings in all.",
        lambda: V3.build([*model_entries(), strings("x.a", (3 << 19) + 1), strings("x.b", (3 << 19) + 1)]),
    ),
    ("bytes-of-metadata", "LF5073", "A key behind 128 MiB of metadata.", lambda: padded_metadata(128 << 20)),
)

for _name, _rules, _comment, _maker in GGUF:
    vector(_name, kind="gguf", rules=_rules, valid="undetermined", layer="none", comment=_comment, encoding="zlib")(
        _maker
    )

GOOD = (
    ("good-tokens", "LF5073", "As many tokens as are read.", lambda: vocabulary(1 << 20, 1)),
    ("good-byte-tokens", "LF5073", "As many byte tokens as are read.", lambda: vocabulary(4096, 6, b"<0x41>")),
    (
        "good-strings-in-arrays",
        "LF5073",
        "As many strings in arrays as are read.",
        lambda: V3.build([*model_entries(), strings("x.a", 3 << 19), strings("x.b", 3 << 19)]),
    ),
    ("good-bytes-of-keys", "LF5017", "A key as long as is allowed.", lambda: model(V3.entry("k" * 65_535, U8, 1))),
)

for _name, _near, _comment, _maker in GOOD:
    vector(_name, kind="gguf", near=_near, comment=_comment, encoding="zlib")(_maker)


@vector(
    "records-of-the-directory",
    rules="LF2014 LF9003",
    well_formed="undetermined",
    valid="undetermined",
    layer="none",
    encoding="zlib",
    comment="8,193 directory records: those behind the cap are not read.",
)
def records_of_the_directory() -> bytes:
    return good(behind=[Part(f"{number:04}") for number in range(8193)])


@vector(
    "values-of-the-manifest",
    rules="LF2014 LF9003",
    well_formed="undetermined",
    valid="undetermined",
    layer="none",
    encoding="zlib",
    comment="A manifest with more values than are built.",
)
def values_of_the_manifest() -> bytes:
    return edited(lambda value: value.update(x=[0] * (1 << 18)))


@vector("good-values-of-the-manifest", rules="LF3009", near="LF2014", encoding="zlib", comment="As many as are built.")
def good_values_of_the_manifest() -> bytes:
    return edited(lambda value: value.update(x=[0] * (1 << 17)))


@vector(
    "values-of-yaml",
    rules="LF9007",
    near="LF9100",
    valid="undetermined",
    layer="none",
    encoding="zlib",
    comment="A behaviour record with more values than are built.",
)
def values_of_yaml() -> bytes:
    return behaviour.recorded(lambda text: text + "z:\n" + "- {}\n" * 150_000)


@vector("good-values-of-yaml", rules="LF9102", near="LF9007", encoding="zlib", comment="As many as are built.")
def good_values_of_yaml() -> bytes:
    return behaviour.recorded(lambda text: text + "z:\n" + "- {}\n" * 100_000)
