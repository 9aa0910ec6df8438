"""Recovery data inside a container (17.8): who makes them, who drops them, who judges them."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

import llamafile_format as lf
from llamafile_format.caring import protect_inside
from llamafile_format.cli.main import cli
from llamafile_format.errors import UsageError
from llamafile_format.recovery.sets import leading_set
from spec.vectors.generate.forge import Part, Spec, container, parts
from tests.laws.containers import small_container, tiny_gguf

ROOT = Path(__file__).resolve().parents[2]
PATH = "recovery/covered.par2"
BEFORE = "d90a3dc1bf4bacf4300fe7cc6ac11490484366fe"  # the last commit of 1.0


def manifest(path: Path) -> dict[str, object]:
    with zipfile.ZipFile(path) as archive:
        value: dict[str, object] = json.loads(archive.read("META-LLAMAFILE/manifest.json"))
        return value


def rules(path: Path, level: str = "exhaustive") -> set[str]:
    return {finding.rule for finding in lf.verify(path, level=level).findings}


def test_profile_archive_means_them(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(tiny_gguf())
    made = tmp_path / "made"

    def packed(**options: object) -> tuple[object, bool]:
        """Version and whether there are recovery data, of what these options make."""
        lf.pack([tmp_path / "m.gguf"], made, prefix="none", force=True, **options)  # type: ignore[arg-type]
        with lf.open(made) as container:
            assert container.manifest is not None
            assert ("HOW TO REPAIR IT" in container.read("META-LLAMAFILE/README.txt").decode()) == bool(
                container.manifest.with_role("recovery")
            )
        there = [member for member in lf.open(made).members if member.role == "recovery"]
        if there:
            found = leading_set(lf.open(made).window(PATH))
            assert found is not None
            return manifest(made)["version"], found.percent == 5
        return manifest(made)["version"], False

    assert packed(profile="archive") == ("1.1", True)
    assert packed(profile="archive", recovery=0, viewer=False) == ("1.0", False)
    assert packed() == ("1.0", False)
    recipe = tmp_path / "llamafile.yaml"
    recipe.write_text("format: llamafile-recipe/1\nprofile: archive\n")
    assert packed(recipe=recipe) == ("1.1", True)
    recipe.write_text("format: llamafile-recipe/1\nprofile: archive\nrecovery: 0\nviewer: false\n")
    assert packed(recipe=recipe) == ("1.0", False)
    recipe.write_text("format: llamafile-recipe/1\nrecovery: 5\n")
    assert packed(recipe=recipe) == ("1.1", True)
    assert packed(recipe=recipe, recovery=0) == ("1.0", False)
    lf.repack(made, in_place=True, profile="archive")
    assert manifest(made)["version"] == "1.0", "a repack to the profile adds digests and nothing else"
    assert manifest(made)["profile"] == "archive"


def test_profile_archive_chooses_both_flavours_where_a_runtime_goes_in() -> None:
    from llamafile_format.packing.pack import _Order, implied, settle
    from llamafile_format.packing.planned import Labels

    archive = Labels(profile="archive")
    assert implied(settle(_Order((), labels=archive))).flavour == "both"
    assert implied(settle(_Order((), labels=archive, flavour="native"))).flavour == "native"
    assert implied(settle(_Order((), labels=archive, runtime="none"))).flavour == ""
    assert implied(settle(_Order(()))).flavour == ""


def test_no_recovery_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(tiny_gguf())
    base = ["pack", str(tmp_path / "m.gguf"), "--profile", "archive", "--prefix", "none", "-o", str(tmp_path / "o")]
    assert CliRunner().invoke(cli, [*base, "--no-recovery", "--no-viewer"]).exit_code == 0
    assert manifest(tmp_path / "o")["version"] == "1.0"
    refused = CliRunner().invoke(cli, [*base, "--no-recovery", "--recovery", "3"])
    assert isinstance(refused.exception, UsageError)


@pytest.mark.parametrize("profile", ["default", "archive"])
def test_pack_makes_them_and_verify_computes_them_again(tmp_path: Path, profile: str) -> None:
    path = small_container(tmp_path, recovery=20, profile=profile)
    assert manifest(path)["version"] == "1.1"
    report = lf.verify(path, level="exhaustive")
    assert {verdict.value for verdict in report.verdicts.values()} == {"yes"}
    assert not report.findings
    with lf.open(path) as opened:
        found = leading_set(opened.window(PATH))
    assert found is not None
    assert found.percent == 20


def test_without_them_the_version_stays(tmp_path: Path) -> None:
    path = small_container(tmp_path)
    assert manifest(path)["version"] == "1.0"
    lf.repack(path, tmp_path / "with", recovery=5)
    assert manifest(tmp_path / "with")["version"] == "1.1"
    result = lf.repack(tmp_path / "with", tmp_path / "without", recovery=0)
    assert manifest(tmp_path / "without")["version"] == "1.0"
    assert "recovery data for 5 % became 0 %" in result.changes
    same = lf.repack(tmp_path / "with", tmp_path / "same")
    assert not same.changed
    assert (tmp_path / "same").read_bytes() == (tmp_path / "with").read_bytes()


def test_every_change_makes_them_anew(tmp_path: Path) -> None:
    path = small_container(tmp_path, recovery=30)
    lf.repack(path, tmp_path / "named", name="another name")
    assert rules(tmp_path / "named") == set()
    with lf.open(tmp_path / "named") as opened:
        found = leading_set(opened.window(PATH))
    assert found is not None
    assert found.percent == 30
    lf.repack(path, in_place=True, name="a third name")
    assert rules(path) == set()


def test_adding_them_moves_no_weights(tmp_path: Path) -> None:
    path = small_container(tmp_path)
    before = manifest(path)["members"]
    protect_inside(path)
    after = manifest(path)["members"]
    assert isinstance(before, list)
    assert isinstance(after, list)
    places = [[(m["path"], m["offset"], m["size"]) for m in members] for members in (before, after)]
    assert places[0][:-1] == places[1][:-2]
    assert [m["sha256"] for m in before[1:-1]] == [m["sha256"] for m in after[1:-2]]
    with zipfile.ZipFile(path) as archive:
        assert b"version 1.1)" in archive.read("META-LLAMAFILE/README.txt")
    assert rules(path) == set()


def test_forced_history_is_in_the_skeleton(tmp_path: Path) -> None:
    """What ``pack --force`` overrides is written into the history after the data were made."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(tiny_gguf().replace(b"token_embd.weight", b"token_embd.weighs"))
    (tmp_path / "bad.jinja").write_text("{{ ''.__class__ }}")
    path = tmp_path / "forced.llamafile"
    lf.pack([broken, tmp_path / "bad.jinja"], path, prefix="none", recovery=5, force=True)
    assert "LF4012" not in rules(path)
    assert "LF4013" not in rules(path)


def test_without_numpy_it_is_undetermined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small_container(tmp_path, recovery=5)
    monkeypatch.setattr("llamafile_format.checks.recovery.have_numpy", lambda: False)
    report = lf.verify(path, level="exhaustive")
    assert {finding.rule for finding in report.findings} == {"LF9008"}
    assert report.verdicts[lf.Layer.WELL_FORMED] is lf.Verdict.UNDETERMINED
    assert rules(path, "full") == {rule for rule in rules(path, "full") if rule != "LF9008"}


def test_damage_is_told_once(tmp_path: Path) -> None:
    path = small_container(tmp_path, recovery=5)
    data = bytearray(path.read_bytes())
    data[data.find(b"RecvSlic") + 200] ^= 1
    path.write_bytes(data)
    assert "LF4001" in rules(path)
    assert "LF4013" not in rules(path)


def test_nothing_goes_behind_them(tmp_path: Path) -> None:
    more = Part("weather.bin", b"rain\n", "weather", "application/octet-stream")
    path = tmp_path / "strange.llamafile"
    path.write_bytes(container(Spec([*parts(), more], labels={"default": "tiny.gguf"})))
    with pytest.raises(UsageError, match="unprotected"):
        lf.repack(path, tmp_path / "out", recovery=5)
    assert not (tmp_path / "out").exists()


def test_the_reader_of_1_0_sees_no_error(tmp_path: Path) -> None:
    """The library as it was before version 1.1, out of the history of this repository, judges a file of 1.1."""
    old = tmp_path / "old"
    old.mkdir()
    command = ["git", "archive", BEFORE, "llamafile_format", "spec", "runtimes/launcher"]
    archive = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip("no history here, or one that is cut off")
    subprocess.run(["tar", "-x", "-C", str(old)], input=archive.stdout, check=True)
    path = small_container(tmp_path, recovery=5)
    code = (
        "import sys, llamafile_format as lf\n"
        "print(*sorted({finding.rule for finding in lf.verify(sys.argv[1], level='exhaustive').findings}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=old,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(old)},
    )
    assert done.stdout.split() == ["LF3005", "LF3010"]


@pytest.mark.slow
def test_the_runtime_of_today_starts_it(tmp_path: Path) -> None:
    """Builds from before version 1.1 open a file that has recovery data, and answer as from one that has none."""
    from tests.runtime_server import environment, pack, typed

    answers = []
    for recovery in (0, 3):
        path = pack(tmp_path / f"with-{recovery}.llamafile", recovery=recovery)
        command = typed(path, "-p", "Visitor: Tell me about the clock.", "-n", "8", "-t", "1")
        env = environment(tmp_path / "cache")
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600, check=True)
        answers.append(done.stdout)
    assert answers[0] == answers[1]
    assert answers[0].strip()


def test_the_strangers_script_works_as_printed(tmp_path: Path) -> None:
    """17.9: the standard library alone makes a container whole, its tail included."""
    text = (ROOT / "spec" / "1" / "17-recovery.md").read_text("utf-8").partition("## 17.9")[2]
    (script,) = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    assert len(script.splitlines()) <= 80
    assert max(map(len, script.splitlines())) <= 140
    (tmp_path / "stranger.py").write_text(script)
    for profile in ("default", "archive"):
        (tmp_path / "big.gguf").write_bytes(tiny_gguf(values=30_000))
        path = tmp_path / f"{profile}.llamafile"
        lf.pack([tmp_path / "big.gguf"], path, prefix="none", license="CC0-1.0", recovery=10, profile=profile)
        right = path.read_bytes()
        data = bytearray(right)
        data[:3000] = bytes(3000)
        data[90_000:90_100] = random.Random(4).randbytes(100)
        path.write_bytes(data[:-6000])
        command = [sys.executable, "-I", "stranger.py", path.name, "out"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        assert (tmp_path / "out").read_bytes() == right
