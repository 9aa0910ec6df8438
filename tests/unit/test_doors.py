"""What may come in and what may go out: one judgement at every door (spec/1, 8.1.8 to 8.1.10)."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.checks.loading import Model, check_loading
from llamafile_format.checks.verdict import Verdict
from llamafile_format.checks.weights import check_gguf
from llamafile_format.engines.loaders import loader_of
from llamafile_format.engines.store import pins
from llamafile_format.packing import judging
from llamafile_format.rules import Layer
from llamafile_format.source import BytesSource
from spec.vectors.generate.contents import ANSWER, GGJT, ONNX, PAGE, POINTER, SAFETENSORS, XET
from tests.conftest import CliRunner
from tests.gguf_workbench import EXHIBIT, exhibit
from tests.laws.containers import tiny_gguf
from tests.repack_samples import gguf, legacy, write
from tests.runtime_samples import use, write_pin

HUSKS = {
    "LF1001": POINTER,
    "LF1002": XET,
    "LF1003": PAGE,
    "LF1004": ANSWER,
    "LF1007": gzip.compress(b"a model", mtime=0),
    "LF1008": b"",
    "LF1009": bytes(100_000),
    "LF5001": b"GGML, in words\n" * 9,
}
"""What is found in the place of a model, by the rule that says what it is."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a good model and a container of it; tiny runtimes are installed."""
    write_pin(tmp_path / "pins")
    use(tmp_path / "pins", monkeypatch)
    write(tmp_path / "good.gguf", EXHIBIT.read_bytes())
    lf.pack([tmp_path / "good.gguf"], tmp_path / "a", prefix="none")
    return tmp_path


def verdict(path: Path) -> Verdict:
    return lf.verify(path, level="exhaustive").verdicts[Layer.VALID]


def rules(path: Path) -> set[str]:
    return {finding.rule for finding in lf.verify(path, level="exhaustive").findings}


@pytest.mark.parametrize("clause", HUSKS)
def test_a_husk_is_never_packed(folder: Path, clause: str) -> None:
    husk = write(folder / "model.gguf", HUSKS[clause])
    recipe = folder / "llamafile.yaml"
    recipe.write_text("format: llamafile-recipe/1\nprefix: none\nweights: [good.gguf]\ninclude: [model.gguf]\n")
    doors: list[Callable[[], object]] = [
        lambda: lf.pack([husk], folder / "b", prefix="none", force=True),
        lambda: lf.pack([husk], folder / "b", force=True),
        lambda: lf.pack([], folder / "b", recipe=recipe, default="good.gguf", force=True),
        lambda: lf.repack(folder / "a", folder / "b", include=[lf.Include(husk)], default="good.gguf", force=True),
        lambda: lf.repack(folder / "a", folder / "b", include=[lf.Include(husk, "x.gguf", "adapter")], force=True),
        lambda: lf.repack(folder / "a", in_place=True, include=[lf.Include(husk, role="asset")], force=True),
    ]
    for door in doors:
        with pytest.raises(lf.FormatError) as refused:
            door()
        assert refused.value.clause in (clause, "LF5085")
        assert refused.value.hint
        assert not (folder / "b").exists()
    assert verdict(folder / "a") is Verdict.YES


@pytest.mark.parametrize("clause", HUSKS)
def test_a_legacy_husk_is_not_laundered(folder: Path, clause: str) -> None:
    old = write(folder / "old", legacy(b"", [("model.gguf", HUSKS[clause])]))
    assert verdict(old) is Verdict.NO
    with pytest.raises(lf.FormatError):
        lf.repack(old, folder / "b")
    assert not (folder / "b").exists()
    lf.repack(old, folder / "b", force=True)
    assert verdict(folder / "b") is Verdict.NO
    assert rules(folder / "b") & {"LF5085", "LF5001"}
    with lf.open(folder / "b") as container:
        assert container.manifest is not None
        assert container.manifest.history[-1]["action"] == "from-legacy"
        assert container.manifest.history[-1]["forced"]
    with pytest.raises(lf.FormatError):
        lf.repack(folder / "b", folder / "c", name="again")


def test_a_pointer_is_refused_under_any_name(folder: Path) -> None:
    licence = write(folder / "LICENSE", POINTER)
    for force in (False, True):
        with pytest.raises(lf.FormatError) as refused:
            lf.pack([folder / "good.gguf", licence], folder / "b", prefix="none", force=force)
        assert refused.value.clause == "LF1001"


def test_pages_and_empty_files_that_are_no_models_are_fine(folder: Path) -> None:
    manual, empty, code = write(folder / "manual.html", PAGE), write(folder / "NOTICE", b""), folder / "code.tar.gz"
    write(code, gzip.compress(b"code", mtime=0))
    lf.pack([folder / "good.gguf", manual, empty, code], folder / "b", prefix="none")
    assert verdict(folder / "b") is Verdict.YES


def test_what_a_lone_file_is_comes_before_where_to_write(folder: Path, run_cli: CliRunner) -> None:
    packed = run_cli("pack", write(folder / "x.gz", gzip.compress(b"a model", mtime=0)))
    assert packed.returncode == 1
    assert "gzip" in packed.stderr
    assert "directory" in run_cli("pack", folder).stderr
    assert "nothing to pack" in run_cli("pack").stderr


def test_force_packs_what_is_broken_and_says_so(folder: Path) -> None:
    cut = write(folder / "cut.gguf", EXHIBIT.read_bytes()[:-4096])
    with pytest.raises(lf.FormatError) as refused:
        lf.pack([cut], folder / "b", prefix="none")
    assert refused.value.clause == "LF5050"
    assert "--force" in refused.value.hint
    lf.pack([cut], folder / "b", prefix="none", force=True)
    assert verdict(folder / "b") is Verdict.NO
    with lf.open(folder / "b") as container:
        assert container.manifest is not None
        (step,) = container.manifest.history
        assert step["action"] == "pack"
        assert step["forced"][0]["rule"] == "LF5050"


@pytest.mark.parametrize(
    ("role", "name"),
    [("asset", ""), ("document", "notes.txt"), ("projector", ""), ("adapter", ""), ("tokenizer", "tokenizer.model")],
)
def test_a_role_that_does_not_fit_is_refused(folder: Path, role: str, name: str) -> None:
    include = [lf.Include(folder / "good.gguf", name or "second.gguf", role)]
    for force in (False, True):
        with pytest.raises(lf.FormatError) as refused:
            lf.repack(folder / "a", folder / "b", include=include, force=force)
        assert refused.value.clause == "LF3034"
    lf.repack(folder / "a", folder / "b", include=[lf.Include(folder / "good.gguf", "second.gguf", "draft")])
    assert verdict(folder / "b") is Verdict.YES


def test_data_is_for_what_nobody_knows(folder: Path, run_cli: CliRunner) -> None:
    write(folder / "field.bin", bytes(range(256)) * 3)
    good = ("pack", folder / "good.gguf", "--prefix", "none", "-o")
    assert run_cli(*good, folder / "b", "--data", f"{folder / 'field.bin'}=notes/field.bin").returncode == 0
    assert "LF3035" in rules(folder / "b")
    assert lf.verify(folder / "b", level="exhaustive").exit_code(strict=True) == 0
    with lf.open(folder / "b") as container:
        assert [m.role for m in container.members if m.path == "notes/field.bin"] == ["document"]
    for name, data in (("w.bin", EXHIBIT.read_bytes()), ("w.gguf", b"words"), ("w.onnx", ONNX), ("x.pt", b"words")):
        refused = run_cli(*good, folder / "c", "--data", write(folder / name, data))
        assert refused.returncode == 2, name
        assert not (folder / "c").exists()
    renamed = run_cli(*good, folder / "c", "--data", f"{folder / 'field.bin'}=field.gguf")
    assert renamed.returncode == 2
    assert run_cli("repack", folder / "a", "-o", folder / "d", "--data", folder / "field.bin").returncode == 0
    assert "LF3035" in rules(folder / "d")


def test_an_engine_without_a_model_is_meant_or_a_mistake(folder: Path, run_cli: CliRunner) -> None:
    note = write(folder / "note.txt", b"a note\n")
    options = (note, "--runtime", "llama.cpp", "-o", folder / "b")
    refused = run_cli("pack", *options)
    assert refused.returncode == 2
    assert "--engine-only" in refused.stderr
    assert run_cli("pack", *options, "--engine-only").returncode == 0
    assert verdict(folder / "b") is Verdict.YES
    assert run_cli("pack", *options[1:-1], folder / "c", "--engine-only").returncode == 0
    lf.pack([folder / "good.gguf"], folder / "d")
    with pytest.raises(lf.UsageError, match=r"no model: good\.gguf was the last") as last:
        lf.repack(folder / "d", folder / "e", remove=["good.gguf"])
    assert "--engine-only" in last.value.hint
    lf.repack(folder / "d", folder / "e", remove=["good.gguf"], engine_only=True)
    lf.repack(folder / "e", folder / "f", name="it has none, and is changed all the same")


NOT_READ = frozenset({"LF5086", "LF5087"})


@pytest.mark.parametrize(
    ("name", "data", "expected", "said"),
    [
        ("m.safetensors", SAFETENSORS, Verdict.YES, frozenset()),
        ("m.onnx", ONNX, Verdict.YES, frozenset()),
        ("m.bin", GGJT, Verdict.UNDETERMINED, NOT_READ),
    ],
)
def test_other_formats_are_kept_and_said(
    folder: Path, name: str, data: bytes, expected: Verdict, said: frozenset[str]
) -> None:
    """Kept as weights without an engine, judged as far as they are read, refused where the engine would get them."""
    lf.pack([write(folder / name, data)], folder / "b", prefix="none")
    assert verdict(folder / "b") is expected
    found = rules(folder / "b") & NOT_READ
    assert found if said else not found
    with pytest.raises(lf.FormatError) as refused:
        lf.pack([folder / name], folder / "c")
    assert refused.value.clause in ("LF3303", "LF3312")
    with pytest.raises(lf.FormatError) as refused:
        lf.repack(folder / "a", folder / "c", include=[lf.Include(folder / name, role="asset")])
    assert refused.value.clause == "LF3034"


def test_a_whole_model_may_be_called_like_a_shard(folder: Path) -> None:
    whole = write(folder / "foo-00001-of-00013.gguf", EXHIBIT.read_bytes())
    lf.pack([whole], folder / "b", prefix="none")
    assert verdict(folder / "b") is Verdict.YES


def test_all_missing_shards_are_counted(folder: Path) -> None:
    bench = exhibit().with_entry("split.no", 2, 2).with_entry("split.count", 2, 13)
    shard = write(folder / "bar-00003-of-00013.gguf", bench.build())
    with pytest.raises(lf.UsageError, match=r"12 of them are not in .*and 8 more"):
        lf.pack([shard], folder / "b", prefix="none")
    renamed = write(folder / "some-shard.gguf", bench.build())
    with pytest.raises(lf.FormatError, match="12 are not here") as refused:
        lf.pack([renamed], folder / "b", prefix="none")
    assert refused.value.clause == "LF5089"


def test_joined_shards_are_told_with_how_to_mend_them(folder: Path) -> None:
    joined = write(folder / "joined.gguf", EXHIBIT.read_bytes() * 2)
    with pytest.raises(lf.FormatError, match=f"begins at byte {EXHIBIT.stat().st_size}") as refused:
        lf.pack([joined], folder / "b", prefix="none")
    assert refused.value.clause == "LF5088"
    assert "head -c" in refused.value.hint


def test_nothing_malformed_is_published_whatever_made_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last word is the verifier's: a fault of the writer itself does not get out, not even by force."""
    whole = judging.judge

    def damage(source: lf.source.FileSource, fresh: object = None) -> object:
        import os

        os.pwrite(source.fd, b"X", source.size - 1)  # the mark at the end
        return whole(source, fresh)  # type: ignore[arg-type]

    monkeypatch.setattr(judging, "judge", damage)
    for force in (False, True):
        with pytest.raises(lf.FormatError):
            lf.pack([folder / "good.gguf"], folder / "b", prefix="none", force=force)
        with pytest.raises(lf.FormatError):
            lf.repack(folder / "a", folder / "b", name="x", force=force)
        assert not (folder / "b").exists()


def test_every_pin_of_this_installation_has_been_tried() -> None:
    """A new pin that reads GGUF needs a row in registry/loaders.yaml, or what its engine refuses is not known here."""
    for pin in pins():
        assert (loader_of(pin.name, pin.version) is not None) == pin.reads_gguf, pin.key


def test_an_engine_that_reads_something_else_excuses_nothing() -> None:
    """With ONNX Runtime beside llama.cpp, what llama.cpp refuses stays refused."""
    gguf, _ = check_gguf(BytesSource(tiny_gguf()))
    model = Model(gguf, "m.gguf", 0, whole=True)
    both = [next(pin for pin in pins() if pin.name == name) for name in ("llama.cpp", "onnxruntime")]
    alone = list(check_loading(model, both[:1]))
    assert alone
    assert list(check_loading(model, both)) == alone
    assert not list(check_loading(model, both[1:]))


def test_a_model_that_the_engine_refuses_is_refused_beside_it_only(folder: Path) -> None:
    model = write(folder / "old.gguf", exhibit().with_array("tokenizer.ggml.eos_token_id", 4, [2]).build())
    with pytest.raises(lf.FormatError) as refused:
        lf.pack([model], folder / "b")
    assert refused.value.clause == "LF3313"
    lf.pack([model], folder / "b", prefix="none", runtime="none")
    assert verdict(folder / "b") is Verdict.YES
    with pytest.raises(lf.FormatError):
        lf.repack(folder / "b", folder / "c", prefix="launcher")
    lf.repack(folder / "b", folder / "c", prefix="launcher", force=True)
    assert verdict(folder / "c") is Verdict.NO


def test_a_broken_draft_is_told_in_place_too(folder: Path) -> None:
    before = (folder / "a").read_bytes()
    broken = write(folder / "draft.gguf", gguf("d", 8000)[:-64])
    with pytest.raises(lf.FormatError):
        lf.repack(folder / "a", in_place=True, include=[lf.Include(broken, role="draft")])
    assert (folder / "a").read_bytes() == before
    lf.repack(folder / "a", in_place=True, include=[lf.Include(broken, role="draft")], force=True)
    assert verdict(folder / "a") is Verdict.NO
