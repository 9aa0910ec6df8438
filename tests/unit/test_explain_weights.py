"""``explain`` on models of more than one member, and on libraries that others built (spec/1, 13.11 and 14.9)."""

from __future__ import annotations

import shlex
import subprocess
import zipfile
from hashlib import sha256
from pathlib import Path

import llamafile_format
from llamafile_format.examining import explain
from llamafile_format.reports.explain import explain_clauses
from llamafile_format.reports.explain_steps import steps
from tests.conftest import ROOT

GUIDE = ROOT / "examples" / "onnx"
PIN = "runtimes/onnxruntime/1.32.0"


def packed(folder: Path, library: bytes, *, pin: str = "") -> Path:
    """The example's model with the pin of its engine and a library; no builds."""
    (folder / "library").write_bytes(library)
    (folder / "runtime.yaml").write_text(pin or (ROOT / PIN / "runtime.yaml").read_text("utf-8"), "utf-8")
    include = [
        llamafile_format.Include(folder / "runtime.yaml", f"{PIN}/runtime.yaml", "document"),
        llamafile_format.Include(folder / "library", f"{PIN}/lib/linux-x86_64/libonnxruntime.so", "asset"),
        llamafile_format.Include(GUIDE / "guide.onnx.data", "guide.onnx.data", "weights"),
    ]
    out = folder / "guide.llamafile"
    return llamafile_format.pack([GUIDE / "guide.onnx"], out, prefix="none", include=include, force=True).path


def test_data_outside_of_a_model_are_weights(tmp_path: Path) -> None:
    facts = explain(packed(tmp_path, b"x"))
    assert [piece.path for piece in facts.weights] == ["guide.onnx", "guide.onnx.data"]
    (step,) = (step for step in steps(facts) if step.title.startswith("The model alone"))
    assert step.title == "The model alone, guide.onnx, and the other weights: guide.onnx.data"
    assert step.prints == tuple(sha256((GUIDE / piece.path).read_bytes()).hexdigest() for piece in facts.weights)
    assert shell(tmp_path, step.commands) == list(step.prints)


def test_a_library_is_compared_with_its_makers_package(tmp_path: Path) -> None:
    wheel = tmp_path / "their [x] wheel.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("onnxruntime/capi/libonnxruntime.so.1.32.0", b"theirs")
    for inside in (b"theirs", b"another"):
        (found,) = explain(packed(tmp_path, inside)).libraries
        assert (found.engine, found.piece.sha256) == ("onnxruntime@1.32.0", sha256(inside).hexdigest())
        (step,) = (step for step in steps(explain(tmp_path / "guide.llamafile")) if "that others built" in step.title)
        assert step.commands[0].startswith("W=/path/to/onnxruntime-1.32.0-cp311")
        own, package, theirs = (f"{line}" for line in shell(tmp_path, step.commands[1:], W=str(wheel)))
        assert (own, package) == (step.prints[0], sha256(wheel.read_bytes()).hexdigest())
        assert (own == theirs) is (inside == b"theirs")


def test_a_package_that_lies_in_the_file_is_the_package_itself(tmp_path: Path) -> None:
    pin, name = "runtimes/mlx/0.32.4", "mlx_lm-0.32.2-py3-none-any.whl"
    (tmp_path / name).write_bytes(b"theirs")
    include = [
        llamafile_format.Include(ROOT / pin / "runtime.yaml", f"{pin}/runtime.yaml", "document"),
        llamafile_format.Include(tmp_path / name, f"{pin}/lib/linux-x86_64/{name}", "asset"),
        llamafile_format.Include(GUIDE / "guide.onnx.data", "guide.onnx.data", "weights"),
    ]
    out = tmp_path / "guide.llamafile"
    facts = explain(llamafile_format.pack([GUIDE / "guide.onnx"], out, prefix="none", include=include).path)
    (step,) = (step for step in steps(facts) if "that others built" in step.title)
    assert (step.title.startswith("A package"), "unzip" in " ".join(step.commands)) == (True, False)
    here, theirs = shell(tmp_path, step.commands[1:], W=str(tmp_path / name))
    assert here == theirs == step.prints[0] == sha256(b"theirs").hexdigest()
    assert explain_clauses(facts)[-1] == "14.10"


def test_a_pin_that_cannot_be_used_names_no_library(tmp_path: Path) -> None:
    assert explain(packed(tmp_path, b"x", pin="kind: nothing\n")).libraries == ()


def test_what_a_pin_says_is_quoted(tmp_path: Path) -> None:
    text = (ROOT / PIN / "runtime.yaml").read_text("utf-8")
    member = "member: onnxruntime/capi/libonnxruntime.so.1.32.0"
    assert member in text
    evil = text.replace(member, 'member: "$(touch evil)\'; touch evil; [a]"')
    (step,) = (s for s in steps(explain(packed(tmp_path, b"x", pin=evil))) if "that others built" in s.title)
    shell(tmp_path, step.commands[1:], W=str(tmp_path / "guide.llamafile"))
    assert not (tmp_path / "evil").exists()


def shell(folder: Path, commands: tuple[str, ...], **variables: str) -> list[str]:
    """The digests that ``commands`` print, typed beside the file."""
    said = {"F": str(folder / "guide.llamafile"), **variables}
    lines = [*(f"{name}={shlex.quote(value)}" for name, value in said.items()), *commands]
    done = subprocess.run(["sh", "-c", "\n".join(lines)], cwd=folder, capture_output=True, text=True, check=False)
    return [line.partition(" ")[0] for line in done.stdout.splitlines()]
