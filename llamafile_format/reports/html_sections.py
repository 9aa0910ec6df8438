"""The sections of the catalogue record, each a function from an inspection to markup; None leaves it out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llamafile_format.examining import Inspection, MemberView, ModelView
from llamafile_format.findings import Finding
from llamafile_format.reports import inspect_words as words
from llamafile_format.reports.by_hand import checks
from llamafile_format.reports.markup import Child, Markup, el, join
from llamafile_format.reports.numbers import alignment_text, grouped, percent, plural, size_text
from llamafile_format.reports.palette import type_colors
from llamafile_format.reports.svg_bars import look_swatch, memory_bar, mix_bar, swatch
from llamafile_format.reports.svg_map import byte_map, legend, strata
from llamafile_format.reports.svg_treemap import MAX_TENSORS, treemap
from llamafile_format.rules import Severity, rule

MAX_MEMBERS = 200
MAX_FINDINGS = 100
MAX_TYPES = 40
_SEVERITIES = (Severity.ERROR, Severity.WARNING, Severity.INFO)

Fact = tuple[str, Child]
"""A name and what there is to say; an empty or missing value leaves the fact out."""


def facts(rows: Iterable[Fact]) -> Markup:
    """A list of facts; those without a value are left out."""
    return el("dl", *(join([el("dt", name), el("dd", value)]) for name, value in rows if value not in (None, "")))


def mono(text: str) -> Markup | None:
    """``text`` in fixed width; None if empty."""
    return el("code", text) if text else None


def table(heads: Sequence[tuple[Child, str]], rows: Iterable[Sequence[Child]]) -> Markup:
    """A table; each head is a name and the classes of its column."""
    classes = [look or None for _, look in heads]
    head = el("tr", *(el("th", name, class_=look, scope="col") for (name, _), look in zip(heads, classes, strict=True)))
    body = [el("tr", *(el("td", cell, class_=look) for cell, look in zip(row, classes, strict=True))) for row in rows]
    return el("div", el("table", el("thead", head), el("tbody", *body)), class_="scroll")


def identity(inspection: Inspection) -> Markup:
    """What it is called, how large it is, by which digest it is known."""
    file = inspection.file
    model = inspection.model
    return facts(
        [
            ("File", file.name.rpartition("/")[2] or file.name),
            ("Name", file.title or (model.facts.name if model else "")),
            ("Format", words.kind_text(inspection)),
            ("Size", f"{grouped(file.size)} bytes ({size_text(file.size)})"),
            ("Manifest, SHA-256", mono(file.manifest_sha256)),
            ("Default model", file.default),
            ("Created", file.created),
            ("Source", file.source),
            ("Overhead", _overhead(inspection)),
        ]
    )


def _overhead(inspection: Inspection) -> str:
    file = inspection.file
    if file.bare or not file.size:
        return ""
    return f"{grouped(file.overhead)} bytes ({percent(file.overhead / file.size)}) are neither engine nor contents"


def contents(inspection: Inspection) -> Markup | None:
    """The byte map and the members."""
    if not inspection.map or not inspection.file.size:
        return None
    layers = strata(inspection)
    joined = any(layer.spans > 1 for layer in layers)
    caption = (
        "The file as a core sample, from its first byte at the top to its last. Left: to scale. Right: heights grow "
        "with the logarithm of the length, so that small spans can be seen. "
        f"The spans add up to {grouped(sum(span.length for span in inspection.map))} bytes, the size of the file."
        + (" Runs of small spans are drawn as one." if joined else "")
    )
    figure = el(
        "figure",
        el("div", byte_map(inspection), legend(layers), class_="sample"),
        el("figcaption", caption),
    )
    return join([figure, _members(inspection.members)])


def _members(members: Sequence[MemberView]) -> Markup | None:
    if not members:
        return None
    heads = [
        ("Member and its digest", "path"),
        ("Role", ""),
        ("Bytes", "num"),
        ("Offset", "num optional"),
        ("Aligned", "num optional"),
    ]
    rows = [
        (
            join([member.path, el("span", _digest(member), class_="digest")]),
            member.role,
            grouped(member.size),
            grouped(member.offset) if member.offset >= 0 else "outside the file",
            alignment_text(member.boundary),
        )
        for member in members[:MAX_MEMBERS]
    ]
    left = len(members) - len(rows)
    more = el("p", f"and {plural(left, 'more member')}", class_="caption") if left else None
    return join([el("h3", plural(len(members), "member")), table(heads, rows), more])


def _digest(member: MemberView) -> str:
    if member.sha256:
        return f"sha256 {member.sha256}"
    return f"crc32 {member.crc32}, no digest recorded"


def model(inspection: Inspection) -> Markup | None:
    """Facts of the model that starts, its types and its tensors."""
    view = inspection.model
    if view is None:
        return None
    others = [other for other in inspection.models if other is not view]
    parts = [
        None if view.complete else el("p", "Its header is faulty; these are the facts up to the fault.", class_="no"),
        facts(_model_facts(view)),
        _mix(view),
        _tree(view),
        _templates(inspection, view),
        _others(others, inspection.models_left_out),
    ]
    return join(parts)


def _model_facts(view: ModelView) -> list[Fact]:
    said = view.facts
    split = said.split
    return [
        ("Architecture", words.model_title(view)),
        ("Shape", ", ".join(words.model_shape(view))),
        ("Author", _list([said.author, said.organization])),
        ("Description", said.description),
        ("Size label", said.size_label),
        ("Languages", ", ".join(said.languages)),
        ("Tags", ", ".join(said.tags)),
        ("Trained on", ", ".join(said.datasets)),
        ("Part", f"{(split.number or 0) + 1} of {split.shards}" if split and split.shards else ""),
        ("Form", f"GGUF {said.gguf_version}, {said.byte_order}-endian, {plural(view.keys, 'key')}"),
    ]


def _list(texts: Iterable[str | None]) -> str:
    return ", ".join(text for text in texts if text)


def _mix(view: ModelView) -> Markup | None:
    mix = view.facts.mix
    if not mix:
        return None
    colors = type_colors(share.type for share in mix)
    heads = [
        ("Type", ""),
        ("Tensors", "num"),
        ("Weights", "num optional"),
        ("Bytes", "num"),
        ("Share", "num"),
        ("Bits a weight", "num"),
    ]
    rows = [
        (
            join([swatch(colors[share.type]), share.type]),
            grouped(share.tensors),
            grouped(share.elements),
            grouped(share.size) if share.size or not share.elements else "unknown",
            percent(share.share) if share.size or not share.elements else "?",
            f"{share.size * 8 / share.elements:.2f}" if share.elements and share.size else "?",
        )
        for share in mix[:MAX_TYPES]
    ]
    return join(
        [el("h3", "Quantisation"), el("p", ", ".join(words.quantisation(view))), mix_bar(view), table(heads, rows)]
    )


def _tree(view: ModelView) -> Markup | None:
    drawing = treemap(view)
    if drawing is None:
        return None
    caption = (
        "Each rectangle is a tensor, its area its bytes. Colours are types as in the table above; "
        "tensors of one layer stand together."
    )
    if view.facts.tensors > MAX_TENSORS:
        caption += f" The {grouped(view.facts.tensors - MAX_TENSORS)} smallest are drawn together."
    return join([el("h3", "Tensors"), el("figure", drawing, el("figcaption", caption))])


def _templates(inspection: Inspection, view: ModelView) -> Markup | None:
    templates = [*view.templates, *inspection.templates]
    if not templates:
        return None
    rows = [(words.template_text(template), template.sha256) for template in templates[:20]]
    return join([el("h3", "Chat template"), table([("What its text shows", ""), ("SHA-256", "mono")], rows)])


def _others(others: Sequence[ModelView], left_out: int) -> Markup | None:
    if not others:
        return None
    rows = [(other.member, other.role, words.model_title(other), size_text(other.size)) for other in others]
    more = el("p", f"and {plural(left_out, 'more model')}", class_="caption") if left_out else None
    heads = [("Member", "path"), ("Role", ""), ("Model", ""), ("Size", "num")]
    return join([el("h3", "Beside it in the file"), table(heads, rows), more])


def running(inspection: Inspection) -> Markup:
    """Engine, systems, memory, arguments."""
    prefix = inspection.prefix
    rows: list[Fact] = [
        ("Begins with", words.prefix_text(prefix)),
        ("Engine", words.engine_text(prefix)),
        ("Engine, SHA-256", mono(prefix.engine_sha256 if prefix.engine_size else "")),
        ("Evidence", "; ".join(prefix.engine.evidence[:4]) if prefix.engine else ""),
        ("Runs on", "; ".join(words.systems(prefix))),
        ("Engine's own files", f"{prefix.assets:,}" if prefix.assets else ""),
    ]
    if inspection.will_run is not None:
        rows.append(("Will run", "; ".join(words.will_run_text(inspection))))
        rows.append(("./FILE", "; ".join(words.started_text(inspection))))
        rows.append(("Run here", "; ".join(words.here_text(inspection))))
    for arguments in inspection.arguments:
        text = mono(" ".join(words.arguments_text(arguments)) or "(empty)")
        rows.append(
            ("Default arguments", join([text, el("span", f" in the dialect {arguments.dialect}", class_="dim")]))
        )
    if not inspection.arguments and not inspection.file.bare:
        rows.append(("Default arguments", "none"))
    return join([facts(rows), _memory(inspection.model)])


def _memory(view: ModelView | None) -> Markup | None:
    if view is None:
        return None
    memory = view.memory
    if not memory.rows or memory.scratch is None:
        return join([el("h3", "Memory"), el("p", f"No estimate: {memory.reason}.")])
    most = max(row.total for row in memory.rows)
    heads: list[tuple[Child, str]] = [
        ("Context", "num"),
        (join([look_swatch("weights"), "Weights"]), "num optional"),
        (join([look_swatch("record"), "KV cache"]), "num"),
        (join([look_swatch("paper"), "Scratch"]), "num optional"),
        ("Together", "num"),
        ("", "bar"),
    ]
    rows = [
        (
            f"{row.context:,}",
            size_text(memory.weights),
            size_text(row.cache),
            size_text(memory.scratch),
            size_text(row.total),
            memory_bar(memory.weights, row.cache, memory.scratch, most),
        )
        for row in memory.rows
    ]
    notes = f" Note: {'; '.join(memory.notes)}." if memory.notes else ""
    caption = f"An estimate by arithmetic, not a measurement: {memory.formula}.{notes}"
    return join([el("h3", "Memory"), table(heads, rows), el("p", caption, class_="caption")])


def provenance(inspection: Inspection) -> Markup:
    """Licence, makers, what it was made from, who signed, what was done to the file."""
    view = inspection.model
    said = view.facts if view else None
    rows: list[Fact] = [
        ("Licence", words.licence_text(inspection.licence)),
        ("Licence address", inspection.licence.link),
        ("Source", inspection.file.source),
        ("Quantised by", said.quantised_by if said else ""),
        ("Importance matrix", _imatrix(view)),
        ("Address", said.url if said else ""),
        ("Signatures and behaviour", words.statements_text(inspection) if not inspection.file.bare else ""),
        ("Signatures by", words.claims_text(inspection)),
    ]
    rows += [
        ("Made from", _list([base.organization, base.name, base.version, base.url]))
        for base in (said.base_models if said else ())[:8]
    ]
    for number, entry in enumerate(inspection.history[-20:], 1):
        changes = entry.get("changes")
        done = (
            ", ".join(str(change.get("what")) for change in changes if isinstance(change, dict))
            if isinstance(changes, list)
            else ""
        )
        before = entry.get("manifest_sha256")
        rows.append(
            (
                f"History {number}",
                join(
                    [_list([str(entry.get("action", "")), done]), " from ", mono(before)]
                    if isinstance(before, str)
                    else [str(entry.get("action", ""))]
                ),
            )
        )
    return facts(rows)


def _imatrix(view: ModelView | None) -> str:
    imatrix = view.facts.imatrix if view else None
    if imatrix is None:
        return ""
    counted = f"{grouped(imatrix.chunks)} chunks" if imatrix.chunks else ""
    return _list([imatrix.file, imatrix.dataset, counted]) or "used"


def condition(inspection: Inspection) -> Markup:
    """The quick check: verdicts in words, and every finding with its remedy."""
    report = inspection.report
    counts = words.counts(report.findings)
    tally = ", ".join(
        plural(counts[severity], word) for severity, word in zip(_SEVERITIES, ("error", "warning", "note"), strict=True)
    )
    left = words.not_read(report.findings)
    scope = "A quick check looks at structure, manifest and headers. "
    scope += f"Not read, and so not vouched for: {'; '.join(left)}. " if left else ""
    intro = [el("p", f"{scope}{tally[0].upper()}{tally[1:]}.")]
    if not report.complete:
        intro.append(el("p", f"The check could not be completed: {report.error}", class_="no"))
    grave = sorted(report.findings, key=lambda finding: _SEVERITIES.index(rule(finding.rule).severity))
    shown = [_finding(finding) for finding in grave[:MAX_FINDINGS]]
    rest = len(grave) - len(shown)
    more = (
        el("p", f"and {plural(rest, 'more finding')}: llamafile-format verify lists all", class_="caption")
        if rest
        else None
    )
    return join([*intro, *shown, more])


def _finding(finding: Finding) -> Markup:
    row = rule(finding.rule)
    place = [
        f"byte {grouped(finding.where.offset)}" if finding.where.offset is not None else "",
        finding.where.member,
        finding.where.field,
    ]
    return el(
        "div",
        el("p", row.render(finding)),
        el(
            "p",
            f"{row.id}, {row.severity.value}, clause {row.clause}" + "".join(f", {text}" for text in place if text),
            class_="caption",
        ),
        el("p", f"What to do: {row.advise(finding)}", class_="caption")
        if row.severity is not Severity.INFO or row.undetermined
        else None,
        class_=f"finding {row.severity.value}",
    )


def by_hand(inspection: Inspection) -> Markup:
    """Commands for somebody who has none of our software."""
    steps = [
        el("li", text, el("pre", command), el("p", expect, class_="caption") if expect else None)
        for text, command, expect in checks(inspection)
    ]
    return el("ol", *steps)
