"""The DER reader accepts one spelling of a value, and the writer writes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamafile_format.errors import FormatError
from llamafile_format.limits import DER_DEPTH, DER_VALUES
from llamafile_format.signing.x509 import der
from llamafile_format.signing.x509.der import Fields, parse

WRONG = {
    "nothing": "",
    "two values": "05000500",
    "bytes behind": "050000",
    "cut short": "0402ff",
    "cut in the length": "0482",
    "tag alone": "30",
    "long tag": "1f810100",
    "indefinite length": "30800000",
    "length in two bytes that fits one": "04810400000000",
    "length with a leading zero": "0482008000" + "00" * 127,
    "length of five bytes": "04850000000001ff",
    "integer without bytes": "0200",
    "integer with a zero too many": "02020001",
    "integer with ones too many": "0202ff80",
    "truth in another value": "010101",
    "truth without a value": "0100",
    "null with contents": "050100",
    "identifier without bytes": "0600",
    "identifier that does not end": "06012a" + "",
    "identifier with a leading zero group": "0603802a03",
    "identifier of absurd length": "0641" + "2a" * 65,
    "bits without a count": "0300",
    "more than seven unused bits": "03020800",
    "unused bits that are set": "03020101",
    "no bits, some unused": "030101",
    "octets in pieces": "2403040161",
    "a type that DER has not": "0b00",
    "end of contents": "0000",
    "wrong inside": "300402020001",
}
del WRONG["identifier that does not end"]


@pytest.mark.parametrize("name", WRONG)
def test_other_spellings(name: str) -> None:
    with pytest.raises(FormatError, match="not DER"):
        parse(bytes.fromhex(WRONG[name]), "it")


def test_an_identifier_ends() -> None:
    with pytest.raises(FormatError, match="not DER"):
        parse(bytes.fromhex("06022a83"), "it")


def test_nesting_is_bounded() -> None:
    value = der.octets(b"")
    for _ in range(DER_DEPTH):
        value = der.sequence(value)
    parse(value, "it")
    with pytest.raises(FormatError, match="deeply"):
        parse(der.sequence(value), "it")


def test_the_number_of_values_is_bounded() -> None:
    parse(der.sequence(der.octets(b"") * (DER_VALUES - 1)), "it")
    with pytest.raises(FormatError, match="more than 20000 values"):
        parse(der.sequence(der.octets(b"") * DER_VALUES), "it")


@given(st.integers(min_value=-(1 << 200), max_value=1 << 200))
def test_integers(number: int) -> None:
    assert parse(der.integer(number), "it").integer() == number


@given(st.lists(st.integers(min_value=0, max_value=1 << 40), min_size=1, max_size=7), st.integers(0, 2))
def test_object_identifiers(numbers: list[int], first: int) -> None:
    dotted = ".".join(map(str, [first, *([numbers[0] % 40] if first < 2 else numbers[:1]), *numbers[1:]]))
    assert parse(der.oid(dotted), "it").oid() == dotted


@given(st.binary(max_size=70000))
def test_octets_of_any_length(data: bytes) -> None:
    found = parse(der.sequence(der.octets(data)), "it")
    assert found.children[0].content == data


@given(st.binary(max_size=64))
def test_any_bytes_are_refused_or_have_this_one_form(data: bytes) -> None:
    try:
        found = parse(data, "it")
    except FormatError:
        return
    assert der.encode(found.tag, found.content) == data


def test_sets_in_order() -> None:
    parts = [der.integer(300), der.integer(2), der.octets(b"x")]
    assert der.is_sorted(parse(der.set_of(parts), "it").children)
    assert not der.is_sorted(parse(der.encode(der.SET, *sorted(parts, reverse=True)), "it").children)
    assert not der.is_sorted(parse(der.set_of([parts[0], parts[0]]), "it").children)


def test_fields() -> None:
    value = parse(der.sequence(der.integer(1), der.boolean(True)), "it")
    fields = Fields(value, "it")
    with pytest.raises(FormatError, match="it has no name where"):
        fields.take(der.OCTET_STRING, "name")
    assert fields.take(der.INTEGER, "number").integer() == 1
    assert fields.optional(der.NULL) is None
    with pytest.raises(FormatError, match="more than"):
        fields.end()
    assert fields.optional(der.BOOLEAN) is not None
    fields.end()
    with pytest.raises(FormatError, match="another kind"):
        Fields(parse(der.integer(1), "it"), "it")
