"""Two pins side by side: what the newer takes the place of, where it is offered, where not (14.3.12, 14.3.13)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import llamafile_format as lf
from llamafile_format.checks.verdict import Report
from llamafile_format.engines import known, store
from llamafile_format.engines.host import host_target
from llamafile_format.engines.pin import Pin
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.running.run import Selection, prepare
from llamafile_format.specdata import spec_yaml
from tests.conftest import CliRunner
from tests.programs import program_for
from tests.repack_samples import gguf, write
from tests.runtime_samples import REAL, use, write_pin

pytestmark = pytest.mark.skipif(host_target() != "linux-x86_64", reason="the tiny runtimes are for linux-x86_64")

OLD, NEW = "0.3.36", "0.3.36+1"
TARGETS = [target["name"] for target in yaml.safe_load(REAL.read_text("utf-8"))["targets"]]
HERE = "linux-x86_64"
PATHS = {version: f"runtimes/llama.cpp/{version}" for version in (OLD, NEW)}


def builds(version: str, targets: list[str]) -> dict[tuple[str, str], bytes]:
    """Builds of both flavours for ``targets``: programs that tell their version."""
    script = 'echo "{} {}"\nfor a in "$@"; do echo "<$a>"; done\n# {}\n'
    wanted = [("native", target) for target in targets if target != "wasm32-wasi"]
    wanted += [("reference", target) for target in targets if target in (HERE, "wasm32-wasi")]
    return {
        (flavour, target): program_for(target, script.format(version, flavour, target).encode())
        for flavour, target in wanted
    }


def pin(folder: Path, version: str, targets: list[str] = TARGETS, **changes: Any) -> None:
    """A pin of ``version`` with builds for ``targets``."""
    write_pin(folder / "pins", version, builds(version, targets), **changes)
    store._pins_in.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a container of the old pin; the new one is to come."""
    use(tmp_path / "pins", monkeypatch)
    pin(tmp_path, OLD)
    write(tmp_path / "model.gguf", gguf("m", 1000))
    lf.pack([tmp_path / "model.gguf"], tmp_path / "a.llamafile", flavour="both", args="--temp 0 ...")
    return tmp_path


def members(path: Path) -> set[str]:
    """Names of the members of runtimes."""
    with lf.open(path) as container:
        return {member.path for member in container.members if member.path.startswith("runtimes/")}


def test_half_a_pin_is_taken_by_its_version_only(folder: Path, run_cli: CliRunner) -> None:
    pin(folder, NEW, [HERE])
    assert store.find_pin("llama.cpp").version == OLD
    shown = run_cli("run", folder / "a.llamafile")
    assert (shown.stdout, shown.stderr) == (f"{OLD} native\n", "")
    assert f"{NEW} native" in run_cli("run", folder / "a.llamafile", "--runtime", f"llama.cpp@{NEW}").stdout
    lf.pack([folder / "model.gguf"], folder / "b.llamafile")
    assert f"{PATHS[OLD]}/native/{HERE}" in members(folder / "b.llamafile")


def test_a_whole_newer_pin_takes_the_place_of_the_old_builds(folder: Path, run_cli: CliRunner) -> None:
    path = folder / "a.llamafile"
    pin(folder, NEW)
    assert store.find_pin("llama.cpp").version == NEW
    for command in (("run",), ("serve",), ("complete", "-p", "x")):
        shown = run_cli(command[0], path, *command[1:])
        assert shown.stdout.startswith(f"{NEW} native\n"), shown.stderr
        assert len(shown.stderr.splitlines()) == 1
        assert f"llama.cpp@{OLD}" in shown.stderr
        assert f"starting llama.cpp@{NEW} (native) of this installation" in shown.stderr
        insisted = run_cli(command[0], path, *command[1:], "--embedded")
        assert insisted.stdout.startswith(f"{OLD} native\n")
        assert insisted.stderr == ""
    assert f"{NEW} reference" in run_cli("run", path, "--flavour", "reference").stdout
    assert f"{NEW} native" in run_cli("run", path, "--runtime", "llama.cpp").stdout
    assert f"{OLD} native" in run_cli("run", path, "--runtime", f"llama.cpp@{OLD}").stdout
    lf.pack([folder / "model.gguf"], folder / "b.llamafile")
    assert f"{PATHS[NEW]}/native/{HERE}" in members(folder / "b.llamafile")
    shown = run_cli("run", folder / "b.llamafile")
    assert (shown.stdout.splitlines()[0], shown.stderr) == (f"{NEW} native", "")


def test_an_older_pin_never_takes_the_place_of_a_newer_build(folder: Path, run_cli: CliRunner) -> None:
    pin(folder, NEW)
    lf.pack([folder / "model.gguf"], folder / "b.llamafile")
    for path in (folder / "pins" / "llama.cpp" / NEW / "builds").rglob("*.zst"):
        path.unlink()
    assert run_cli("run", folder / "b.llamafile").stdout.startswith(f"{NEW} native")


def test_embedded_insists(folder: Path) -> None:
    lf.pack([folder / "model.gguf"], folder / "bare.llamafile", prefix="none")
    for name in ("bare.llamafile", "model.gguf"):
        with pytest.raises(UsageError):
            prepare(folder / name, wanted=Selection(embedded=True))
    foreign = lf.Include(folder / "foreign", f"runtimes/llama.cpp/0.3.35/native/{HERE}", "runtime")
    write(folder / "foreign", b"#!/bin/sh\n")
    lf.repack(folder / "bare.llamafile", folder / "c.llamafile", include=[foreign], prefix="launcher")
    with pytest.raises(UsageError, match="no build that this installation knows") as caught:
        prepare(folder / "c.llamafile", wanted=Selection(embedded=True))
    assert "--foreign-build" in caught.value.hint


def test_a_newer_build_that_does_not_know_the_model_stays_away(folder: Path) -> None:
    pin(folder, NEW, architectures=["mamba"])
    begin = prepare(folder / "a.llamafile")
    assert (begin.embedded, begin.build.version, begin.notes) == (True, OLD, ())


def test_arguments_are_judged_as_those_of_the_build_that_starts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from llamafile_format.prefix import argument_tables

    pin(folder, NEW)
    table = spec_yaml(argument_tables.REGISTRY)
    refused = ["refused", "tuning", None, None]
    strict = [row if "--temp" not in row[0].split() else [*row[:2], *refused] for row in table["llama.cpp-0.3.36"]]
    index = [row if row[2] != NEW else [*row[:3], "strict"] for row in table["tables"]]
    monkeypatch.setattr(argument_tables, "spec_yaml", lambda _: {**table, "tables": index, "strict": strict})
    argument_tables._table.cache_clear()
    argument_tables._common.cache_clear()
    with pytest.raises(FormatError, match="--temp") as caught:
        prepare(folder / "a.llamafile")
    assert "--embedded" in caught.value.hint
    seen = lf.inspect(folder / "a.llamafile").will_run
    assert seen is not None
    assert seen.here is not None
    assert (seen.here.why, seen.here.refuses) == ("newer", ("--temp",))
    assert prepare(folder / "a.llamafile", wanted=Selection(embedded=True)).build.version == OLD


def test_record_and_replay_stay_with_the_build_of_the_file(folder: Path) -> None:
    from llamafile_format.running.choose_runtime import Wanted, choose_runtime

    pin(folder, NEW)
    with lf.open(folder / "a.llamafile") as container:
        chosen = choose_runtime(container, Wanted())
    assert (chosen.embedded, chosen.runtime.version, chosen.note) == (True, OLD, "")


def test_a_record_is_made_by_no_half_of_a_pin(folder: Path) -> None:
    from llamafile_format.running.choose_runtime import Wanted, choose_runtime

    foreign = lf.Include(folder / "foreign", f"runtimes/llama.cpp/0.3.35/reference/{HERE}", "runtime")
    write(folder / "foreign", b"#!/bin/sh\n")
    lf.repack(folder / "a.llamafile", folder / "c.llamafile", runtime="none", prefix="none")
    lf.repack(folder / "c.llamafile", in_place=True, include=[foreign])
    for targets, version in (([HERE], OLD), (TARGETS, NEW)):
        pin(folder, NEW, targets)
        with lf.open(folder / "c.llamafile") as container:
            chosen = choose_runtime(container, Wanted())
        assert (chosen.embedded, chosen.runtime.version) == (False, version)


def test_repack_to_the_newer_pin_takes_out_everything_of_the_older(folder: Path) -> None:
    pin(folder, NEW)
    path = folder / "a.llamafile"
    old = members(path)
    assert {f"{PATHS[OLD]}/{name}" for name in ("runtime.yaml", "LICENCES.txt", "webui.tar")} < old
    lf.repack(path, in_place=True, runtime="llama.cpp")
    assert all(name.startswith(f"{PATHS[NEW]}/") for name in members(path))
    with lf.open(path) as container:
        assert container.manifest is not None
        (entry,) = container.manifest.history
    assert {each["path"] for each in entry["changes"] if each["what"] == "remove"} == old
    assert {each["path"] for each in entry["changes"] if each["what"] == "include"} == members(path)
    assert prepare(path).embedded
    assert not lf.repack(path, folder / "again.llamafile", runtime=f"llama.cpp@{NEW}").changed


# What builds lack


def rows(pins: tuple[Pin, ...], lacking: str, **changes: Any) -> dict[str, Any]:
    """A registry in which builds of the version ``lacking`` lack two things."""
    both = ["allow-list", "sandbox"]
    made = [
        {"engine": pin.name, "version": pin.version, "sha256": build.sha256, "status": "active", "reason": ""}
        | {"date": "2026-11-21", "lacks": both if pin.version == lacking else []}
        | (changes if pin.version == lacking else {})
        for pin in pins
        for build in pin.builds
    ]
    return {"builds": made}


def found(report: Report, rule: str) -> list[dict[str, Any]]:
    """Values of the findings of ``rule``."""
    return [dict(finding.args) for finding in report.findings if finding.rule == rule]


@pytest.mark.parametrize("level", ["quick", "full"])
def test_what_a_build_lacks_is_a_warning_where_something_better_is_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    path = folder / "a.llamafile"
    told = {"build": f"llama.cpp@{OLD}", "lacks": "list of what a file may ask for and no sandbox around the model"}
    monkeypatch.setattr(known, "spec_yaml", lambda _: rows(store.pins(), OLD))
    report = lf.verify(path, level=level)
    assert (found(report, "LF3350"), found(report, "LF3351")) == ([], [told])
    pin(folder, NEW, [HERE])
    assert found(lf.verify(path, level=level), "LF3350") == [], "half a pin is offered to nobody"
    pin(folder, NEW)
    report = lf.verify(path, level=level)
    assert found(report, "LF3350") == [{**told, "runtime": f"llama.cpp@{NEW} --flavour both"}]
    assert found(report, "LF3351") == []
    monkeypatch.setattr(known, "spec_yaml", lambda _: rows(store.pins(), NEW))
    assert found(lf.verify(path, level=level), "LF3350") == []
    lf.repack(path, in_place=True, runtime="llama.cpp")
    assert len(found(lf.verify(path, level=level), "LF3351")) == 1, "the newest lacks something, and nothing has it"


@pytest.mark.parametrize(
    ("flavour", "targets", "wanted"),
    [
        ("native", "", ""),
        ("native", f":{HERE},windows-x86_64", f":{HERE},windows-x86_64"),
        ("reference", "", " --flavour reference"),
        ("both", f":{HERE}", f":{HERE} --flavour both"),
    ],
)
def test_the_repack_that_is_named_keeps_targets_and_flavours(
    folder: Path, monkeypatch: pytest.MonkeyPatch, run_cli: CliRunner, flavour: str, targets: str, wanted: str
) -> None:
    path = folder / "b.llamafile"
    lf.pack([folder / "model.gguf"], path, runtime=f"llama.cpp@{OLD}{targets}", flavour=flavour)
    before = {name.replace(OLD, NEW) for name in members(path)}
    pin(folder, NEW)
    monkeypatch.setattr(known, "spec_yaml", lambda _: rows(store.pins(), OLD))
    (args,) = found(lf.verify(path, level="quick"), "LF3350")
    assert args["runtime"] == f"llama.cpp@{NEW}{wanted}"
    done = run_cli("repack", path, "--in-place", "--runtime", *args["runtime"].split())
    assert done.returncode == 0, done.stderr
    assert members(path) == before
    assert found(lf.verify(path, level="quick"), "LF3350") == []


def test_a_superseded_build_is_told_and_started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = {"status": "superseded", "date": "2026-12-24", "reason": "a newer one answers faster", "lacks": []}
    monkeypatch.setattr(known, "spec_yaml", lambda _: rows(store.pins(), OLD, **status))
    report = lf.verify(folder / "a.llamafile")
    assert found(report, "LF3352") == [
        {"build": f"llama.cpp@{OLD}", "date": "2026-12-24", "reason": "a newer one answers faster"}
    ]
    assert prepare(folder / "a.llamafile").embedded


# What inspect shows


def test_inspect_shows_what_starts_here_and_what_the_file_starts(folder: Path, run_cli: CliRunner) -> None:
    path = folder / "a.llamafile"

    def shown() -> tuple[dict[str, Any], list[str]]:
        value = json.loads(run_cli("inspect", path, "--json").stdout)["will_run"]["here"]
        lines = run_cli("inspect", path).stdout.splitlines()
        return value, [line for line in lines if line.startswith(("./FILE", "run here"))]

    value, lines = shown()
    own = f"{PATHS[OLD]}/native/{HERE}"
    assert value == {"target": HERE, "build": own, "origin": "file", "why": "own", "instead": "", "refuses": []}
    assert lines[0].split()[:2] == ["./FILE", f"llama.cpp/{OLD}/native"]
    assert "the file's own" in lines[1]
    pin(folder, NEW)
    value, lines = shown()
    newer = f"{PATHS[NEW]}/native/{HERE}"
    assert value == {
        "target": HERE,
        "build": newer,
        "origin": "installation",
        "why": "newer",
        "instead": own,
        "refuses": [],
    }
    assert f"llama.cpp/{OLD}/native" in lines[0]
    assert f"llama.cpp/{NEW}/native" in lines[1]
    assert "of this installation" in lines[1]
