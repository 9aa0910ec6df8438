"""Page and library on every vector: the same verdicts and the same rules, but for what ``viewer/gaps.yaml`` lists.

The page's own script judges them in headless Chromium: all vectors lie in one file that is chosen as a visitor chooses
one, and each is a slice of it.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

import llamafile_format
from llamafile_format.checks.verdict import Report
from llamafile_format.container import Kind
from llamafile_format.rules import all_rules
from llamafile_format.signing.keys.key_files import read_public
from llamafile_format.signing.trust.policy import key_policy
from llamafile_format.zip.names import collision_key
from spec.vectors.generate import ROOT
from spec.vectors.generate.load import Vector, read_vector, vector_files
from tests.interop.webdriver import Browser, browser
from viewer.build import page

pytestmark = [pytest.mark.slow, pytest.mark.interop]

GAPS = yaml.safe_load((Path(__file__).resolve().parents[2] / "viewer/gaps.yaml").read_text("utf-8"))
LISTED = [*GAPS["left out"], *GAPS["owed"]]
QUICK = 6  # every so many-th vector is judged at level quick too
BARE = 8  # every so many-th bare GGUF is judged: that it is no container is all that there is to say of it here
LAYERS = ("well-formed", "valid", "authentic")
TRUSTED = ("curator-pair.pub", "archive.pub", "old.pub", "second.pub")
"""Whom both trust, where they trust anybody: a pair, and single keys."""
JUDGE = """
window.told = null;
/** Chapter 3 alone, of a program in front of an empty archive (3.9). */
async function chapterOf(source) {
  const end = await source.read(source.size - 22, 22);
  const instead = await module_impostors.recognise(source);
  if (instead || end.length < 22 || module_bytes.number(end, 10, 2)) return instead ? [instead] : [];
  const start = module_bytes.number(end, 16, 4);
  return module_prefix.checkPrefix(source, start, await module_prefix.identify(source, start));
}
(async () => {
  const pack = document.getElementById("file").files[0];
  const told = [];
  const signers = await Promise.all(KEYS.map(module_keys.keysIn));
  for (const [at, size, full, trusting] of ROWS) {
    const blob = new Blob([await pack.slice(at, at + size).arrayBuffer()]);
    const file = await module_verify.openFile(blob);
    const report = await module_verify.verify(file, { full, signers: trusting ? signers : [] });
    const { verdicts, findings, leftOut } = report;
    const rules = found => [...new Set(found.map(each => each.rule))];
    const chapter = rules(await chapterOf(module_source.sourceOf(blob)));
    told.push({ kind: file.kind, verdicts, rules: rules(findings), leftOut, chapter });
  }
  return told;
})().then(value => { window.told = value; }, error => { window.told = String(error.stack || error); });
"""


@dataclass(frozen=True, slots=True)
class Judged:
    """One vector at one level: what the library and what the page says of it."""

    vector: Vector
    name: str
    kind: Kind
    rules: frozenset[str]
    verdicts: Mapping[str, str]
    page: Mapping[str, Any]

    @property
    def missing(self) -> frozenset[str]:
        """Rules that the library reports and the page does not."""
        return self.rules - set(self.page["rules"])

    @property
    def surplus(self) -> frozenset[str]:
        """Rules that the page reports and the library does not."""
        return frozenset(self.page["rules"]) - self.rules


@pytest.fixture(scope="module")
def window(tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The page, opened from a file."""
    folder = tmp_path_factory.mktemp("viewer")
    (folder / "page.html").write_text(page(), "utf-8")
    with browser(tool, folder / "profile") as opened:
        opened.open((folder / "page.html").as_uri())
        yield opened


@pytest.fixture(scope="module")
def judged(window: Browser, tmp_path_factory: pytest.TempPathFactory) -> list[Judged]:
    """Every vector of a container or of a prefix, and some bare weights, judged by both."""
    read = [read_vector(path) for path in vector_files(ROOT)]
    vectors = [vector for vector in read if vector.kind in ("container", "prefix")]
    vectors += [vector for vector in read if vector.kind == "gguf"][::BARE]
    asked: list[tuple[Vector, bool, int, bool]] = []
    pack = tmp_path_factory.mktemp("vectors") / "vectors.bin"
    with pack.open("wb") as file:
        for index, vector in enumerate(vectors):
            at = file.tell()
            file.write(vector.payload)
            asked += [(vector, full, at, False) for full in ((True,) if index % QUICK else (True, False))]
            asked += [(vector, True, at, True)] if vector.name.startswith("signatures/") and vector.trust else []
    window.type("#file", str(pack))
    rows = [[at, len(vector.payload), full, trusting] for vector, full, at, trusting in asked]
    keys = [(ROOT / "trust/keys" / name).read_text("ascii") for name in TRUSTED]
    window.script(JUDGE.replace("ROWS", json.dumps(rows)).replace("KEYS", json.dumps(keys)))
    reports = [_report(vector, full, trusting) for vector, full, _, trusting in asked]  # while the page is at work
    told = window.wait("window.told", 900)
    assert isinstance(told, list), told
    pairs = zip(asked, reports, told, strict=True)
    return [_judged(vector, full, trusting, report, said) for (vector, full, _, trusting), report, said in pairs]


def _report(vector: Vector, full: bool, trusting: bool) -> Report:
    policy = key_policy({name: read_public(ROOT / "trust/keys" / name) for name in TRUSTED})
    told = {"policy": policy, "as_of": datetime(2026, 11, 21, tzinfo=UTC)} if trusting else {}
    return llamafile_format.verify(vector.payload, level="full" if full else "quick", **told)


def _judged(vector: Vector, full: bool, trusting: bool, report: Report, said: Mapping[str, Any]) -> Judged:
    rules = frozenset(finding.rule for finding in report.findings)
    verdicts = {layer.value: verdict.value for layer, verdict in report.verdicts.items()}
    how = "trusting" if trusting else "full" if full else "quick"
    return Judged(vector, f"{vector.name} ({how})", report.kind, rules, verdicts, said)


def test_they_agree_what_it_is(judged: list[Judged]) -> None:
    kinds = {"container": Kind.CONTAINER, "legacy": Kind.LEGACY, "other": Kind.OTHER}
    assert [each.name for each in judged if kinds[each.page["kind"]] is not each.kind] == []


def test_the_page_reports_nothing_that_the_library_does_not(judged: list[Judged]) -> None:
    assert {each.name: sorted(each.surplus) for each in judged if each.surplus} == {}


def test_what_the_page_does_not_report_is_listed(judged: list[Judged]) -> None:
    unlisted = {each.name: [rule for rule in sorted(each.missing) if not _gaps_of(rule)] for each in judged}
    assert {name: rules for name, rules in unlisted.items() if rules} == {}


def test_a_gap_that_is_none_any_more_is_not_listed(judged: list[Judged]) -> None:
    there = {rule for each in judged for rule in each.missing}
    assert [gap["clause"] for gap in LISTED if not any(gap in _gaps_of(rule) for rule in there)] == []
    assert {rule for gap in LISTED for rule in gap.get("rules", ())} <= there


def test_no_rule_is_listed_twice() -> None:
    found = {rule: [gap["clause"] for gap in _gaps_of(rule)] for rule in all_rules()}
    assert {rule: clauses for rule, clauses in found.items() if len(clauses) > 1} == {}


def test_chapter_3_alone(judged: list[Judged]) -> None:
    """Vectors of kind ``prefix`` with an empty archive name the rules of that chapter (3.9)."""
    of_prefix = [each for each in judged if each.vector.name.startswith("prefix/")]
    alone = [each for each in of_prefix if each.vector.payload[-12:-10] == b"\0\0"]
    assert len(alone) > 40
    wrong = {each.name: each.page["chapter"] for each in alone if set(each.page["chapter"]) != set(each.vector.rules)}
    assert wrong == {}


def _gaps_of(rule: str) -> list[Mapping[str, Any]]:
    """The gaps that a rule belongs to: by its clause, its range, or by name."""
    clause = all_rules()[rule].clause + "."
    return [
        gap
        for gap in LISTED
        if clause.startswith(gap["clause"] + ".")
        or rule.startswith(gap.get("range", "-"))
        or rule in gap.get("rules", ())
    ]


def test_verdicts_are_the_same_or_left_open(judged: list[Judged]) -> None:
    """*Undetermined* in the place of another word is allowed only where the page says which clause it left out."""
    wrong = []
    for each in judged:
        open_layers = {left["layer"] for left in each.page["leftOut"]}
        for layer in LAYERS:
            ours, theirs = each.page["verdicts"].get(layer), each.verdicts.get(layer)
            if ours != theirs and not (ours == "undetermined" and layer in open_layers):
                wrong.append(f"{each.name}: {layer} is {theirs} to the library and {ours} to the page")
    assert wrong == []


def test_names_are_folded_alike(window: Browser) -> None:
    """Browsers have no case folding; what the page makes of their upper and lower case joins the same characters."""
    letters = [
        chr(code) for code in range(0x80, 0x30000) if unicodedata.category(chr(code)) in ("Ll", "Lu", "Lt", "Mn")
    ]
    folded = [[letter, collision_key(letter)] for letter in letters]
    found = window.script(
        f"return {json.dumps(folded)}.map(([one, key]) => [module_names.folded(one), module_names.folded(key)])"
    )
    assert [letter for letter, (one, key) in zip(letters, found, strict=True) if one != key] == []
    joined = {(ours, key) for (ours, _), (_, key) in zip(found, folded, strict=True)}
    assert len({ours for ours, _ in joined}) == len({key for _, key in joined}) == len(joined)
