"""Files to look at: containers of our own, a legacy llamafile, and one whose every text is hostile."""

from __future__ import annotations

import struct
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import llamafile_format
from spec.vectors.generate.forge import place
from spec.vectors.generate.legacy_shapes import aligned, linked, run, symbols
from tests.laws.containers import tiny_gguf

EVIL = "\x1b[2J\u202eevil\u200b\x07<script>alert(1)</script>'\"&[red]bold[/red]\u2028\x7f\x9b"
TEMPLATE = "{% if tools %}{% endif %}{% for m in messages %}{{ m['role'] == 'system' }}{{ ''.__class__ }}{% endfor %}"


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def _string(key: str, value: str) -> bytes:
    return _text(key) + struct.pack("<I", 8) + _text(value)


def _number(key: str, value: int) -> bytes:
    return _text(key) + struct.pack("<II", 4, value)


def model_gguf(*, evil: str = "", layers: int = 3) -> bytes:
    """A GGUF with everything that inspect shows; ``evil`` stands in all of its texts."""
    keys = [
        _string("general.architecture", "llama"),
        _string("general.name", "Museum QAT" + evil),
        _string("general.license", "cc0-1.0" + evil),
        _string("general.author", "somebody" + evil),
        _string("general.description", "Labels" + evil),
        _string("general.quantized_by", "nobody" + evil),
        _string("quantize.imatrix.dataset", "labels.txt" + evil),
        _text("general.languages") + struct.pack("<IIQ", 9, 8, 2) + _text("en" + evil) + _text("de"),
        _number("llama.block_count", layers),
        _number("llama.context_length", 65536),
        _number("llama.embedding_length", 32),
        _number("llama.feed_forward_length", 64),
        _number("llama.attention.head_count", 4),
        _number("llama.attention.head_count_kv", 2),
        _string("tokenizer.ggml.model", "llama" + evil),
        _text("tokenizer.ggml.tokens")
        + struct.pack("<IIQ", 9, 8, 9)
        + b"".join(_text(f"t{i}{evil}") for i in range(9)),
        _string("tokenizer.chat_template", TEMPLATE + evil),
    ]
    tensors = [("token_embd.weight", 0, 4), *((f"blk.{i}.attn_q.weight", 8, 34) for i in range(layers))]
    table, offset = b"", 0
    for name, kind, size in tensors:
        table += _text(name + evil.replace("\x00", "")[:8]) + struct.pack("<IQIQ", 1, 32, kind, offset)
        offset += 128 if kind == 0 else 64
        assert size <= 34
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys) + table
    return head + bytes(-len(head) % 32) + bytes(offset)


def container(folder: Path, *, evil: str = "", name: str = "", prefix: str = "none") -> Path:
    """A container with model, card, licence, arguments; ``evil`` in every text that can hold it."""
    model, licence, card = folder / "museum.gguf", folder / "LICENSE.txt", folder / "MODEL_CARD.md"
    model.write_bytes(model_gguf(evil=evil))
    licence.write_bytes(b"CC0-1.0\n")
    card.write_bytes(b"# Card\n")
    out = folder / (name or "museum.llamafile")
    hostile = mock.patch("llamafile_format.packing.pack.refuse_arguments") if evil else nullcontext()
    words = ["it's" + evil.replace("\x00", "")] if evil else ["-r", "it's"]
    with hostile:  # what no writer writes must be shown all the same
        llamafile_format.pack(
            [model, licence, card],
            out,
            prefix=prefix,
            args=["-m", "/zip/museum.gguf", *words],
            name="Museum labels" + evil,
            license="CC0-1.0" + evil,
            source="https://example.org/" + evil,
            created="2026-11-20T00:00:00Z",
            align=32,
            force=True,
        )
    return out


def many_members(folder: Path, count: int) -> Path:
    """A container with ``count`` licences beside the model."""
    model = folder / "tiny.gguf"
    model.write_bytes(tiny_gguf())
    papers = []
    for number in range(count):
        path = folder / f"LICENSE-{number:04}.txt"
        path.write_bytes(b"text %d\n" % number)
        papers.append(path)
    out = folder / "many.llamafile"
    llamafile_format.pack([model, *papers], out, prefix="none", align=32, force=True)
    return out


def legacy() -> bytes:
    """An engine's executable with its own archive, to which zipalign added weights and arguments."""
    from spec.vectors.generate import ape
    from spec.vectors.generate.forge import End, finish

    assets = [symbols(), linked("llamafile/schema.sql", b"create table t;")]
    out = bytearray(ape.forge(ape.MODERN))
    for part in assets:
        place(out, part)
    image = bytearray(finish(out, assets, End(comment=b"")))
    members = [aligned("model.gguf", model_gguf()), aligned(".args", b"-m model.gguf\n--host 0.0.0.0\n...\n")]
    return bytes(run(image, assets, members))
