"""Versions that count as the recorded one (14.5.13, 15.5): which build replays, and what is demanded of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import llamafile_format as lf
from llamafile_format.engines import store
from llamafile_format.engines.behaviour import Agreement
from llamafile_format.engines.pin_reader import load_pin
from llamafile_format.errors import FormatError
from llamafile_format.running.record import record
from llamafile_format.running.replay import RecordReplay, replay
from tests.behaviour_samples import TARGET, VERSION, Fake, pack
from tests.old_records import KINDS, PLATFORMS, record_of
from tests.runtime_samples import use, write_pin

NEXT = f"{VERSION}+1"
OTHER = "1.0"


def pin(folder: Path, *fakes: Fake, **changes: Any) -> None:
    """A pin that names the programs of ``fakes``."""
    builds = {(fake.flavour, TARGET): fake.program.read_bytes() for fake in fakes}
    write_pin(folder / "pins", fakes[0].version, builds, **changes)
    store._pins_in.cache_clear()


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A container with a record of the reference build of VERSION, and no build at all; its pin is known."""
    use(tmp_path / "pins", monkeypatch)
    fake = Fake(tmp_path)
    pin(tmp_path, fake)
    path = pack(tmp_path, fake)
    record(path, in_place=True)
    lf.repack(path, in_place=True, runtime="none", prefix="none")
    return path


def again(path: Path, *fakes: Fake) -> RecordReplay:
    """The replay by the build that is chosen among those of ``fakes``."""
    include = [lf.Include(fake.program, fake.member, "runtime") for fake in fakes]
    lf.repack(path, in_place=True, include=include)
    (done,) = replay(path).records
    assert not done.error
    return done


def version_of(done: RecordReplay) -> tuple[str, str]:
    """Version and flavour of the build that ran."""
    assert done.chosen is not None
    return done.chosen.runtime.version, done.chosen.runtime.flavour


def test_a_version_that_counts_as_the_recorded_one_owes_the_same_bits(recorded: Path, tmp_path: Path) -> None:
    newer = Fake(tmp_path, version=NEXT)
    pin(tmp_path, newer, logits_as=[VERSION])
    done = again(recorded, newer)
    assert (done.demanded, done.reached) == (Agreement.EXACT, Agreement.EXACT)
    newer.tell(nudge=0.001, which=3)
    (done,) = replay(recorded).records
    assert (done.demanded, done.agrees) == (Agreement.EXACT, False)
    assert replay(recorded).exit_code == 6


def test_without_the_claim_near_is_enough(recorded: Path, tmp_path: Path) -> None:
    newer = Fake(tmp_path, version=NEXT)
    pin(tmp_path, newer, logits_as=[OTHER])
    done = again(recorded, newer)
    assert (done.demanded, done.reached) == (Agreement.NEAR, Agreement.EXACT)
    newer.tell(nudge=0.001, which=3)
    assert replay(recorded).exit_code == 0


def test_the_claim_is_about_the_reference_flavour(recorded: Path, tmp_path: Path) -> None:
    native = Fake(tmp_path, "native", NEXT)
    pin(tmp_path, native, logits_as=[VERSION])
    assert again(recorded, native).demanded is Agreement.NEAR


def test_what_a_pin_in_the_file_claims_counts_for_nothing(recorded: Path, tmp_path: Path) -> None:
    newer = Fake(tmp_path, version=NEXT)
    pin(tmp_path, newer)
    claims = write_pin(
        tmp_path / "elsewhere", NEXT, {("reference", TARGET): newer.program.read_bytes()}, logits_as=[VERSION]
    )
    inside = lf.Include(claims / "runtime.yaml", f"runtimes/llama.cpp/{NEXT}/runtime.yaml", "document")
    lf.repack(recorded, in_place=True, include=[inside], force=True)
    lf.repack(recorded, in_place=True, include=[lf.Include(newer.program, newer.member, "runtime")], force=True)
    (done,) = replay(recorded).records
    assert done.demanded is Agreement.NEAR


def test_the_claim_is_not_handed_on(recorded: Path, tmp_path: Path) -> None:
    middle, last = Fake(tmp_path, version=NEXT), Fake(tmp_path, version=f"{VERSION}+2")
    pin(tmp_path, middle, logits_as=[VERSION])
    pin(tmp_path, last, logits_as=[NEXT])
    assert again(recorded, last).demanded is Agreement.NEAR


def test_the_recorded_version_comes_before_one_that_counts_as_it(recorded: Path, tmp_path: Path) -> None:
    newer, old, native = Fake(tmp_path, version=NEXT), Fake(tmp_path), Fake(tmp_path, "native")
    pin(tmp_path, newer, logits_as=[VERSION])
    pin(tmp_path, old, native)
    assert version_of(again(recorded, native)) == (VERSION, "native")
    assert version_of(again(recorded, newer)) == (NEXT, "reference"), "before a native one of the recorded version"
    assert version_of(again(recorded, old)) == (VERSION, "reference")


@pytest.mark.parametrize("wrong", [[VERSION], ["0.3", "0.3"], [""], ["a b"], "0.3", [1]])
def test_a_pin_lists_other_versions_each_once(tmp_path: Path, wrong: Any) -> None:
    folder = write_pin(tmp_path, VERSION, logits_as=wrong)
    with pytest.raises(FormatError, match="logits_as"):
        load_pin(folder)


# The records of builds that are to be succeeded


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_builds_said_the_same_on_every_target(kind: str) -> None:
    from llamafile_format.engines.behaviour_reader import read_record

    said = []
    for platform in PLATFORMS:
        reading = read_record(record_of("0.3.36", "reference", platform.target, kind).read_bytes())
        assert reading.record is not None
        assert not reading.faults
        assert reading.record.agreement is Agreement.EXACT
        assert reading.record.subject.runtime.target == platform.target
        said.append(reading.record)
    assert 300 <= len(said[0].prompts[1].said.tokens) <= 500
    assert all(each.prompts == said[0].prompts for each in said)
    assert all(each.subject.weights == said[0].subject.weights for each in said)
