"""Builds for graphics processors (14.1.13): packed with the native ones, started by those alone; never in a record."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

import llamafile_format as lf
from llamafile_format.engines.launch import HERE, _environment
from llamafile_format.engines.packed import compress, frame_differs
from llamafile_format.engines.pin_reader import load_pin
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.prefix.launcher import read_index
from llamafile_format.reports.inspect_words import started_text
from llamafile_format.running.run import Selection, prepare
from tests.repack_samples import gguf, write
from tests.runtime_samples import REAL, program, use, write_pin

TARGET = "linux-x86_64"
FOLDER = "runtimes/llama.cpp/9.0/"
ARCHIVE = b"shaders\n" * 1000
FRAME = compress(ARCHIVE)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *flavours: str, inside: str = "") -> None:
    """A pin with builds for this target in ``flavours``, and shaders; and a model.

    ``inside``: there are no gpu builds, and those of this flavour use graphics processors themselves.
    """
    value = yaml.safe_load(REAL.read_text("utf-8"))
    changes: dict[str, Any] = {
        "flavours": value["flavours"] | {"gpu": {}},
        "targets": [
            each | ({"gpu_in": inside} if inside in each["flavours"] else {"flavours": [*each["flavours"], "gpu"]})
            for each in value["targets"]
        ],
        "shaders": {
            "sha256": hashlib.sha256(ARCHIVE).hexdigest(),
            "size": len(ARCHIVE),
            "file": "builds/shaders.zst",
            "reproducible": True,
        },
    }
    builds = {(flavour, TARGET): program(flavour, TARGET) for flavour in flavours}
    place = write_pin(folder / "pins", "9.0", builds, **changes)
    (place / "builds" / "shaders.zst").write_bytes(FRAME)
    use(folder / "pins", monkeypatch)
    write(folder / "model.gguf", gguf("m", 1000))


def packed(folder: Path, flavour: str) -> Path:
    lf.pack([folder / "model.gguf"], folder / "a.llamafile", runtime="llama.cpp@9.0", flavour=flavour)
    return folder / "a.llamafile"


def inside(path: Path) -> dict[str, str]:
    """What came with the runtime, and as what."""
    with lf.open(path) as container:
        found = {member.path: member.role for member in container.members if member.path.startswith(FOLDER)}
    return {path.removeprefix(FOLDER): role for path, role in found.items()}


@pytest.mark.parametrize(
    ("flavour", "wanted"),
    [
        ("", {"native"}),
        ("gpu", {"native", "gpu"}),
        ("both", {"native", "reference"}),
        ("all", {"native", "reference", "gpu"}),
    ],
)
def test_what_is_packed(flavour: str, wanted: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "native", "reference", "gpu")
    path = packed(tmp_path, flavour)
    found = inside(path)
    assert {name.split("/")[0] for name, role in found.items() if role == "runtime"} == wanted
    assert found.get("shaders.zst") == ("asset" if "gpu" in wanted else None)
    index = read_index(path.read_bytes()[:4096])
    assert index is not None
    assert {build.flavour for build in index.builds} == wanted - {"gpu"}
    assert not {finding.rule for finding in lf.verify(path).findings if finding.rule.startswith("LF33")}
    started = started_text(lf.inspect(path))
    assert started[0].startswith("llama.cpp/9.0/native on 1 system")
    assert ("gpu on 1 system" in started) is ("gpu" in wanted)


def test_a_repack_brings_them_and_takes_them_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "native", "gpu")
    path, there, back = packed(tmp_path, ""), tmp_path / "b.llamafile", tmp_path / "c.llamafile"
    lf.repack(path, there, runtime="llama.cpp@9.0", flavour="gpu")
    assert {"shaders.zst", f"gpu/{TARGET}", f"native/{TARGET}"} <= set(inside(there))
    lf.repack(there, back, runtime="llama.cpp@9.0")
    assert not {"shaders.zst", f"gpu/{TARGET}"} & set(inside(back))


def test_what_cannot_be_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "reference", "gpu")
    with pytest.raises(UsageError, match="needs the native one"):
        packed(tmp_path, "gpu")


def test_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "native")
    with pytest.raises(UsageError, match="there is no gpu build of"):
        packed(tmp_path, "gpu")


def test_native_builds_that_use_graphics_processors_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "native", inside="native")
    assert "shaders.zst" not in inside(packed(tmp_path, ""))
    (tmp_path / "a.llamafile").unlink()
    path = packed(tmp_path, "gpu")
    assert {"shaders.zst", f"native/{TARGET}"} <= set(inside(path))
    assert not {finding.rule for finding in lf.verify(path).findings if finding.rule.startswith("LF33")}


@pytest.mark.parametrize(("flavour", "more"), [("gpu", []), ("native", ["gpu"])])
def test_a_target_is_one_or_the_other(
    flavour: str, more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = yaml.safe_load(REAL.read_text("utf-8"))
    targets = [each | {"flavours": each["flavours"] + more, "gpu_in": flavour} for each in value["targets"]]
    place = write_pin(tmp_path, "9.0", {}, flavours=value["flavours"] | {"gpu": {}}, targets=targets)
    with pytest.raises(FormatError, match="gpu_in"):
        load_pin(place)


def test_damaged_shaders_are_not_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "native", "gpu")
    (tmp_path / "pins/llama.cpp/9.0/builds/shaders.zst").write_bytes(compress(ARCHIVE[:-1]))
    with pytest.raises(FormatError, match="is damaged"):
        packed(tmp_path, "gpu")


def test_nobody_starts_one_but_the_native_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "native", "gpu")
    path = packed(tmp_path, "gpu")
    assert prepare(path, (), Selection(target=TARGET)).build.flavour == "native"
    monkeypatch.setenv("LFF_FLAVOUR", "gpu")
    with pytest.raises(UsageError, match="started by a native one"):
        prepare(path, (), Selection(target=TARGET))


@pytest.mark.parametrize("word", ["auto", "off", "0", "12"])
def test_the_program_is_told_which_gpu(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "native", "gpu")
    path = packed(tmp_path, "gpu")
    monkeypatch.setenv("LFF_GPU", "7")
    assert prepare(path, (), Selection(target=TARGET)).environment["LFF_GPU"] == "7"
    assert prepare(path, (), Selection(target=TARGET, gpu=word)).environment["LFF_GPU"] == word


@pytest.mark.parametrize("word", ["on", "-1", "1000", "1,2", "²", "off "])
def test_words_that_name_no_gpu(word: str) -> None:
    with pytest.raises(UsageError, match="--gpu is auto, off or the number"):
        Selection(target=TARGET, gpu=word).settled()


def test_a_trace_uses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LFF_GPU", "0")
    assert _environment(HERE, tmp_path, "/c", None)["LFF_GPU"] == "off"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (FRAME, ""),
        (FRAME + b"\0", "something follows"),
        (FRAME + FRAME, "something follows"),
        (FRAME[:-1], "cut off"),
        (b"", "cut off"),
        (ARCHIVE, "no frame"),
        (compress(ARCHIVE[:-1]), "it holds 7999 bytes"),
        (compress(bytes(1 << 26)), "more than 8000 bytes"),
    ],
)
def test_a_frame_is_the_pinned_one_or_it_is_said_why_not(data: bytes, reason: str) -> None:
    found = frame_differs(data, hashlib.sha256(ARCHIVE).hexdigest(), len(ARCHIVE))
    assert (found == "") == (reason == "")
    assert reason in found
