"""What pack is given stays where it is: no output takes the place of an input, whatever its name and --force."""

from __future__ import annotations

from pathlib import Path

import pytest

import llamafile_format as lf
from tests.conftest import ROOT, CliRunner
from tests.repack_samples import engine, gguf, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model, a card, an engine and a recipe; the command works in it."""
    write(tmp_path / "model.gguf", gguf())
    write(tmp_path / "card.md", b"# card")
    write(tmp_path / "engine", engine("e", 70_000))
    write(tmp_path / "recipe.yaml", b"format: llamafile-recipe/1\nweights: [model.gguf]\nprefix: engine\n")
    return tmp_path


@pytest.mark.parametrize("out", ["model.gguf", "card.md", "engine", "recipe.yaml"])
@pytest.mark.parametrize("link", ["", "symbolic", "hard"])
def test_no_input_is_replaced(folder: Path, run_cli: CliRunner, out: str, link: str) -> None:
    before = (folder / out).read_bytes()
    if link == "symbolic":
        (folder / "link").symlink_to(out)
    elif link:
        (folder / "link").hardlink_to(folder / out)
    named = "link" if link else f"../{folder.name}/{out}"
    done = run_cli("pack", "--recipe", "recipe.yaml", "--include", "card.md", "-o", named, "--force")
    assert done.returncode == 2, done.stderr
    assert "is the input itself" in done.stderr
    assert (folder / out).read_bytes() == before
    assert (folder / "link").is_symlink() == (link == "symbolic")


def test_overwrite_insists_on_nothing_else(folder: Path) -> None:
    with pytest.raises(lf.UsageError, match="is the input itself"):
        lf.pack([folder / "model.gguf"], folder / "model.gguf", prefix="none", overwrite=True)
    lf.pack([folder / "model.gguf"], folder / "a", prefix="none")
    lf.pack([folder / "model.gguf"], folder / "a", prefix="none", overwrite=True)


def test_repack_spares_what_it_puts_in(folder: Path) -> None:
    lf.pack([folder / "model.gguf"], folder / "a", prefix="none")
    with pytest.raises(lf.UsageError, match="is the input itself"):
        lf.repack(folder / "a", folder / "card.md", include=[lf.Include(folder / "card.md")], force=True)
    with pytest.raises(lf.UsageError, match="is the input itself"):
        lf.repack(folder / "a", folder / "engine", prefix=folder / "engine", force=True)
    assert (folder / "card.md").read_bytes() == b"# card"


def test_a_text_in_front_is_told(folder: Path, run_cli: CliRunner) -> None:
    done = run_cli("pack", "model.gguf", "--prefix", "card.md", "-o", "a")
    assert done.returncode == 0
    assert "note: card.md is packed as the program in front, and the prefix is of no known kind" in done.stderr
    assert lf.pack([folder / "model.gguf"], folder / "b", prefix=folder / "engine").notes == ()


def test_hints_lead_on(folder: Path, run_cli: CliRunner) -> None:
    lf.pack([folder / "model.gguf"], folder / "whole.gguf", prefix="none")
    (folder / "sub").mkdir()
    write(folder / "w.safetensors", len(b'{"a":{}}').to_bytes(8, "little") + b'{"a":{}}')
    onnx = ROOT / "examples" / "onnx" / "guide.onnx"
    for words, error, hint in (
        (("pack", "whole.gguf"), "such as a llamafile", "llamafile-format repack"),
        (("pack", "sub"), "sub is a directory", "name a file in it"),
        (("pack", onnx, "--include", f"{onnx}.data"), "does not read", "choose --runtime onnxruntime, or"),
        (("complete", "w.safetensors", "-p", "x"), "safetensors", "llamafile-format pack --runtime mlx"),
    ):
        done = run_cli(*words, *(("-o", "out") if words[0] == "pack" else ()))
        assert done.returncode in (1, 3, 4)
        assert error in done.stderr
        assert hint in done.stderr
