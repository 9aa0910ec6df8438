"""``gate.yaml``: read whole and strictly, and as its schema says (spec/1, 10.16.2)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from llamafile_format.checks.verdict import Level
from llamafile_format.cli.main import cli
from llamafile_format.errors import FormatError, LlamafileError, SourceError
from llamafile_format.service import read_gate
from llamafile_format.specdata import spec_dir
from tests.gate_service import KEY, configure

SCHEMA = Draft202012Validator(json.loads((spec_dir() / "schemas" / "gate.schema.json").read_text("utf-8")))
PLAIN = {"name": "a", "sha256": "0" * 64}


def test_what_is_written_is_what_counts(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    (tmp_path / "token").chmod(0o600)
    references = {
        "hosts": [{"host": "models.test"}, {"host": "cdn.test:8443", "token_file": "token"}],
        "repositories": [{"repository": "org/name", "token_file": "token"}],
        "buckets": [
            {"bucket": "s3://ours", "settings": {"AWS_REGION": "x"}, "secret_files": {"AWS_SECRET_ACCESS_KEY": "token"}}
        ],
        "allow_private": ["127.0.0.0/8"],
    }
    path = configure(tmp_path, references=references, names=["gate.test"], workers=3)
    assert SCHEMA.is_valid(json.loads(path.read_text()))
    gate = read_gate(path)
    assert gate.keys[0].digest == hashlib.sha256(KEY.encode()).digest()
    assert (gate.keys[1].waiting, gate.keys[1].day) == (3, 4 << 20)
    assert gate.allowed.servers == {("models.test", 443): "", ("cdn.test", 8443): "t0ken"}
    assert gate.allowed.buckets == {("s3", "ours"): {"AWS_REGION": "x", "AWS_SECRET_ACCESS_KEY": "t0ken"}}
    assert gate.allowed.repositories == {"org/name": "t0ken"}
    assert gate.levels == (Level.FULL, Level.QUICK)
    assert (gate.state, gate.workers, gate.caps.upload) == (tmp_path / "state", 3, 8 << 20)
    assert gate.policy is not None
    assert gate.policy.name == "hub"
    assert "t0ken" not in repr(gate)
    narrow = gate.allowed.narrowed("https://models.test/m")
    assert "t0ken" not in str((narrow.servers, narrow.buckets, narrow.repositories))
    assert gate.allowed.narrowed("hf://org/name/m").repositories == {"org/name": "t0ken"}
    assert gate.allowed.narrowed("https://cdn.test:8443/m").servers["cdn.test", 8443] == "t0ken"


def test_what_is_not_written_has_a_safe_value(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text(json.dumps({"gate": 1, "state": "s", "keys": [PLAIN]}))
    gate = read_gate(path)
    assert (gate.host, gate.tls, gate.open_metrics) == ("127.0.0.1", None, False)
    assert not gate.allowed.servers
    assert not gate.allowed.private
    assert gate.bounds.memory == 2 << 30
    assert gate.bounds.seconds == gate.limits.seconds == 3600


BY_BOTH: list[dict[str, Any]] = [
    {"gate": 2},
    {"gate": True},
    {"state": ""},
    {"stat": "s"},
    {"keys": []},
    {"keys": [{"name": "A", "sha256": "0" * 64}]},
    {"keys": [{"name": "a"}]},
    {"keys": [{"name": "a", "sha256": "0" * 63}]},
    {"keys": [{"name": "a", "key": "in the open"}]},
    {"keys": [PLAIN | {"waiting": 0}]},
    {"keys": [PLAIN | {"day_mib": -1}]},
    {"keys": [PLAIN | {"file": "first.key"}]},
    {"levels": []},
    {"levels": ["behaviour"]},
    {"levels": ["full", "full"]},
    {"workers": 0},
    {"workers": "2"},
    {"open_metrics": "yes"},
    {"behind_proxy": 1},
    {"limits": {"upload": 1}},
    {"limits": {"upload_mib": 0}},
    {"limits": {"memory_mib": 1}},
    {"limits": {"seconds": 0}},
    {"limits": []},
    {"tls": {"certificate": "c"}},
    {"references": {"host": []}},
    {"references": {"hosts": ["models.test"]}},
    {"references": {"buckets": [{"bucket": "s3://ours", "settings": {"AWS_SECRET_ACCESS_KEY": "x"}}]}},
    {"references": {"buckets": [{"bucket": "ours"}]}},
    {"references": {"repositories": [{"repository": "org/name", "token": "x"}]}},
]
BY_THE_READER: list[dict[str, Any]] = [
    {"listen": "8787"},
    {"listen": "0.0.0.0:8787"},
    {"listen": "127.0.0.1:99999"},
    {"listen": "[::]:1"},
    {"names": ["a:1"]},
    {"policy": "nobody"},
    {"policy": "absent.yaml"},
    {"keys": [PLAIN, PLAIN]},
    {"keys": [PLAIN, PLAIN | {"name": "b"}]},
    {"keys": [{"name": "a", "file": "absent"}]},
    {"keys": [{"name": "a", "file": "open.key"}]},
    {"keys": [{"name": "a", "file": "short.key"}]},
    {"tls": {"certificate": "absent", "key": "absent"}},
    {"references": {"hosts": [{"host": "*"}]}},
    {"references": {"hosts": [{"host": "https://a.test"}]}},
    {"references": {"hosts": [{"host": "a.test", "token_file": "absent"}]}},
    {"references": {"hub": "http://hub.test"}},
    {"references": {"repositories": [{"repository": "name"}]}},
    {"references": {"allow_private": ["10.0.0.1/8"]}},
]


@pytest.mark.parametrize("wrong", BY_BOTH + BY_THE_READER, ids=str)
def test_what_is_wrong_is_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    for name, text in (("open.key", KEY), ("short.key", "short")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o644 if name == "open.key" else 0o600)
    path = configure(tmp_path, **wrong)
    with pytest.raises(FormatError) as refused:
        read_gate(path)
    assert str(path) in refused.value.message
    assert KEY not in str(refused.value)
    if wrong in BY_BOTH:
        assert not SCHEMA.is_valid(json.loads(path.read_text()))


def test_what_is_misspelt_is_named_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text(f"gate: 1\nstate: s\nkeys:\n- name: a\n  sha256: '{'0' * 64}'\nlimits:\n  uplod_mib: 1\n")
    with pytest.raises(
        FormatError, match=r"line 7, column 3: limits\.uplod_mib is no field here: did you mean upload_mib"
    ):
        read_gate(path)
    path.write_text("gate: [")
    with pytest.raises(FormatError, match="cannot be read"):
        read_gate(path)
    with pytest.raises(SourceError):
        read_gate(tmp_path / "absent.yaml")


def test_the_command_refuses_before_it_serves(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["gate", "serve", "--config", str(configure(tmp_path, listen="0.0.0.0:1"))])
    assert isinstance(result.exception, LlamafileError)
    assert "keys are not sent over http" in str(result.exception)
    assert CliRunner().invoke(cli, ["gate", "serve"]).exit_code == 2
