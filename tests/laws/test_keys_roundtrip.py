"""Laws of keys: what is signed verifies, what is changed does not, and a file gives back the keys that went in."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamafile_format.errors import FormatError, UsageError
from llamafile_format.signing.keys.key import PrivateKey, PublicKey
from llamafile_format.signing.keys.key_files import KINDS, generate, parse_public, read_private

SINGLE = [kind for kind in KINDS if "+" not in kind]


@cache
def key(kind: str) -> PrivateKey:
    return generate(kind)[0]


@given(st.sampled_from(SINGLE), st.binary(max_size=2000))
def test_round_trip(kind: str, data: bytes) -> None:
    assert key(kind).public.verify(key(kind).sign(data), data)


@given(st.sampled_from(SINGLE), st.binary(max_size=300), st.data())
def test_a_flipped_bit_is_refused(kind: str, data: bytes, draw: st.DataObject) -> None:
    signature = key(kind).sign(data)
    where = draw.draw(st.integers(0, 8 * (len(signature) + len(data)) - 1))
    both = bytearray(signature + data)
    both[where // 8] ^= 1 << where % 8
    assert not key(kind).public.verify(bytes(both[: len(signature)]), bytes(both[len(signature) :]))


@given(st.sampled_from(SINGLE), st.binary(max_size=300), st.data())
def test_another_length_is_refused(kind: str, data: bytes, draw: st.DataObject) -> None:
    signature = key(kind).sign(data)
    place = draw.draw(st.integers(0, len(signature)))
    longer = signature[:place] + draw.draw(st.binary(min_size=1, max_size=4)) + signature[place:]
    assert not key(kind).public.verify(longer, data)
    if place < len(signature):
        assert not key(kind).public.verify(signature[:place] + signature[place + 1 :], data)


@given(st.sampled_from(SINGLE), st.binary(max_size=200), st.binary(max_size=50))
def test_any_bytes_are_a_signature_or_none(kind: str, signature: bytes, data: bytes) -> None:
    assert not key(kind).public.verify(signature, data)


@given(st.sampled_from(SINGLE), st.data())
def test_a_changed_key_is_another_or_none(kind: str, draw: st.DataObject) -> None:
    """Never does another DER give the same key id, and never does reading raise anything but FormatError."""
    public = key(kind).public
    der = bytearray(public.spki)
    der[draw.draw(st.integers(0, len(der) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    try:
        other = PublicKey.from_spki(bytes(der))
    except FormatError:
        return
    assert other.key_id != public.key_id
    assert other.spki == bytes(der)
    assert not other.verify(key(kind).sign(b"data"), b"data")


PIECES = st.sampled_from(
    [
        *(key(kind).public.pem.encode() for kind in SINGLE),
        b"-----BEGIN PUBLIC KEY-----\n",
        b"-----END PUBLIC KEY-----\n",
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n",
        b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n",
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==\n",
        b"\r\n",
        b"comment\n",
    ]
)


@given(st.lists(PIECES | st.binary(max_size=80), max_size=6).map(b"".join))
def test_any_file_gives_keys_or_an_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    try:
        found = parse_public(data, "file")
    except FormatError:
        pass
    else:
        assert 1 <= len(found) <= 2
    path = tmp_path_factory.getbasetemp() / "any-key"
    path.write_bytes(data)
    with pytest.raises(UsageError):
        read_private(path, lambda: b"x")
