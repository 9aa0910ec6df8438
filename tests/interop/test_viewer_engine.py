"""The page runs the model: the reference build for WebAssembly in headless Chromium, to the recorded bits, from file://."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import llamafile_format as lf
from llamafile_format.engines.ask import request_bytes
from llamafile_format.engines.behaviour import Record
from llamafile_format.engines.behaviour_reader import read_record
from llamafile_format.engines.behaviour_yaml import record_bytes
from llamafile_format.engines.pin import Flavour
from llamafile_format.engines.store import pins, unpacked
from llamafile_format.engines.trace import Message, Prompt, Request, logit_value
from llamafile_format.reports import replay_json
from llamafile_format.viewing import view
from spec.vectors.generate import ROOT as SPEC
from spec.vectors.generate.load import read_vector, vector_files
from tests.interop.webdriver import Browser, browser
from viewer.build import page

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.interop]
PROMPTS = """
format: llamafile-prompts/1
max_tokens: 6
prompts:
- {id: story, text: "Visitor: a brass astrolabe\\nLabel:"}
- {id: chat, messages: [{role: user, content: "Tell me about the clock."}]}
"""
ENDED = "document.getElementById('ask-state').textContent.match(/first after|could not|Stopped/)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="module")
def exhibit(folder: Path) -> Path:
    """The exhibit with the two reference builds that meet here, and a short record."""
    runtime = f"llama.cpp@{max(pin.version for pin in pins())}:wasm32-wasi,linux-x86_64"
    recipe = ROOT / "examples/exhibit/llamafile.yaml"
    lf.pack([], folder / "bare", recipe=recipe, runtime=runtime, flavour="reference")
    (folder / "prompts.yaml").write_text(PROMPTS, "utf-8")
    lf.record(folder / "bare", folder / "exhibit.llamafile", prompts=folder / "prompts.yaml")
    return folder / "exhibit.llamafile"


@pytest.fixture(scope="module")
def window(tool: Callable[[str], Path], folder: Path) -> Iterator[Browser]:
    (folder / "page.html").write_text(page(), "utf-8")
    with browser(tool, folder / "profile", (900, 1600)) as opened:
        yield opened


def choose(window: Browser, folder: Path, path: Path) -> None:
    window.open((folder / "page.html").as_uri())
    window.requested(), window.complaints()
    window.type("#file", str(path))
    window.wait("document.getElementById('ask-go')")


def ask(window: Browser, text: str, *, chat: bool = False, most: int = 24) -> str:
    """What the page shows when the model was asked."""
    window.script(
        f"document.getElementById('ask-text').value = {json.dumps(text)};"
        f"document.getElementById('ask-chat').checked = {json.dumps(chat)};"
        f"document.getElementById('ask-most').value = {most};"
        "document.getElementById('ask-go').click()"
    )
    window.wait("document.getElementById('ask-go').disabled || " + ENDED)
    window.wait("!document.getElementById('ask-go').disabled")
    return str(window.script("return [...document.querySelectorAll('.ask-answer')].pop().textContent"))


def later(window: Browser, promise: str) -> Any:
    """The value of a promise in the page."""
    window.script(
        f"window.told = undefined; ({promise}).then("
        "value => { window.told = {value}; }, error => { window.told = {error: String(error.stack || error)}; })"
    )
    told = window.wait("window.told")
    assert "error" not in told, told
    return told["value"]


def state(window: Browser) -> str:
    return str(window.script("return document.getElementById('ask-state').textContent"))


def native() -> Path:
    for pin in pins():
        if (build := pin.build("linux-x86_64", Flavour.REFERENCE)) is not None and pin.build(
            "wasm32-wasi", Flavour.REFERENCE
        ):
            return unpacked(pin, build)
    pytest.skip("no reference build is checked in")


def test_it_goes_on_with_a_text_and_answers_in_a_conversation(window: Browser, exhibit: Path, folder: Path) -> None:
    choose(window, folder, exhibit)
    first = ask(window, "Visitor: a brass astrolabe\nLabel:")
    command = [
        native(),
        "--complete",
        "-p",
        "Visitor: a brass astrolabe\nLabel:",
        "-n",
        "24",
        "--temp",
        "0",
        "-c",
        "512",
    ]
    environment = {"LFF_CONTAINER": str(exhibit), "LFF_GPU": "off"}
    alone = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert first == alone.removesuffix("\n")
    assert "tokens a second" in state(window)
    one = ask(window, "Tell me about the clock.", chat=True)
    two = ask(window, "And the radio?", chat=True)
    assert one != two
    assert window.complaints() == []
    assert all(each.startswith(("file:", "blob:", "chrome:", "data:")) for each in window.requested())
    if shots := os.environ.get("LFF_SCREENSHOTS"):
        Path(shots, "viewer-engine.png").write_bytes(window.screenshot())


def test_its_trace_is_that_of_the_native_build(window: Browser, exhibit: Path, folder: Path) -> None:
    """Every byte but the line that says who answers: digests of all logits, of a text, a conversation, a likelihood."""
    chat = Prompt("b", None, (Message("user", "Tell me about the clock."),), max_tokens=12)
    prompts = (Prompt("a", "Visitor: a brass astrolabe\nLabel:", max_tokens=24), chat)
    request = request_bytes(Request(prompts, likelihood="Alice was beginning to get very tired.")).decode()
    choose(window, folder, exhibit)
    said = later(
        window,
        f"""(async () => {{
          const blob = document.getElementById("file").files[0];
          const {{ manifest }} = await module_verify.openFile(blob);
          const [build] = module_builds.browserBuilds(manifest);
          const model = manifest.members.find(each => each.path === manifest.default);
          const decoder = new TextDecoder();
          let text = "";
          const input = new TextEncoder().encode({json.dumps(request)});
          const heard = data => (text += decoder.decode(data, {{ stream: true }}));
          const end = await module_running.startBuild(blob, build, ["--trace"], input, model, heard).done;
          return [end.code, end.problem, text];
        }})()""",
    )
    with lf.open(exhibit) as container:
        assert container.manifest is not None
        model = next(each for each in container.members if each.path == container.manifest.default)
    environment = {
        "LFF_CONTAINER": str(exhibit),
        "LFF_WEIGHTS_OFFSET": str(model.offset),
        "LFF_WEIGHTS_SIZE": str(model.size),
    }
    own = subprocess.run(
        [native(), "--trace"], input=request, env=environment, capture_output=True, text=True, check=True
    )
    assert said[:2] == [0, ""]
    here, there = said[2].splitlines(keepends=True), own.stdout.splitlines(keepends=True)
    assert here[1:] == there[1:]
    names = [json.loads(lines[0]) for lines in (here, there)]
    assert [name.pop("target") for name in names] == ["wasm32-wasi", "linux-x86_64"]
    assert names[0] == names[1]
    assert len(here) > 40


def recorded(path: Path) -> Record:
    with lf.open(path) as container:
        found = read_record(container.read("behaviour/reference.yaml")).record
    assert found is not None
    return found


def edited(record: Record, what: str) -> Record:
    """A record that agrees with itself, and differs from what the model says at one stage."""
    first = record.prompts[0]
    steps = list(first.said.steps)
    if what == "likelihood":
        assert record.likelihood is not None
        changed = replace(record.likelihood.likelihood, bits=record.likelihood.likelihood.bits + (1 << 40))
        return replace(record, likelihood=replace(record.likelihood, likelihood=changed))
    if what == "rendered":
        said = replace(first.said, rendered=first.said.rendered + b"!")
    elif what == "tokens":
        said = replace(first.said, tokens=(*first.said.tokens, 5))
    elif what == "end":
        said = replace(first.said, end="context")
    else:
        index = min(
            range(len(steps)), key=lambda at: logit_value(steps[at].top[0][1]) - logit_value(steps[at].top[1][1])
        )
        step = steps[index]  # where it was the closest call, so that nothing but the choice differs
        other, bits = step.top[1]
        steps[index] = {
            "logits": replace(step, logits="0" * 64),
            "value": replace(step, logits="0" * 64, top=((step.token, 0x42C80000), *step.top[1:])),
            "token": replace(step, token=other, top=((other, step.top[0][1]), (step.token, bits), *step.top[2:])),
            "piece": replace(step, piece=step.piece + b"\xff"),
        }[what]
        said = replace(first.said, steps=tuple(steps))
    return replace(record, prompts=(replace(first, said=said), *record.prompts[1:]), likelihood=None)


EDITS = ("rendered", "tokens", "logits", "value", "token", "piece", "end", "likelihood")


@pytest.fixture(scope="module")
def altered(exhibit: Path, folder: Path) -> Path:
    """The exhibit with a record for each way to depart from it."""
    includes = []
    for what in EDITS:
        (folder / f"{what}.yaml").write_bytes(record_bytes(edited(recorded(exhibit), what)))
        includes.append(lf.Include(folder / f"{what}.yaml", f"behaviour/{what}.yaml", "behaviour"))
    lf.repack(exhibit, folder / "altered.llamafile", include=includes)
    return folder / "altered.llamafile"


REPLAY = """(async () => {
  const file = document.getElementById("file").files[0];
  const { manifest } = await module_verify.openFile(file);
  const builds = module_builds.browserBuilds(manifest);
  const desk = { file, manifest, checkedMembers: new Set(), builds, confirmed: new Set() };
  const reports = [];
  for (const member of manifest.members.filter(each => each.role === "behaviour"))
    reports.push(await module_engine.replayRecord(desk, member, () => undefined));
  return reports;
})()"""


def test_it_reports_what_replay_reports(window: Browser, altered: Path, folder: Path) -> None:
    choose(window, folder, altered)
    mine = {report["member"]: report for report in later(window, REPLAY)}
    theirs = json.loads(replay_json(lf.replay(altered)))
    assert set(mine) == {record["member"] for record in theirs["records"]}
    rules = {name: [] for name in mine}
    for finding in theirs["findings"]:
        rules[finding["where"]["member"]].append(finding["rule"])
    for record in theirs["records"]:
        page_says = mine[record["member"]]
        assert page_says["error"] == ""
        assert [each["rule"] for each in page_says["findings"]] == rules[record["member"]]
        assert (page_says["demanded"], page_says["reached"]) == (record["demanded"], record["reached"])
        assert (page_says["verdict"] == "yes") == record["agrees"]
        for here, there in zip(page_says["comparison"]["prompts"], record["prompts"], strict=True):
            assert (here["id"], here["agreement"], here["stages"]) == (there["id"], there["reached"], there["stages"])
            assert (here["steps"], here["compared"], here["ulps"]) == (
                there["steps"],
                there["compared"],
                there["max_ulp"],
            )
            assert here["most"] == pytest.approx(there["max_abs"])
            assert (here["logits"], here["token"]) == (there["first_logits"], there["first_token"])
    assert len({rule for found in rules.values() for rule in found}) == 7


def test_records_are_read_as_the_library_reads_them(window: Browser, exhibit: Path, folder: Path) -> None:
    """Every vector of chapter 15, and the records that were kept since: good for both, or for neither."""
    records = {}
    for path in vector_files(SPEC):
        vector = read_vector(path)
        if vector.name.startswith("behaviour/"):
            (folder / "vector").write_bytes(vector.payload)
            with lf.open(folder / "vector") as container:
                for member in (each for each in container.members if each.role == "behaviour"):
                    records[vector.name] = container.read(member.path)
    for path in sorted((ROOT / "tests/data/records").rglob("*.yaml"))[::5]:
        records[path.name] = path.read_bytes()
    assert len(records) > 20
    choose(window, folder, exhibit)
    rows = json.dumps([[name, data.hex()] for name, data in records.items()])
    said = later(
        window,
        f"""(async () => {{
          const said = {{}};
          const {{ readBehaviour }} = module_behaviour;
          for (const [name, data] of {rows})
            said[name] = await readBehaviour(module_bytes.unhex(data)).then(() => "", error => error.message);
          return said;
        }})()""",
    )
    for name, data in records.items():
        reading = read_record(data)
        good = reading.record is not None and not reading.contradictions
        assert (said[name] == "") == good, (name, said[name], reading.reason, reading.faults, reading.contradictions)


def test_a_build_that_nobody_knows_waits_for_a_word(window: Browser, exhibit: Path, folder: Path) -> None:
    """A byte behind the program's last section makes another digest of it."""
    with lf.open(exhibit) as container:
        (build,) = [each.path for each in container.members if each.path.endswith("/wasm32-wasi")]
        (folder / "build").write_bytes(container.read(build) + b"\x00\x02\x01x")
    unknown = folder / "unknown.llamafile"
    lf.repack(exhibit, unknown, include=[lf.Include(folder / "build", build)], force=True)
    choose(window, folder, unknown)
    window.script("document.getElementById('ask-text').value = 'x'; document.getElementById('ask-go').click()")
    assert "no build that this page knows" in window.wait("document.getElementById('ask-warning').textContent")
    assert window.script("return document.activeElement.id") == "ask-confirm"
    assert window.script("return document.querySelectorAll('.ask-answer').length") == 0
    window.script("document.getElementById('ask-confirm').click()")
    assert ask(window, "Visitor: a brass astrolabe\nLabel:", most=8)
    assert "first after" in state(window)


def test_a_build_that_is_damaged_is_not_started(window: Browser, exhibit: Path, folder: Path) -> None:
    with lf.open(exhibit) as container:
        (build,) = [each for each in container.members if each.path.endswith("/wasm32-wasi")]
    data = bytearray(exhibit.read_bytes())
    data[build.offset + 1000] ^= 1
    (folder / "damaged.llamafile").write_bytes(data)
    choose(window, folder, folder / "damaged.llamafile")
    ask(window, "x")
    assert "the build is damaged" in state(window)


def test_stop_ends_it(window: Browser, exhibit: Path, folder: Path) -> None:
    choose(window, folder, exhibit)
    window.script(
        "document.getElementById('ask-text').value = 'Visitor:'; document.getElementById('ask-most').value = 4096;"
        "document.getElementById('ask-context').value = 65536; document.getElementById('ask-go').click()"
    )
    window.wait("document.querySelector('.ask-answer').textContent.length > 10")
    window.script("document.getElementById('ask-stop').click()")
    window.wait("document.getElementById('ask-state').textContent.startsWith('Stopped after')", 10)
    assert window.script("return document.getElementById('ask-go').disabled") is False
    assert ask(window, "Visitor: a brass astrolabe\nLabel:", most=4)


def test_more_than_a_program_can_hold_is_said_before(window: Browser, exhibit: Path, folder: Path) -> None:
    choose(window, folder, exhibit)
    window.script(
        """const members = [
          { path: "runtimes/llama.cpp/1/reference/wasm32-wasi", role: "runtime", sha256: "00", offset: 0, size: 1 },
          { path: "m.gguf", role: "weights", offset: 0, size: 4e9 },
        ];
        const root = document.createElement("section");
        document.body.append(root);
        module_engine.mountEngine(root, new Blob(), { members, default: "m.gguf" }, new Set());
        window.said = root.textContent;"""
    )
    assert "it will not start" in window.script("return window.said")


def test_the_served_copy_runs_it_too(window: Browser, exhibit: Path) -> None:
    with view(exhibit) as shown:
        thread = threading.Thread(target=shown.serve)
        thread.start()
        window.open(shown.address)
        window.requested(), window.complaints()
        window.wait("document.getElementById('ask-go')")
        assert ask(window, "Visitor: a brass astrolabe\nLabel:", most=8)
        assert "first after" in state(window)
        assert {
            each.partition("://")[2].partition("/")[0] for each in window.requested() if each.startswith("http")
        } == {shown.address.split("/")[2]}
        assert window.complaints() == []
        shown.stop()
        thread.join(10)


def test_the_page_knows_itself(window: Browser, exhibit: Path, folder: Path) -> None:
    """Its own digest, which it cannot hold: computed from what the browser has read of it."""
    import hashlib

    choose(window, folder, exhibit)
    assert later(window, "module_own.learnOwn()") == hashlib.sha256(page().encode()).hexdigest()
