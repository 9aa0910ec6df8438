"""The specification holds together: clauses, rules, code, vectors, examples and decisions name each other correctly."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import string
from pathlib import Path

import pytest

import llamafile_format
from llamafile_format.manifest.merkle import chunk_root
from llamafile_format.manifest.roles import LATER, Role, alignment_of, file_order, unix_mode
from llamafile_format.packing.assemble import Assembled, Content, Labels, PrefixContent, assemble
from llamafile_format.packing.inputs import text_content
from llamafile_format.rules import Rule, Severity, all_rules
from llamafile_format.source import BytesSource
from spec.vectors.generate.forge import gguf
from spec.vectors.generate.load import Vector, read_vector, vector_files

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "spec" / "1").glob("[0-9][0-9]-*.md"))
CODE = sorted((ROOT / "llamafile_format").rglob("*.py"))

BY_NUMBER = {int(path.name[:2]): path for path in CHAPTERS}

_CLAUSE = re.compile(r"^(?:#{2,4} |\*\*)(\d{1,2}(?:\.\d{1,2}){1,3})\b", re.MULTILINE)
_RULE = re.compile(r"\bLF\d{4}\b")
_NUMBER = r"\d{1,2}(?:\.\d{1,2}){1,3}"
_CITED = re.compile(rf"\((?:{_NUMBER}|LF\d{{4}})(?:(?:,| and| to) (?:{_NUMBER}|LF\d{{4}}))*\)")
_CITED_IN_CODE = re.compile(rf"(?:clauses? |clause=\"|spec/1, )({_NUMBER}(?:(?:,| and| to) {_NUMBER})*)")

ELSEWHERE = {
    "LF1014": "tests/unit/test_prefix_checks.py",
    "LF3331": "tests/unit/test_run_verified.py",
    **dict.fromkeys(("LF3350", "LF3352"), "tests/unit/test_successors.py"),
    "LF3364": "tests/unit/test_programs.py",
    "LF8112": "tests/unit/test_sigstore_records.py",
    "LF9008": "tests/unit/test_recovery_member.py",
    **dict.fromkeys((f"LF{number}" for number in range(9110, 9119)), "tests/unit/test_replay.py"),
}
"""Rules that no vector can break, and the test that breaks them: LF1014 needs a file of 4 GiB, LF3331 a build that was
withdrawn, LF3350 one that has a successor, LF3352 one that is superseded, LF3364 a program of 32 MiB, LF8112 and LF9008
an installation without an extra, a replay a runtime."""


@functools.cache
def text_of(chapter: Path) -> str:
    return chapter.read_text(encoding="utf-8")


@functools.cache
def clauses() -> dict[str, Path]:
    """Every numbered clause and the chapter that has it; chapters themselves are clauses too."""
    found: dict[str, Path] = {}
    for chapter in CHAPTERS:
        found[str(int(chapter.name[:2]))] = chapter
        for number in _CLAUSE.findall(text_of(chapter)):
            assert number not in found, f"clause {number} occurs twice"
            found[number] = chapter
    return found


@functools.cache
def vectors() -> tuple[Vector, ...]:
    return tuple(read_vector(path) for path in vector_files(ROOT / "spec" / "vectors"))


def rules() -> list[Rule]:
    return list(all_rules().values())


# Chapters and clauses


def test_chapters_are_complete() -> None:
    assert [chapter.name[:2] for chapter in CHAPTERS] == [f"{number:02}" for number in range(1, 19)]
    contents = (ROOT / "spec" / "1" / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((\d\d-[a-z]+\.md)\)", contents)
    assert links == [chapter.name for chapter in CHAPTERS]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_clauses_are_numbered_in_order(chapter: Path) -> None:
    number = str(int(chapter.name[:2]))
    assert text_of(chapter).startswith(f"# {number}. ")
    found = [tuple(map(int, clause.split("."))) for clause in _CLAUSE.findall(text_of(chapter))]
    assert found, "no clauses"
    assert all(clause[0] == int(number) for clause in found)
    assert found == sorted(found)
    for clause in found:  # no gaps: a missing number looks like a lost clause
        last = clause[-1]
        assert last == 1 or (*clause[:-1], last - 1) in found, f"{clause} has no predecessor"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_cited_clauses_and_rules_exist(chapter: Path) -> None:
    for citation in _CITED.findall(text_of(chapter)):
        for number in re.findall(rf"(?<![\dF.]){_NUMBER}", citation):
            assert number in clauses(), f"{chapter.name} cites {number}"
    for rule in _RULE.findall(text_of(chapter)):
        assert rule in all_rules(), f"{chapter.name} names {rule}"


def test_code_cites_clauses_that_exist() -> None:
    wrong = []
    for path in CODE:
        for match in _CITED_IN_CODE.finditer(path.read_text(encoding="utf-8")):
            wrong += [
                f"{path.relative_to(ROOT)} cites {number}"
                for number in re.findall(_NUMBER, match[1])
                if number not in clauses()
            ]
    assert not wrong


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_links_lead_somewhere(chapter: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", text_of(chapter)):
        assert (chapter.parent / target).exists(), target
    for target in re.findall(r"`((?:spec/|registry/)[\w./-]+\.\w+)`", text_of(chapter)):
        folder = ROOT if target.startswith("spec/") else ROOT / "spec"
        assert (folder / target).exists(), target


# Rules


def test_rules_are_cited_where_they_say() -> None:
    """The clause of each rule exists, and the chapter that it is in names the rule."""
    missing = [f"{rule.id}: {rule.clause}" for rule in rules() if rule.clause not in clauses()]
    assert not missing
    silent = [f"{rule.id}: {rule.clause}" for rule in rules() if rule.id not in text_of(clauses()[rule.clause])]
    assert not silent


def test_rules_and_code_agree() -> None:
    used = {rule for path in CODE for rule in _RULE.findall(path.read_text(encoding="utf-8"))}
    assert not used - all_rules().keys(), "named in the code but not in the table"
    assert not all_rules().keys() - used, "in the table but nowhere in the code"


def test_rules_are_well_made() -> None:
    titles = [rule.title for rule in rules()]
    assert len(set(titles)) == len(titles)
    assert list(all_rules()) == sorted(all_rules())
    for rule in rules():
        assert re.fullmatch(r"LF[1-9]\d{3}", rule.id)
        assert rule.since in ("1.0", "1.1")
        assert 0 < len(rule.title) <= 72
        assert not rule.title.endswith(".")
        for text in (rule.title, rule.message, rule.why, rule.remedy):
            assert text == text.strip(), rule.id
            assert text.isascii(), rule.id
        if rule.undetermined:
            assert rule.severity is Severity.INFO, rule.id


def test_placeholders_are_plain_names() -> None:
    for rule in rules():
        for _, name, spec, conversion in string.Formatter().parse(rule.message):
            assert name is None or (name.isidentifier() and name.islower()), (rule.id, name)
            assert not spec, rule.id
            assert not conversion, rule.id


# Vectors


def test_there_are_enough_vectors() -> None:
    assert len(vectors()) >= 120
    assert len({vector.name for vector in vectors()}) == len(vectors())


def test_vectors_name_rules_that_exist() -> None:
    for vector in vectors():
        for rule in (*vector.rules, *vector.near):
            assert rule in all_rules(), (vector.name, rule)
        assert not set(vector.rules) & set(vector.near), f"{vector.name} is near what it breaks"


def test_every_rule_has_a_bad_vector() -> None:
    broken = {rule for vector in vectors() for rule in vector.rules}
    for rule, test in ELSEWHERE.items():
        assert rule in (ROOT / test).read_text(encoding="utf-8"), f"{test} does not test {rule}"
    assert not sorted(all_rules().keys() - broken - ELSEWHERE.keys())


def test_every_rule_has_a_good_neighbour() -> None:
    near = {rule for vector in vectors() if vector.layer == "none" for rule in vector.near}
    assert not sorted(all_rules().keys() - near)


def test_findings_of_vectors_can_be_rendered() -> None:
    """Every placeholder of a message is filled by the check that raises it."""
    for vector in vectors():
        if vector.kind != "container":
            continue
        level = "full" if "LF9002" in vector.rules else "exhaustive"
        for finding in llamafile_format.verify(vector.payload, level=level).findings:
            message = all_rules()[finding.rule].render(finding)  # KeyError: a placeholder that nothing fills
            assert "{" not in message or "{" in repr(dict(finding.args)), (vector.name, message)


# Chapter 12


def threats() -> list[list[str]]:
    """The rows of the threat table: threat, clauses, rules, vectors."""
    table = text_of(BY_NUMBER[12]).partition("## 12.2")[2].partition("## 12.3")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    return [row for row in rows[2:] if row[1]]


@pytest.mark.parametrize("row", threats(), ids=lambda row: row[0][:40])
def test_threat(row: list[str]) -> None:
    _, cited, named, shown = row
    for number in cited.split(", "):
        assert number in clauses(), number
    wanted = set(_RULE.findall(named))
    assert wanted <= all_rules().keys()
    by_name = {vector.name: vector for vector in vectors()}
    chosen = re.findall(r"`([a-z]+/[a-z0-9-]+)`", shown)
    assert chosen or shown.startswith("tests of ")
    for name in chosen:
        assert name in by_name, f"there is no vector {name}"
        assert wanted & set(by_name[name].rules), f"{name} reports none of {named}"


def test_threats_of_the_security_page() -> None:
    table = (ROOT / "SECURITY.md").read_text(encoding="utf-8").partition("## Threats")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    assert len(rows) > 12
    known = {vector.name for vector in vectors()}
    for _, _, cited, named, shown in rows[2:]:
        assert all(number in clauses() for number in re.findall(r"\d+(?:\.\d+)*", cited)), cited
        assert all(rule in all_rules() for rule in _RULE.findall(named)), named
        chosen, tests = re.findall(r"`([\w/-]+)`", shown), re.findall(r"tests/[\w/]+\.py", shown)
        assert chosen or tests, shown
        assert set(chosen) <= known, shown
        assert all((ROOT / test).is_file() for test in tests), shown


# Decisions


def test_decisions_that_are_named_exist() -> None:
    known = {path.name[:4] for path in (ROOT / "spec" / "adr").glob("[0-9]*.md")}
    places = [*CODE, *CHAPTERS, *ROOT.glob("*.md"), *(ROOT / "spec").rglob("*.md"), *(ROOT / "spec").rglob("*.py")]
    for path in places:
        text = path.read_text(encoding="utf-8")
        for number in re.findall(r"\b(?:ADR[ -]?|adr/)(\d{4})\b", text):
            assert number in known, f"{path.relative_to(ROOT)} names decision {number}"


def test_decisions_cite_clauses_that_exist() -> None:
    for path in sorted((ROOT / "spec" / "adr").glob("[0-9]*.md")):
        cited = re.search(r"Clauses: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert cited, path.name
        for number in re.findall(r"\d+(?:\.\d+)*", cited[1]):
            assert number in clauses(), (path.name, number)


# What chapters 5, 6 and 11 show is what the library does


@functools.cache
def example() -> tuple[bytes, Assembled]:
    """The container of clause 6.6."""
    contents = [
        text_content("META-LLAMAFILE/README.txt", "readme", b"Hello.\n"),
        text_content("LICENSE.txt", "license", b"CC0-1.0\n"),
        Content("tiny.gguf", "weights", "application/x-gguf", BytesSource(gguf()), 32),
    ]
    labels = Labels(name="Tiny", license="CC0-1.0", default="tiny.gguf")
    out = os.memfd_create("example") if hasattr(os, "memfd_create") else -1
    if out < 0:
        pytest.skip("no memory files on this system")
    written = assemble(out, PrefixContent("none", BytesSource(b"")), contents, labels)
    data = os.pread(out, written.size, 0)
    os.close(out)
    return data, written


def blocks(clause: str) -> list[str]:
    """The code blocks of a clause."""
    chapter = text_of(clauses()[clause])
    text = chapter.partition(f"**{clause}**")[2]
    following = _CLAUSE.search(text)
    return re.findall(r"```\w*\n(.*?)```", text[: following.start()] if following else text, re.DOTALL)


def test_example_of_the_chunk_list() -> None:
    data, written = example()
    chunks, manifest = written.layout.chunks, written.layout.manifest(len(written.manifest.encode()))
    assert data[:62] == bytes.fromhex(blocks("6.6.2")[0])
    assert data[chunks.data_offset : chunks.end].decode() == blocks("6.6.3")[0]
    assert data[manifest.data_offset : manifest.end].decode() == blocks("6.6.4")[0]
    assert data[-40:] == bytes.fromhex(blocks("6.6.5")[0])
    chapter = text_of(BY_NUMBER[6])
    assert hashlib.sha256(written.manifest.encode()).hexdigest() in chapter
    assert f"has {written.size:,} bytes" in chapter


def test_example_byte_map() -> None:
    data, written = example()
    rows = re.findall(r"^\| (\d+) \| (\d+) \| ([a-z-]+) \|", text_of(BY_NUMBER[6]), re.MULTILINE)
    with llamafile_format.open(data) as container:
        assert [(int(a), int(b), c) for a, b, c in rows] == [
            (span.offset, span.length, span.kind.value) for span in container.spans
        ]
    assert llamafile_format.verify(data, level="exhaustive").findings == ()
    assert written.size == len(data)


def test_example_signed(tmp_path: Path) -> None:
    from tests.by_hand_samples import append_record

    data, _ = example()
    signed = tmp_path / "signed"
    signed.write_bytes(data)
    append_record(signed, "oms", b"s" * 1000)
    rows = re.findall(r"^(\d+)( \+ s)? {2,}", blocks("6.6.6")[0], re.MULTILINE)
    places = [int(at) + (1000 if behind else 0) for at, behind in rows]
    with llamafile_format.open(signed) as container:
        assert [span.offset for span in container.spans][-3:] == [places[0], *places[2:]]
        assert container.entry("META-LLAMAFILE/signatures/0001.oms.json").data_offset == places[1]
        assert container.size == places[-1] + 40
    assert signed.read_bytes()[:2679] == data[:2679]


def test_chunk_roots_of_the_table() -> None:
    rows = re.findall(r"^\| (\d) \| `([0-9a-f]{64})` \|", text_of(BY_NUMBER[6]), re.MULTILINE)
    assert len(rows) >= 6
    for count, root in rows:
        leaves = [hashlib.sha256(bytes([value])).digest() for value in range(int(count))]
        assert chunk_root(leaves).hex() == root


def test_roles_of_the_table() -> None:
    rows = re.findall(
        r"^\| (\d+) \| `([a-z-]+)` \| .+ \| (yes|no) \| (0\d{3}) \|", text_of(BY_NUMBER[11]), re.MULTILINE
    )
    assert [role for _, role, _, _ in rows] == [role.value for role in Role if role is not Role.ENGINE_ASSET]
    ranks = [file_order(role, "a").rank for _, role, _, _ in rows]
    unknown = file_order("x-mine", "a").rank
    assert ranks == sorted(ranks)
    assert {role for _, role, _, _ in rows if file_order(role, "a").rank == unknown} == set(LATER)
    assert len(set(ranks)) == len(ranks) - len(LATER) + 1
    assert file_order("history", "a").rank < unknown < file_order("chunks", "a").rank
    for _, role, mapped, mode in rows:
        assert alignment_of(role) == (65536 if mapped == "yes" else 1)
        assert unix_mode(role) == 0o100000 | int(mode, 8)
