"""``inspect`` counts signature records by kind, and says of their makers only what they claim, as a claim."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

import llamafile_format
from llamafile_format.cli.main import cli
from llamafile_format.examining import inspect_records
from llamafile_format.specdata import spec_dir
from tests import by_hand_samples as samples
from tests.laws.containers import small_container


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    path = small_container(tmp_path)
    for kind in ("p384", "ed25519", "p256"):
        samples.sign(path, samples.new_key(kind))
    samples.append_record(path, "tsr", b"no stamp at all")
    samples.countersign(path, samples.new_key("p384"))
    return path


def shown(path: Path, *options: str) -> str:
    result = CliRunner().invoke(cli, ["inspect", str(path), *options])
    assert result.exit_code == 0, result.output
    return result.output


def test_screen(signed: Path) -> None:
    lines = shown(signed).splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("signatures"))
    assert lines[at].endswith("3 signatures, 1 countersignature, 1 time stamp; not checked here")
    first, second = (record.claimed_key_id[:12] for record in llamafile_format.inspect(signed).statements.records[:2])
    assert lines[at + 1].strip() == f"claimed, not checked: keys {first}, {second} and 2 more"
    assert max(map(len, lines)) <= 79
    for word in ("trusted", "authentic", "signed by"):
        assert word not in "\n".join(lines)


def test_json(signed: Path) -> None:
    value = json.loads(shown(signed, "--json"))
    schema = json.loads((spec_dir() / "schemas" / "inspect.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(value)
    records = value["statements"]["records"]
    assert [record["path"] for record in records] == value["statements"]["signature_records"]
    assert [record["kind"] for record in records] == ["oms", "sig", "oms", "tsr", "cnt"]
    assert [record["method"] for record in records] == ["key", "key", "key", "", "key"]
    assert not value["statements"]["checked"]


def test_records_that_are_not_read_are_counted(signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect_records, "MAX_READ", 100)
    assert "claimed" not in shown(signed)
    assert "3 signatures" in shown(signed)


def test_damaged_records_are_counted(signed: Path) -> None:
    data = bytearray(signed.read_bytes())
    with llamafile_format.open(signed) as container:
        at = container.entry("META-LLAMAFILE/signatures/0001.oms.json").data_offset
    data[at : at + 40] = b"\x1b]0;gone\x07" + bytes(31)
    signed.write_bytes(data)
    text = shown(signed)
    assert "3 signatures" in text
    assert "\x1b" not in text
    assert "and 1 more" in text


def test_page_names_the_commands(signed: Path, tmp_path: Path) -> None:
    shown(signed, "--html", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "llamafile-format explain small.llamafile" in page
    assert "claimed, not checked" in page
