"""Bundles that others wrote: what OMS lets them write is read, and nothing is left free."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llamafile_format.errors import FormatError
from llamafile_format.signing.records.envelope import encode_bundle, pae, read_bundle, respelt
from tests import signing_samples

(KEY,) = signing_samples.keys("p256")
PAYLOAD = b'{"_type": "x"}'
RECORD = encode_bundle(PAYLOAD, KEY.sign(pae(PAYLOAD)), public=KEY.public)


def bundle() -> Any:
    return json.loads(RECORD)


def test_a_record_is_its_own_one_spelling() -> None:
    assert respelt(RECORD) == RECORD
    assert respelt(json.dumps(bundle()).encode()) == RECORD
    assert read_bundle(RECORD).speaks_of(KEY.public)


def test_a_key_id_of_null_is_an_absent_one() -> None:
    value = bundle()
    value["dsseEnvelope"]["signatures"][0]["keyid"] = None
    data = json.dumps(value).encode()
    assert read_bundle(data, canonical=False).keyid == ""
    assert b"null" not in respelt(data)
    assert b"keyid" not in respelt(data)
    with pytest.raises(FormatError, match="null"):
        read_bundle(data)


@pytest.mark.parametrize("null", ["payload", "payloadType", "signatures"])
def test_no_other_null_means_anything(null: str) -> None:
    value = bundle()
    value["dsseEnvelope"][null] = None
    with pytest.raises(FormatError):
        read_bundle(json.dumps(value).encode(), canonical=False)


@pytest.mark.parametrize("empty", ["", 0, False, {}, [{}]])
def test_what_a_method_does_not_use_is_absent_or_empty_in_one_way(empty: object) -> None:
    value = bundle()
    value["verificationMaterial"]["tlogEntries"] = empty
    with pytest.raises(FormatError, match="tlogEntries"):
        read_bundle(json.dumps(value).encode(), canonical=False)
    value["verificationMaterial"]["tlogEntries"] = []
    read_bundle(json.dumps(value).encode(), canonical=False)
