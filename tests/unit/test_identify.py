"""Which format a file has: ours by the mark, weights by their first bytes; PRONOM agrees where it has an answer."""

from __future__ import annotations

import ast
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from llamafile_format.examining import identify_format
from llamafile_format.source import BytesSource
from spec.identification.marks import MEDIA_TYPE, PUID
from tests.conftest import CliRunner
from tests.laws.containers import small_container, tiny_gguf

ROOT = Path(__file__).resolve().parents[2]


def test_ours_is_told_by_its_end(tmp_path: Path) -> None:
    made = small_container(tmp_path)
    found = identify_format(made)
    assert (found.puid, found.format, found.version, found.media_type) == (PUID, "llamafile", "1.0", MEDIA_TYPE)
    assert str(made.stat().st_size - 18) in found.basis


@pytest.mark.parametrize(("version", "puid"), [(1, "fmt/2096"), (2, "fmt/2097"), (3, "fmt/2098"), (4, "")])
@pytest.mark.parametrize("order", ["little", "big"])
def test_gguf_has_a_puid_for_each_version(version: int, puid: str, order: str) -> None:
    data = b"GGUF" + version.to_bytes(4, order) + tiny_gguf()[8:]  # type: ignore[arg-type]
    found = identify_format(BytesSource(data))
    assert (found.puid, found.version) == (puid, str(version))


@pytest.mark.parametrize("head", [b"MZqFpD='", b"jartsr='", b"APEDBG='"])
def test_an_ape_is_told_by_its_beginning(head: bytes) -> None:
    assert identify_format(BytesSource(head + b"\n" * 5000)).format == "Actually Portable Executable"


def test_other_weights_and_what_is_none_of_these(shared_data: Path) -> None:
    names = {path.suffix: identify_format(path).format for path in (shared_data / "other").iterdir()}
    assert names[".onnx"] == "ONNX"
    assert names[".safetensors"] == "safetensors"
    for data in (b"", b"MZ", b"GGU", b"hello, world" * 99, b"PK\3\4" + bytes(90)):
        assert not identify_format(BytesSource(data)).known


@pytest.mark.interop
def test_pronom_agrees_about_our_neighbours(shared_data: Path, tmp_path: Path) -> None:
    """Siegfried has PRONOM's signatures: its answer is ours, or it has none and we claim none."""
    pygfried = pytest.importorskip("pygfried", exc_type=ImportError)
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf())
    files = [*(shared_data / "gguf").glob("*.gguf"), *(shared_data / "other").iterdir(), tmp_path / "tiny.gguf"]
    for path in files:
        answer = pygfried.identify(str(path))
        assert (identify_format(path).puid or "UNKNOWN") == answer, path.name
    assert not str(pygfried.identify(str(small_container(tmp_path)))).startswith("llamafile")


def test_the_command(run_cli: CliRunner, tmp_path: Path) -> None:
    made = small_container(tmp_path)
    done = run_cli("identify", made, tmp_path / "tiny.gguf")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [PUID, "fmt/2098"]
    done = run_cli("identify", "--json", made)
    assert json.loads(done.stdout)["puid"] == PUID
    assert run_cli("identify", tmp_path / "LICENSE.txt", made).returncode == 3


# Reports for archives


def test_archivematica_gets_a_dict_and_exit_code_0(run_cli: CliRunner, tmp_path: Path) -> None:
    made = small_container(tmp_path)
    done = run_cli("verify", "--format", "archivematica", made)
    assert ast.literal_eval(done.stdout)["eventOutcomeInformation"] == "pass"
    quick = run_cli("verify", "--format", "archivematica", "--level", "quick", made)
    assert ast.literal_eval(quick.stdout)["eventOutcomeInformation"] == "partial pass"
    whole = made.read_bytes()
    for data in (whole[:5000] + b"?" + whole[5001:], whole[:-100], b"hello" * 99):
        made.write_bytes(data)
        done = run_cli("verify", "--format", "archivematica", made)
        told = ast.literal_eval(done.stdout)
        assert (done.returncode, told["eventOutcomeInformation"]) == (0, "fail")
        assert "LF" in told["eventOutcomeDetailNote"] or "not" in told["eventOutcomeDetailNote"]
    assert run_cli("verify", "--format", "archivematica", made, made).returncode == 2
    assert run_cli("verify", "--format", "archivematica", tmp_path / "absent").returncode == 4


def test_callers_of_jhove_get_its_words(run_cli: CliRunner, tmp_path: Path) -> None:
    made = small_container(tmp_path)
    status = "{http://schema.openpreservation.org/ois/xml/ns/jhove}status"
    done = run_cli("verify", "--format", "jhove", made)
    assert (done.returncode, ET.fromstring(done.stdout).findtext(f".//{status}")) == (0, "Well-Formed and valid")
    data = bytearray(made.read_bytes())
    data[5000] ^= 1
    made.write_bytes(data)
    done = run_cli("verify", "--format", "jhove", made, tmp_path / "tiny.gguf")
    assert done.returncode == 1
    root = ET.fromstring(done.stdout)
    assert [each.text for each in root.iter(status)] == ["Not well-formed", "Unknown"]
    message = next(root.iter(status.replace("status", "message")))
    assert message.get("id", "").startswith("LF")


def test_the_script_for_archivematica_calls_what_is_there() -> None:
    script = (ROOT / "spec/identification/archivematica-validate.sh").read_text("utf-8")
    assert 'llamafile-format verify --format archivematica -- "$1"' in script
