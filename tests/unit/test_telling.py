"""What pack and repack tell besides: the weight of builds, and licences that SPDX does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.engines.members import companion_path, runtime_path
from llamafile_format.engines.pin_reader import load_pin
from llamafile_format.packing import telling
from llamafile_format.packing.assemble import Content
from llamafile_format.packing.runtime_members import Choice
from llamafile_format.packing.telling import license_notes
from llamafile_format.source import BytesSource
from tests.conftest import ROOT, CliRunner
from tests.laws.containers import tiny_gguf
from tests.repack_samples import gguf


@pytest.mark.parametrize("text", ["Apache-2.0", "MIT AND CC-BY-4.0", "GPL-2.0-only WITH Classpath-exception-2.0", ""])
def test_an_expression_is_taken_without_a_word(text: str) -> None:
    assert license_notes(text) == ()


@pytest.mark.parametrize("text", ["LicenseRef-Gemma", "Apache-2.0 OR LicenseRef-house-terms"])
def test_a_licence_of_ones_own_is_an_expression(text: str) -> None:
    assert license_notes(text) == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Apache 2", "did you mean Apache-2.0"),
        ("Apache2.0", "did you mean Apache-2.0"),
        ("apache-2.0", "SPDX writes the licence 'apache-2.0' as Apache-2.0"),
        ("llama3", "LicenseRef-NAME"),
        ("other", "is not in its list"),
        ("MIT AND (", "does not parse"),
        ("MIT OR", "does not parse"),
    ],
)
def test_what_is_none_is_told(text: str, told: str) -> None:
    (note,) = license_notes(text)
    assert told in note


def test_it_is_packed_as_given_and_told(tmp_path: Path, run_cli: CliRunner) -> None:
    (tmp_path / "m.gguf").write_bytes(tiny_gguf())
    result = run_cli("pack", "m.gguf", "--prefix", "none", "--license", "Apache 2", "-o", "m.llamafile")
    assert result.returncode == 0
    assert "note: the licence 'Apache 2' is no SPDX expression" in result.stderr
    with lf.open(tmp_path / "m.llamafile") as container:
        assert container.manifest is not None
        assert container.manifest.license == "Apache 2"
    again = run_cli("repack", "m.llamafile", "--license", "llama3", "--in-place")
    assert "no SPDX expression" in again.stdout
    quiet = run_cli("repack", "m.llamafile", "--name", "x", "--in-place")
    assert quiet.returncode == 0
    assert "SPDX" not in quiet.stdout + quiet.stderr


def test_pack_tells_what_builds_add_to_a_small_model(tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    model.write_bytes(gguf())
    try:
        result = lf.pack([model], tmp_path / "m.llamafile")
    except lf.UsageError:
        pytest.skip("no builds of the pinned runtime here")
    (note,) = [text for text in result.notes if "builds" in text]
    assert note.startswith("10 builds of llama.cpp@")
    assert "MiB" in note
    assert "--runtime llama.cpp:" in note
    assert "--prefix none" in note
    fewer = lf.pack([model], tmp_path / "f.llamafile", runtime="llama.cpp:linux-x86_64")
    assert not [text for text in fewer.notes if "builds" in text]


@pytest.mark.usefixtures("tiny_runtimes")
def test_builds_that_weigh_nothing_are_not_worth_a_line(tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    model.write_bytes(gguf())
    assert lf.pack([model], tmp_path / "m.llamafile").notes == ()


def test_a_change_in_place_is_shown_under_the_name_that_was_given(tmp_path: Path, run_cli: CliRunner) -> None:
    (tmp_path / "m.gguf").write_bytes(tiny_gguf())
    run_cli("pack", "m.gguf", "--prefix", "none", "-o", "m.llamafile")
    (tmp_path / "link").symlink_to("m.llamafile")
    assert run_cli("repack", "link", "--name", "x", "--in-place").stdout.startswith("link  ")
    assert (tmp_path / "link").is_symlink()


def test_fewer_builds_come_with_fewer_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    pin = load_pin(ROOT / "runtimes" / "onnxruntime" / "1.32.0+1")
    monkeypatch.setattr(telling, "host_target", lambda: pin.builds[0].target)

    def member(path: str, role: str, mib: int) -> Content:
        return Content(path, role, "application/octet-stream", BytesSource(bytes(mib << 20)), 1)

    added = [member(companion_path(pin, "runtime.yaml"), "document", 1)]
    for build, (program, library) in zip(pin.builds[:2], ((2, 4), (8, 16)), strict=True):
        added.append(member(runtime_path(pin, build.flavour, build.target), "runtime", program))
        added.append(member(companion_path(pin, f"lib/{build.target}/x.so"), "asset", library))
    (note,) = telling.weight_notes(added, added, Choice(pin, pin.builds[:2]))
    assert "add 31.0 MiB" in note
    assert f"--runtime onnxruntime:{pin.builds[0].target} (7.0 MiB)" in note
