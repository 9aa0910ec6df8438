"""Sigstore identities: a real bundle of others, and an instance of our own for what a real one cannot show (13.9)."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest

from llamafile_format.errors import FormatError
from llamafile_format.manifest.canonical_json import encode
from llamafile_format.signing.keys.algorithms import Agility
from llamafile_format.signing.records.envelope import Bundle, Method, encode_bundle, pae, read_bundle, respelt
from llamafile_format.signing.records.statement import read_statement
from llamafile_format.signing.trust.policy import SigstoreRule
from llamafile_format.signing.trust.sigstore import Missing, SigstoreResult, verify_sigstore
from llamafile_format.signing.trust.sigstore_root import CONFIG_TYPE
from tests.conftest import ROOT
from tests.signing_samples import keys

DATA = ROOT / "tests" / "data" / "sigstore"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
PAYLOAD = b'{"some":"statement"}'

pytest.importorskip("sigstore", reason="the extra sigstore is not installed")

from tests.sigstore_world import IDENTITY, ISSUER, SIGNED, Instance  # noqa: E402


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever asks for a network fails: everything must come from the bundle and the policy."""

    def refuse(*args: Any, **options: Any) -> NoReturn:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def public_root() -> bytes:
    """The trusted root of the public instance, as the package carries it."""
    import sigstore

    folder = Path(sigstore.__file__).parent / "_store" / "https%3A%2F%2Ftuf-repo-cdn.sigstore.dev"
    return (folder / "trusted_root.json").read_bytes()


def public_rule() -> SigstoreRule:
    return SigstoreRule(public_root(), "stefanb@us.ibm.com", "https://sigstore.verify.ibm.com/oauth2")


def upstream() -> Bundle:
    return read_bundle((DATA / "model.sig").read_bytes(), canonical=False)


@cache
def instance() -> Instance:
    return Instance()


def rule(**changed: Any) -> SigstoreRule:
    return replace(SigstoreRule(instance().trusted_root(), IDENTITY, ISSUER), **changed)


def verify(value: dict[str, Any], wanted: SigstoreRule | None = None, **options: Any) -> SigstoreResult:
    return verify_sigstore(read_bundle(encode(value)), wanted or rule(), **{"at": NOW, **options})


def entry_of(value: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = value["verificationMaterial"]["tlogEntries"][0]
    return entry


# -- a bundle of others -----------------------------------------------------------------------------------------------


def test_a_real_bundle() -> None:
    bundle = upstream()
    assert bundle.method is Method.SIGSTORE
    found = verify_sigstore(bundle, public_rule(), at=NOW, agility=Agility({}))
    assert found.identity == "stefanb@us.ibm.com"
    assert found.time == datetime(2025, 10, 10, 2, 12, 20, tzinfo=UTC)
    named = {resource.name: resource.sha256 for resource in read_statement(bundle.payload).resources}
    assert named == {name: hashlib.sha256((DATA / name).read_bytes()).hexdigest() for name in ("signme-1", "signme-2")}


def test_a_real_bundle_respelt_as_a_record() -> None:
    assert verify_sigstore(read_bundle(respelt((DATA / "model.sig").read_bytes())), public_rule(), at=NOW)


def test_a_client_configuration_serves_as_root() -> None:
    root = {"mediaType": CONFIG_TYPE, "trustedRoot": json.loads(public_root())}
    assert verify_sigstore(upstream(), replace(public_rule(), trusted_root=json.dumps(root).encode()), at=NOW)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"identity": "somebody@us.ibm.com"}, "somebody@us.ibm.com"),
        ({"identity": "*@us.ibm.com"}, "SANs do not match"),  # pinned letter by letter
        ({"issuer": "https://accounts.google.com"}, "does not name the issuer"),
        ({"issuer": ""}, "needs an identity and an issuer"),
        ({"identity": ""}, "names nobody"),
    ],
)
def test_identity_and_issuer_are_pinned(changed: dict[str, str], match: str) -> None:
    with pytest.raises(FormatError, match=match.replace("*", r"\*")):
        verify_sigstore(upstream(), replace(public_rule(), **changed), at=NOW)


def test_a_foreign_root_says_no() -> None:
    with pytest.raises(FormatError, match="a log that the trusted root does not name"):
        verify_sigstore(upstream(), replace(public_rule(), trusted_root=instance().trusted_root()), at=NOW)


def test_in_an_empty_network_namespace(tool: Callable[[str], Path]) -> None:
    unshare = tool("unshare")
    if subprocess.run([unshare, "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let a user make a network namespace")
    program = (
        "from tests.unit.test_sigstore import upstream, public_rule, verify_sigstore, NOW\n"
        "print(verify_sigstore(upstream(), public_rule(), at=NOW).time)"
    )
    command = [unshare, "-rn", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "2025-10-10 02:12:20+00:00\n", done.stderr


def test_flipped_bits_of_a_record_are_seen() -> None:
    """Every byte was tried once with two masks (14,865 reach the verifier, none passes); here is a sample of them."""
    data, wanted = respelt((DATA / "model.sig").read_bytes()), public_rule()
    for at in range(0, len(data), 17):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(FormatError):
            verify_sigstore(read_bundle(bytes(changed)), wanted, at=NOW)


# -- an instance of our own -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("promise", "stamp"), [(True, True), (True, False), (False, True)])
def test_each_source_of_time(promise: bool, stamp: bool) -> None:
    found = verify(instance().sign(PAYLOAD, promise=promise, stamp=stamp), agility=Agility({}))
    assert found == SigstoreResult(IDENTITY, ISSUER, SIGNED)


def test_without_any_time_there_is_no_yes() -> None:
    with pytest.raises(FormatError, match="proves a time"):
        verify(instance().sign(PAYLOAD, promise=False, stamp=False))


def test_a_time_without_a_promise_is_anybodys_word() -> None:
    value = instance().sign(PAYLOAD, stamp=False)
    del entry_of(value)["inclusionPromise"]
    entry_of(value)["logIndex"] = "2"
    with pytest.raises(FormatError, match="integratedTime"):
        verify(value)


def test_every_source_of_time_must_hold() -> None:
    """Sigstore's verifier is content with one; here a stamp that is of something else spoils the bundle."""
    value = instance().sign(PAYLOAD)
    other = instance().sign(b"other")
    stamps = value["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    stamps += other["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    with pytest.raises(FormatError, match="not enough sources of verified time"):
        verify(value)


def test_a_stamp_of_a_stranger() -> None:
    value = instance().sign(PAYLOAD)
    foreign = Instance().sign(PAYLOAD)
    material = foreign["verificationMaterial"]["timestampVerificationData"]
    value["verificationMaterial"]["timestampVerificationData"] = material
    with pytest.raises(FormatError):
        verify(value)


@pytest.mark.parametrize(
    "changed",
    [{"identity": "other@example.org"}, {"issuer": "https://accounts.example.com"}],
    ids=["identity", "issuer"],
)
def test_somebody_else_of_the_same_instance(changed: dict[str, str]) -> None:
    with pytest.raises(FormatError, match=r"does not name the issuer|SANs do not match"):
        verify(instance().sign(PAYLOAD, **changed))  # type: ignore[arg-type]


def test_an_entry_of_another_signature() -> None:
    value, other = instance().sign(PAYLOAD, stamp=False), instance().sign(b"other", stamp=False)
    value["verificationMaterial"]["tlogEntries"] = other["verificationMaterial"]["tlogEntries"]
    with pytest.raises(FormatError, match="Sigstore's verifier refuses"):
        verify(value)


def test_a_missing_entry() -> None:
    value = instance().sign(PAYLOAD)
    value["verificationMaterial"]["tlogEntries"] = []
    with pytest.raises(FormatError, match="tlogEntries"):
        verify(value)
    del value["verificationMaterial"]["tlogEntries"]
    with pytest.raises(FormatError, match="tlogEntries"):
        verify(value)


def test_a_foreign_log() -> None:
    home, foreign = instance(), Instance()
    borrowed = Instance(root=home.root, certificate_log=home.certificate_log, log=foreign.log, stamps=home.stamps)
    borrowed.middle = home.middle
    with pytest.raises(FormatError, match="a log that the trusted root does not name"):
        verify(borrowed.sign(PAYLOAD))
    value = borrowed.sign(PAYLOAD, stamp=False)  # and when it claims to be the log that is named
    entry_of(value)["logId"] = entry_of(home.sign(PAYLOAD))["logId"]
    with pytest.raises(FormatError, match="Sigstore's verifier refuses"):
        verify(value)


def test_a_foreign_authority() -> None:
    home = instance()
    foreign = Instance(certificate_log=home.certificate_log, log=home.log, stamps=home.stamps)
    with pytest.raises(FormatError, match="Sigstore's verifier refuses"):
        verify(foreign.sign(PAYLOAD))


def test_a_certificate_that_no_log_saw() -> None:
    home = instance()
    unseen = Instance(root=home.root, log=home.log, stamps=home.stamps)
    unseen.middle = home.middle
    with pytest.raises(FormatError, match="SCT"):
        verify(unseen.sign(PAYLOAD))


def test_signed_when_the_certificate_was_over() -> None:
    with pytest.raises(FormatError, match=r"not valid|expired"):
        verify(instance().sign(PAYLOAD, years=(2024, 2025)))


def test_from_after_the_date_of_verification() -> None:
    value = instance().sign(PAYLOAD)
    with pytest.raises(FormatError, match="from after"):
        verify(value, at=SIGNED - timedelta(seconds=1))
    assert verify(value, at=SIGNED)
    assert verify(value, at=datetime(2055, 1, 1, tzinfo=UTC))


def test_an_algorithm_that_was_broken_takes_the_log_with_it() -> None:
    value = instance().sign(PAYLOAD)
    agility = Agility({"sha256": date(2040, 1, 1)})
    assert verify(value, agility=agility, at=datetime(2039, 1, 1, tzinfo=UTC))
    with pytest.raises(FormatError, match="broken by then"):
        verify(value, agility=agility, at=datetime(2055, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda entry: entry.update(logIndex="01002"), "logIndex"),
        (lambda entry: entry.update(logIndex=1002), "logIndex"),
        (lambda entry: entry.update(logIndex="1003"), "Sigstore's verifier refuses"),
        (lambda entry: entry.update(more="x"), "not known"),
        (lambda entry: entry["inclusionProof"].update(treeSize="4"), "checkpoint says"),
        (lambda entry: entry["inclusionProof"].update(logIndex="1"), "Sigstore's verifier refuses"),
        (lambda entry: entry["inclusionProof"].update(hashes=[]), "Sigstore's verifier refuses"),
        (lambda entry: entry["kindVersion"].update(version="0.0.2"), "Sigstore's verifier refuses"),
        (lambda entry: entry.update(canonicalizedBody=base64.b64encode(b"{}").decode()), "Sigstore's verifier refuses"),
        (lambda entry: _checkpoint(entry, "\n", "\nextra line\n"), "checkpoint|Sigstore"),
        (lambda entry: _checkpoint(entry, "— log.example.org", "— other.example.org"), "a signature of"),
        (lambda entry: _more_signatures(entry), "checkpoint"),
    ],
)
def test_nothing_of_an_entry_is_free(change: Callable[[dict[str, Any]], None], match: str) -> None:
    value = instance().sign(PAYLOAD)
    change(entry_of(value))
    with pytest.raises(FormatError, match=match):
        verify(value)


def _checkpoint(entry: dict[str, Any], old: str, new: str) -> None:
    note = entry["inclusionProof"]["checkpoint"]
    note["envelope"] = note["envelope"].replace(old, new, 1)


def _more_signatures(entry: dict[str, Any]) -> None:
    entry["inclusionProof"]["checkpoint"]["envelope"] += "— witness.example.org AAAAAAAAAAAA\n"


def test_without_a_promise_the_index_is_the_proofs() -> None:
    value = instance().sign(PAYLOAD, promise=False)
    entry_of(value)["logIndex"] = "3"
    with pytest.raises(FormatError, match="logIndex"):
        verify(value)


def _root(**changed: Any) -> bytes:
    return json.dumps({**json.loads(instance().trusted_root()), **changed}).encode()


@pytest.mark.parametrize(
    "root",
    [
        *(b"", b"{}", b"[]", b"null", b'{"mediaType": "x"}', b"[" * 5000, b" " * ((1 << 20) + 1)),
        *(_root(tlogs=[]), _root(tlogs=[{}]), _root(timestampAuthorities=[{}])),
    ],
)
def test_a_root_that_cannot_be_read(root: bytes) -> None:
    with pytest.raises(FormatError, match="trusted root"):
        verify(instance().sign(PAYLOAD), rule(trusted_root=root))


def test_other_methods_are_not_its_business() -> None:
    key = keys("p256")[0]
    bundle = read_bundle(encode_bundle(PAYLOAD, key.sign(pae(PAYLOAD)), public=key.public))
    with pytest.raises(FormatError, match="not a Sigstore bundle"):
        verify_sigstore(bundle, rule(), at=NOW)


def test_without_the_extra_it_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigstore.models", None)
    with pytest.raises(Missing) as error:
        verify_sigstore(upstream(), public_rule(), at=NOW)
    assert "llamafile-format[sigstore]" in error.value.hint
