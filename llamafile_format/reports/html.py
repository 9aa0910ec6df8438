"""The catalogue record: one page that a museum would hang beside the object. Self-contained, without scripts.

Nothing is fetched (a content security policy says so to the browser), no clock is asked, and every text from the file
is escaped, so that the same file gives the same page and no file can write on it.
"""

from __future__ import annotations

from llamafile_format import __version__
from llamafile_format.examining import Inspection
from llamafile_format.reports import html_sections as sections
from llamafile_format.reports import inspect_words as words
from llamafile_format.reports.markup import Markup, el
from llamafile_format.reports.numbers import in_words, plural, size_text
from llamafile_format.reports.page_head import page_head


def page(inspection: Inspection) -> str:
    """The page as HTML text. Ask for ``inspect(..., tensors=True)``, or the treemap is left out."""
    head = page_head(f"{object_name(inspection)} - catalogue record")
    body = el("body", el("main", _title_block(inspection), *_sections(inspection), _colophon()))
    return f"<!DOCTYPE html>\n{el('html', head, body, lang='en')}\n"


def object_name(inspection: Inspection) -> str:
    """What to call the object: its title, the model's name, or the file's."""
    model = inspection.model
    said = inspection.file.title or (model.facts.name if model else "")
    return said or inspection.file.name.rpartition("/")[2] or "untitled"


def _sections(inspection: Inspection) -> list[Markup]:
    parts = [
        ("The object", sections.identity(inspection)),
        ("What the file is made of", sections.contents(inspection)),
        ("The model", sections.model(inspection)),
        ("What it needs to run", sections.running(inspection)),
        ("Rights and provenance", sections.provenance(inspection)),
        ("Condition report", sections.condition(inspection)),
        ("How to check this by hand", sections.by_hand(inspection)),
    ]
    return [el("section", el("h2", title), content) for title, content in parts if content]


def _title_block(inspection: Inspection) -> Markup:
    report = inspection.report
    badges = [_badge(layer.value, verdict.value) for layer, verdict in report.verdicts.items()]
    if inspection.file.bare:
        badges.append(el("li", "a bare model, not a llamafile", class_="badge undetermined"))
    return el(
        "header",
        el("p", "Catalogue record: language model", class_="kicker"),
        el("h1", object_name(inspection)),
        el("p", _lead(inspection), class_="lead"),
        el("ul", *badges, class_="badges"),
    )


def _lead(inspection: Inspection) -> str:
    """One sentence that says what the object is."""
    model = inspection.model
    size = size_text(inspection.file.size)
    holder = f"One file of {size}, {words.kind_text(inspection)}."
    if model is None:
        return holder
    facts = model.facts
    parts = [words.kind_of_model(facts)]
    if facts.tensors:
        parts.append(f"with {in_words(facts.parameters)} parameters in {plural(facts.tensors, 'tensor')}")
    if facts.bits_per_weight:
        parts.append(f"at {facts.bits_per_weight:.2f} bits a weight")
    return f"{' '.join(parts)}. {holder}"


def _badge(layer: str, verdict: str) -> Markup:
    return el("li", layer, el("b", verdict), class_=f"badge {verdict}")


def _colophon() -> Markup:
    return el(
        "footer",
        el(
            "p",
            f"Made by llamafile-format {__version__} from the file alone, by a quick look: structure, manifest and "
            "headers. Weights were not read and nothing was run. "
            "What the file says about itself is quoted, not confirmed.",
        ),
    )
