"""The builder of the signature vectors and the library share no code, and make the same bytes of the same keys."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llamafile_format.signing.keys.key import PrivateKey
from llamafile_format.vouching.sign import Attestation, sign
from spec.vectors.generate.signatures import PROVENANCE, pair, signed, tail
from spec.vectors.generate.signatures_certificates import LEAF, ROOT, STAMP_ROOT
from spec.vectors.generate.signatures_forge import DECLARED, Tail, at, pae, unsigned
from spec.vectors.generate.signatures_keys import ARCHIVE, CURATOR, CURATOR_PQ, OLD, SECOND, Key, private


def made(folder: Path, base: bytes, *calls: dict[str, Any]) -> bytes:
    """``base`` after the library signed it, once for each of ``calls``."""
    path = folder / "signed.llamafile"
    path.write_bytes(base)
    for options in calls:
        sign(path, **{"declared_time": DECLARED, "force": True, **options})
    return path.read_bytes()


def secret(key: Key) -> PrivateKey:
    """The same key, as the library has it."""
    if key.kind == "ml-dsa-65":
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

        return PrivateKey(MLDSA65PrivateKey.from_seed_bytes(key.seed[:32]))
    return PrivateKey(private(key))


@pytest.mark.parametrize("key", [CURATOR, SECOND, OLD, ARCHIVE], ids=lambda key: key.kind)
def test_signatures(tmp_path: Path, key: Key) -> None:
    assert made(tmp_path, unsigned(), {"keys": [secret(key)]}) == tail().oms(key).done()


def test_names_of_keys() -> None:
    for key in (CURATOR, SECOND, OLD, ARCHIVE, CURATOR_PQ):
        public = secret(key).public
        assert (public.key_id, public.hint, public.pem, public.spki) == (key.id, key.hint, key.pem, key.spki)


def test_without_a_time_and_with_cosigners_and_revision(tmp_path: Path) -> None:
    call = {"keys": [secret(CURATOR)], "cosigners": [ARCHIVE.id], "declared_time": "none", "revision": 7}
    same = tail().oms(CURATOR, [ARCHIVE], time="", edit=at("subject", 0, "annotations", revision=7))
    assert made(tmp_path, unsigned(), call) == same.done()


def test_countersignature_attestation_and_certificate(tmp_path: Path) -> None:
    calls = [
        {"keys": [secret(LEAF.key)], "certificates": [LEAF.der, ROOT.der]},
        {"keys": [secret(ARCHIVE)], "countersign": True},
        {"keys": [secret(CURATOR)], "attest": Attestation(PROVENANCE, {"builder": "x"})},
    ]
    same = tail().oms(LEAF.key, certificates=[LEAF, ROOT]).cnt(ARCHIVE).att(CURATOR, PROVENANCE, {"builder": "x"})
    assert made(tmp_path, unsigned(), *calls) == same.done()


def test_pair(tmp_path: Path) -> None:
    """ML-DSA is randomised in the library, so the second record differs in its signature, and in nothing else."""
    data, same = made(tmp_path, unsigned(), {"keys": [secret(CURATOR), secret(CURATOR_PQ)]}), pair()
    assert data.startswith(Tail(same.base, same.records[:1]).before())
    start = data.index(b"0002.sig.json") + 13
    record = json.loads(data[start : data.index(b"PK\x01\x02", start)])
    expected = json.loads(same.records[1].data)
    signature = record["dsseEnvelope"]["signatures"][0].pop("sig")
    expected["dsseEnvelope"]["signatures"][0].pop("sig")
    assert record == expected
    from dilithium_py.ml_dsa import ML_DSA_65

    covered = pae(base64.b64decode(record["dsseEnvelope"]["payload"]))
    public = CURATOR_PQ.spki[-1952:]
    assert ML_DSA_65.verify(public, covered, base64.b64decode(signature))


def test_openssl_accepts_the_stamps(tool: Callable[[str], Path], tmp_path: Path) -> None:
    """Tokens written by hand are what RFC 3161 says, by the word of somebody else."""
    stamped = signed().stamp(function="sha256")
    renewed = signed().stamp().renewal()
    (tmp_path / "root.pem").write_text(STAMP_ROOT.pem)
    for token, about in (
        (stamped.records[1].data, stamped.records[0].data),
        (renewed.records[2].data, Tail(renewed.base, renewed.records[:2]).before()),
    ):
        (tmp_path / "token").write_bytes(token)
        (tmp_path / "data").write_bytes(about)
        files = ["-data", "data", "-in", "token", "-CAfile", "root.pem"]
        subprocess.run([tool("openssl"), "ts", "-verify", *files], cwd=tmp_path, check=True, capture_output=True)
