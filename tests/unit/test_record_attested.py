"""``record --attest``: a behaviour record in the signature tail, of a file that stays signed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import llamafile_format as lf
from llamafile_format.checks.attested import BEHAVIOUR
from llamafile_format.checks.signatures import read_records
from llamafile_format.checks.verdict import Verdict
from llamafile_format.engines.prompts import Prompts
from llamafile_format.engines.trace import Prompt
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.rules import Layer
from llamafile_format.running import choose_runtime
from llamafile_format.running.record import RecordResult, record
from llamafile_format.running.replay import replay
from llamafile_format.signing.keys.key_files import write_keys
from llamafile_format.signing.records.envelope import read_bundle
from llamafile_format.signing.records.record import RecordKind
from llamafile_format.vouching.sign import Attestation, attestation_of, sign
from tests.behaviour_samples import Fake, pack
from tests.signing_samples import keys

ASKED = Prompts((Prompt("a", text="Once upon a time\n“ü”\x07", max_tokens=5, top=3),))
Cli = Callable[..., "CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' engines are of this installation, so to speak."""
    monkeypatch.setattr(choose_runtime, "objection", lambda _: "")


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


@pytest.fixture
def signed(tmp_path: Path, fake: Fake) -> Path:
    path = pack(tmp_path, fake)
    sign(path, keys())
    return path


def _attest(path: Path) -> RecordResult:
    return record(path, in_place=True, prompts=ASKED, attest=keys("ed25519"))


def test_nothing_but_the_tail_changes(signed: Path, tmp_path: Path) -> None:
    with lf.open(signed) as found:
        end = found.archive.directory_offset
    before = signed.read_bytes()
    result = _attest(signed)
    assert (result.member, result.repacked.method, result.repacked.unsigned) == ("attested/0002", "in place", ())
    assert result.signed is not None
    assert result.signed.keys == (keys("ed25519")[0].public.key_id,)
    assert signed.read_bytes()[:end] == before[:end]
    with lf.open(signed) as found:
        old, new = read_records(found.source, found.archive)
    assert (old.kind, new.kind) == (RecordKind.OMS, RecordKind.ATT)
    bundle = read_bundle(new.data)
    assert keys("ed25519")[0].public.verify(bundle.signature, bundle.signed)
    statement = json.loads(bundle.payload)
    assert statement["predicateType"] == BEHAVIOUR
    assert statement["predicate"] == {"record": result.data.decode()}
    assert lf.verify(signed, level="exhaustive").exit_code() == 0
    assert not _attest(signed).repacked.changed
    out = tmp_path / "out"
    assert record(signed, out, prompts=ASKED, attest=keys("p256")).member == "attested/0003"


def test_replay_finds_it(signed: Path, fake: Fake) -> None:
    _attest(signed)
    assert [item.member for item in replay(signed).records] == ["attested/0002"]
    assert replay(signed, records=["attested/0002"]).exit_code == 0
    fake.tell(template="!")
    assert replay(signed).exit_code == 6
    with pytest.raises(UsageError, match="no behaviour record attested/0001"):
        replay(signed, records=["attested/0001"])


def test_strangers_do_not_turn_the_verdict(signed: Path, fake: Fake) -> None:
    """Whoever appends a false record to a file must not make verify call the file's behaviour wrong, or right."""
    _attest(signed)
    for template in ("", "!"):
        fake.tell(template=template)
        assert lf.verify(signed, level="behaviour").verdicts[Layer.BEHAVIOUR] is Verdict.UNDETERMINED


def test_what_is_no_record_is_passed_over(signed: Path) -> None:
    (key,) = keys()
    for predicate in ({}, {"record": 5}, {"other": "x"}):
        sign(signed, [key], attest=Attestation(BEHAVIOUR, predicate))
    assert replay(signed).records == ()
    sign(signed, [key], attest=attestation_of(b"format: [\n"))
    (item,) = replay(signed).records
    assert (item.member, item.record) == ("attested/0005", None)
    assert "faulty" in item.error


def test_contradictions(signed: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name of its own"):
        record(signed, in_place=True, prompts=ASKED, attest=keys(), name="x")
    with pytest.raises(UsageError, match="where to write"):
        record(signed, prompts=ASKED, attest=keys())
    with lf.open(signed) as found:
        at = found.archive.directory_offset + 12
    data = bytearray(signed.read_bytes())
    data[at] ^= 1
    signed.write_bytes(data)
    with pytest.raises(FormatError, match="was not started"):
        _attest(signed)


def test_command(signed: Path, tmp_path: Path, run_cli: Cli) -> None:
    write_keys(tmp_path / "KEY", keys(), None)
    (tmp_path / "p.yaml").write_text("format: llamafile-prompts/1\nprompts:\n- {id: a, text: x, max_tokens: 2}\n")
    with lf.open(signed) as found:
        build = next(member.sha256 for member in found.members if member.role == "runtime")
    options = ("record", signed, "--in-place", "--prompts", tmp_path / "p.yaml")
    assert run_cli(*options).returncode == 2  # it is signed
    assert run_cli(*options, "--key", tmp_path / "KEY").returncode == 2
    assert run_cli(*options, "--attest").returncode == 2
    unknown = run_cli(*options, "--attest", "--key", tmp_path / "KEY")
    assert unknown.returncode == 4  # a real engine of this installation takes its place, and this is no real model
    options = (*options, "--foreign-build", build)
    done = run_cli(*options, "--attest", "--key", tmp_path / "KEY")
    assert done.returncode == 0
    # A file that an earlier command has judged and that has not changed since is not judged again.
    assert re.match(r"note: valid (is undetermined: |was undetermined on \d{4}-\d\d-\d\d: )", done.stderr)
    assert f"attested by the key {keys()[0].public.key_id}" in done.stdout
    value = json.loads(run_cli(*options, "--attest", "--key", tmp_path / "KEY", "--json").stdout)
    assert (value["member"], value["changed"], value["method"]) == ("attested/0002", False, "nothing to do")
    assert (
        json.loads(run_cli("replay", signed, "--foreign-build", build, "--json").stdout)["records"][0]["member"]
        == "attested/0002"
    )
