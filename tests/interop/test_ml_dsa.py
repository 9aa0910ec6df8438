"""ML-DSA against an implementation that shares no line with ours: dilithium-py, written from FIPS 204 in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llamafile_format.signing.keys.key import PublicKey
from llamafile_format.signing.keys.key_files import generate, read_private, write_keys

pytestmark = pytest.mark.interop
DATA = b"DSSEv1 28 application/vnd.in-toto+json 20 {'name': 'a model'}\n"
# SubjectPublicKeyInfo in front of the raw key (RFC 9881), and lengths of key and signature (FIPS 204, table 2)
SETS = {
    "ml-dsa-65": (bytes.fromhex("308207b2300b0609608648016503040312038207a100"), 1952, 3309),
    "ml-dsa-87": (bytes.fromhex("30820a32300b060960864801650304031303820a2100"), 2592, 4627),
}


@pytest.fixture(params=SETS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def theirs(kind: str) -> Any:
    module = pytest.importorskip("dilithium_py.ml_dsa")
    return {"ml-dsa-65": module.ML_DSA_65, "ml-dsa-87": module.ML_DSA_87}[kind]


def test_they_verify_ours(kind: str, theirs: Any) -> None:
    (key,) = generate(kind)
    head, size, length = SETS[kind]
    raw = key.public.spki.removeprefix(head)
    assert len(raw) == size
    signature = key.sign(DATA)
    assert len(signature) == length
    assert theirs.verify(raw, DATA, signature)
    assert not theirs.verify(raw, DATA + b" ", signature)


def test_we_verify_theirs(kind: str, theirs: Any) -> None:
    raw, secret = theirs.keygen()
    public = PublicKey.from_spki(SETS[kind][0] + raw)
    signature = theirs.sign(secret, DATA)
    assert public.verify(signature, DATA)
    assert not public.verify(signature, DATA + b" ")
    assert not public.verify(theirs.sign(secret, DATA, ctx=b"other"), DATA)


def test_a_seed_gives_the_same_key(kind: str, theirs: Any, tmp_path: Path) -> None:
    """The private key file holds the seed of FIPS 204 and nothing else, so that others can make the key of it."""
    (key,) = generate(kind)
    path, _ = write_keys(tmp_path / "key", [key], None)
    seed = read_private(path)[0].pkcs8()[-32:]
    raw, _ = theirs.key_derive(seed)
    assert key.public.spki == SETS[kind][0] + raw
