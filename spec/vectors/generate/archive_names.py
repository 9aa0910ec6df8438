"""Vectors of chapter 4: member names (ambiguities b1 to b4). See ``archive.py``."""

from __future__ import annotations

from spec.vectors.generate.archive import Row, asset, both, named, register, text
from spec.vectors.generate.forge import (
    FOLDER,
    Part,
    Spec,
    container,
    gguf,
    good,
    parts,
    weights,
)

# Names (ambiguities b1, b2, b3, b4)

NAMES: list[Row] = [
    (
        "name-twice",
        "LF2031 LF2043 LF3013 LF3016 LF3101 LF3102 LF3103 LF3106 LF9001",
        "LF2032 LF2039",
        "two members have one name (ambiguity b1)",
        lambda: good(_twin("LICENSE.txt")),
    ),
    (
        "record-twice",
        "LF2031 LF2039 LF3102 LF3103 LF3106",
        "LF2032",
        "one member is listed twice (ambiguity b1)",
        lambda: good(text(copies=2)),
    ),
    (
        "weights-twice",
        "LF2031 LF2042 LF2043 LF3013 LF9001",
        "LF2032",
        "two members are called tiny.gguf (ambiguity b1)",
        lambda: container(Spec([*parts(), weights(data=gguf("other"))])),
    ),
    (
        "name-differs-in-case",
        "LF2032 LF3013 LF9001",
        "LF2031",
        "two names differ only in case (ambiguity b4)",
        lambda: named("license.TXT"),
    ),
    (
        "name-differs-in-case-beyond-ascii",
        "LF2032 LF3013 LF9001",
        "LF2031",
        "two names are one after full case folding (ambiguity b4)",
        lambda: good(asset("straße.txt"), asset("STRASSE.TXT")),
    ),
    (
        "name-of-a-folder",
        "LF2032 LF3013 LF9001",
        "LF2031",
        "a file and a folder have one name",
        lambda: good(asset("docs"), asset("docs/a.txt")),
    ),
    (
        "name-decomposed",
        "LF2035 LF3012",
        "LF2032",
        "a name is in normal form D (ambiguity b4)",
        lambda: named("re\u0301sume\u0301.txt"),
    ),
    ("name-empty", "LF2033 LF3012", "LF2034", "a member has no name", lambda: named("")),
    (
        "name-with-nul",
        "LF2033 LF3012",
        "LF2034",
        "a name holds a NUL, where some readers stop (ambiguity b2)",
        lambda: named("a.txt\0.html"),
    ),
    (
        "name-with-newline",
        "LF2033 LF3012 LF4002 LF5094",
        "LF2034",
        "a name holds a line feed (ambiguity b2)",
        lambda: named("a\nb.txt"),
    ),
    (
        "name-with-escape",
        "LF2033 LF3012",
        "LF2034",
        "a name holds a terminal escape sequence (ambiguity b2)",
        lambda: named("\x1b[2Ja.txt"),
    ),
    (
        "name-with-bidi",
        "LF2033 LF3012",
        "LF2034",
        "a name holds a direction override (ambiguity b2)",
        lambda: named("a\u202etxt.exe"),
    ),
    (
        "name-with-invisible",
        "LF2033 LF3012",
        "LF2034",
        "a name holds a zero-width space (ambiguity b2)",
        lambda: named("a\u200b.txt"),
    ),
    (
        "name-not-utf8",
        "LF2033 LF3016 LF3101 LF3102 LF3103 LF3106 LF9001",
        "LF2035",
        "a name is not UTF-8 (ambiguity b2)",
        lambda: named("caf\udce9.txt", listed_in_manifest=False),
    ),
    (
        "name-absolute",
        "LF2034 LF3012",
        "LF2036",
        "a name starts with a slash (ambiguity b3)",
        lambda: named("/etc/passwd"),
    ),
    (
        "name-dot-dot",
        "LF2034 LF3012",
        "LF2030",
        "a name leaves the folder (ambiguity b3)",
        lambda: named("../evil.txt"),
    ),
    (
        "name-dot-dot-inside",
        "LF2034 LF3012",
        "LF2030",
        "a name leads up and down again (ambiguity b3)",
        lambda: named("docs/../evil.txt"),
    ),
    ("name-dot", "LF2034 LF3012", "LF2030", "a name starts with ./ (ambiguity b3)", lambda: named("./a.txt")),
    (
        "name-double-slash",
        "LF2034 LF3012",
        "LF2030",
        "a name has an empty component (ambiguity b3)",
        lambda: named("docs//a.txt"),
    ),
    (
        "name-backslash",
        "LF2034 LF3012",
        "LF2036",
        "a name holds a backslash (ambiguity b3)",
        lambda: named("docs\\a.txt"),
    ),
    (
        "name-drive",
        "LF2036 LF3012",
        "LF2034",
        "a name starts with a drive letter (ambiguity b3)",
        lambda: named("C:/a.txt"),
    ),
    (
        "name-stream",
        "LF2036 LF3012",
        "LF2034",
        "a name holds a colon, which names a stream on Windows",
        lambda: named("a.txt:b"),
    ),
    (
        "name-of-a-journal",
        "LF2044 LF3012",
        "LF2033",
        "a name that a tool takes for the journal of tiny.gguf",
        lambda: named("tiny.gguf.Journal"),
    ),
    (
        "name-of-a-partial-file",
        "LF2044 LF3012",
        "LF2033",
        "a folder is named like an unfinished file",
        lambda: named("a.partial/b.txt"),
    ),
    ("name-device", "LF2036 LF3012", "LF2034", "a name is a Windows device", lambda: named("aux.txt")),
    ("name-device-in-folder", "LF2036 LF3012", "LF2034", "a folder is a Windows device", lambda: named("con/a.txt")),
    ("name-trailing-dot", "LF2036 LF3012", "LF2034", "a name ends in a dot", lambda: named("a.txt.")),
    ("name-trailing-space", "LF2036 LF3012", "LF2034", "a name ends in a space", lambda: named("a.txt ")),
    (
        "name-too-long",
        "LF2037 LF3012",
        "LF2036",
        "a name of 1,025 bytes",
        lambda: named("/".join(["d" * 204] * 5) + "x"),
    ),
    ("name-component-too-long", "LF2037 LF3012", "LF2036", "a component of 256 bytes", lambda: named("d" * 256)),
    (
        "reserved-unknown",
        "LF2038 LF3020",
        "LF2032",
        "the reserved folder holds a name of its own",
        lambda: named(FOLDER + "extra.txt"),
    ),
    (
        "reserved-alias",
        "LF2038 LF3020",
        "LF2032",
        "a name is the reserved folder in another case",
        lambda: named("meta-llamafile/evil.txt"),
    ),
    (
        "reserved-nested",
        "LF2038 LF3020",
        "LF2032",
        "a folder in the reserved folder",
        lambda: named(FOLDER + "more/a.txt"),
    ),
]


def _twin(path: str) -> Part:
    return Part(
        path + "\0", b"CC0-1.0 too\n", "license", "text/plain", manifest={"path": path}, **both(name=path.encode())
    )


register(NAMES, "archive")
