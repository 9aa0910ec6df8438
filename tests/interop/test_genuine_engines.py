"""Engines that others built, from packages with digests: carried in front of a model and given back as they were."""

from __future__ import annotations

import importlib.resources
import stat
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.examining.diff import diff
from llamafile_format.rules import Severity, rule
from tests.laws.containers import tiny_gguf

pytestmark = pytest.mark.interop

ENGINES = {
    "ape": ("cosmo_file", "pledge"),
    "ape-again": ("cosmo_ent", "pledge"),
    "elf-with-folders": ("cosmo_file", "file.elf"),
    "elf": ("cosmo_ent", "ent.elf"),
}


@pytest.fixture(params=ENGINES)
def genuine(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    package, name = ENGINES[request.param]
    target = tmp_path / name
    target.write_bytes(importlib.resources.files(package).joinpath("data", name).read_bytes())
    target.chmod(0o755)
    return target


def _packed(engine: Path) -> Path:
    model, out = engine.with_name("model.gguf"), engine.with_name("m.llamafile")
    model.write_bytes(tiny_gguf(values=5000))
    lf.pack([model], out, prefix=engine)
    return out


def _grave(path: Path, **options: object) -> list[str]:
    report = lf.verify(path, **options)  # type: ignore[arg-type]
    return [finding.rule for finding in report.findings if rule(finding.rule).severity is not Severity.INFO]


def _records(path: Path) -> list[tuple[str, int, int]]:
    with zipfile.ZipFile(path) as archive:
        return [(info.filename, info.file_size, info.CRC) for info in archive.infolist()]


def test_every_record_of_the_engine_is_carried_over(genuine: Path) -> None:
    packed = _packed(genuine)
    assert _grave(packed, level="exhaustive") == []
    own = _records(genuine)
    assert _records(packed)[: len(own)] == own
    assert packed.read_bytes().startswith(genuine.read_bytes())


def test_back_to_legacy_has_the_same_records_and_no_finding(genuine: Path) -> None:
    packed = _packed(genuine)
    legacy = packed.with_name("legacy")
    lf.repack(packed, legacy, to="legacy")
    assert _grave(legacy) == []
    own = _records(genuine)
    assert _records(legacy)[: len(own)] == own
    assert not [found for found in diff(packed, legacy) if found.area == "prefix"]
    again = packed.with_name("again")
    lf.repack(legacy, again)
    with lf.open(packed) as first, lf.open(again) as second:
        assert first.manifest is not None
        assert second.manifest is not None
        assert first.manifest.prefix == second.manifest.prefix


def test_the_engine_finds_its_own_files(tmp_path: Path) -> None:
    """``file`` reads its magic from its own archive, which now stands in ours; weights behind it change nothing."""
    package, name = ENGINES["elf-with-folders"]
    engine = tmp_path / name
    engine.write_bytes(importlib.resources.files(package).joinpath("data", name).read_bytes())
    packed = _packed(engine)
    packed.chmod(packed.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "page.html").write_text("<!doctype html><title>x</title>\n")
    done = subprocess.run(
        [packed, "--brief", "page.html"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith("HTML document"), done.stdout + done.stderr


def test_signed_and_unzipped_the_files_verify(genuine: Path, tmp_path: Path, tool: Callable[[str], Path]) -> None:
    """Folders of the engine are no resources: what plain ``unzip`` writes is what the statement names."""
    from llamafile_format.signing.records.statement import covered_resources

    packed = _packed(genuine)
    out = tmp_path / "out"
    subprocess.run([tool("unzip"), "-q", packed, "-d", out], check=False)
    with lf.open(packed) as container:
        assert container.manifest is not None
        named = {each.name for each in covered_resources(container.manifest, container.manifest_bytes)}
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == named


@pytest.mark.parametrize("name", ENGINES)
def test_a_program_without_a_model_is_told_as_what_it_is(name: str) -> None:
    package, file = ENGINES[name]
    with importlib.resources.as_file(importlib.resources.files(package).joinpath("data", file)) as path:
        report = lf.verify(path)
        assert report.kind is lf.Kind.OTHER
        assert [finding.rule for finding in report.findings] == ["LF1035"]
        shown = lf.inspect(path)
    assert shown.file.kind == "program"
    assert shown.members
    assert ("linux", "x86_64") in shown.prefix.runs_on


def test_info_zip_edits_a_legacy_file(genuine: Path, tool: Callable[[str], Path]) -> None:
    packed = _packed(genuine)
    legacy = packed.with_name("legacy.llamafile")
    lf.repack(packed, legacy, to="legacy")
    (legacy.parent / ".args").write_text("-m\nmodel.gguf\n...\n")
    for command in (["-q", legacy.name, ".args"], ["-q", "-d", legacy.name, ".symtab.amd64"]):
        subprocess.run([tool("zip"), *command], cwd=legacy.parent, check=True)
        found = lf.verify(legacy)
        assert "LF7022" in {finding.rule for finding in found.findings}
        assert not [each for each in found.findings if rule(each.rule).severity is Severity.ERROR]


def test_any_whole_program_may_be_a_prefix(tmp_path: Path) -> None:
    engine = tmp_path / "true"
    engine.write_bytes(Path("/bin/true").read_bytes())
    assert lf.inspect(engine).file.kind == "program"
    assert _grave(_packed(engine)) == []
