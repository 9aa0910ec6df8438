"""The page as a member (spec/1, 11.10): registered, packed, kept, renewed and taken out."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

import llamafile_format as lf
from llamafile_format import viewers
from llamafile_format.checks.verdict import Verdict
from llamafile_format.container import open_container
from llamafile_format.rules import Layer
from llamafile_format.specdata import spec_dir
from llamafile_format.viewers import newest_page, pages
from tests.conftest import CliRunner, ToolFinder
from tests.gguf_workbench import EXHIBIT
from tests.repack_samples import write
from viewer.build import page
from viewer.data import VERSION

PAGE = "llamafile-viewer.html"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "model.gguf", EXHIBIT.read_bytes())


def packed(model: Path, name: str = "a", **how: object) -> Path:
    out = model.parent / name
    lf.pack([model], out, prefix="none", **how)  # type: ignore[arg-type]
    return out


def roles(path: Path) -> dict[str, str]:
    with open_container(path) as container:
        return {member.role: member.path for member in container.members}


def version(path: Path) -> str:
    with open_container(path) as container:
        assert container.manifest is not None
        return container.manifest.version


def readme(path: Path) -> str:
    return zipfile.ZipFile(path).read("META-LLAMAFILE/README.txt").decode()


def test_every_registered_page_is_here_and_is_itself() -> None:
    assert [page.version for page in pages()] == list(range(1, len(pages()) + 1))
    assert all(page.read().startswith(b"<!doctype html>\n") for page in pages())
    found = {int(path.name.partition(".")[0]) for path in (spec_dir() / "registry/viewers").iterdir()}
    assert found == {page.version for page in pages()}


def test_the_newest_page_is_what_the_tree_makes() -> None:
    """Registered once more after every change of `viewer/`: python -m viewer.register."""
    assert hashlib.sha256(page().encode()).hexdigest() == newest_page().sha256
    assert newest_page().version == VERSION


def test_a_page_that_is_damaged_here_is_not_packed(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"viewers": [{"version": newest_page().version, "sha256": "0" * 64}]}
    monkeypatch.setattr(viewers, "spec_yaml", lambda _: rows)
    with pytest.raises(lf.FormatError, match="not the page that is registered"):
        packed(model, viewer=True)
    assert not (model.parent / "a").exists()


def test_it_is_packed_and_verified(model: Path) -> None:
    path = packed(model, viewer=True)
    assert roles(path)["viewer"] == PAGE
    assert version(path) == "1.1"
    assert zipfile.ZipFile(path).read(PAGE) == newest_page().read()
    report = lf.verify(path, level="exhaustive")
    assert report.verdicts[Layer.WELL_FORMED] is Verdict.YES
    assert not [finding for finding in report.findings if finding.rule in ("LF3037", "LF3038", "LF3005")]
    assert f'unzip "$F" {PAGE}' in readme(path)
    assert "vouches for" in readme(path)


def test_without_being_asked_nobody_packs_it(model: Path) -> None:
    path = packed(model)
    assert "viewer" not in roles(path)
    assert version(path) == "1.0"
    assert PAGE not in readme(path)


def test_the_archive_profile_brings_it_and_no_viewer_leaves_it_out(model: Path) -> None:
    assert "viewer" in roles(packed(model, "b", profile="archive", recovery=0))
    assert "viewer" not in roles(packed(model, "c", profile="archive", recovery=0, viewer=False))
    recipe = model.parent / "llamafile.yaml"
    recipe.write_text(yaml.safe_dump({"format": "llamafile-recipe/1", "weights": ["model.gguf"], "viewer": True}))
    lf.pack([], model.parent / "d", recipe=recipe, prefix="none")
    assert "viewer" in roles(model.parent / "d")
    lf.pack([], model.parent / "e", recipe=recipe, prefix="none", viewer=False)
    assert "viewer" not in roles(model.parent / "e")


def test_repack_adds_and_takes_out(model: Path) -> None:
    """Taken out of a file that was packed with it, the file is as if it had never been in: of version 1.0 again."""
    plain, full = packed(model), packed(model, "full", viewer=True)
    lf.repack(full, model.parent / "without", viewer=False)
    assert readme(model.parent / "without") == readme(plain)
    assert version(model.parent / "without") == "1.0"
    lf.repack(plain, model.parent / "with", viewer=True)
    assert version(model.parent / "with") == "1.1"
    again = lf.repack(model.parent / "with", model.parent / "again", viewer=True)
    assert not again.changed
    assert (model.parent / "again").read_bytes() == (model.parent / "with").read_bytes()
    lf.repack(model.parent / "with", model.parent / "kept", name="another")
    assert "viewer" in roles(model.parent / "kept")
    lf.repack(plain, model.parent / "digests", profile="archive")
    assert "viewer" not in roles(model.parent / "digests")


def test_repack_of_a_file_with_recovery_data_protects_it(model: Path) -> None:
    pytest.importorskip("numpy")
    path = packed(model, recovery=5)
    lf.repack(path, model.parent / "with", viewer=True)
    assert {"viewer", "recovery"} <= roles(model.parent / "with").keys()
    assert lf.verify(model.parent / "with", level="exhaustive").verdicts[Layer.WELL_FORMED] is Verdict.YES


def test_any_unzip_takes_it_out(model: Path, tool: ToolFinder, tmp_path: Path) -> None:
    path = packed(model, viewer=True)
    subprocess.run([tool("unzip"), "-q", path, PAGE, "-d", tmp_path / "out"], check=True)
    assert (tmp_path / "out" / PAGE).read_bytes() == newest_page().read()


def test_the_options(model: Path, run_cli: CliRunner) -> None:
    assert run_cli("pack", model, "--prefix", "none", "--viewer", "-o", model.parent / "a").returncode == 0
    assert "viewer" in roles(model.parent / "a")
    assert run_cli("repack", model.parent / "a", "--no-viewer", "-o", model.parent / "b").returncode == 0
    assert "viewer" not in roles(model.parent / "b")
    own = run_cli("pack", model, "--prefix", "none", "--include", f"{model}={PAGE}", "--role", "viewer", "-o", "x")
    assert own.returncode == 2
