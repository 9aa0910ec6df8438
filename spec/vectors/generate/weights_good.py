"""Vectors of chapter 7: good neighbours of the faults in the bytes of a GGUF (7.2 to 7.7), one field from breaking."""

from __future__ import annotations

from spec.vectors.generate.gguf_builder import (
    BIG,
    STRING,
    U8,
    U32,
    V1,
    V2,
    V3,
    model,
    model_entries,
    register_good,
    with_tensors,
)
from spec.vectors.generate.weights import array_head, gguf_with_padding

CHAPTER = "weights"


def small_model() -> bytes:
    """The good model that most vectors differ from by one fault."""
    return model()


register_good(
    [
        (
            "good-version-3",
            "",
            "LF5001 LF5002 LF5003 LF5006 LF5007 LF5032 LF5037 LF5046 LF5047 LF5048 LF5049 LF5050 LF5051 LF5053",
            "A small model, version 3, little endian.",
            small_model,
        ),
        ("good-version-2", "", "LF5003 LF5005", "Version 2.", lambda: model(dialect=V2)),
        ("good-version-1", "LF5005", "LF5002 LF5004", "Version 1: lengths of 4 bytes.", lambda: model(dialect=V1)),
        ("good-big-endian", "LF5004 LF5094", "LF5003", "Big endian.", lambda: model(dialect=BIG)),
        ("good-no-tensors", "", "LF5016 LF5051", "Keys only.", lambda: V3.build(model_entries())),
        (
            "good-tensors-65536",
            "",
            "LF5008",
            "As many tensors as are allowed.",
            lambda: with_tensors(
                [V3.tensor(f"{number:x}", (8,), 0, 32 * number) for number in range(65_536)], bytes(32 * 65_536)
            ),
        ),
        (
            "good-keys-16384",
            "",
            "LF5009 LF5010",
            "As many keys as are allowed.",
            lambda: V3.build([*model_entries(), *(V3.entry(f"k.{n:x}", U8, 0) for n in range(16_384 - 6))]),
        ),
        (
            "good-key-65535",
            "",
            "LF5013 LF5017",
            "A key as long as is allowed.",
            lambda: model(V3.entry("k" * 65_535, U8, 1)),
        ),
        (
            "good-key-characters",
            "",
            "LF5011 LF5012 LF5014 LF5015",
            "Every character that keys usually have.",
            lambda: model(V3.entry("az-09_.k", U8, 1), V3.entry("az-09_.l", U8, 1)),
        ),
        (
            "key-unusual-characters",
            "LF5014",
            "LF5011",
            "A key with a capital letter and one that is not ASCII.",
            lambda: model(V3.entry("General.näme", U8, 1)),
        ),
        (
            "good-every-value-type",
            "",
            "LF5018 LF5019 LF5021 LF5022 LF5023 LF5025",
            "A value of every type, strings empty and not ASCII.",
            lambda: model(
                *(V3.entry(f"x.{kind}", kind, 1) for kind in (0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12)),
                V3.entry("x.empty", STRING, ""),
                V3.entry("x.text", STRING, "Grüße, 世界"),
            ),
        ),
        (
            "good-every-array-type",
            "",
            "LF5024 LF5025 LF5026 LF5028",
            "An array of every type, one empty, one of strings.",
            lambda: model(
                *(V3.array(f"x.{kind}", kind, [0, 1, 1]) for kind in (0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12)),
                V3.array("x.strings", STRING, ["", "a", "Grüße"]),
                V3.array("x.none", U8, []),
            ),
        ),
        (
            "array-strings-not-text",
            "LF5028",
            "LF5022",
            "An array with a string that is not UTF-8 and one with a NUL.",
            lambda: model(V3.array("x.strings", STRING, ["fine", b"\xff\xfe", "a\0b"])),
        ),
        (
            "good-string-64-mib",
            "",
            "LF5020",
            "A string as long as is allowed.",
            lambda: V3.build([*model_entries(), V3.entry("x.y", STRING, b" " * (64 << 20))]),
        ),
        (
            "good-array-2-27",
            "",
            "LF5027",
            "An array with as many elements as are allowed.",
            lambda: V3.build([*model_entries(), array_head(U8, 1 << 27) + bytes(1 << 27)]),
        ),
        (
            "good-alignment-64",
            "",
            "LF5029 LF5030 LF5031 LF5046",
            "Alignment 64.",
            lambda: V3.build(
                [*model_entries(), V3.entry("general.alignment", U32, 64)],
                [V3.tensor("a", (8,), 0, 0), V3.tensor("b", (8,), 0, 64)],
                bytes(96),
                alignment=64,
            ),
        ),
        (
            "good-alignment-8",
            "",
            "LF5031",
            "The smallest alignment.",
            lambda: V3.build(
                [*model_entries(), V3.entry("general.alignment", U32, 8)],
                [V3.tensor("a", (2,), 0, 0), V3.tensor("b", (2,), 0, 8)],
                bytes(16),
                alignment=8,
            ),
        ),
        (
            "good-tensor-names",
            "",
            "LF5033 LF5034 LF5035 LF5036 LF5037",
            "Names of 1 and of 63 bytes, one not ASCII.",
            lambda: with_tensors(
                [
                    V3.tensor("n", (8,), 0, 0),
                    V3.tensor("n" * 63, (8,), 0, 32),
                    V3.tensor("poids.été", (8,), 0, 64),
                ],
                bytes(96),
            ),
        ),
        (
            "good-tensor-shapes",
            "",
            "LF5038 LF5039 LF5040 LF5043 LF5044 LF5045",
            "One and four dimensions, blocks of 32 and of 256.",
            lambda: with_tensors(
                [
                    V3.tensor("one", (1,), 0, 0),
                    V3.tensor("four", (2, 1, 2, 2), 0, 32),
                    V3.tensor("q8", (32, 2), 8, 64),
                    V3.tensor("q4k", (256,), 12, 160),
                ],
                bytes(32 + 32 + 96 + 144),
            ),
        ),
        (
            "tensor-type-of-a-fork",
            "LF5043 LF5094",
            "LF5041 LF5042",
            "Type 139 is IQ4_K in one fork and nothing in mainline.",
            lambda: with_tensors([V3.tensor("a", (256,), 139, 0)], bytes(144)),
        ),
        (
            "good-padding",
            "",
            "LF5050 LF5051 LF5052",
            "Zero padding between tensors, none behind the last.",
            lambda: gguf_with_padding(0),
        ),
        (
            "good-final-padding",
            "",
            "LF5051",
            "Zero padding behind the last tensor too.",
            lambda: gguf_with_padding(0) + bytes(28),
        ),
    ],
    zipped=["good-tensors-65536", "good-keys-16384", "good-key-65535", "good-string-64-mib", "good-array-2-27"],
)
