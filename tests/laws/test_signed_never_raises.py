"""Records, publisher signatures and history of any shape are findings, never exceptions, and never believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from llamafile_format.checks.verdict import Report
from llamafile_format.reports.verify_json import report_json
from llamafile_format.reports.verify_text import report_text
from spec.vectors.generate.forge import encode
from spec.vectors.generate.signatures import signed, tail
from spec.vectors.generate.signatures_forge import Tail, bundle
from spec.vectors.generate.signatures_keys import CURATOR
from spec.vectors.generate.signatures_publisher import history, published, with_publisher
from tests.signed_samples import countersigned, is_authentic
from tests.signed_samples import verify as look

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 70), 1 << 70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=40),
    st.sampled_from(
        ["", "sha256", "ab" * 32, "AAAA", "2026-13-40T99:99:99Z", "\ud800", "\0\x1b[2J\u202e", "../..", "a:b"]
    ),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all nodes below the root."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in items for place in ((*path, key), *places(item, (*path, key)))]


@st.composite
def edits(draw: st.DrawFn) -> Callable[[Any], Any]:
    """One to three nodes replaced, removed, doubled or added."""
    steps = draw(st.lists(st.tuples(st.integers(0, 1 << 16), st.sampled_from("rdxa"), VALUES), min_size=1, max_size=3))

    def edit(value: Any) -> Any:
        for choice, how, new in steps:
            found = places(value)
            if not found:
                continue
            *above, key = found[choice % len(found)]
            holder = value
            for step in above:
                holder = holder[step]
            if how == "r":
                holder[key] = new
            elif how == "x":
                del holder[key]
            elif isinstance(holder, list):
                holder.append(new if how == "a" else holder[key])
            else:
                holder[f"{key}2" if how == "d" else "added"] = new
        return value

    return edit


def verify(data: bytes, trust: str = "curator") -> Report:
    """The report on ``data``, which can be written down in both forms."""
    report = look(data, trust)
    assert report_json(report).isascii()
    assert not any(character in report_text(report) for character in "\0\x1b\u202e")
    return report


def spelt(value: Any) -> bytes:
    """``value`` as canonical JSON, or as other JSON where it has no canonical form."""
    try:
        return encode(value)
    except (ValueError, TypeError):
        return json.dumps(value).encode()


@settings(max_examples=300)
@given(st.integers(0, 4), edits())
def test_bundles_and_material(index: int, edit: Callable[[Any], Any]) -> None:
    made = countersigned().copy()
    record = made.records[index]
    if record.kind == "tsr":
        return
    before = json.loads(record.data)
    record.data = spelt(edit(json.loads(record.data)))
    report = verify(made.done())
    covered = index + 1 < len(made.records)  # the last one may lose the names of its key: other tools write none
    assert record.data == encode(before) or not covered or not is_authentic(report)


@settings(max_examples=300)
@given(st.sampled_from(["oms", "cnt", "att"]), edits())
def test_statements_that_the_signer_signed(kind: str, edit: Callable[[Any], Any]) -> None:
    """Whatever a believed signer signs: no exception, and nothing else than what is about this file counts."""
    made = signed()
    statement = {
        "oms": made.oms_statement,
        "cnt": made.countersignature,
        "att": lambda: made.attestation("urn:x", {"a": [1]}),
    }[kind]()
    record = bundle(spelt(edit(statement)), CURATOR)
    verify(made.add(kind, record).done())
    verify(Tail(made.base).add(kind, record).done())


@settings(max_examples=150)
@given(edits())
def test_publisher_signatures(edit: Callable[[Any], Any]) -> None:
    data = spelt(edit(json.loads(published())))
    verify(with_publisher(data).oms(CURATOR).done(), "publisher")


@settings(max_examples=150)
@given(st.booleans(), edits())
def test_history(of_manifest: bool, edit: Callable[[Any], Any]) -> None:
    earlier = signed()
    manifest, record = earlier.manifest, earlier.records[0].data
    if of_manifest:
        manifest = spelt(edit(json.loads(manifest)))
    else:
        record = spelt(edit(json.loads(record)))
    report = verify(tail(*history(manifest, [(earlier.name(0), record)])).done())
    assert not is_authentic(report)


@settings(max_examples=200)
@given(st.binary(max_size=2048), st.sampled_from(["oms", "sig", "att", "cnt", "vm", "tsr"]))
def test_records_of_any_bytes(data: bytes, kind: str) -> None:
    assert not is_authentic(verify(signed().add(kind, data).done()))


@settings(max_examples=300)
@given(st.integers(0, 1 << 12), st.integers(0, 64), st.binary(max_size=16))
def test_stamps_cut_and_patched(at: int, cut: int, new: bytes) -> None:
    made = signed().stamp()
    token = made.records[1].data
    at %= len(token)
    made.records[1].data = token[:at] + new + token[at + cut :]
    report = verify(made.done(), "level-t")
    assert made.records[1].data == token or not is_authentic(report)
