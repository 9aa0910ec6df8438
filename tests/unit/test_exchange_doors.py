"""What a store hands out comes in by the judgement of `verify`, and starts nothing; what it cannot bound is bounded."""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.checks import signatures
from llamafile_format.container import open_container
from llamafile_format.errors import FormatError, LimitExceeded, LlamafileError, UsageError
from llamafile_format.exchanging import import_folder, layout_writer
from llamafile_format.exchanging.layout import Layout
from llamafile_format.exchanging.take import take
from llamafile_format.output.folder import scratch_folder
from llamafile_format.output.leftovers import leftovers
from llamafile_format.output.orders import ImportOrder
from spec.vectors.generate.load import Vector, read_vector, vector_files
from tests.conftest import ROOT
from tests.exchange_samples import PACK, blob, foreign, model, put, sent, signed_by_three, tarred
from tests.laws.containers import tiny_gguf
from tests.programs import program_for

SENDING = importlib.import_module("llamafile_format.exchanging.send")  # the package has a function of that name
WEIGHTS, DOC = f"{PACK}weight.v1.raw", f"{PACK}doc.v1.raw"
ENGINES = ("runtimes/evil/1.0/native/linux-x86_64", "Runtimes/llama.cpp/0.3.36/native/x", "runtimes/x/1/runtime.yaml")


# What starts a model is its user's choice.


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("form", ["a layer", "in a tar", "a folder"])
def test_no_store_brings_what_starts_a_model(form: str, name: str, tmp_path: Path) -> None:
    """The launcher that we put in front would start it: it looks for builds by their paths."""
    program = program_for("linux-x86_64", b"echo a stranger")
    for path, data in (("m.gguf", model()), (name, program)):
        (tmp_path / "folder" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / path).write_bytes(data)
    other = (DOC, name, program) if form == "a layer" else (f"{PACK}code.v1.tar", "", tarred([(name, program)]))
    foreign(tmp_path / "layout", [(WEIGHTS, "m.gguf", model()), other])
    order = ImportOrder(str(tmp_path / "folder"), tmp_path / "out")
    with pytest.raises(FormatError, match="folder of engines") as refused:
        import_folder(order) if form == "a folder" else take(Layout(tmp_path / "layout"), tmp_path / "out")
    assert "--runtime" in refused.value.hint
    assert not (tmp_path / "out").exists()


# One judgement.


def _refused_ones() -> list[Vector]:
    """Vectors of containers that `verify` refuses, whoever is trusted."""
    found = (read_vector(path) for path in vector_files(ROOT / "spec" / "vectors"))
    return [each for each in found if each.kind == "container" and "no" in (each.well_formed, each.valid)]


def _sent_unjudged(file: Path, layout: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """The file in a layout, as somebody else's tool would put it there; False if it can be in no image."""
    with monkeypatch.context() as patch:
        patch.setattr(SENDING, "admit", lambda *_: None)
        try:
            sent(file, layout)
        except (LlamafileError, AssertionError):  # of what never comes so far
            return False
    return True


@pytest.mark.slow
def test_what_verify_refuses_is_neither_sent_nor_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All vectors: a layout that another tool wrote holds the file bit for bit."""
    images = 0
    for number, vector in enumerate(_refused_ones()):
        file, layout, out = (tmp_path / f"{number}.{what}" for what in ("llamafile", "layout", "out"))
        file.write_bytes(vector.payload)
        if lf.verify(file, level="full").exit_code() == 0:
            assert set(vector.rules) <= {"LF4006", "LF4011", "LF4013"}  # whole digests are of the level above
            continue
        with pytest.raises(LlamafileError):
            sent(file, tmp_path / "none")
        if not _sent_unjudged(file, layout, monkeypatch):
            continue
        images += 1
        try:
            take(Layout(layout), out)
        except LlamafileError:
            assert not out.exists(), vector.name
        else:  # without what was wrong: records that are out of form do not travel
            assert lf.verify(out, level="full").exit_code() == 0, vector.name
            assert out.read_bytes() != vector.payload
    assert images > 150


@pytest.mark.parametrize("name", ["launcher/reserve-not-zero", "chunks/chunk-root-of-list"])
def test_what_is_malformed_is_neither_sent_nor_taken(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(read_vector(ROOT / "spec" / "vectors" / f"{name}.vector").payload)
    with pytest.raises(FormatError, match="was not sent"):
        sent(tmp_path / "a", tmp_path / "layout")
    assert _sent_unjudged(tmp_path / "a", tmp_path / "layout", monkeypatch)
    with pytest.raises(FormatError, match=r"LF1101|LF4007"):
        take(Layout(tmp_path / "layout"), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "layout"]


def test_a_file_that_changes_after_it_was_judged_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = signed_by_three(tmp_path / "a")
    with open_container(file) as found, layout_writer(tmp_path / "layout", "v1") as taker:
        judged = SENDING.admit

        def judged_and_changed(*arguments: object) -> None:
            judged(*arguments)  # type: ignore[arg-type]
            place = found.entry("tiny.gguf").data_offset + 60
            with open(file, "r+b") as out:
                out.seek(place)
                out.write(b"\xff")

        monkeypatch.setattr(SENDING, "admit", judged_and_changed)
        with pytest.raises(LlamafileError, match=r"damaged|changed"):
            SENDING.send(found, taker)


# What has no bound of its own.


def test_many_layers_have_one_budget(tmp_path: Path) -> None:
    """Each is small enough to be free; eight thousand of them would be half a terabyte."""
    bomb = tarred([("x", bytes(16 << 20))], "gzip")
    layers = [(f"{PACK}code.v1.tar+gzip", "", bomb + b"")] * 7
    foreign(tmp_path / "layout", [(WEIGHTS, "m.gguf", model()), *layers])
    with pytest.raises(LimitExceeded, match="the layers unpack to far more"):
        take(Layout(tmp_path / "layout"), tmp_path / "out", runtime="none")
    assert [path.name for path in tmp_path.iterdir()] == ["layout"]


def _attached_again(layout: Path, count: int, change: bool) -> None:
    """One genuine record attached under the numbers 1 to ``count``; with ``change`` only under 1, and each another."""
    index = json.loads((layout / "index.json").read_bytes())
    (image,) = [each for each in index["manifests"] if "org.opencontainers.image.ref.name" in each["annotations"]]
    (first,) = [each for each in index["manifests"] if each["annotations"].get("org.llamafile.record.number") == "0001"]
    referrer = json.loads(blob(layout, first["digest"]).read_bytes())
    (layer,) = referrer["layers"]
    rows, path = [image], referrer["annotations"]["org.llamafile.record.path"]
    for number in range(1, count + 1):
        if change:
            data = blob(layout, layer["digest"]).read_bytes() + b" " * number + b"x"
            referrer["layers"] = [{**layer, **put(layout, data)}]
            number = 1
        notes = referrer["annotations"]
        notes["org.llamafile.record.number"] = f"{number:04d}"
        notes["org.llamafile.record.path"] = path.replace("0001", f"{number:04d}")
        kind = {"mediaType": first["mediaType"], "artifactType": first["artifactType"]}
        rows.append({**kind, **put(layout, json.dumps(referrer).encode())})
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": rows}))


@pytest.mark.parametrize("change", [False, True], ids=["one under many numbers", "many that do not hold"])
def test_each_record_is_looked_at_once(change: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent(signed_by_three(tmp_path / "a"), tmp_path / "layout")
    _attached_again(tmp_path / "layout", 150, change)
    looked = []
    read = signatures._Work.read
    monkeypatch.setattr(signatures._Work, "read", lambda work, index: looked.append(index) or read(work, index))
    taken = take(Layout(tmp_path / "layout"), tmp_path / "out")
    assert taken.records == (0 if change else 150)
    assert len(looked) <= (64 if change else 150) + taken.records * 3  # and by the judgement of what was written
    if change:
        assert any("no more were tried" in note for note in taken.notes)
    assert lf.verify(tmp_path / "out", level="full").exit_code() == 0


def test_what_is_refused_anyway_is_refused_before_it_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign(tmp_path / "layout", [(WEIGHTS, "m.gguf", model()), (f"{PACK}code.v1.tar", "", tarred([("x", b"x")]))])
    (tmp_path / "there").write_bytes(b"before")
    giver = Layout(tmp_path / "layout")
    monkeypatch.setattr(importlib.import_module(take.__module__), "includes_of", lambda *_: pytest.fail("it was read"))
    with pytest.raises(UsageError, match="exists"):
        take(giver, tmp_path / "there", runtime="none")
    with pytest.raises(UsageError, match="nobody"):
        take(giver, tmp_path / "out", runtime="nobody-knows@1")


def test_what_a_killed_run_leaves_is_named(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "out") as folder:
        (folder / "x").write_bytes(bytes(9000))
        assert leftovers(tmp_path) == []  # somebody is at work on it
        kept = tmp_path / "elsewhere"
        folder.rename(kept)
        kept.rename(folder)
    assert list(tmp_path.iterdir()) == []
    left = tmp_path / f".out.{hashlib.sha256(b'').hexdigest()[:12]}.partial"
    left.mkdir()
    assert [found.path for found in leftovers(tmp_path)] == [left]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    foreign(tmp_path / "layout", [(WEIGHTS, "m.gguf", tiny_gguf())])
    with pytest.raises(LlamafileError, match="cannot write in"):
        take(Layout(tmp_path / "layout"), tmp_path / "nowhere" / "out", runtime="none")


def test_a_build_that_nobody_knows_is_told_when_a_launcher_comes_in_front(tmp_path: Path) -> None:
    """Whoever repacks a file of weights, to run it, may not have looked what else lies in it."""
    program = tmp_path / "program"
    program.write_bytes(program_for("linux-x86_64", b"echo a stranger"))
    (tmp_path / "m.gguf").write_bytes(model())
    inside = lf.Include(program, "runtimes/evil/1.0/native/linux-x86_64")
    lf.pack([tmp_path / "m.gguf"], tmp_path / "a", prefix="none", include=[inside])
    notes = lf.repack(tmp_path / "a", tmp_path / "b", prefix="launcher").notes
    assert f"{inside.member} is a program that nobody here knows, and the new file starts it" in notes
    again = lf.repack(tmp_path / "b", tmp_path / "c", name="again")
    assert not any("nobody here knows" in note for note in again.notes)
