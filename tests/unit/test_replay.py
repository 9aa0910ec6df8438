"""Replay (chapter 15): every stage at which a runtime can depart is found, named and measured."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

import llamafile_format as lf
from llamafile_format.checks.verdict import Verdict
from llamafile_format.cli.main import cli
from llamafile_format.engines import known
from llamafile_format.engines.behaviour import Agreement
from llamafile_format.engines.launch import Via
from llamafile_format.reports.replay_json import replay_value
from llamafile_format.reports.replay_text import replay_text
from llamafile_format.rules import Layer
from llamafile_format.running import choose_runtime
from llamafile_format.running.record import record
from llamafile_format.running.replay import Replay, replay
from tests.behaviour_samples import TARGET, Fake, pack
from tests.conftest import ROOT

PROMPTS = """format: llamafile-prompts/1
max_tokens: 6
top: 4
prompts:
- {id: plain, text: Once upon a time}
- {id: chat, messages: [{role: user, content: Hello}]}
"""


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' engines are of this installation, so to speak."""
    monkeypatch.setattr(choose_runtime, "objection", lambda _: "")


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


@pytest.fixture
def recorded(tmp_path: Path, fake: Fake) -> Path:
    return make(tmp_path, fake)


def make(folder: Path, *fakes: Fake, **wanted: str) -> Path:
    """A container with a record made by the first fake that was asked for."""
    prompts = folder / "prompts.yaml"
    prompts.write_text(PROMPTS, encoding="utf-8")
    path = pack(folder, *fakes)
    record(path, in_place=True, prompts=prompts, wanted=lf.Wanted(**wanted))
    return path


def rules(result: Replay) -> list[str]:
    return [finding.rule for finding in result.findings]


@functools.cache
def schema(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((ROOT / "spec" / "schemas" / f"{name}.schema.json").read_text("utf-8")))


def check_reports(result: Replay) -> dict[str, Any]:
    """Both reports can be made of it: the JSON obeys its schema, the text fits 80 columns."""
    value = replay_value(result)
    schema("replay").validate(value)
    lines = replay_text(result).splitlines()
    assert all(len(line) <= 80 for line in lines if result.name not in line), lines
    return value


def test_the_same_again(recorded: Path) -> None:
    result = replay(recorded)
    assert result.exit_code == 0
    assert result.verdict is Verdict.YES
    (item,) = result.records
    assert (item.demanded, item.reached, item.agrees) == (Agreement.EXACT, Agreement.EXACT, True)
    assert item.chosen is not None
    assert item.chosen.embedded
    assert item.chosen.pinned
    value = check_reports(result)
    assert value["records"][0]["prompts"][1]["stages"] == dict.fromkeys(
        ("rendered", "tokens", "logits", "output", "text"), "equal"
    )


# Each stage, its rule, and how far the comparison got


def departs(path: Path, fake: Fake, **control: Any) -> tuple[Replay, dict[str, Any]]:
    fake.tell(**control)
    result = replay(path)
    assert result.exit_code == 6
    assert result.verdict is Verdict.NO
    value = check_reports(result)
    assert value["records"][0]["agrees"] is False
    assert "the weights have the recorded SHA-256" in replay_text(result)
    return result, value["records"][0]


def test_another_template(recorded: Path, fake: Fake) -> None:
    result, value = departs(recorded, fake, template="!")
    assert rules(result) == ["LF9110", "LF9110"]
    assert value["prompts"][0]["stages"]["logits"] == "not compared"
    assert value["prompts"][0]["compared"] == 0


def test_another_tokenizer(recorded: Path, fake: Fake) -> None:
    result, value = departs(recorded, fake, split=5)
    assert rules(result) == ["LF9111", "LF9111"]
    assert value["prompts"][0]["stages"]["rendered"] == "equal"
    assert value["reached"] == "none"


def test_other_bits(recorded: Path, fake: Fake) -> None:
    """So small a difference changes no token: only a build that owes the same bits has failed."""
    result, value = departs(recorded, fake, nudge=2.0**-18, which=15, **{"from": 2})
    assert set(rules(result)) == {"LF9113"}
    first = value["prompts"][0]
    assert first["first_logits"]["step"] == 2
    assert first["first_token"] is None
    assert value["reached"] == "T"


def test_far_off(recorded: Path, fake: Fake) -> None:
    result, value = departs(recorded, fake, nudge=3.0, which=3)
    assert "LF9114" in rules(result)
    assert max(prompt["max_abs"] for prompt in value["prompts"]) == 3.0


def test_other_tokens(tmp_path: Path, fake: Fake) -> None:
    """Two tokens were level, and now the other one is ahead: near, but a reference build owes more."""
    fake.tell(close=0.25)
    path = make(tmp_path, fake)
    result, value = departs(path, fake, close=0.25, tip=3)
    assert rules(result) == ["LF9112", "LF9112"]
    prompt = value["prompts"][0]
    assert prompt["first_token"]["step"] == 3
    assert prompt["compared"] == 4
    assert prompt["reached"] == "N"


def test_other_spelling(recorded: Path, fake: Fake) -> None:
    result, value = departs(recorded, fake, spelling="e")
    assert rules(result) == ["LF9115", "LF9115"]
    assert value["prompts"][0]["stages"] == {
        "rendered": "equal",
        "tokens": "equal",
        "logits": "equal",
        "output": "equal",
        "text": "differs",
    }


def test_another_end(recorded: Path, fake: Fake) -> None:
    result, value = departs(recorded, fake, stop=4)
    assert rules(result) == ["LF9112", "LF9112"]
    assert value["prompts"][0]["first_token"] == {
        "step": 4,
        "recorded": value["prompts"][0]["first_token"]["recorded"],
        "found": -1,
    }


def test_another_reason_to_end(recorded: Path, fake: Fake) -> None:
    assert rules(departs(recorded, fake, reason="context")[0]) == ["LF9115", "LF9115"]


def test_another_likelihood(recorded: Path, fake: Fake) -> None:
    result, value = departs(recorded, fake, likelihood=500.0)
    assert rules(result) == ["LF9116"]
    assert value["likelihood"]["difference"] > 0.05


def test_near_likelihood_is_not_exact(recorded: Path, fake: Fake) -> None:
    assert departs(recorded, fake, likelihood=0.5)[1]["likelihood"]["reached"] == "T"


# What is demanded of whom


def test_native_owes_nearness_only(tmp_path: Path) -> None:
    native = Fake(tmp_path, "native")
    path = make(tmp_path, native)
    native.tell(nudge=0.25, which=15)
    result = replay(path)
    assert result.records[0].demanded is Agreement.NEAR
    assert result.exit_code == 0


def test_another_flavour_owes_nearness_only(tmp_path: Path, fake: Fake) -> None:
    native = Fake(tmp_path, "native")
    path = make(tmp_path, fake, native)
    native.tell(nudge=2.0**-10, which=15)
    result = replay(path, wanted=lf.Wanted(flavour="native"))
    assert (result.records[0].demanded, result.exit_code) == (Agreement.NEAR, 0)
    native.tell(nudge=9.0, which=15)
    assert replay(path, wanted=lf.Wanted(flavour="native")).exit_code == 6


def test_threads_can_be_chosen(recorded: Path, fake: Fake) -> None:
    result = replay(recorded, threads=5)
    assert result.records[0].identity is not None
    assert result.records[0].identity.threads == 5
    assert result.exit_code == 0


# What cannot be replayed


def not_run(result: Replay, words: str) -> None:
    assert result.exit_code == 4
    assert result.verdict is Verdict.UNDETERMINED
    assert rules(result) == ["LF9117"]
    assert words in result.records[0].error
    check_reports(result)


def test_no_build_for_this_machine(recorded: Path) -> None:
    not_run(replay(recorded, wanted=lf.Wanted(target="plan9-mips")), "there is no build for plan9-mips")
    not_run(replay(recorded, wanted=lf.Wanted(flavour="native")), "there is no native build")


def test_no_build_at_all(recorded: Path, fake: Fake, tmp_path: Path) -> None:
    out = tmp_path / "bare"
    lf.repack(recorded, out, remove=[fake.member])
    not_run(replay(out), "the file holds no runtime")


def test_other_weights(recorded: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    data = bytearray((tmp_path / "tiny.gguf").read_bytes())
    data[-4] ^= 1  # of the last weight
    other.write_bytes(data)
    out = tmp_path / "other.llamafile"
    lf.repack(recorded, out, remove=["tiny.gguf"], include=[lf.Include(other, "", "weights")], default="other.gguf")
    not_run(replay(out), "the recorded weights tiny.gguf are not in the file")
    assert "LF9104" in {finding.rule for finding in lf.verify(out).findings}


def test_renamed_weights_are_found(recorded: Path, fake: Fake, tmp_path: Path) -> None:
    out, seen = tmp_path / "renamed.llamafile", tmp_path / "seen.json"
    lf.repack(recorded, out, rename={"tiny.gguf": "huge.gguf"})
    fake.tell(environment=str(seen))
    assert replay(out).exit_code == 0
    assert json.loads(seen.read_text())["argv"] == ["--trace"]


def test_a_runtime_that_dies(recorded: Path, fake: Fake) -> None:
    fake.tell(die_after="prompt", complain="no memory left")
    not_run(replay(recorded), "SIGABRT; its last words: no memory left")


def test_a_runtime_that_lies(recorded: Path, fake: Fake) -> None:
    fake.tell(lie={"step": {"token": 3}})
    not_run(replay(recorded), "was chosen, but")


def test_a_runtime_that_hangs(recorded: Path, fake: Fake) -> None:
    fake.tell(hang_after="prompt")
    not_run(replay(recorded, timeout=1.5), "took more than 1.5 seconds")


def test_damaged_weights_are_told_from_drift(recorded: Path, fake: Fake) -> None:
    with lf.open(recorded) as container:
        where = next(member.offset + member.size - 4 for member in container.members if member.role == "weights")
    with recorded.open("r+b") as file:
        file.seek(where)
        file.write(b"\xff")
    fake.tell(template="!")
    result = replay(recorded)
    assert result.exit_code == 6
    assert "tiny.gguf is damaged" in replay_text(result)


def test_damaged_runtime_is_not_run(recorded: Path, fake: Fake, tmp_path: Path) -> None:
    seen = tmp_path / "seen.json"
    fake.tell(environment=str(seen))
    with lf.open(recorded) as container:
        where = next(member.offset + member.size - 1 for member in container.members if member.role == "runtime")
    with recorded.open("r+b") as file:
        file.seek(where)
        file.write(b"#")
    os.environ["LFF_CACHE"] = str(tmp_path / "cache")  # an intact copy elsewhere must not help
    try:
        not_run(replay(recorded), "damaged")
    finally:
        del os.environ["LFF_CACHE"]
    assert not seen.exists()


def test_faulty_record(recorded: Path, tmp_path: Path) -> None:
    lf.extract(recorded, tmp_path, ["behaviour/reference.yaml"])
    text = tmp_path / "behaviour" / "reference.yaml"
    text.write_text(text.read_text("utf-8").replace('class: "E"\nsubject', "subject"), encoding="utf-8")
    out = tmp_path / "faulty.llamafile"
    lf.repack(recorded, out, include=[lf.Include(text, "behaviour/reference.yaml", "behaviour")], force=True)
    not_run(replay(out), "the record is faulty: class: it is missing")
    assert "LF9101" in {finding.rule for finding in lf.verify(out).findings}


def test_nothing_recorded(tmp_path: Path, fake: Fake) -> None:
    result = replay(pack(tmp_path, fake))
    assert (result.exit_code, rules(result)) == (4, ["LF9118"])
    check_reports(result)


def test_records_by_name(recorded: Path, fake: Fake) -> None:
    record(recorded, in_place=True, name="second", prompts=recorded.parent / "prompts.yaml")
    assert [item.member for item in replay(recorded).records] == ["behaviour/reference.yaml", "behaviour/second.yaml"]
    for name in ("second", "behaviour/second.yaml"):
        assert [item.member for item in replay(recorded, records=[name]).records] == ["behaviour/second.yaml"]
    with pytest.raises(lf.UsageError, match="no behaviour record third"):
        replay(recorded, records=["third"])


def test_not_a_container(tmp_path: Path, recorded: Path) -> None:
    out = tmp_path / "legacy"
    lf.repack(recorded, out, to="legacy")
    with pytest.raises(lf.UsageError, match=r"not a 1\.0 container"):
        replay(out)


@pytest.mark.parametrize(
    ("via", "target", "words"),
    [
        (Via("qemu"), "", "--via qemu needs to know"),
        (Via("wine"), "linux-x86_64", "wine does not run linux-x86_64 builds"),
        (Via("wasmtime"), "linux-x86_64", "wasmtime does not run"),
        (Via("qemu"), "windows-x86_64", "qemu does not run"),
    ],
)
def test_ways_that_make_no_sense(recorded: Path, via: Via, target: str, words: str) -> None:
    with pytest.raises(lf.UsageError, match=words):
        replay(recorded, wanted=lf.Wanted(via=via, target=target))


# verify --level behaviour


def test_verify_runs_nothing_that_it_does_not_know(
    recorded: Path, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose_runtime, "objection", known.objection)
    seen = tmp_path / "seen.json"
    fake.tell(environment=str(seen))
    report = lf.verify(recorded, level="behaviour")
    assert report.verdicts[Layer.BEHAVIOUR] is Verdict.UNDETERMINED
    assert report.exit_code() == 0
    assert report.exit_code(strict=True) == 1
    assert "LF9117" in {finding.rule for finding in report.findings}
    assert not replay(recorded).records[0].chosen
    assert not seen.exists()
    with lf.open(recorded) as container:
        digest = next(member.sha256 for member in container.members if member.role == "runtime")
    assert replay(recorded, wanted=lf.Wanted(foreign=digest)).exit_code == 0
    assert seen.exists()


def test_verify_replays_what_it_knows(recorded: Path, fake: Fake) -> None:
    report = lf.verify(recorded, level="behaviour")
    assert report.verdicts[Layer.BEHAVIOUR] is Verdict.YES
    assert report.exit_code() == 0
    fake.tell(template="!")
    report = lf.verify(recorded, level="behaviour")
    assert report.verdicts[Layer.BEHAVIOUR] is Verdict.NO
    assert report.exit_code() == 6
    assert CliRunner().invoke(cli, ["verify", "--level", "behaviour", str(recorded)]).exit_code == 6


def test_verify_gives_no_verdict_on_behaviour_unasked(recorded: Path) -> None:
    assert Layer.BEHAVIOUR not in lf.verify(recorded, level="exhaustive").verdicts


def test_verify_runs_nothing_of_a_damaged_file(recorded: Path, fake: Fake, tmp_path: Path) -> None:
    seen = tmp_path / "seen.json"
    fake.tell(environment=str(seen))
    with lf.open(recorded) as container:
        where = next(member.offset for member in container.members if member.role == "readme")
    with recorded.open("r+b") as file:
        file.seek(where)
        file.write(b"?")
    report = lf.verify(recorded, level="behaviour")
    assert report.verdicts[Layer.BEHAVIOUR] is Verdict.UNDETERMINED
    assert report.exit_code() == 1
    assert not seen.exists()


def test_behaviour_of_bytes_is_undetermined(recorded: Path) -> None:
    report = lf.verify(recorded.read_bytes(), level="behaviour")
    assert report.verdicts[Layer.BEHAVIOUR] is Verdict.UNDETERMINED


# The command


def test_command(recorded: Path, fake: Fake) -> None:
    runner = CliRunner()
    done = runner.invoke(cli, ["replay", str(recorded)])
    assert done.exit_code == 0
    assert "class      E (the same bits); E was demanded" in done.output
    fake.tell(template="!")
    done = runner.invoke(cli, ["replay", str(recorded), "--json"])
    assert done.exit_code == 6
    schema("replay").validate(json.loads(done.output))
    assert runner.invoke(cli, ["replay", str(recorded), "--target", TARGET, "--flavour", "native"]).exit_code == 4
