"""The decision records: numbered without gaps, listed in the index, each with the sections of the template."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "spec" / "adr"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))


def sections(text: str) -> list[str]:
    """The second-level headings of a page."""
    return re.findall(r"^## (.+)$", text, flags=re.MULTILINE)


def test_numbers_have_no_gaps() -> None:
    assert [path.name[:4] for path in RECORDS] == [f"{number:04}" for number in range(1, len(RECORDS) + 1)]


def test_each_record_follows_the_template() -> None:
    wanted = sections((FOLDER / "template.md").read_text(encoding="utf-8"))
    assert wanted
    for path in RECORDS:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {path.name[:4]}. "), path.name
        assert re.search(
            r"^Status: (proposed|accepted|superseded by \d{4}) · Date: \d{4}-\d\d-\d\d · Clauses: \S",
            text,
            re.MULTILINE,
        ), path.name
        assert sections(text) == wanted, path.name


def test_index_lists_every_record_by_its_title() -> None:
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\d{4})\]\((.+?)\) \| (.+?) \| (.+?) \|$", index, flags=re.MULTILINE)
    titles = [path.read_text(encoding="utf-8").splitlines()[0][len("# 0000. ") :] for path in RECORDS]
    assert [(name, title) for _, name, title, _ in rows] == [
        (path.name, title) for path, title in zip(RECORDS, titles, strict=True)
    ]
