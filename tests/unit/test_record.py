"""Recording (15.7): the class is established, the weights do not move, and the same behaviour gives the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

import llamafile_format as lf
from llamafile_format.cli.main import cli
from llamafile_format.engines.behaviour import Agreement
from llamafile_format.engines.behaviour_reader import read_record
from llamafile_format.engines.prompts import Prompts, default_prompts, read_prompts
from llamafile_format.engines.trace import Prompt
from llamafile_format.errors import RuntimeFailure
from llamafile_format.running import choose_runtime
from llamafile_format.running.record import RecordResult, record
from spec.vectors.generate.forge import Part, Spec, container, parts
from tests.behaviour_samples import Fake, gguf, pack
from tests.conftest import ROOT
from tests.signing_samples import keys

ASKED = Prompts((Prompt("a", text="Once upon a time\n“ü”\x07", max_tokens=5, top=3),))


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' engines are of this installation, so to speak."""
    monkeypatch.setattr(choose_runtime, "objection", lambda _: "")


def make(path: Path, **options: Any) -> RecordResult:
    return record(path, **{"in_place": True, "prompts": ASKED, **options})


def member_of(path: Path, name: str = "behaviour/reference.yaml") -> bytes:
    with lf.open(path) as found:
        return found.read(name)


def test_member_and_class(tmp_path: Path) -> None:
    path = pack(tmp_path, Fake(tmp_path))
    with lf.open(path) as found:
        before = {member.path: (member.offset, member.sha256) for member in found.members}
    result = make(path)
    assert result.record.agreement is Agreement.EXACT
    assert [(run.threads, run.agreement) for run in result.record.runs] == [(1, Agreement.EXACT), (2, Agreement.EXACT)]
    with lf.open(path) as found:
        assert found.manifest is not None
        after = {member.path: (member.offset, member.sha256) for member in found.members}
        added = next(member for member in found.members if member.role == "behaviour")
        assert (added.path, added.media_type) == ("behaviour/reference.yaml", "application/yaml")
        assert found.manifest.history[-1]["changes"][0]["path"] == "behaviour/reference.yaml"
    assert after["tiny.gguf"] == before["tiny.gguf"]
    report = lf.verify(path, level="exhaustive")
    assert not [finding.rule for finding in report.findings if finding.rule.startswith("LF91")]


def test_the_record_obeys_its_schema(tmp_path: Path) -> None:
    path = pack(tmp_path, Fake(tmp_path))
    make(path, prompts=None)
    schema = json.loads((ROOT / "spec" / "schemas" / "behaviour.schema.json").read_text("utf-8"))
    value = yaml.safe_load(member_of(path))
    Draft202012Validator(schema).validate(value)
    assert [prompt["id"] for prompt in value["prompts"]] == ["story", "fact", "chat"]
    assert value["likelihood"]["text"] == "alice-1865"


def test_without_template_nobody_chats(tmp_path: Path) -> None:
    path = pack(tmp_path, Fake(tmp_path), template="")
    result = make(path, prompts=None)
    assert [item.prompt.id for item in result.record.prompts] == ["story", "fact"]
    assert result.record.subject.template == ""


def test_the_same_behaviour_gives_the_same_bytes(tmp_path: Path) -> None:
    path = pack(tmp_path, Fake(tmp_path))
    make(path)
    before = path.read_bytes()
    assert not make(path).repacked.changed
    assert path.read_bytes() == before


def test_new_behaviour_replaces_the_old(tmp_path: Path) -> None:
    fake = Fake(tmp_path)
    path = pack(tmp_path, fake)
    make(path)
    fake.tell(nudge=1.0)
    result = make(path)
    assert result.repacked.changed
    assert member_of(path) == result.data
    make(path, name="other")
    assert member_of(path, "behaviour/other.yaml") == result.data


def test_native_is_never_held_to_its_words(tmp_path: Path) -> None:
    result = make(pack(tmp_path, Fake(tmp_path, "native")))
    assert result.member == "behaviour/native.yaml"
    assert result.record.agreement is Agreement.NEAR
    assert {run.agreement for run in result.record.runs} == {Agreement.EXACT}


def test_reference_comes_first(tmp_path: Path) -> None:
    path = pack(tmp_path, Fake(tmp_path), Fake(tmp_path, "native"))
    assert make(path).record.subject.runtime.flavour == "reference"
    assert make(path, wanted=lf.Wanted(flavour="native")).record.subject.runtime.flavour == "native"


def test_threads_that_matter_cost_the_class(tmp_path: Path) -> None:
    fake = Fake(tmp_path)
    fake.tell(threads_matter=2.0**-12)
    result = make(pack(tmp_path, fake))
    assert [run.agreement for run in result.record.runs] == [Agreement.EXACT, Agreement.TOKENS]
    assert result.record.agreement is Agreement.TOKENS


def test_no_agreement_no_record(tmp_path: Path) -> None:
    fake = Fake(tmp_path)
    fake.tell(threads_matter=5.0)
    path = pack(tmp_path, fake)
    before = path.read_bytes()
    with pytest.raises(RuntimeFailure, match="do not agree"):
        make(path)
    assert path.read_bytes() == before


def test_other_first_threads(tmp_path: Path) -> None:
    result = make(pack(tmp_path, Fake(tmp_path)), threads=4)
    assert (result.record.threads, [run.threads for run in result.record.runs]) == (4, [4, 1])


def test_new_file(tmp_path: Path) -> None:
    path, out = pack(tmp_path, Fake(tmp_path)), tmp_path / "out"
    before = path.read_bytes()
    make(path, in_place=False, out=out)
    assert path.read_bytes() == before
    assert read_record(member_of(out)).record is not None
    with pytest.raises(lf.UsageError, match="exists"):
        make(path, in_place=False, out=out)


def test_signed_file(tmp_path: Path) -> None:
    """Only if the user insists; the old signature becomes history."""
    fake = Fake(tmp_path)
    build = Part(fake.member, fake.program.read_bytes(), "runtime", "application/octet-stream", 65536, 0o100755)
    model = Part("tiny.gguf", gguf(), "weights", "application/x-gguf", 65536)
    others = [part for part in parts() if part.role not in ("weights", "runtime")]
    path = tmp_path / "signed"
    path.write_bytes(container(Spec([*others, build, model], labels={"default": "tiny.gguf"})))
    lf.sign(path, keys("p256"))
    with pytest.raises(lf.UsageError, match="is signed"):
        make(path, in_place=False, out=tmp_path / "out")
    result = make(path, in_place=False, out=tmp_path / "out", force=True)
    assert result.repacked.unsigned


@pytest.mark.parametrize(
    ("control", "words"),
    [
        ({"lie": {"runtime": {"version": "1"}}}, "says that its version is 1"),
        ({"lie": {"runtime": {"flavour": "native"}}}, "says that its flavour is native"),
        ({"stop": 0, "reason": "context"}, "leaves no room in a context of 512 tokens"),
        ({"code": 1}, "ended with code 1"),
    ],
)
def test_builds_that_do_not_do(tmp_path: Path, control: dict[str, Any], words: str) -> None:
    fake = Fake(tmp_path)
    fake.tell(**control)
    with pytest.raises(RuntimeFailure, match=words):
        make(pack(tmp_path, fake))


def test_orders_that_make_no_sense(tmp_path: Path) -> None:
    path = pack(tmp_path, Fake(tmp_path))
    with pytest.raises(lf.UsageError, match="cannot name a record"):
        make(path, name="../x")
    with pytest.raises(lf.UsageError, match="where to write"):
        make(path, in_place=False)
    with pytest.raises(lf.UsageError, match="where to write"):
        make(path, out=tmp_path / "x")
    with pytest.raises(RuntimeFailure, match="no native build"):
        make(path, wanted=lf.Wanted(flavour="native"))


def test_damaged_weights_are_not_recorded(tmp_path: Path) -> None:
    path = pack(tmp_path, Fake(tmp_path))
    with lf.open(path) as found:
        where = next(member.offset + member.size - 4 for member in found.members if member.role == "weights")
    with path.open("r+b") as file:
        file.seek(where)
        file.write(b"\xff")
    with pytest.raises(lf.FormatError, match=r"tiny\.gguf is damaged"):
        make(path)


def test_command(tmp_path: Path) -> None:
    path = pack(tmp_path, Fake(tmp_path))
    prompts = tmp_path / "prompts.yaml"
    prompts.write_text("format: llamafile-prompts/1\nmax_tokens: 3\nprompts:\n- {id: a, text: Hi}\n")
    runner = CliRunner()
    done = runner.invoke(cli, ["record", str(path), "--in-place", "--prompts", str(prompts)])
    assert done.exit_code == 0, done.output
    assert "class E: the same bits" in done.output
    assert all(
        len(line) <= 80 for line in done.output.splitlines() if str(tmp_path) not in line and line[:5] != "note:"
    )
    done = runner.invoke(cli, ["record", str(path), "--in-place", "--prompts", str(prompts), "--json"])
    value = json.loads(done.stdout)
    assert (value["class"], value["changed"]) == ("E", False)


# Prompts


def test_prompts_of_the_exhibit() -> None:
    found = read_prompts(ROOT / "examples" / "exhibit" / "prompts.yaml")
    assert [prompt.id for prompt in found.prompts] == ["clock", "astrolabe", "begun"]
    assert found.prompts[2].max_tokens == 16


def test_default_prompts_are_what_the_file_would_say(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text('format: llamafile-prompts/1\nprompts:\n- {id: story, text: "x"}\n')
    found, usual = read_prompts(path), default_prompts(chat=False)
    for name in ("context", "batch", "threads", "likelihood", "tolerance"):
        assert getattr(found, name) == getattr(usual, name)


BAD = [
    ("prompts:\n- {id: a, text: x}\n", "is not a prompts file"),
    ("format: llamafile-prompts/2\nprompts:\n- {id: a, text: x}\n", "is not a prompts file"),
    ("format: llamafile-prompts/1\n", "prompts: it is missing"),
    ("format: llamafile-prompts/1\nprompts: []\n", "list of 1 to 64 items"),
    ("format: llamafile-prompts/1\nprompts:\n- {id: a}\n", "text: it is missing"),
    ("format: llamafile-prompts/1\nprompts:\n- {id: A b, text: x}\n", "it has not the form due"),
    ("format: llamafile-prompts/1\nprompts:\n- {id: a, text: x}\n- {id: a, text: z}\n", "two of them have one id"),
    ("format: llamafile-prompts/1\nprompts:\n- {id: a, text: x, messages: [{role: user, content: x}]}\n", "already"),
    ("format: llamafile-prompts/1\nprompts:\n- {id: a, text: x, max_tokens: 5000}\n", "1 to 4096"),
    ("format: llamafile-prompts/1\nprompts:\n- {id: a, text: 5}\n", "it is not a text"),
    ("format: llamafile-prompts/1\nprompts:\n- {id: a, text: x, sed: 1}\n", "sed: there is no such field"),
    ("format: llamafile-prompts/1\ncontext: 300\nprompts:\n- {id: a, text: x}\n", "multiple of 256"),
    ("format: llamafile-prompts/1\nlikelihood: bible\nprompts:\n- {id: a, text: x}\n", "it is not none or alice"),
    (
        "format: llamafile-prompts/1\ntolerance: {logit: .inf, likelihood: 1}\nprompts:\n- {id: a, text: x}\n",
        "0 to 1000",
    ),
    ("format: llamafile-prompts/1\nprompts: &x\n- {id: a, text: x}\n", "an anchor"),
    ("format: [", "is not YAML"),
    ('format: llamafile-prompts/1\nprompts:\n- {id: a, text: "\\ud800"}\n', "invalid Unicode"),
]


@pytest.mark.parametrize(("text", "words"), BAD, ids=[words for _, words in BAD])
def test_prompts_that_are_refused(tmp_path: Path, text: str, words: str) -> None:
    """The reader refuses them, and so does the schema, wherever it can see the fault."""
    path = tmp_path / "p.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(lf.LlamafileError, match=words):
        read_prompts(path)
    if words not in ("two of them have one id", "an anchor", "is not YAML", "invalid Unicode"):
        schema = json.loads((ROOT / "spec" / "schemas" / "prompts.schema.json").read_text("utf-8"))
        assert not Draft202012Validator(schema).is_valid(yaml.safe_load(text)), words
