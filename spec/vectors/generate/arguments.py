"""Vectors of clause 3.8: arguments in each dialect.

A vector here is a small legacy llamafile: a program that holds nothing but the engine's version, then a plain ZIP with
``model.gguf``, ``draft.gguf`` and ``.args``. The version decides the dialect; without a program it is the native one.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from spec.vectors.generate import Maker, vector
from spec.vectors.generate.ape import elf

CHAPTER = "arguments"
ENGINES = {"lines": b"llamafile v0.8.16\0", "quoted": b"llamafile v0.9.3\0", "zip-quoted": b"llamafile v0.10.5\0"}
GGUF = b"GGUF" + struct.pack("<IQQ", 3, 0, 0)


def llamafile(dialect: str, arguments: bytes) -> bytes:
    """A legacy llamafile whose engine reads ``arguments`` in ``dialect``."""
    out = bytearray((elf() + ENGINES[dialect]).ljust(576, b"\0") if dialect in ENGINES else b"")
    directory = bytearray()
    members = ((b"model.gguf", GGUF), (b"draft.gguf", GGUF), (b".args", arguments))
    for name, data in members:
        common = struct.pack("<HHHHHIIIHH", 10, 0x0800, 0, 0, 33, zlib.crc32(data), len(data), len(data), len(name), 0)
        directory += struct.pack("<IH", 0x02014B50, 0x032D) + common
        directory += struct.pack("<HHHII", 0, 0, 0, 0o100644 << 16, len(out)) + name
        out += struct.pack("<I", 0x04034B50) + common + name + data
    start = len(out)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, len(members), len(members), len(directory), start, 0)
    return bytes(out + directory + end)


def case(
    name: str, dialect: str, arguments: bytes, comment: str, *, rules: str = "", near: str = "", layer: str = "none"
) -> None:
    """Register one vector. Cases with more than 8 KiB of arguments are stored compressed."""
    register: Callable[[Maker], Maker] = vector(
        f"{dialect}-{name}",
        comment=comment,
        rules=rules,
        near=near,
        layer=layer,
        kind="prefix",
        encoding="zlib" if len(arguments) > 8192 else "raw",
    )
    register(lambda: llamafile(dialect, arguments))


case(
    "plain",
    "lines",
    b"-m\nmodel.gguf\n--host\n127.0.0.1\n...\n",
    "One argument a line, in a form that every dialect reads alike.",
    near="LF6101 LF6102 LF6103 LF6104 LF6105 LF6110 LF6115 LF6116 LF6117 LF6118",
)
case(
    "plain",
    "quoted",
    b"-m\nmodel.gguf\n...\n",
    "The same in front of an engine that reads quotes.",
    near="LF6106 LF6107 LF6108 LF6109 LF6111 LF6112 LF6113 LF6114 LF6130",
)
case(
    "plain",
    "zip-quoted",
    b"-m\n/zip/model.gguf\n--server\n...\n",
    "Bundled name with /zip/.",
    rules="LF6130",
    near="LF6115 LF6118",
)
case(
    "plain",
    "native",
    b"-m\n/zip/model.gguf\n-r\nUS$5\n--chat_template\n{{messages}}\n--temp\n0.5\n...\n",
    "A dollar is a dollar, and an underscore behind two dashes is a dash.",
    rules="LF6103",
    near="LF6119 LF6120 LF6121 LF6122 LF6123 LF6124 LF6125 LF6126",
)
case("space-in-name", "lines", b"-p\nhello world\n...\n", "A blank inside a line is part of it.", rules="LF6103 LF6130")
case("several-a-line", "quoted", b"-m model.gguf ...\n", "Several arguments a line.", rules="LF6103")
case("comment", "quoted", b"# a remark\n-m\nmodel.gguf\n...\n", "A comment line.", rules="LF6103")
case("rest-in-front", "quoted", b"...\n-m\nmodel.gguf\n", "The user's arguments go first.", rules="LF6103")
case("without-rest", "lines", b"-m\nmodel.gguf\n", "No place for the user's arguments.", rules="LF6101")
case("without-rest", "quoted", b"-m\nmodel.gguf\n", "No place for the user's arguments.", rules="LF6101")
case("missing-model", "lines", b"-m\nother.gguf\n...\n", "A model that is not inside.", rules="LF6102")
case("missing-model", "zip-quoted", b"--model=/zip/x.gguf\n...\n", "A model that is not inside.", rules="LF6102")
case("nul", "lines", b"-m\nmodel.gguf\n...\0-x\n", "A NUL hides the rest.", rules="LF6103 LF6104", layer="content")
case("escaped-nul", "quoted", b'"a\\0b"\n...\n', "An escaped NUL.", rules="LF6103 LF6104 LF6130", layer="content")
case("host-all", "lines", b"--host\n0.0.0.0\n...\n", "Listens on every address.", rules="LF6105")
case("host-like-local", "lines", b"--host\n127.0.0.1.example\n...\n", "A name that begins like 127.", rules="LF6105")
case("unsecure", "quoted", b"--unsecure\n...\n", "Switches the sandbox off.", rules="LF6106")
case("trust", "quoted", b"--trust\n10.0.0.0/8\n...\n", "Trusts a network.", rules="LF6107")
case("tools", "zip-quoted", b"--tools\nall\n...\n", "Gives the model tools.", rules="LF6108")
case("path", "quoted", b"--path\n/srv\n...\n", "Serves a folder.", rules="LF6109")
case("fetch", "quoted", b"-hf\nsome/model\n...\n", "Fetches a model.", rules="LF6110")
case("environment", "quoted", b"-p\n$SECRET\n...\n", "Reads a variable.", rules="LF6103 LF6111 LF6130")
case("too-long", "quoted", b"x\n" * 33_000 + b"...\n", "66,004 bytes of arguments.", rules="LF6112", layer="content")
case("too-many", "quoted", b"x\n" * 4097 + b"...\n", "4,097 arguments.", rules="LF6112 LF6130", layer="content")
case("open-quote", "quoted", b"-p\n'it\n...\n", "A quote that is never closed.", rules="LF6101 LF6103 LF6113 LF6130")
case("empty-last", "quoted", b"...\n-p\n''", "An empty last argument.", rules="LF6103 LF6114 LF6130")
case("bundled-bare", "zip-quoted", b"-m\nmodel.gguf\n...\n", "A bundled name without /zip/.", rules="LF6115")
case("bundled-zip", "lines", b"-m\n/zip/model.gguf\n...\n", "An old engine cannot map /zip/.", rules="LF6115")
case("rest-in-middle", "lines", b"-m\n...\nmodel.gguf\n...\n", "Two places.", rules="LF6102 LF6103 LF6116 LF6130")
case("rest-twice", "quoted", b"...\n-m\nmodel.gguf\n...\n", "Two places.", rules="LF6103 LF6116")
case("not-utf-8", "lines", b"-p\n\xff\n...\n", "A byte that is not UTF-8.", rules="LF6117 LF6130")
case("mode", "lines", b"--server\n...\n", "A mode option that comes too late.", rules="LF6118")

_BAD = [  # the neighbours of native-plain: one word, or one character, is another
    ("log-file", b"--log-file\n../x\n...\n", "A file of the user's would be overwritten.", "LF6119"),
    ("log_file", b"--log_file\n../x\n...\n", "The same, as the engine's parser reads it.", "LF6119"),
    ("host", b"--host\n0.0.0.0\n...\n", "The address is for the user to say.", "LF6119"),
    ("port", b"--port\n80\n...\n", "So is the port.", "LF6119"),
    ("prompt", b"-p\nhello\n...\n", "A prompt makes the program do something else.", "LF6119"),
    ("threads", b"-t\n4\n...\n", "The machine is not the packer's.", "LF6119"),
    ("preset", b"--gpt-oss-20b-default\n...\n", "A word that stands for a model on a network.", "LF6119"),
    ("typo", b"--tmep\n0\n...\n", "A letter out of place.", "LF6120"),
    ("abbreviation", b"--temper\n0\n...\n", "No engine takes abbreviations.", "LF6120"),
    ("upper-case", b"--TEMP\n0\n...\n", "Upper case is another word.", "LF6120"),
    ("short-with-underscore", b"-top_k\n1\n...\n", "Behind one dash an underscore stays.", "LF6120"),
    ("too-hot", b"--temp\n101\n...\n", "Hotter than the table allows.", "LF6121"),
    ("not-a-number", b"--temp\nnan\n...\n", "Not a number.", "LF6121"),
    ("hexadecimal", b"-c\n0x10\n...\n", "Only digits are digits.", "LF6121"),
    ("blank-before-number", b"-c\n' 10'\n...\n", "No blanks.", "LF6121"),
    ("other-digits", "-c\n\u0663\n...\n".encode(), "Digits of another script.", "LF6121"),
    ("huge-context", b"-c\n16777217\n...\n", "One token too many.", "LF6121"),
    ("no-value", b"...\n--temp\n", "The value is missing.", "LF6121"),
    ("value-is-option", b"-r\n--log-file\n...\n", "A value that one reader takes for an option.", "LF6121"),
    ("outside", b"-m\n/srv/model.gguf\n...\n", "A path of the machine.", "LF6122"),
    ("bare", b"-m\nmodel.gguf\n...\n", "A file beside the container.", "LF6122"),
    ("climbing", b"-m\n/zip/../model.gguf\n...\n", "No member has such a name.", "LF6122"),
    ("model-as-template", b"--chat-template-file\n/zip/model.gguf\n...\n", "A member of another role.", "LF6122"),
    ("list-with-another", b"--lora\n/zip/a.gguf,/etc/passwd\n...\n", "The second of two.", "LF6122"),
    ("stray", b"hello\n...\n", "A word that belongs to nothing.", "LF6123"),
    ("dash-of-print", "\u2013-temp\n0\n...\n".encode(), "A dash that no keyboard has.", "LF6123"),
    ("equals", b"--temp=0.5\n...\n", "The engine's parser does not know the equals sign.", "LF6124"),
    ("rest-inside", b"--temp\n...\n0.5\n", "The user's arguments in front of a value.", "LF6125"),
    ("grammar-loop", b"--grammar\n'root ::= root \"a\"'\n...\n", "A rule that begins with itself.", "LF6126"),
    ("grammar-backwards", b"--grammar\n'root ::= \"a\"{2,1}'\n...\n", "At least twice, at most once.", "LF6126"),
    (
        "grammar-classes",
        b"--grammar\n'root ::= [abcdefghijklmnopqrstuvwxyzABCDEFG]{0,2000}'\n...\n",
        "66,000 written out.",
        "LF6126",
    ),
    ("schema-away", b'-j\n\'{"$ref":"http://x.example/"}\'\n...\n', "It leads away.", "LF6126"),
    (
        "schema-backwards",
        b'-j\n\'{"type":"string","minLength":2,"maxLength":1}\'\n...\n',
        "As backwards as that grammar.",
        "LF6126",
    ),
]
for _name, _data, _comment, _rules in _BAD:
    case(_name, "native", _data, _comment, rules=_rules, layer="content")
case("layers", "quoted", b"-ngl\n999\n...\n", "What old files carry.", rules="LF6130")
