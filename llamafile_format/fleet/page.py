"""A ledger as one page: what it comes to, and what is wrong, to be filtered and opened (spec/1, 10.15.6).

The page needs nothing else. Its script is ours, stands in it and only hides rows; without it all rows are there. Every
text from a file or a name is escaped.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from llamafile_format import __version__
from llamafile_format.fleet.ledger import Basis, Line, newest
from llamafile_format.fleet.row import ANSWERS, PASSED_OVER, QUARANTINED, Row
from llamafile_format.reports import Markup, el, grouped, page_head, plural, size_text
from llamafile_format.rules import all_rules

MOST = 5000
"""Rows on the page, the worst ones; the others are in the ledger."""

_TOP = 30  # rules that have a line of their own
_SHADES = {"yes": "yes", "undetermined": "undetermined", PASSED_OVER: "dim"}

_STYLE = """
.bars{list-style:none;margin:0 0 8px;padding:0}
.bars li{display:grid;grid-template-columns:11em 5.5em 1fr;gap:14px;align-items:center;padding:4px 0}
.bars .num{text-align:right;font-size:14px;font-variant-numeric:tabular-nums}
.bars svg{height:12px}.bars rect{fill:currentColor}.dim rect{opacity:.5}
.filters{display:flex;flex-wrap:wrap;gap:14px 22px;align-items:end;margin:0 0 16px}
.filters[hidden]{display:none}
.filters label{font:13px/1.4 "Gill Sans","Optima","Segoe UI","Helvetica Neue",Arial,sans-serif;color:var(--soft)}
.filters input,.filters select{display:block;margin-top:3px;font:15px/1.4 inherit;color:var(--ink);
background:var(--card);border:1px solid var(--line);border-radius:3px;padding:6px 9px;min-width:12em;max-width:100%}
.filters :focus-visible,summary:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
#shown{color:var(--soft);font-size:14px;margin:0 0 0 auto}
td.bar svg{height:10px;margin-top:6px}
#objects td:first-child{width:62%}
#objects details p{margin:6px 0 0;font-size:14px}
summary{cursor:pointer;overflow-wrap:anywhere}
td.answer{white-space:nowrap}
"""

_SCRIPT = """
"use strict";
(function () {
  const form = document.getElementById("filters"), shown = document.getElementById("shown");
  const rows = Array.from(document.querySelectorAll("#objects tbody tr"));
  const [text, answer, rule] = ["text", "answer", "rule"].map((name) => form.elements[name]);
  function apply() {
    const words = text.value.toLowerCase().split(" ").filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const name = row.dataset.name.toLowerCase();
      const fits = words.every((word) => name.includes(word))
        && (!answer.value || row.dataset.answer === answer.value)
        && (!rule.value || row.dataset.rules.split(" ").includes(rule.value));
      row.hidden = !fits;
      count += fits ? 1 : 0;
    }
    shown.textContent = count + " of " + rows.length + " shown";
  }
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
})();
"""


@dataclass(slots=True)
class _Gathered:
    """What a ledger comes to."""

    answers: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    bases: Counter[Basis] = field(default_factory=Counter)
    policies: Counter[str] = field(default_factory=Counter)
    worst: list[tuple[int, int, Row]] = field(default_factory=list)
    size: int = 0
    seconds: float = 0.0
    first: str = ""
    last: str = ""

    def add(self, line: Line, row: Row) -> None:
        """Count a row, and keep it if it is among the worst."""
        self.answers[row.answer] += 1
        self.rules.update(row.rules.keys())
        self.bases[line.basis] += 1
        self.policies[row.policy] += 1
        self.size += row.size
        self.seconds += row.seconds
        self.first, self.last = min(self.first or line.time, line.time), max(self.last, line.time)
        if row.answer == PASSED_OVER or (row.answer == "yes" and not row.rules):
            return
        ranked = (ANSWERS.index(row.answer), -self.answers.total(), row)
        if len(self.worst) < MOST:
            heapq.heappush(self.worst, ranked)
        else:
            heapq.heappushpop(self.worst, ranked)


def ledger_page(ledger: Path) -> str:
    """The page as HTML text, about each object as it was judged last."""
    found = _Gathered()
    for line, row in newest(ledger):
        found.add(line, row)
    total = found.answers.total()
    rows = [row for *_, row in sorted(found.worst, key=lambda ranked: (-ranked[0], -ranked[1]))]
    body = el(
        "body",
        el(
            "main",
            el(
                "header",
                el("p", "Fleet report", class_="kicker"),
                el("h1", f"{plural(total, 'object')} verified"),
                el("p", _lead(found), class_="lead"),
            ),
            el("h2", "Answers"),
            _bars([(word, found.answers[word], _SHADES.get(word, "no")) for word in ANSWERS if found.answers[word]]),
            el("h2", "What it rests on"),
            _facts(found),
            *_rules(found),
            *_objects(rows, found),
            _footer(),
        ),
        el("script", Markup(_SCRIPT)) if rows else None,
    )
    head = page_head(f"Fleet report: {plural(total, 'object')}", style=_STYLE, script=_SCRIPT if rows else "")
    return f"<!DOCTYPE html>\n{el('html', head, body, lang='en')}\n"


def _lead(found: _Gathered) -> str:
    total, good = found.answers.total() - found.answers[PASSED_OVER], found.answers["yes"]
    parts = [f"{grouped(good)} of {grouped(total)} are what they claim to be"]
    if found.answers[QUARANTINED]:
        parts.append(f"{found.answers[QUARANTINED]} ended the process that looked at them")
    return "; ".join(parts) + "."


def _bars(entries: Iterable[tuple[Markup | str, int, str]]) -> Markup:
    """A line for each: what, how many, and a bar as long as that, beside the others."""
    entries = list(entries)
    most = max((count for _, count, _ in entries), default=1)
    lines = [
        el(
            "li",
            el("span", word),
            el("span", grouped(count), class_="num"),
            el(
                "svg",
                el("rect", x=0, y=0, width=max(100.0 * count / most, 0.4), height=12),
                viewBox="0 0 100 12",
                preserveAspectRatio="none",
                aria_hidden="true",
            ),
            class_=shade,
        )
        for word, count, shade in entries
    ]
    return el("ul", *lines, class_="bars")


def _facts(found: _Gathered) -> Markup:
    levels = Counter[str]()
    for basis, count in found.bases.items():
        levels[basis.level] += count
    rules = {basis.rules for basis in found.bases}
    facts = {
        "Level": ", ".join(f"{level} ({count})" for level, count in levels.most_common()),
        "Policy": ", ".join(
            f"{name} ({count})" if name else f"none ({count})" for name, count in _named(found.policies)
        ),
        "Rule tables": ", ".join(sorted(digest[:16] for digest in rules)),
        "Size of all": size_text(found.size),
        "Judged": f"{found.first} to {found.last}" if found.first != found.last else found.first,
        "Time of workers": f"{found.seconds:.0f} s",
    }
    return el("dl", *(part for name, value in facts.items() if value for part in (el("dt", name), el("dd", value))))


def _named(policies: Counter[str]) -> list[tuple[str, int]]:
    return policies.most_common(10)


def _rules(found: _Gathered) -> list[Markup]:
    if not found.rules:
        return []
    known = all_rules()
    lines = [
        (f"{name} {known[name].title if name in known else ''}".strip(), count, "")
        for name, count in found.rules.most_common(_TOP)
    ]
    more = len(found.rules) - len(lines)
    rows = [
        el(
            "tr",
            el("td", name),
            el("td", grouped(count), class_="num"),
            el("td", _bar(count, lines[0][1]), class_="bar"),
        )
        for name, count, _ in lines
    ]
    head = el("tr", el("th", "Rule"), el("th", "Objects", class_="num"), el("th", ""))
    return [
        el("h2", "Errors and warnings"),
        el("div", el("table", el("thead", head), el("tbody", *rows)), class_="scroll"),
        *([el("p", f"And {plural(more, 'other rule')}.", class_="dim")] if more > 0 else []),
    ]


def _bar(count: int, most: int) -> Markup:
    rect = el("rect", x=0, y=2, width=max(100.0 * count / most, 0.4), height=8, class_="k-weights")
    return el("svg", rect, viewBox="0 0 100 12", preserveAspectRatio="none", height=12, aria_hidden="true")


def _objects(rows: list[Row], found: _Gathered) -> list[Markup]:
    if not rows:
        return [el("h2", "Objects"), el("p", "There is nothing to say of any of them.")]
    there = sum(count for word, count in found.answers.items() if word not in ("yes", PASSED_OVER))
    left = there - sum(row.answer != "yes" for row in rows)
    head = el("tr", *(el("th", name, scope="col") for name in ("Object", "Answer")), el("th", "Size", class_="num"))
    return [
        el("h2", "Objects to look at"),
        *([el("p", f"The worst {len(rows)}; {left} others are in the ledger.", class_="dim")] if left > 0 else []),
        _filters(rows),
        el("div", el("table", el("thead", head), el("tbody", *map(_object, rows)), id="objects"), class_="scroll"),
    ]


def _filters(rows: list[Row]) -> Markup:
    words = [word for word in reversed(ANSWERS) if any(row.answer == word for row in rows)]
    rules = sorted({name for row in rows for name in row.rules})
    return el(
        "form",
        el("label", "Name has", el("input", name="text", type="search", autocomplete="off")),
        el("label", "Answer", _choice("answer", words)),
        el("label", "Rule", _choice("rule", rules)),
        el("p", "", id="shown", role="status"),
        id="filters",
        class_="filters",
        hidden="hidden",
    )


def _choice(name: str, words: Iterable[str]) -> Markup:
    return el("select", el("option", "any", value=""), *(el("option", word, value=word) for word in words), name=name)


def _object(row: Row) -> Markup:
    told = [*([row.why] if row.why else []), *row.told]
    facts = ", ".join(
        part
        for part in (
            row.kind,
            f"level {row.level}" if row.level else "",
            "; ".join(f"{layer} {verdict}" for layer, verdict in row.verdicts.items()),
            f"ended: {row.end}" if row.answer == QUARANTINED else "",
            f"{row.seconds:.3g} s",
        )
        if part
    )
    return el(
        "tr",
        el(
            "td",
            el(
                "details",
                el("summary", row.name),
                *(el("p", text) for text in told),
                el("p", facts, class_="dim"),
                el("p", f"version {row.version}", class_="dim mono") if row.version else None,
            ),
        ),
        el("td", row.answer, class_=f"answer {_SHADES.get(row.answer, 'no')}"),
        el("td", size_text(row.size) if row.size else "", class_="num"),
        data_name=row.name,
        data_answer=row.answer,
        data_rules=" ".join(row.rules),
    )


def _footer() -> Markup:
    return el(
        "footer",
        el(
            "p",
            f"Made by llamafile-format {__version__}. Nothing in a file is run or rendered to verify it. "
            "'Undetermined' means that not all was looked at, never that all is fine; 'quarantined' that a file ended, "
            "held up or filled the process that verified it, and that nothing is known of it.",
        ),
    )
