"""Vectors of chapter 15: the form of behaviour records. The record is written here from the chapter alone."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

from spec.vectors.generate import vector
from spec.vectors.generate.forge import Part, Spec, container, gguf, parts

PROMPT, RENDERED, OUTPUT = b"Once upon a time", b"Once upon a time", b" there"
TOKENS, GENERATED = (1, 4, 5), (6, 7)
RELATED = "LF9110 LF9111 LF9112 LF9113 LF9114 LF9115 LF9116 LF9117 LF9118"


def sha(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def ids(tokens: tuple[int, ...]) -> str:
    """The digest of token ids (clause 15.2.5)."""
    return sha(struct.pack(f"<{len(tokens)}I", *tokens))


def record() -> str:
    """A good record about the model of the good container."""
    steps = [
        f'  - {{token: 6, text: " th", logits: "{sha(b"one")}", top: [[6, "41506573"], [7, "4141e3e8"]]}}',
        f'  - {{token: 7, text: "ere", logits: "{sha(b"two")}", top: [[7, "41d24c35"], [0, "40f44809"]]}}',
    ]
    return "\n".join(
        [
            "# What a model answered, and how it came to it: a behaviour record. Do not edit; make it anew.",
            "format: llamafile-behaviour/1",
            'class: "E"',
            "subject:",
            "  weights:",
            f'  - {{path: "tiny.gguf", size: {len(gguf())}, sha256: "{sha(gguf())}"}}',
            f'  tokenizer: "{sha(b"")}"',
            '  template: ""',
            "  runtime:",
            '    engine: "llama.cpp"',
            '    version: "0.3.36"',
            '    flavour: "reference"',
            '    target: "linux-x86_64"',
            f'    sha256: "{sha(b"a program")}"',
            'environment: {host: "linux-x86_64", via: "", cpu: "generic"}',
            "decoding: {sampling: greedy, context: 512, batch: 512, threads: 1, flash_attention: false, vocabulary: 8}",
            "tolerance: {logit: 0.5, likelihood: 0.05}",
            "runs:",
            '- {threads: 1, class: "E"}',
            "prompts:",
            '- id: "story"',
            f'  text: "{PROMPT.decode()}"',
            "  add_special: true",
            "  parse_special: false",
            "  max_tokens: 2",
            "  top: 2",
            f'  sha256: "{sha(PROMPT)}"',
            "  rendered:",
            f'    sha256: "{sha(RENDERED)}"',
            f'    text: "{RENDERED.decode()}"',
            "  tokens:",
            f'    sha256: "{ids(TOKENS)}"',
            "    ids: [1, 4, 5]",
            "  output:",
            '    end: "length"',
            f'    sha256: "{sha(OUTPUT)}"',
            f'    text: "{OUTPUT.decode()}"',
            f'    tokens_sha256: "{ids(GENERATED)}"',
            "  steps:",
            *steps,
            "",
        ]
    )


def recorded(change: Callable[[str], str] = str) -> bytes:
    """The good container with a record, changed by ``change``."""
    data = change(record()).encode("utf-8", "surrogateescape")
    member = Part("behaviour/reference.yaml", data, "behaviour", "application/yaml")
    return container(Spec([*parts(), member], labels={"default": "tiny.gguf"}))


def swapped(old: str, new: str) -> Callable[[], bytes]:
    """Makes the good container with ``old`` in its record replaced by ``new``."""
    assert record().count(old) == 1, old
    return lambda: recorded(lambda text: text.replace(old, new))


@vector("good", near=f"LF9100 LF9101 LF9102 LF9103 LF9104 {RELATED}", comment="The neighbour of them all.")
def good() -> bytes:
    return recorded()


_FAULTS = [
    ("no-yaml", "LF9100", "A bracket that nobody closes.", swapped("ids: [1, 4, 5]", "ids: [1, 4, 5")),
    ("alias", "LF9100", "An anchor and an alias.", swapped("runs:\n- {", "x: &a [1]\ny: *a\nruns:\n- {")),
    ("tag", "LF9100", "A tag.", swapped('class: "E"\nsubject', 'class: !!str "E"\nsubject')),
    ("key-twice", "LF9100", "Two classes.", swapped('class: "E"\nsubject', 'class: "N"\nclass: "E"\nsubject')),
    ("two-documents", "LF9100", "A second document.", swapped('class: "E"\nsubject', '---\nclass: "E"\nsubject')),
    ("other-format", "LF9100", "A later format.", swapped("llamafile-behaviour/1", "llamafile-behaviour/2")),
    ("not-utf-8", "LF9100", "Byte FF.", swapped("Do not edit", "Do not edit\udcff")),
    ("no-class", "LF9101", "No class.", swapped('class: "E"\nsubject', "subject")),
    (
        "class-none",
        "LF9101",
        "A class that nobody can demand.",
        swapped('class: "E"\nsubject', 'class: "none"\nsubject'),
    ),
    (
        "digest-as-number",
        "LF9101",
        "A digest without quotes.",
        swapped(f'"{sha(PROMPT)}"\n  rendered', "12\n  rendered"),
    ),
    ("token-beyond-vocabulary", "LF9101", "Token 8 of 8.", swapped("[0, ", "[8, ")),
    ("not-a-number", "LF9101", "A logit that is not a number.", swapped("40f44809", "7fc00000")),
    ("context-zero", "LF9101", "A context of 0 tokens.", swapped("context: 512", "context: 0")),
    ("tokens-edited", "LF9103", "Another token, the old digest.", swapped("ids: [1, 4, 5]", "ids: [1, 4, 6]")),
    ("output-edited", "LF9103", "Another word in the output.", swapped(' text: " there"', ' text: " where"')),
    ("step-missing", "LF9103", "A limit of three steps and two of them.", swapped("max_tokens: 2", "max_tokens: 3")),
    ("top-out-of-order", "LF9103", "The second logit is higher.", swapped("4141e3e8", "4160e3e8")),
    ("run-worse", "LF9103", "A run that did not reach the class.", swapped('1, class: "E"', '1, class: "T"')),
]
for _name, _rules, _comment, _maker in _FAULTS:
    vector(_name, rules=_rules, layer="content", comment=_comment)(_maker)

_NOTES = [
    (
        "unknown-field",
        "LF9102",
        "A field of a later version.",
        swapped('class: "E"\nsubject', 'class: "E"\nmood: "good"\nsubject'),
    ),
    ("other-weights", "LF9104", "Weights that are not in the file.", swapped(sha(gguf()), sha(b"others"))),
]
for _name, _rules, _comment, _maker in _NOTES:
    vector(_name, rules=_rules, comment=_comment)(_maker)
