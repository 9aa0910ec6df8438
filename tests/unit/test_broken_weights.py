"""Hundreds of broken models at every door: none is packed in silence, none is ever called valid, whatever its role."""

from __future__ import annotations

from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.checks.verdict import Verdict
from llamafile_format.rules import Layer
from spec.vectors.generate.forge import Part, Spec, container, readme, weights
from tests.broken_ggufs import Broken, broken_ggufs
from tests.gguf_workbench import EXHIBIT
from tests.repack_samples import legacy

GOOD = EXHIBIT.read_bytes()
BROKEN = broken_ggufs(GOOD)

ALONE = "a shard alone"
"""The one that is whole by itself; what is wrong is that its sibling is missing."""

DISGUISES = [
    ("weights", "model.gguf", "application/x-gguf"),
    ("asset", "model.gguf", "application/octet-stream"),
    ("asset", "notes.bin", "application/octet-stream"),
    ("document", "notes.txt", "text/plain"),
    ("license", "LICENSE", "text/plain"),
    ("source", "model.tar", "application/x-tar"),
    ("tokenizer", "tokenizer.model", "application/octet-stream"),
    ("projector", "eyes.bin", "application/octet-stream"),
    ("adapter", "lora.bin", "application/octet-stream"),
    ("draft", "small.bin", "application/octet-stream"),
    ("card", "README.md", "text/markdown"),
    ("weather", "tomorrow.bin", "application/octet-stream"),
]
"""Role, name and media type under which something may be hidden."""
RANKS = ["document", "card", "license", "source", "tokenizer", "asset", "weights", "projector", "adapter", "draft"]


def hidden(data: bytes, role: str, path: str, media: str) -> bytes:
    """A canonical container with a good model, and ``data`` beside it, or instead of it."""
    align = 32 if role in ("weights", "projector", "adapter", "draft") else 1
    part = Part(path, data, role, media, align)
    if role == "weights":
        return container(Spec([readme(), part], labels={"default": path}))
    rank = [*RANKS, role].index
    given = sorted([weights("tiny.gguf"), part], key=lambda item: rank(item.role))
    return container(Spec([readme(), *given], labels={"default": "tiny.gguf"}))


def begins_as_gguf(data: bytes) -> bool:
    return data[:4] == b"GGUF"


def valid(data: bytes) -> Verdict:
    report = lf.verify(data, level="exhaustive")
    assert report.verdicts[Layer.WELL_FORMED] is Verdict.YES, [f.rule for f in report.findings]
    return report.verdicts[Layer.VALID]


def test_the_corpus_is_large_and_the_good_one_passes(tmp_path: Path) -> None:
    assert len(BROKEN) >= 500
    (tmp_path / "good.gguf").write_bytes(GOOD)
    lf.pack([tmp_path / "good.gguf"], tmp_path / "a", prefix="none")
    assert lf.verify(tmp_path / "a", level="exhaustive").exit_code(strict=True) == 0
    assert valid(hidden(GOOD, *DISGUISES[0])) is Verdict.YES


@pytest.mark.parametrize("start", range(0, len(BROKEN), 48))
def test_none_is_packed(start: int, tmp_path: Path) -> None:
    for name, data in BROKEN[start : start + 48]:
        model = tmp_path / "model.gguf"
        model.write_bytes(data)
        with pytest.raises((lf.FormatError, lf.UsageError)):
            lf.pack([model], tmp_path / "a", prefix="none")
        assert not (tmp_path / "a").exists(), name


@pytest.mark.parametrize("start", range(0, len(BROKEN), 48))
def test_none_is_called_valid(start: int) -> None:
    """Every one as weights, and under one disguise more."""
    for number, (name, data) in enumerate(BROKEN[start : start + 48], start):
        assert valid(hidden(data, *DISGUISES[0])) is Verdict.NO, name
        role, path, media = DISGUISES[1 + number % (len(DISGUISES) - 1)]
        taken = begins_as_gguf(data) or path.endswith(".gguf") or role in ("projector", "adapter", "draft")
        if taken and name != ALONE:
            assert valid(hidden(data, role, path, media)) is not Verdict.YES, (name, role)


@pytest.mark.slow
@pytest.mark.parametrize("disguise", DISGUISES, ids=lambda item: f"{item[0]}-{item[1]}")
def test_none_is_called_valid_under_any_disguise(disguise: tuple[str, str, str]) -> None:
    for name, data in BROKEN:
        if begins_as_gguf(data) and (name != ALONE or disguise[0] != "weather"):
            report = lf.verify(hidden(data, *disguise), level="exhaustive")
            assert report.verdicts[Layer.VALID] is not Verdict.YES, (name, disguise)
            assert report.exit_code(strict=True) == 1


SAMPLE = BROKEN[:: len(BROKEN) // 24]


@pytest.mark.parametrize("broken", SAMPLE, ids=[name for name, _ in SAMPLE])
def test_the_other_doors(broken: Broken, tmp_path: Path) -> None:
    """``--include`` under any name, a recipe, a legacy llamafile: refused; insisting never makes it valid."""
    _, data = broken
    (tmp_path / "good.gguf").write_bytes(GOOD)
    (tmp_path / "bad.gguf").write_bytes(data)
    lf.pack([tmp_path / "good.gguf"], tmp_path / "a", prefix="none")
    before = (tmp_path / "a").read_bytes()
    for include in (lf.Include(tmp_path / "bad.gguf"), lf.Include(tmp_path / "bad.gguf", "x.gguf", "asset")):
        with pytest.raises((lf.FormatError, lf.UsageError)):
            lf.repack(tmp_path / "a", tmp_path / "b", include=[include], default="good.gguf")
        with pytest.raises((lf.FormatError, lf.UsageError)):
            lf.repack(tmp_path / "a", in_place=True, include=[include], default="good.gguf")
    assert (tmp_path / "a").read_bytes() == before
    recipe = tmp_path / "llamafile.yaml"
    recipe.write_text("format: llamafile-recipe/1\nprefix: none\nweights: [bad.gguf]\n")
    with pytest.raises((lf.FormatError, lf.UsageError)):
        lf.pack((), tmp_path / "b", recipe=recipe)
    (tmp_path / "old").write_bytes(legacy(b"", [("bad.gguf", data)]))
    with pytest.raises((lf.FormatError, lf.UsageError)):
        lf.repack(tmp_path / "old", tmp_path / "b")
    assert not (tmp_path / "b").exists()
    lf.repack(tmp_path / "old", tmp_path / "b", force=True)
    report = lf.verify(tmp_path / "b", level="exhaustive")
    assert report.verdicts[Layer.VALID] is Verdict.NO
    with lf.open(tmp_path / "b") as opened:
        assert opened.manifest is not None
        assert opened.manifest.history[-1]["forced"]
