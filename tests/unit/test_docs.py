"""README, help and specification name the same commands, options, exit codes and rules."""

from __future__ import annotations

import functools
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import llamafile_format
from llamafile_format import errors
from llamafile_format.checks.verdict import Level, Report, Verdict
from llamafile_format.cli.main import COMMANDS, cli
from llamafile_format.container import Kind
from llamafile_format.findings import Finding
from llamafile_format.rules import Layer, all_rules
from spec.vectors.generate.forge import gguf

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
HUBS = ROOT / "docs" / "hub.md"
RUNTIMES = ROOT / "runtimes" / "README.md"
CHAPTER_8 = ROOT / "spec" / "1" / "08-repacking.md"
CHAPTER_10 = ROOT / "spec" / "1" / "10-verification.md"
CHAPTER_14 = ROOT / "spec" / "1" / "14-runtimes.md"
CHAPTER_15 = ROOT / "spec" / "1" / "15-behaviour.md"
TEXTS = [*PAGES, CHAPTER_8, CHAPTER_10, CHAPTER_14, CHAPTER_15]

_FLAG = re.compile(r"(?<![\w-])(--[a-z][a-z0-9-]*)\b")
_ENGINE_FLAGS = re.compile(r"--args\s+(\"[^\"]*\"|'[^']*')")
OTHERS = {"--assimilate", "--tools", "--trust", "--unsecure", "--host", "--pooling"}
"""Options of engines and other programs that the texts may name."""


@functools.cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


@functools.cache
def flags(name: str) -> frozenset[str]:
    """Every option of a command and of its subcommands, long and short, help aside."""
    return frozenset(flag for option in options_of(name) for flag in (*option.opts, *option.secondary_opts))


def options_of(name: str) -> list[click.Option]:
    """The options of a command, or of all commands of a group."""
    found = command(name)
    each = [found, *(found.commands.values() if isinstance(found, click.Group) else ())]
    return [parameter for one in each for parameter in one.params if isinstance(parameter, click.Option)]


@functools.cache
def help_of(*words: str) -> str:
    result = CliRunner().invoke(cli, [*words, "--help"])
    assert result.exit_code == 0, result.output
    return result.output


def all_flags() -> set[str]:
    return {"--help", "-h", "--version"}.union(*(flags(name) for name in COMMANDS))


def fenced(text: str) -> list[str]:
    """The lines of all fenced blocks, continued lines joined."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def usages(text: str) -> list[list[str]]:
    """The words of each call of our command in ``text``: fenced lines and code spans."""
    lines = [*fenced(text), *re.findall(r"`(llamafile-format [^`]+)`", text)]
    found = []
    for line in lines:
        _, name, rest = line.partition("llamafile-format ")
        if not name or not re.fullmatch(r"[$>#\s]*(\S*/)?(python3? -m )?", _):
            continue
        words = shlex.split(rest.split(" #")[0].split(" | ")[0].split(" && ")[0].split(" > ")[0])
        if words and not words[0].startswith("-"):
            found.append(words)
    return found


def options(words: list[str]) -> list[str]:
    """The options among the words of a call; what follows an option that takes a value is not one."""
    takes = {flag for option in options_of(words[0]) if not option.is_flag for flag in option.opts}
    found: list[str] = []
    value = False
    for word in words[1:]:
        if word == "--":  # the rest is for the runtime
            break
        if not value and re.match(r"-{1,2}[a-zA-Z]", word):
            found.append(word.partition("=")[0])
        value = not value and word in takes
    return found


# Commands and options


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name: str) -> None:
    """Every option is explained, in sentences, within 88 columns, and the summary fits the list of commands."""
    text = help_of(name)
    for parameter in command(name).params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert parameter.help.endswith((".", ")")), parameter.help
            assert all(flag in text for flag in parameter.opts)
    assert all(len(line) <= 88 for line in text.splitlines())
    assert name in help_of()
    assert COMMANDS[name].endswith(".")


@pytest.mark.parametrize("path", [*PAGES, CHAPTER_8, CHAPTER_10, CHAPTER_15], ids=lambda path: path.stem)
def test_texts_use_options_that_exist(path: Path) -> None:
    for words in usages(text_of(path)):
        assert words[0] in COMMANDS, f"{path.name}: there is no command {words[0]}"
        for word in options(words):
            assert word in flags(words[0]) | {"--help", "-h"}, f"{path.name}: {words[0]} has no {word}"
    known = all_flags() | OTHERS
    for flag in _FLAG.findall(_ENGINE_FLAGS.sub("--args", text_of(path))):
        if f"`{flag}" in text_of(path):
            assert flag in known, f"{path.name} names {flag}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    texts = [text_of(path) for path in (*TEXTS, *([RUNTIMES] if name == "runtimes" else []))]
    assert any(re.search(rf"`{name}\b|llamafile-format {name}\b", text) for text in texts)
    named = {flag for text in texts for flag in re.findall(r"(?<![\w-])(-[a-zA-Z]|--[a-z][a-z0-9-]*)(?![\w])", text)}
    assert not sorted(flags(name) - named)


def tabled() -> dict[str, set[str]]:
    """Commands and their options in the table of 10.10.1."""
    table = text_of(CHAPTER_10).partition("**10.10.1**")[2].partition("**10.10.2**")[0]
    found: dict[str, set[str]] = {}
    name = ""
    for line in table.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        if len(cells) < 3 or cells[0] in ("command", "---"):
            continue
        name = (re.search(r"`(\w+)", cells[0]) or [name, name])[1] if cells[0] else name
        if cells[0] and not cells[0].startswith("`"):  # of all, of none, of a group of commands
            continue
        found.setdefault(name, set()).update(re.findall(r"`(-{1,2}[\w-]+)", cells[1]))
    return found


def test_commands_that_read_have_the_options_of_the_table() -> None:
    elsewhere = {"pack", "repack", "recover", "runtimes", "convert", "record", "keygen", "timestamp", "renew"}
    elsewhere |= {
        "sign",
        "attest",
        "import-oms",
        "export-oms",
        "events",
        "export",
        "import",
        "push",
        "pull",
        "update",
        "protect",
        "repair",
    }
    elsewhere |= {"scrub", "status", "freeze", "thaw"}
    assert set(tabled()) == set(COMMANDS) - elsewhere
    for name, named in tabled().items():
        assert named == flags(name) - {"--no-config"}, name  # of a group of commands: a row of its own


def test_readme_and_pages_show_the_commands() -> None:
    assert {"pack", "inspect", "verify", "run"} <= {words[0] for words in usages(text_of(README))}
    used = {words[0] for page in PAGES for words in usages(text_of(page))}
    missing = set(COMMANDS) - used
    assert not missing & {
        "pack",
        "inspect",
        "verify",
        "repack",
        "extract",
        "sign",
        "record",
        "replay",
        "convert",
        "diff",
    }


# Exit codes


def codes_of_the_help() -> set[int]:
    text = " ".join(help_of().split()).partition("Exit codes:")[2].partition(".")[0]
    return {int(code) for code in re.findall(r"(?:^|; )\s*(\d) ", text)}


def codes_of_the_specification() -> set[int]:
    table = text_of(CHAPTER_10).partition("**10.7.1**")[2].partition("**10.7.2**")[0]
    return {int(code) for code in re.findall(r"^\| (\d) \|", table, re.MULTILINE)}


def codes_of_the_pages() -> set[int]:
    """The sentence that follows the words "exit codes" in the page for hubs."""
    text = text_of(HUBS)
    start = re.search(r"exit codes(?=:)", text, re.IGNORECASE)
    assert start, "the page says nothing about exit codes"
    part = re.split(r"^#", text[start.end() :], maxsplit=1, flags=re.MULTILINE)[0]
    return {int(code) for code in re.findall(r"(?:^\| `?|^[-*] `?|[;:,.] `?|\()(\d)`?(?= |:)", part, re.MULTILINE)}


def test_exit_codes_are_the_same_everywhere() -> None:
    assert codes_of_the_specification() == set(range(7))
    assert codes_of_the_help() == codes_of_the_specification()
    assert codes_of_the_pages() == codes_of_the_specification()


def test_exceptions_have_documented_exit_codes() -> None:
    found = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.LlamafileError)
    }
    assert found <= codes_of_the_specification()


def report(**changes: object) -> Report:
    verdicts = {Layer.WELL_FORMED: Verdict.YES, Layer.VALID: Verdict.YES}
    fields = {"name": "f", "size": 1, "kind": Kind.CONTAINER, "level": Level.FULL, "verdicts": verdicts, "findings": ()}
    return Report(**{**fields, **changes})  # type: ignore[arg-type]


def test_exit_codes_of_reports() -> None:
    """Clause 10.7, case by case."""
    doubt = {Layer.WELL_FORMED: Verdict.UNDETERMINED, Layer.VALID: Verdict.YES}
    bad = {Layer.WELL_FORMED: Verdict.NO, Layer.VALID: Verdict.YES}
    warning = (Finding("LF3005", args={"found": "1.1", "allowed": "1.0"}),)
    assert report().exit_code() == 0
    assert report().exit_code(strict=True) == 0
    assert report(verdicts=doubt).exit_code() == 0
    assert report(verdicts=doubt).exit_code(strict=True) == 1
    assert report(findings=warning).exit_code() == 0
    assert report(findings=warning).exit_code(strict=True) == 1
    assert report(verdicts=bad).exit_code() == 1
    assert report(kind=Kind.OTHER, verdicts={}).exit_code() == 3
    assert report(complete=False, verdicts=bad).exit_code() == 4


def test_a_file_that_is_cut_off_could_not_be_completed(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(gguf())
    llamafile_format.pack([tmp_path / "tiny.gguf"], tmp_path / "whole", prefix="none")
    cut = tmp_path / "cut"
    cut.write_bytes((tmp_path / "whole").read_bytes()[:-100])
    found = llamafile_format.verify(cut)
    assert "LF1010" in {finding.rule for finding in found.findings}
    assert found.exit_code() == 4
    assert CliRunner().invoke(cli, ["verify", str(cut)]).exit_code == 4


def test_the_worst_exit_code_wins(tmp_path: Path) -> None:
    text = text_of(CHAPTER_10).partition("**10.7.2**")[2]
    order = re.search(r"the worst wins: ([\d, ]+), then 0", " ".join(text.split()))
    assert order
    assert [int(code) for code in order[1].split(", ")] == [4, 1, 5, 6, 3]
    other = tmp_path / "other"
    other.write_bytes(b"nothing of ours, and long enough to be no pointer\n" * 4)
    missing = str(tmp_path / "missing")
    runner = CliRunner()
    assert runner.invoke(cli, ["verify", str(other)]).exit_code == 3
    assert runner.invoke(cli, ["verify", str(other), missing]).exit_code == 4
    assert runner.invoke(cli, ["verify", missing, str(other)]).exit_code == 4


# Rules and names


@pytest.mark.parametrize("path", [*PAGES, ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"], ids=lambda path: path.stem)
def test_rules_that_are_named_exist(path: Path) -> None:
    for rule in re.findall(r"\bLF\d{4}\b", text_of(path)):
        assert rule in all_rules(), f"{path.name} names {rule}"


def test_rule_command_explains_every_rule() -> None:
    runner = CliRunner()
    listed = runner.invoke(cli, ["rule"]).output
    for rule in all_rules().values():
        assert rule.id in listed
        assert rule.title in listed
    text = runner.invoke(cli, ["rule", "LF4001"]).output
    assert all(word in text for word in ("clause", "6.1.4", "why", "remedy"))


def test_pages_use_names_that_exist() -> None:
    for page in PAGES:
        for name in re.findall(r"\b(?:lf|llamafile_format)\.([a-z]\w*|[A-Z]\w*)\b(?=\()", text_of(page)):
            assert name in llamafile_format.__all__, name
