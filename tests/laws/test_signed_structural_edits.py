"""Whatever is inserted, deleted, swapped, doubled, cut, spliced or transplanted: nothing but the genuine bytes passes.

Records that anybody could add behind the last one may follow; up to the end of the renewal not a byte may differ. The
attacker mends CRCs, offsets, the directory and the end records.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from spec.vectors.generate.signatures_forge import Record, Tail
from spec.vectors.generate.signatures_keys import STRANGER
from tests.signed_samples import is_authentic, other, renewed, verify

TRUST = "level-lta"
KINDS = ("oms", "sig", "att", "tsr", "vm", "cnt")
SPANS = st.tuples(st.integers(0, 1 << 20), st.integers(1, 4096))

genuine = st.sampled_from(range(4))
records = st.one_of(
    st.builds(lambda index: renewed().records[index], genuine),
    st.builds(lambda index: other().records[index], genuine),
    st.builds(lambda kind, data: Record(kind, data), st.sampled_from(KINDS), st.binary(max_size=64)),
    st.just(Tail(renewed().base).oms(STRANGER).records[0]),
)


@st.composite
def record_edits(draw: st.DrawFn) -> list[Record]:
    """The records of the sample after up to four edits."""
    found = list(renewed().records)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(found) - 1, 0)))
        match draw(st.sampled_from(["insert", "delete", "swap", "double", "cut", "kind", "splice", "replace"])):
            case "insert":
                found.insert(draw(st.integers(0, len(found))), draw(records))
            case "delete" if found:
                del found[at]
            case "swap" if found:
                second = draw(st.integers(0, len(found) - 1))
                found[at], found[second] = found[second], found[at]
            case "double" if found:
                found.insert(draw(st.integers(0, len(found))), found[at])
            case "cut" if found:
                found[at] = replace(found[at], data=found[at].data[: draw(st.integers(0, len(found[at].data)))])
            case "kind" if found:
                found[at] = replace(found[at], kind=draw(st.sampled_from(KINDS)))
            case "splice" if found:
                first, second = found[at].data, draw(records).data
                found[at] = replace(found[at], data=first[: draw(st.integers(0, len(first)))] + second)
            case "replace" if found:
                found[at] = draw(records)
    return found


def passes_only_if_genuine(data: bytes) -> None:
    """``data`` is refused, or begins with every byte that the renewal covers, and the renewal itself."""
    if is_authentic(verify(data, TRUST)):
        assert data.startswith(renewed().before())


@settings(max_examples=300, deadline=None)
@given(record_edits())
def test_records_edited(found: list[Record]) -> None:
    passes_only_if_genuine(Tail(renewed().base, found).done())


@settings(max_examples=150, deadline=None)
@given(record_edits())
def test_records_on_another_file(found: list[Record]) -> None:
    """The same records, edited or not, behind another genuine container."""
    assert not is_authentic(verify(Tail(other().base, found).done(), TRUST))


def _spliced(data: bytes, edit: str, first: tuple[int, int], second: tuple[int, int], stuff: bytes) -> bytes:
    at, to = first[0] % len(data), second[0] % len(data)
    end = min(at + first[1], len(data))
    span = data[at:end]
    match edit:
        case "delete":
            return data[:at] + data[end:]
        case "insert":
            return data[:at] + stuff + data[at:]
        case "double":
            return data[:to] + span + data[to:]
        case "overwrite":
            return data[:to] + span + data[to + len(span) :]
        case "cut":
            return data[:at]
        case "zero":
            return data[:at] + bytes(len(span)) + data[end:]
        case "swap":
            low, high = sorted((at, to))
            size = min(first[1], high - low, len(data) - high)
            head, one, two = data[:low], data[low : low + size], data[high : high + size]
            return head + two + data[low + size : high] + one + data[high + size :]
        case _:
            foreign = other().done()
            return data[:at] + foreign[to % len(foreign) :]


EDITS = st.sampled_from(["delete", "insert", "double", "overwrite", "cut", "zero", "swap", "splice"])


@settings(max_examples=2500, deadline=None)
@given(EDITS, SPANS, SPANS, st.binary(min_size=1, max_size=64))
def test_bytes_edited(edit: str, first: tuple[int, int], second: tuple[int, int], stuff: bytes) -> None:
    data = renewed().done()
    made = _spliced(data, edit, first, second, stuff)
    assert made in (data, other().done()) or not is_authentic(verify(made, TRUST))


@settings(max_examples=250, deadline=None)
@given(EDITS, SPANS, SPANS, st.binary(min_size=1, max_size=64))
def test_bytes_edited_behind_a_mended_tail(
    edit: str, first: tuple[int, int], second: tuple[int, int], stuff: bytes
) -> None:
    """The covered bytes are edited, and directory and end records are made to fit what is there then."""
    tail = renewed().copy()
    body = tail.body
    tail.body = _spliced(body, edit, first, second, stuff)
    assert tail.body == body or not is_authentic(verify(tail.done(), TRUST))


@settings(max_examples=150, deadline=None)
@given(st.lists(records, max_size=3))
def test_what_anybody_can_add(found: list[Record]) -> None:
    """Records behind the renewal: well-formed ones may stand there, and change nothing of what is believed."""
    tail = renewed().copy()
    tail.records += found
    report = verify(tail.done(), TRUST)
    if is_authentic(report):
        trusted = {fact.record for fact in report.signatures if fact.signer == "curator"}
        assert trusted <= {f"META-LLAMAFILE/signatures/{tail.name(index)}" for index in range(len(tail.records))}
        assert tail.done().startswith(renewed().before())
