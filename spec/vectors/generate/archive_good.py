"""Vectors of chapter 4: good neighbours. See ``archive.py``."""

from __future__ import annotations

from spec.vectors.generate.archive import Row, asset, named, register, text
from spec.vectors.generate.forge import (
    End,
    Part,
    good,
    weights,
)
from spec.vectors.generate.forge import archive as plain_zip
from spec.vectors.generate.runtimes import with_runtime

# Good neighbours

_NEAR_ALL = " ".join(f"LF20{number:02}" for number in (1, 4, 5, 6, 7, 11, 13, 15, *range(17, 25), 28))

GOOD: list[Row] = [
    (
        "good-smallest",
        "",
        _NEAR_ALL,
        "README, licence, weights, chunk list, manifest",
        good,
    ),
    (
        "good-end-signature-in-data",
        "",
        "LF2003 LF2040 LF2010 LF2009",
        "a member holds a whole ZIP, which nothing may mistake for the archive's own",
        lambda: good(_zip_inside()),
    ),
    (
        "good-names",
        "",
        "LF2030 LF2031 LF2032 LF2033 LF2034 LF2035 LF2036",
        "names that are one step from being refused",
        lambda: good(*map(asset, _FINE_NAMES)),
    ),
    (
        "good-name-of-1024-bytes",
        "",
        "LF2037",
        "the longest name that is allowed",
        lambda: named("/".join(["d" * 204] * 5)),
    ),
    (
        "good-reserved",
        "",
        "LF2038",
        "a name that only resembles the reserved folder",
        lambda: named("META-LLAMAFILES/a.txt"),
    ),
    ("good-runtime", "LF3330", "LF2028 LF2041", "a runtime has mode 0755", with_runtime),
    (
        "good-empty-member",
        "",
        "LF2016 LF2039 LF2024",
        "a member without data",
        lambda: good(Part("empty.txt", b"", "document", "text/plain")),
    ),
    ("good-no-gap", "", "LF2040 LF2041", "weights that need no gap", lambda: _no_gap()),  # noqa: PLW0108
    (
        "good-large-offset-fields",
        "",
        "LF2002 LF2012 LF2014 LF2025 LF2026 LF2027 LF2029 LF2016",
        "two weights, the default named",
        lambda: good(weights("second.gguf"), labels={"default": "tiny.gguf"}),
    ),
    (
        "good-views-agree",
        "",
        "LF2042 LF2043 LF2008",
        "a folder of assets, as the engine's two readers see it",
        lambda: good(asset("www/index.html"), asset("www/a.js")),
    ),
]

_FINE_NAMES = [
    "a.gguf.txt",
    "a..b/c.txt",
    "auxiliary.txt",
    "console/a.txt",
    "docs/r\u00e9sum\u00e9.txt",
    "stra\u00dfe.txt",
    "strase.txt",
    "...txt",
    "with space.txt",
    "\u6a21\u578b.txt",
]


def _zip_inside() -> Part:
    return Part(
        "inner.zip",
        plain_zip([Part("a.txt", b"x")], end=End(comment=b"", wide=True)),
        "asset",
        "application/octet-stream",
    )


def _no_gap() -> bytes:
    for length in range(64):
        part = weights()
        data = good(text(data=b"x" * length), part)
        if data[part.header_at - 1 : part.header_at] == b"x":
            return data
    raise AssertionError("no length fits")


register(GOOD, "none")
