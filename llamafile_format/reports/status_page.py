"""The status of kept files as one page that needs nothing else: no script, no request, every text escaped."""

from __future__ import annotations

from llamafile_format import __version__
from llamafile_format.keeping import FileStatus, Status
from llamafile_format.reports.escape import printable
from llamafile_format.reports.markup import Markup, el
from llamafile_format.reports.numbers import plural, size_text
from llamafile_format.reports.page_head import page_head
from llamafile_format.reports.status_text import proof_of, protection_of

_BAD = ("damaged", "changed", "missing", "unreadable")


def status_page(status: Status) -> str:
    """The page as HTML text: a list of all files, then a section for each."""
    wrong = sum(file.word in _BAD for file in status.files)
    words = f"{wrong} not as recorded" if wrong else "none known to be wrong"
    body = el(
        "body",
        el(
            "main",
            el("header", el("p", "Status of kept files", class_="kicker"), el("h1", status.moment[:10])),
            el(
                "p",
                f"{plural(len(status.files), 'file')}, {words}; "
                f"{sum(file.protected for file in status.files)} protected; NDSA level for integrity: ",
                el("b", f"{status.level} of 4"),
                ".",
                class_="lead",
            ),
            _list(status),
            *(_section(file, at, status) for at, file in enumerate(status.files, 1)),
            *(el("p", printable(note), class_="no") for note in status.notes),
            el("footer", el("p", f"Made by llamafile-format {__version__}. No weights were read to make this page.")),
        ),
    )
    return f"<!DOCTYPE html>\n{el('html', page_head('Status of kept files'), body, lang='en')}"


def _list(status: Status) -> Markup:
    rows = [
        el(
            "tr",
            el("td", el("a", printable(file.path), href=f"#file-{at}"), class_="path"),
            el("td", file.word or "as recorded", class_="no" if file.word in _BAD else "yes"),
            el("td", file.proven[:10] or "never"),
            el("td", "yes" if file.protected else "no"),
            el("td", f"{file.due[0].day or 'now'}: {file.due[0].what}" if file.due else "nothing"),
            el("td", file.level.reached, class_="num"),
        )
        for at, file in enumerate(status.files, 1)
    ]
    names = ("File", "State", "Proven", "Protected", "Next", "Level")
    head = el("tr", *(el("th", name, scope="col") for name in names))
    return el("div", el("table", el("thead", head), el("tbody", *rows)), class_="scroll")


def _section(file: FileStatus, at: int, status: Status) -> Markup:
    rows = {
        "State": f"{file.word or 'as recorded'}{f': {printable(file.detail)}' if file.detail else ''}",
        "Size": f"{size_text(file.size)} ({file.size} bytes)",
        "Manifest SHA-256": file.manifest_sha256,
        "Protected by": protection_of(file),
        "Proven": proof_of(file) if status.state else None,
        "Level": f"{file.level.reached} of 4",
    }
    pairs = [part for name, value in rows.items() if value for part in (el("dt", name), el("dd", value))]
    due = [el("li", el("b", due.day or "now"), f" {due.what}: {printable(due.why)}") for due in file.due]
    lacking = [el("li", f"Not level {file.level.reached + 1}: {text}") for text in file.level.lacking]
    return el(
        "section",
        el("h2", printable(file.path), class_="name"),
        el("dl", *pairs),
        el("h3", "Next") if due else None,
        el("ul", *due) if due else None,
        el("ul", *lacking, class_="dim") if lacking else None,
        id=f"file-{at}",
    )
