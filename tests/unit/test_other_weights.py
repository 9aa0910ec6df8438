"""Weights that are no GGUF, as inspect and identify tell them (spec/1, 7.16 to 7.18)."""

from __future__ import annotations

import io
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import llamafile_format as lf
from llamafile_format.examining import WeightsView, identify_format, inspect
from llamafile_format.reports import inspection_value, screen_text
from llamafile_format.rules import Layer
from llamafile_format.source import BytesSource
from llamafile_format.specdata import spec_dir
from llamafile_format.weights.litertlm import BLOCK, MAX_HEADER, read_litertlm
from spec.vectors.generate.contents import PICKLE, PYTORCH, SAFETENSORS, TFLITE
from spec.vectors.generate.gguf_builder import STRING, V3, model_entries, tensors_of
from spec.vectors.generate.onnx import DATA, FOUR, GOOD, graph, model, outside
from spec.vectors.generate.safetensors import file, row
from tests.conftest import CliRunner
from tests.weights_samples import CACHE, CTRANSLATE2, NETWORK, PLAN, header_size, litertlm

SCHEMA = json.loads((spec_dir() / "schemas" / "inspect.schema.json").read_text("utf-8"))


SECTIONS = ((BLOCK, BLOCK + 9, 3), (2 * BLOCK, 3 * BLOCK, 4))
LITERT = litertlm(*SECTIONS, size=3 * BLOCK)


def saved(array: np.ndarray[object, np.dtype[np.float32]], *, archive: bool = False) -> bytes:
    """An array as NumPy writes it."""
    out = io.BytesIO()
    np.savez(out, a=array) if archive else np.save(out, array)
    return out.getvalue()


TOLD = {
    "a.npy": (saved(np.zeros(3, np.float32)), "NumPy array"),
    "a.npz": (saved(np.zeros(3, np.float32), archive=True), "NumPy archive"),
    "a.engine": (PLAN, "TensorRT plan"),
    "model.bin": (CTRANSLATE2, "CTranslate2 model"),
    "openvino_model.xml": (NETWORK, "OpenVINO network"),
    "ndarray-cache.json": (CACHE, "MLC parameters, list"),
    "params_shard_0.bin": (b"\x01\x02" * 40, "MLC parameters, shard"),
    "m.tflite": (TFLITE, "TensorFlow Lite"),
    "m.litertlm": (LITERT, "LiteRT-LM"),
    "m.pt": (PYTORCH, "a PyTorch checkpoint (ZIP with a pickle)"),
    "m.pkl": (PICKLE, "a Python pickle"),
}


def write(path: Path, data: bytes) -> Path:
    """``path``, with ``data`` in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def packed(folder: Path, files: dict[str, bytes], default: str, **roles: str) -> dict[str, WeightsView]:
    """What inspect says of a container with ``files``."""
    first = write(folder / "in" / default, files[default])
    include = [
        lf.Include(write(folder / "in" / path, data), path, roles.get(path, ""))
        for path, data in files.items()
        if path != default
    ]
    lf.pack([first], folder / "out", prefix="none", include=include, default=default)
    inspection = inspect(folder / "out")
    Draft202012Validator(SCHEMA).validate(inspection_value(inspection))
    return {view.member: view for view in inspection.other_weights}


@pytest.mark.parametrize("name", TOLD)
def test_told_and_undetermined(tmp_path: Path, name: str) -> None:
    data, expected = TOLD[name]
    path = write(tmp_path / name, data)
    bare = inspect(path)
    Draft202012Validator(SCHEMA).validate(inspection_value(bare))
    (view,) = bare.other_weights
    assert (view.format, view.read, view.member) == (expected, False, "")
    assert bare.file.kind == "weights"
    assert not bare.report.verdicts
    assert "not read, so undetermined" in " ".join(screen_text(bare).split())
    assert identify_format(path).format == expected.removeprefix("a ")
    lf.pack([write(tmp_path / "good.safetensors", SAFETENSORS)], tmp_path / "c", prefix="none",
            include=[lf.Include(path, f"{name}", "weights")], default="good.safetensors")  # fmt: skip
    report = lf.verify(tmp_path / "c")
    assert report.verdicts[Layer.VALID] is lf.Verdict.UNDETERMINED
    assert expected.removeprefix("a ") in " ".join(str(f.args) for f in report.findings)
    assert {view.member: view.format for view in inspect(tmp_path / "c").other_weights}[name] == expected


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    path = write(tmp_path / "trap.pkl", b"\x80\x04" + pickle.dumps(Trap(), 4)[2:])
    inspection = inspect(path)
    assert "never opened" in inspection.other_weights[0].facts[0]
    assert not (tmp_path / "sprung").exists()


def test_safetensors_and_mlx(tmp_path: Path) -> None:
    plain = file({"__metadata__": {"format": "pt", "made by": "a QAT run"}, "a": row(0, 16)})
    mlx = file({"__metadata__": {"format": "mlx"}, "w": row(0, 16, (4,), "U32")})
    files = {
        "model.safetensors": plain,
        "mlx/model.safetensors": mlx,
        "mlx/config.json": b'{"quantization": {"bits": 4, "group_size": 64}}',
    }
    views = packed(tmp_path, files, "model.safetensors")
    first, second = views["model.safetensors"], views["mlx/model.safetensors"]
    assert (first.format, first.read, first.complete) == ("safetensors", True, True)
    assert (first.family, first.claims_qat) == ("", True)
    assert [tuple(each) for each in first.types] == [("F32", 1, 4, 16)]
    assert first.metadata["made by"] == "a QAT run"
    assert (second.family, second.facts) == ("MLX", ("4 bits in groups of 64, says mlx/config.json",))
    for config in (b"{", b"[]", b'{"quantization": {"bits": "4"}}', b'{"quantization": 4}', b"[" * 99):
        other = packed(tmp_path / str(len(config)), {**files, "mlx/config.json": config}, "model.safetensors")
        assert other["mlx/model.safetensors"].facts == ()


def test_onnx(tmp_path: Path) -> None:
    views = packed(tmp_path, {"tiny.onnx": model(graph(outside(DATA))), DATA: FOUR}, "tiny.onnx")
    (view,) = views.values()
    onnx = view.onnx
    assert onnx is not None
    assert (view.format, view.read, view.tensors) == ("ONNX", True, 1)
    assert (onnx.ir_version, onnx.opsets) == (10, {"ai.onnx": 21})
    assert [tuple(each) for each in onnx.operators] == [("ai.onnx", "Identity", 1)]
    assert [tuple(each) for each in onnx.outside] == [(DATA, 1, 16)]
    assert [(each.name, each.shape) for each in onnx.inputs] == [("x", ("n",))]


def test_bare_weights_that_are_read(tmp_path: Path, run_cli: CliRunner) -> None:
    onnx = inspect(write(tmp_path / "m.onnx", GOOD))
    assert onnx.other_weights[0].onnx is not None
    assert not onnx.report.findings
    bad = inspect(write(tmp_path / "bad.safetensors", file({"a": row(0, 16)}, b"")))
    assert [finding.rule for finding in bad.report.findings] == ["LF5114"]
    shown = run_cli("inspect", tmp_path / "m.onnx", "--json")
    assert json.loads(shown.stdout)["other_weights"][0]["onnx"]["nodes"] == 1
    screen = run_cli("inspect", tmp_path / "m.onnx").stdout
    assert "bare ONNX" in screen
    assert "1 operator, of ai.onnx 21" in " ".join(screen.split())
    for line in ("inputs       x FLOAT [n]", "outputs      y FLOAT [n]", "operators    Identity 1"):
        assert line in screen
    last = run_cli("inspect", tmp_path / "m.onnx", "--tensors").stdout.splitlines()[-1]
    assert last.split() == [str(GOOD.index(FOUR)), "16", "FLOAT", "4", "w"]
    listed = inspect(tmp_path / "bad.safetensors", tensors=True)
    Draft202012Validator(SCHEMA).validate(inspection_value(listed))
    assert [(each.name, each.dims) for each in listed.other_weights[0].rows or ()] == [("a", (4,))]
    assert run_cli("inspect", tmp_path / "m.onnx", "--html", tmp_path / "m.html").returncode == 0


def test_litertlm_is_read_within_its_header() -> None:
    read = read_litertlm(BytesSource(LITERT))
    assert (read.version, read.fault) == ("1.5.0", "")
    assert [(each.kind, each.begin, each.end) for each in read.sections] == [
        ("TFLite model", BLOCK, BLOCK + 9),
        ("SentencePiece tokenizer", 2 * BLOCK, 3 * BLOCK),
    ]


@pytest.mark.parametrize(
    "data",
    [
        litertlm((BLOCK + 1, BLOCK + 9, 3), size=3 * BLOCK),
        litertlm((0, 9, 3), size=3 * BLOCK),
        litertlm((BLOCK, BLOCK - 1, 3), size=3 * BLOCK),
        litertlm((BLOCK, 4 * BLOCK, 3), size=3 * BLOCK),
        litertlm((2 * BLOCK, 3 * BLOCK, 3), (BLOCK, BLOCK + 9, 3), size=3 * BLOCK),
        litertlm((BLOCK, 2 * BLOCK + 1, 3), (2 * BLOCK, 3 * BLOCK, 3), size=3 * BLOCK),
        litertlm(size=BLOCK, end=1 << 63),
        litertlm(size=BLOCK, end=31),
        litertlm(size=MAX_HEADER * 2, end=MAX_HEADER + 1),
        LITERT[:30],
        LITERT[:90],
    ],
)
def test_litertlm_says_what_is_wrong(data: bytes) -> None:
    assert read_litertlm(BytesSource(data)).fault


def test_no_bytes_of_a_header_make_litertlm_raise() -> None:
    for at in range(8, header_size(*SECTIONS)):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            read_litertlm(BytesSource(LITERT[:at] + bytes([value]) + LITERT[at + 1 :]))


def test_quantisation_aware_training_is_a_claim(tmp_path: Path) -> None:
    tensors, data = tensors_of()
    for number, (name, key, said) in enumerate(
        (
            ("gemma-3-1b-it-qat-q4_0.gguf", "general.name", "Gemma 3"),
            ("m.gguf", "general.repo_url", "https://huggingface.co/google/gemma-3-1b-it-qat-q4_0-unquantized"),
            ("m.gguf", "general.finetune", "it-qat"),
        )
    ):
        gguf = V3.build([*model_entries(), V3.entry(key, STRING, said)], tensors, data)
        lf.pack([write(tmp_path / str(number) / name, gguf)], tmp_path / f"{number}.llamafile", prefix="none")
        (found,) = inspect(tmp_path / f"{number}.llamafile").models
        assert found.qat_in_name_only


PAGE = Path(__file__).parents[2] / "docs" / "exchange.md"
SAMPLES = {
    "safetensors": ("m.safetensors", SAFETENSORS),
    "ONNX": ("m.onnx", GOOD),
    "ExecuTorch": ("m.pte", bytes(4) + b"ET12" + bytes(40)),
    "GGML": ("m.bin", b"lmgg" + struct.pack("<I", 32000) + bytes(40)),
    **{found.removeprefix("a ").partition(" (")[0]: (name, data) for name, (data, found) in TOLD.items()},
}


def table() -> dict[str, list[str]]:
    """The table of the page: what is recognised, checked, run and recorded, by the beginning of a format's name."""
    text = PAGE.read_text("utf-8").partition("| format |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    return {cells[0]: cells[1:] for cells in rows}


def test_the_page_lists_every_format_that_is_told() -> None:
    rows = [each.replace(", list", " list").replace(", shard", " shard").partition(",")[0] for each in table()]
    there = {name.replace(" list", ", list").replace(" shard", ", shard") for name in rows}
    assert there == {*SAMPLES, "GGUF", "GGUF with types of forks", "MLX"}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_page_says_what_is_done(tmp_path: Path, name: str) -> None:
    (checked, runs, recorded) = next(cells[1:] for row, cells in table().items() if row.startswith(name))
    path, data = SAMPLES[name]
    (view,) = inspect(write(tmp_path / path, data)).other_weights
    assert view.read == checked.startswith("strictly")
    assert (recorded == "no") == (name != "ONNX")  # which test_onnx_engine records and replays
    lf.pack([], tmp_path / "c", prefix="none", include=[lf.Include(tmp_path / path, path, "weights")])
    assert (lf.verify(tmp_path / "c").verdicts[Layer.VALID] is lf.Verdict.YES) == view.read
    with pytest.raises(lf.FormatError):
        lf.pack([], tmp_path / "d", include=[lf.Include(tmp_path / path, path, "weights")])
    assert runs in ("no", "engines of their time") or (name == "ONNX" and runs.startswith("ONNX Runtime"))
