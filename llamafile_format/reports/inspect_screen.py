"""The default screen of ``inspect``: what fits 80 columns and 40 lines, in the order in which people ask.

Lines are built once, as texts with the name of a style. Without colours they are joined; on a terminal
:mod:`llamafile_format.reports.inspect_rich` paints them. Long lists are cut, and say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llamafile_format.examining import Inspection, MemberView, ModelView
from llamafile_format.reports import inspect_words as words
from llamafile_format.reports.columns import clip, clip_middle, clip_path, pad, width, wrap
from llamafile_format.reports.escape import printable
from llamafile_format.reports.numbers import alignment_text, grouped, percent, plural, size_text
from llamafile_format.rules import Severity, rule

COLUMNS = 79  # one less than a terminal has, so that no terminal breaks a full line
LINES = 39  # of 40: the shell's prompt wants one
LABEL = 13
MEMBERS_SHOWN = 6
TYPES_SHOWN = 4
FINDINGS_SHOWN = 2
OTHERS_SHOWN = 3

Segment = tuple[str, str]
"""A text and the name of its style."""

Line = tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Characters that are drawn: the plain set is ASCII, because a pipe may lead anywhere."""

    rule: str
    full: str
    empty: str


PLAIN = Glyphs("-", "#", ".")
DRAWN = Glyphs("─", "█", "░")

_MODEL_ROLES = ("weights", "projector", "adapter", "draft")
_FIRST = (*_MODEL_ROLES, "runtime", "license", "template", "arguments", "card", "behaviour", "publisher-signature")


def screen_text(inspection: Inspection) -> str:
    """The screen without colours."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in screen(inspection, PLAIN))


def screen(inspection: Inspection, glyphs: Glyphs) -> list[Line]:
    """The lines of the screen, at most LINES: where there is much to say, fewer members are listed."""
    lines: list[Line] = []
    for members_shown in range(MEMBERS_SHOWN, 1, -1):
        lines = _lines(inspection, glyphs, members_shown)
        if len(lines) <= LINES:
            break
    return lines


def _lines(inspection: Inspection, glyphs: Glyphs, members_shown: int) -> list[Line]:
    lines = [*_identity(inspection, glyphs), *_checked(inspection), *_prefix(inspection)]
    lines += _contents(inspection, members_shown)
    model = inspection.model
    lines += _others(inspection)
    if model is not None:
        lines += [*_model(inspection, model), *_quantisation(model, glyphs), *_templates(inspection, model)]
    lines += _row("licence", [(words.licence_text(inspection.licence), "")])
    if model is not None:
        lines += _memory(model)
    if not inspection.file.bare:
        lines += _row("signatures", [(words.statements_text(inspection), "")])
        if claims := words.claims_text(inspection):
            lines += _row("", [(claims, "dim")])
        lines += _arguments(inspection)
        lines += _block("will run", words.will_run_text(inspection), lines=3)
        lines += _block("./FILE", words.started_text(inspection), lines=2)
        lines += _block("run here", words.here_text(inspection), lines=2)
    return lines


def _row(label: str, segments: Sequence[Segment]) -> list[Line]:
    """One line with its label; the last segment is cut where the line ends."""
    room = COLUMNS - LABEL - sum(width(text) for text, _ in segments[:-1])
    last, style = segments[-1]
    return [((pad(label, LABEL), "label"), *segments[:-1], (clip(last, max(room, 1)), style))]


def _block(label: str, texts: Sequence[str], *, lines: int, style: str = "", joint: str = ", ") -> list[Line]:
    """``texts`` filled into at most ``lines`` lines behind a label."""
    rows = wrap(texts, COLUMNS - LABEL, lines=lines, joint=joint)
    return [line for index, text in enumerate(rows) for line in _row("" if index else label, [(text, style)])]


def _identity(inspection: Inspection, glyphs: Glyphs) -> Iterator[Line]:
    file = inspection.file
    kind = clip(words.kind_text(inspection), 40)
    name = clip_middle(printable(file.name.rpartition("/")[2] or file.name), COLUMNS - width(kind) - 2)
    gap = " " * (COLUMNS - width(name) - width(kind))
    yield (name, "title"), (gap, ""), (kind, "kind")
    yield ((glyphs.rule * COLUMNS, "rule"),)
    size = f"{size_text(file.size)} ({grouped(file.size)} bytes)" if file.size >= 1000 else plural(file.size, "byte")
    title = printable(file.title or (inspection.model.facts.name or "" if inspection.model else ""))
    first: list[Segment] = [(f"{clip(title, 36)}, ", "strong")] if title else []
    own = f", {percent(file.overhead / file.size)} overhead" if file.size and not file.bare else ""
    yield from _row("file", [*first, (f"{size}{own}", "")])
    if file.bare:
        yield from _row("", [("not a llamafile: make one of it with `llamafile-format pack`", "warn")])
    if file.kind == "program":
        yield from _row("", [("not a llamafile: `pack MODEL --prefix` puts a model behind it", "warn")])
    said = [("created ", file.created), ("from ", file.source)]
    if any(text for _, text in said):
        yield from _row("", [(", ".join(lead + printable(text) for lead, text in said if text), "")])
    if file.manifest_sha256:
        yield from _row("manifest", [(file.manifest_sha256, "digest")])


def _checked(inspection: Inspection) -> Iterator[Line]:
    """The badge: each verdict, what was not read, and the gravest findings."""
    report = inspection.report
    counts = words.counts(report.findings)
    segments: list[Segment] = []
    for layer, verdict in report.verdicts.items():
        segments += [(f"{layer.value} ", ""), (verdict.value, verdict.value), (", ", "")]
    bad = "no" if counts[Severity.ERROR] else ""
    segments.append((plural(counts[Severity.ERROR], "error"), bad))
    segments.append((f", {plural(counts[Severity.WARNING], 'warning')}", "warn" if counts[Severity.WARNING] else ""))
    yield from _row("quick check", segments)
    grave = [f for f in report.findings if rule(f.rule).severity is not Severity.INFO]
    grave.sort(key=lambda finding: rule(finding.rule).severity is not Severity.ERROR)
    for finding in grave[:FINDINGS_SHOWN]:
        row = rule(finding.rule)
        style = "no" if row.severity is Severity.ERROR else "warn"
        yield from _row("", [(f"{finding.rule} ", style), (printable(row.render(finding)), "")])
    if not report.complete:
        yield from _row("", [(f"not completed: {printable(report.error)}", "no")])
    if len(grave) > FINDINGS_SHOWN:
        yield from _row("", [(f"and {len(grave) - FINDINGS_SHOWN} more: llamafile-format verify", "dim")])
    elif left := words.not_read(report.findings):
        text = f"not looked at (see verify): {', '.join(left)}"
        yield from _block("", text.split(" "), lines=2, style="dim", joint=" ")


def _prefix(inspection: Inspection) -> Iterator[Line]:
    prefix = inspection.prefix
    if inspection.file.bare:
        return
    texts = [text for text in (words.prefix_text(prefix), words.engine_text(prefix)) if text]
    yield from _block("prefix", texts, lines=2, joint=": ")
    if names := words.systems(prefix):
        yield from _block("runs on", names, lines=2, joint="; ")


def _contents(inspection: Inspection, most: int) -> Iterator[Line]:
    members = inspection.members
    if not members:
        return
    shown = _chosen(members, most)
    digest = "sha256" if any(member.sha256 for member in shown) else "crc32"
    offsets = max(6, *(len(grouped(member.offset)) for member in shown))
    room = COLUMNS - LABEL - 10 - offsets - 1 - 8 - 9
    head = f"{'size':>10}{'offset':>{offsets + 1}}{'aligned':>8} {digest}"
    yield from _row("contents", [(pad(plural(len(members), "member"), room), ""), (head, "dim")])
    for member in shown:
        size = size_text(member.size) if member.offset >= 0 else "no data"
        where = f"{size:>10}{grouped(member.offset):>{offsets + 1}}{alignment_text(member.boundary):>8} "
        path = clip_path(printable(member.path), room)
        style = "strong" if member.role in _MODEL_ROLES else ""
        label = ("  " + clip(words.ROLE_WORDS.get(member.role, printable(member.role)), LABEL - 3)).ljust(LABEL)
        known = (member.sha256 or "-") if digest == "sha256" else member.crc32
        yield (label, "role"), (pad(path, room), style), (where, ""), (known[:8], "digest")
    if len(members) > len(shown):
        yield from _row("", [(f"and {len(members) - len(shown)} more: --entries", "dim")])


def _chosen(members: Sequence[MemberView], most: int) -> list[MemberView]:
    """The members that say most, in file order."""
    rank = {role: index for index, role in enumerate(_FIRST)}
    order = sorted(range(len(members)), key=lambda i: (rank.get(members[i].role, len(rank)), i))
    return [members[index] for index in sorted(order[:most])]


def _model(inspection: Inspection, model: ModelView) -> Iterator[Line]:
    others = len(inspection.models) + inspection.models_left_out - 1
    more = f" (and {others} more: --json)" if others else ""
    title = clip(words.model_title(model), COLUMNS - LABEL - len(more))
    yield from _row("model", [(title, "strong"), (more, "dim")])
    if not model.complete:
        yield from _row("", [("its header is faulty: these are the facts up to the fault", "no")])
    yield from _block("", words.model_shape(model), lines=2)


def _others(inspection: Inspection) -> Iterator[Line]:
    """Weights that are no GGUF: a line or two for each of the first."""
    views = inspection.other_weights
    for index, view in enumerate(views[:OTHERS_SHOWN]):
        yield from _block("weights" if index == 0 else "", words.weights_text(view), lines=2)
    if len(views) > OTHERS_SHOWN:
        yield from _row("", [(f"and {len(views) - OTHERS_SHOWN} more: --json", "dim")])


def _quantisation(model: ModelView, glyphs: Glyphs) -> Iterator[Line]:
    mix = model.facts.mix
    if not mix:
        return
    yield from _block("quantised", words.quantisation(model), lines=2)
    shown = mix[:TYPES_SHOWN] if len(mix) <= TYPES_SHOWN else mix[: TYPES_SHOWN - 1]
    for index, share in enumerate(shown):
        filled = min(24, round(24 * share.share)) or (1 if share.size else 0)
        size = size_text(share.size) if share.size or not share.elements else "size unknown"
        part = percent(share.share) if share.size or not share.elements else "?"
        tail = f" {part:>6}  {size:>8} in {plural(share.tensors, 'tensor')}"
        yield (
            ("".ljust(LABEL), ""),
            (pad(printable(share.type), 9), "strong"),
            (glyphs.full * filled, f"bar{index % 4}"),
            (glyphs.empty * (24 - filled), "empty"),
            (clip(tail, COLUMNS - LABEL - 9 - 24), ""),
        )
    if len(mix) > len(shown):
        rest = sum(share.share for share in mix[len(shown) :])
        yield from _row("", [(f"and {plural(len(mix) - len(shown), 'more type')}, {percent(rest)}: --json", "dim")])


def _templates(inspection: Inspection, model: ModelView) -> Iterator[Line]:
    templates = [*model.templates, *inspection.templates]
    if not templates:
        yield from _row("template", [("none: a chat needs one from elsewhere", "")])
        return
    first = templates[0]
    yield from _row("template", [(words.template_text(first), "no" if first.findings else "")])
    more = f", and {plural(len(templates) - 1, 'more template')}" if len(templates) > 1 else ""
    yield from _row("", [(first.sha256[: COLUMNS - LABEL - len(more)], "digest"), (more, "dim")])


def _memory(model: ModelView) -> Iterator[Line]:
    yield from _block("memory", words.memory_totals(model), lines=1, style="strong")
    yield from _block("", words.memory_formula(model), lines=2, joint=" ")
    if model.memory.notes:
        yield from _row("", [(printable("; ".join(model.memory.notes)), "dim")])


def _arguments(inspection: Inspection) -> Iterator[Line]:
    if not inspection.arguments:
        yield from _row("arguments", [("none", "")])
        return
    first = inspection.arguments[0]
    yield from _block("arguments", words.arguments_text(first) or ["(empty)"], lines=2, joint=" ")
