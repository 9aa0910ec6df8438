"""A fault in a YAML file that people write is told with its place and the key that was meant; the code is 2."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from llamafile_format.cli.main import cli
from llamafile_format.errors import LlamafileError
from llamafile_format.strict_yaml import nearest, place_of
from tests import signing_samples

DOCUMENT = b"a: 1\nb:\n  - {c: 2, d.e: [x, y]}\n  - c: 3\n"


@pytest.mark.parametrize(
    ("path", "key", "place"),
    [
        ("a", False, "line 1, column 4"),
        ("a", True, "line 1, column 1"),
        ("b[0].d.e[1]", False, "line 3, column 21"),
        ("b[1].c", False, "line 4, column 8"),
        ("b[1].absent", False, "line 4, column 5"),
        ("b[7].c", False, "line 3, column 3"),
        ("", False, "line 1, column 1"),
    ],
)
def test_where_a_field_stands(path: str, key: bool, place: str) -> None:
    assert place_of(DOCUMENT, path, key=key) == place


@pytest.mark.parametrize("data", [b"", b"a: [", b"\xff", b"[" * 100_000])
def test_of_what_cannot_be_read_no_place_is_told(data: bytes) -> None:
    assert place_of(data, "a") == ""


def test_the_field_that_was_meant() -> None:
    assert nearest("until", ["valid_from", "valid_until"]) == "valid_until"
    assert nearest("x", ["valid_from"]) == ""


@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        ("pack", "format: llamafile-recipe/1\nwieghts: [a.gguf]\n", "line 2, column 1"),
        ("pack", "format: llamafile-recipe/1\nweights: a.gguf\n", "line 2, column 10"),
        ("pack", "format: [\n", "not YAML"),
        ("pack", "format: llamafile-recipe/1\nname: a\nname: b\n", "twice"),
        (
            "record",
            "format: llamafile-prompts/1\nprompt: []\n",
            "line 2, column 1: prompt: there is no such field",
        ),
        ("record", "format: [\n", "not YAML"),
        (
            "verify",
            "policy: 1\nname: p\nsigner: []\n",
            "line 3, column 1: signer is no field here: did you mean signers",
        ),
        ("verify", "policy: [\n", "not YAML"),
    ],
)
def test_one_exit_code_and_one_line(tmp_path: Path, command: str, text: str, said: str) -> None:
    file = signing_samples.container(tmp_path / "tiny.llamafile")
    written = tmp_path / "file.yaml"
    written.write_text(text)
    arguments = {
        "pack": ["pack", "--recipe", str(written), "-o", str(tmp_path / "out.llamafile")],
        "record": ["record", str(file), "--in-place", "--prompts", str(written)],
        "verify": ["verify", str(file), "--policy", str(written)],
    }[command]
    error = CliRunner().invoke(cli, arguments).exception
    assert isinstance(error, LlamafileError), error
    assert error.exit_code == 2
    assert said in str(error)
    assert "\n" not in str(error)
