"""Law: the targets of ``tests/fuzz`` hold for their seeds, for what fuzzing found, and for what atheris finds now.

``make fuzz`` and CI give each a minute; elsewhere it has seconds, to see that it still starts, learns and tells a
fault.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from llamafile_format.checks.weights import check_gguf
from llamafile_format.findings import Finding, Where
from llamafile_format.manifest.model import Manifest
from llamafile_format.source import BytesSource
from spec.vectors.generate.load import read_vector
from tests.fuzz import seeds, targets
from tests.fuzz.targets import TARGETS, Broken, Target

ROOT = Path(__file__).parents[2]
SECONDS = 50 if os.environ.get("CI") else 2
FAULTY = """
import sys
from pathlib import Path
from tests.fuzz.guided import hunt

def judge(data):
    if data[:1] == b"G":
        if data[1:2] == b"U":
            raise RecursionError("a fault behind two steps")

hunt(judge, [b"seed"], Path(sys.argv[1]), seconds=60, name="faulty")
"""
guided = pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_finds(name: str) -> None:
    target = TARGETS[name]
    given = [*target.seeds(), *seeds.found(name)]
    assert len(given) > 30
    assert max(map(len, given)) <= seeds.LARGEST
    for data in given:
        target(data)


@guided
@pytest.mark.slow
@pytest.mark.interop
@pytest.mark.parametrize("name", TARGETS)
def test_coverage_guided(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.guided", name, "--seconds", str(SECONDS), "--work", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    (runs,) = re.findall(r"^Done (\d+) runs", done.stderr, re.MULTILINE)
    assert int(runs) >= len({*TARGETS[name].seeds(), *seeds.found(name)})  # on a slow machine they take all of the time
    assert max(map(int, re.findall(r"cov: (\d+)", done.stderr))) > 300  # of the library, which is instrumented


@guided
@pytest.mark.interop
def test_a_fault_is_found_and_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FAULTY, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=600, check=False)
    assert done.returncode != 0
    assert "a fault behind two steps" in done.stdout + done.stderr
    (kept,) = (tmp_path / "faulty").glob("crash-*")
    assert kept.read_bytes().startswith(b"GU")


def test_make_fuzz_runs_every_target() -> None:
    (line,) = re.findall(r"^FUZZ_TARGETS \?= (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert line.split() == list(TARGETS)


def test_what_takes_too_long_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter((0.0, targets.SECONDS + 1))
    monkeypatch.setattr(targets.time, "process_time", lambda: next(ticks))
    with pytest.raises(Broken, match="it took 11"):
        Target(lambda _: None, lambda: iter(()))(b"")


def test_what_takes_too_much_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    most = iter((100.0, 101.0 + targets.MEGABYTES))
    monkeypatch.setattr(targets, "_most", lambda: next(most))
    with pytest.raises(Broken, match="it took 201 MB"):
        Target(lambda _: None, lambda: iter(()))(b"")


def test_a_believed_record_that_nobody_made_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "_genuine", frozenset)
    believed = 0
    for data in seeds.signed_records():
        try:
            targets.judge_record(data)
        except Broken:
            believed += 1
    assert believed > 3


def test_another_opinion_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each oracle says no where the second reading, or the first, is made to differ."""
    container = read_vector(ROOT / f"spec/vectors/{seeds.UNSIGNED}.vector").payload
    with monkeypatch.context() as patch:
        patch.setattr(targets.Container, "read", lambda *_: b"other")
        with pytest.raises(Broken, match="zipfile reads other bytes"):
            targets.judge_archive(container)
    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "to_json", lambda _: {})
        with pytest.raises(Broken, match="comes out differently"):
            targets.judge_manifest(seeds.unsigned().manifest_bytes)
    with monkeypatch.context() as patch:
        gguf, _ = check_gguf(BytesSource(next(iter(data for data in seeds.gguf_seeds() if _is_good(data)))))
        patch.setattr(targets, "check_gguf", lambda _: (replace(gguf, version=9), []))
        with pytest.raises(Broken, match="comes out differently"):
            targets.judge_gguf(b"GGUF")
    with monkeypatch.context() as patch:
        patch.setattr(targets, "parse_yaml", lambda *_: ({}, ""))
        with pytest.raises(Broken, match="YAML says something else"):
            targets.judge_policy((ROOT / "spec/vectors/trust/curator.yaml").read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr(targets, "check_template", lambda _: [])
        with pytest.raises(Broken, match="it reaches __class__"):
            targets.judge_template(b"{{ x.__class__ }}")


def _is_good(data: bytes) -> bool:
    gguf, findings = check_gguf(BytesSource(data))
    return gguf.complete and not findings


def test_places_lie_in_the_file() -> None:
    assert Where(3, 4).within(7) == Where(3, 4)
    assert Where(3, 9, "m").within(7) == Where(3, 4, "m")
    assert Where(7, None).within(7) == Where(7, None)
    assert Where(8, 1, "m", "f").within(7) == Where(None, None, "m", "f")
    with pytest.raises(Broken, match="lies outside"):
        targets._render([Finding("LF5001", Where(8), {"found": "x"})], 7)
