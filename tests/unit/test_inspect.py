"""``inspect`` as a library: what it finds, what it never reads, and that its JSON obeys the published schema."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from llamafile_format.errors import NotALlamafile, SourceError, UsageError
from llamafile_format.examining.inspect import inspect
from llamafile_format.reports.inspect_json import find_field, inspection_json, inspection_value
from llamafile_format.source import BytesSource
from llamafile_format.spans import covers
from llamafile_format.weights import gguf as gguf_reader
from tests.conftest import ROOT
from tests.laws.containers import small_container, tiny_gguf
from tests.unit.inspect_samples import EVIL, container, legacy, many_members, model_gguf

SCHEMA = json.loads((ROOT / "spec/schemas/inspect.schema.json").read_text())


def strict(node: Any) -> Any:
    """The schema with unknown keys forbidden: what the code prints and what the schema documents are the same."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {key: strict(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict) and node.get("type") == "object":
        result.setdefault("additionalProperties", False)
    return result


def check(value: dict[str, Any]) -> None:
    """``value`` obeys the schema, has no key that the schema does not name, and survives JSON."""
    jsonschema.Draft202012Validator(strict(SCHEMA)).validate(json.loads(json.dumps(value)))


class Counting(BytesSource):
    """A source that adds up what is read from it."""

    read = 0

    def read_at(self, offset: int, length: int) -> bytes:
        self.read += length
        return super().read_at(offset, length)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_container(tmp_path: Path) -> None:
    found = inspect(container(tmp_path), tensors=True, kv=True)
    check(inspection_value(found))
    assert found.file.kind == "llamafile 1"
    assert (found.file.version, found.file.title, found.file.license) == ("1.0", "Museum labels", "CC0-1.0")
    assert found.file.created == "2026-11-20T00:00:00Z"
    assert found.prefix.kind == "none"
    model = found.model
    assert model is not None
    assert model.member == "museum.gguf" == found.file.default
    assert (model.facts.architecture, model.facts.layers, model.facts.vocabulary) == ("llama", 3, 9)
    assert model.facts.parameters == 4 * 32
    assert [row.context for row in model.memory.rows] == [4096, 32768, 65536]
    assert model.qat_in_name_only
    assert [(t.name, t.features, t.findings) for t in model.templates] == [("", ("system role", "tools"), ("LF6001",))]
    assert found.licence.texts == ("LICENSE.txt",)
    assert [(a.dialect, a.tokens, a.rest) for a in found.arguments] == [
        ("native", ("-m", "/zip/museum.gguf", "-r", "it's"), 4)
    ]
    assert covers(found.map, found.file.size)
    assert sum(found.file.span_bytes.values()) == found.file.size
    assert found.file.overhead > 0


def test_rows_lie_where_they_say(tmp_path: Path) -> None:
    path = container(tmp_path)
    data = path.read_bytes()
    found = inspect(path, tensors=True, kv=True)
    model = found.model
    assert model is not None
    assert model.tensors is not None
    assert model.kv is not None
    assert [row.name for row in model.tensors][:2] == ["token_embd.weight", "blk.0.attn_q.weight"]
    assert model.tensors[0].offset == model.data_offset
    layers = next(row for row in model.kv if row.key == "llama.block_count")
    assert int.from_bytes(data[layers.offset : layers.offset + 4], "little") == layers.value == 3
    tokens = next(row for row in model.kv if row.key == "tokenizer.ggml.tokens")
    assert (tokens.type, tokens.length, tokens.value[:2]) == ("array of string", 9, ("t0", "t1"))  # type: ignore[index]


def test_digests(tmp_path: Path) -> None:
    path = container(tmp_path)
    data = path.read_bytes()
    found = inspect(path)
    for member in found.members:
        assert hashlib.sha256(data[member.offset : member.offset + member.size]).hexdigest() == member.sha256, (
            member.path
        )
    assert found.members[-1].sha256 == found.file.manifest_sha256


def test_tensors_and_keys_only_if_asked(tmp_path: Path) -> None:
    value = inspection_value(inspect(container(tmp_path)))
    check(value)
    assert "tensors" not in value["models"][0]
    assert "kv" not in value["models"][0]


def test_a_legacy_llamafile() -> None:
    found = inspect(legacy(), tensors=True, kv=True)
    check(inspection_value(found))
    assert found.file.kind == "legacy llamafile"
    assert found.prefix.kind == "ape"
    assert found.prefix.engine is not None
    assert (found.prefix.engine.family, found.prefix.engine.version) == ("llamafile", "0.9.3")
    assert ("linux", "x86_64") in found.prefix.runs_on
    assert found.arguments[0].tokens == ("-m", "model.gguf", "--host", "0.0.0.0")
    assert [member.role for member in found.members][-2:] == ["weights", "arguments"]
    assert found.model is not None
    assert found.model.memory.rows
    assert covers(found.map, found.file.size)


def test_a_bare_gguf() -> None:
    found = inspect(model_gguf(), tensors=True, kv=True)
    check(inspection_value(found))
    assert found.file.kind == "gguf"
    assert not found.report.verdicts
    assert found.model is not None
    assert found.model.member == ""
    assert "LF6001" in {finding.rule for finding in found.report.findings}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html></html>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\nsize 5\n", "Git LFS pointer"),
        (b"hello, world, this is no model", "not a llamafile"),
    ],
)
def test_something_else(data: bytes, words: str) -> None:
    with pytest.raises(NotALlamafile, match=words):
        inspect(data)


def test_a_download_that_was_cut_off(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cut off"):
        inspect(container(tmp_path).read_bytes()[:-100])


def test_the_gguf_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = container(tmp_path)
    calls = []
    real = gguf_reader.read_gguf
    monkeypatch.setattr(gguf_reader, "read_gguf", lambda *a, **k: calls.append(1) or real(*a, **k))
    inspect(path)
    assert len(calls) == 1


def test_weights_are_not_read(tmp_path: Path) -> None:
    model = tmp_path / "large.gguf"
    model.write_bytes(tiny_gguf(values=4 << 20))
    import llamafile_format

    llamafile_format.pack([model], tmp_path / "large.llamafile", prefix="none")
    source = Counting((tmp_path / "large.llamafile").read_bytes())
    inspect(source, tensors=True, kv=True)
    assert source.size > 16 << 20
    assert source.read < 2 << 20


def test_many_members(tmp_path: Path) -> None:
    found = inspect(many_members(tmp_path, 300))
    assert len(found.members) == 304
    assert covers(found.map, found.file.size)


def test_json_is_plain_ascii(tmp_path: Path) -> None:
    text = inspection_json(inspect(container(tmp_path, evil=EVIL), tensors=True, kv=True))
    assert all(character == "\n" or " " <= character <= "~" for character in text)
    check(json.loads(text))


def test_fields(tmp_path: Path) -> None:
    value = inspection_value(inspect(small_container(tmp_path)))
    assert find_field(value, "models[0].facts.name") == "tiny"
    assert find_field(value, "members[0].role") == "readme"
    assert find_field(value, '["file"]["version"]') == "1.0"
    for wrong in ("models[7]", "models.facts", "file.nothing", "file[0]", "models[0", "a..b", "file.size.more"):
        with pytest.raises(UsageError):
            find_field(value, wrong)
