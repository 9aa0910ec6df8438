"""Time stamps go both ways between us and ``openssl ts`` (spec 13.6)."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.checks.signatures import read_records
from llamafile_format.errors import FormatError, SourceError, UsageError
from llamafile_format.rules import Layer
from llamafile_format.signing.keys.algorithms import Agility
from llamafile_format.signing.records.record import Record, RecordKind
from llamafile_format.signing.time.timestamp_request import accept_response, build_query
from llamafile_format.signing.time.timestamps import read_response, trusted_chain
from llamafile_format.signing.trust.material import read_material
from llamafile_format.signing.trust.policy import Authority as Trusted
from llamafile_format.signing.trust.policy import StampLevel, key_policy
from llamafile_format.vouching.renew import fetch_renewal, renew, renewal_request
from llamafile_format.vouching.sign import sign
from llamafile_format.vouching.timestamp import Trusting, attach, fetch, request
from tests.authorities import Authority
from tests.interop.openssl_authority import OpensslAuthority, served
from tests.signing_samples import container, keys

pytestmark = pytest.mark.interop
Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Maker = Callable[..., OpensslAuthority]
DATA = b"a record"
DIGEST = hashlib.sha256(DATA).digest()


@pytest.fixture
def tsa(tmp_path: Path) -> Maker:
    """``tsa("rsa2048", digest=…)``: an authority with a key of that kind, under an intermediate one and a root."""

    def make(kind: str = "p256", name: str = "Time", **options: object) -> OpensslAuthority:
        leaf = Authority.create(f"{name} Root", kind).intermediate(f"{name} Middle", kind).tsa(f"{name} Stamps", kind)
        return OpensslAuthority(leaf, tmp_path / f"{name}-{kind}", **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    path = container(tmp_path / "a.llamafile")
    sign(path, keys("p384"))
    return path


def records(path: Path) -> tuple[Record, ...]:
    with lf.open(path) as found:
        return read_records(found.source, found.archive)


def root(authority: OpensslAuthority, **more: object) -> Trusting:
    """Trust in the root of ``authority``, with what it takes to build the chain."""
    _, middle, top = authority.authority.chain
    return Trusting(roots=(top.der,), certificates=(middle.der,), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "digest", "algorithm"),
    [
        ("p256", "sha256", "ecdsa-p256-sha256"),
        ("p384", "sha384", "ecdsa-p384-sha384"),
        ("p521", "sha512", "ecdsa-p521-sha512"),
        ("p384", "sha256", "ecdsa-p384-sha256"),
        ("rsa2048", "sha256", "rsa-sha256"),
        ("rsa3072", "sha512", "rsa-sha512"),
    ],
)
@pytest.mark.parametrize("imprint", ["sha256", "sha512"])
def test_we_read_what_openssl_writes(kind: str, digest: str, algorithm: str, imprint: str, tsa: Maker) -> None:
    authority = tsa(kind, digest=digest)
    leaf, middle, top = authority.authority.chain
    query = build_query(imprint, hashlib.new(imprint, DATA).digest())
    token = read_response(accept_response(authority.answer(query.data)).data)
    assert (token.imprint_algorithm, token.imprint, token.nonce) == (imprint, query.digest, query.nonce)
    assert (token.algorithm, token.digest_algorithm, token.serial) == (algorithm, digest, 2)
    assert token.certificates == (token.signer,) == (leaf.der,)
    chain = trusted_chain(token, [top.der], at=token.time, extra=[middle.der], agility=Agility())
    assert chain == (leaf.der, middle.der, top.der)


@pytest.mark.parametrize("binding", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("bind_chain", [False, True])
def test_settings_of_openssl(binding: str, bind_chain: bool, tsa: Maker) -> None:
    authority = tsa(binding=binding, bind_chain=bind_chain, named=False, precision=6)
    chain = b"".join(one.pem for one in authority.authority.chain[1:])
    answer = authority.answer(build_query("sha256", DIGEST).data, chain=chain)
    token = read_response(accept_response(answer).data)
    assert len(token.certificates) == 3


def test_the_time_of_a_token(tsa: Maker) -> None:
    at = datetime(2044, 2, 29, 23, 59, 30, tzinfo=UTC)
    token = read_response(accept_response(tsa().answer(build_query("sha256", DIGEST).data, at)).data)
    assert 0 <= (token.time - at).total_seconds() < 10


def test_certificates_are_put_in_order(tsa: Maker) -> None:
    """openssl sends its set as the files come; whatever is not the signer's chain is left out, and said."""
    authority = tsa()
    stranger = Authority.create("Stranger")
    chain = [one.pem for one in authority.authority.chain[1:]]
    query = build_query("sha256", DIGEST).data
    for order in (chain, chain[::-1]):
        answer = authority.answer(query, chain=b"".join(order))
        accepted = accept_response(answer)
        assert accepted.left_out == ()
        token = read_response(accepted.data)
        assert set(token.certificates) == {one.der for one in authority.authority.chain}
    with_stranger = authority.answer(query, chain=b"".join([*chain, stranger.pem]))
    accepted = accept_response(with_stranger)
    assert accepted.left_out == ("1 of 4 certificates",)
    assert stranger.der not in read_response(accepted.data).certificates
    with pytest.raises(FormatError, match=r"order of DER|chain of its signer"):
        read_response(with_stranger)


def test_bare_token(tsa: Maker) -> None:
    answer = tsa().answer(build_query("sha256", DIGEST).data, bare=True)
    assert read_response(accept_response(answer).data).imprint == DIGEST


@pytest.mark.parametrize(("kind", "digest", "chain"), [("p256", "sha256", 0), ("rsa2048", "sha512", 1)])
def test_no_bit_is_free(kind: str, digest: str, chain: int, tsa: Maker) -> None:
    """13.6.4: of a token by openssl, every bit is flipped."""
    authority = tsa(kind, digest=digest)
    _, middle, top = authority.authority.chain
    more = b"".join(one.pem for one in (middle, top)[:chain])
    data = accept_response(authority.answer(build_query("sha256", DIGEST).data, chain=more)).data

    def believed(record: bytes) -> bool:
        try:
            token = read_response(record)
            trusted_chain(token, [top.der], at=token.time, extra=[middle.der], agility=Agility())
        except FormatError:
            return False
        return True

    assert believed(data)
    flipped = bytearray(data)
    for at in range(len(data)):
        for bit in range(8):
            flipped[at] ^= 1 << bit
            assert not believed(bytes(flipped)), f"bit {bit} of byte {at}"
            flipped[at] ^= 1 << bit


def test_openssl_understands_our_request(signed: Path, tsa: Maker) -> None:
    authority = tsa()
    asked = request(signed, algorithm="sha384")
    (authority.folder / "q.tsq").write_bytes(asked.query.data)
    words = [authority.openssl, "ts", "-query", "-in", str(authority.folder / "q.tsq"), "-text"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "Hash Algorithm: sha384" in text
    assert "Certificate required: yes" in text
    assert f"Nonce: 0x{asked.query.nonce:016X}" in text


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_openssl_verifies_our_record(kind: str, signed: Path, tsa: Maker) -> None:
    """The record of a stamp against the bytes of the stamped record; a renewal against ``head -c`` of the file."""
    authority = tsa(kind)
    attach(signed, authority.answer(request(signed).query.data), trusting=root(authority))
    renew(signed, lambda query: authority.answer(query), trusting=root(authority))
    first, stamp, _, renewal, _ = records(signed)
    assert (stamp.kind, renewal.kind) == (RecordKind.TSR, RecordKind.TSR)
    front = hashlib.sha512(signed.read_bytes()[: renewal.header_offset]).hexdigest()
    (authority.folder / "first").write_bytes(first.data)
    (authority.folder / "middle.pem").write_bytes(authority.authority.chain[1].pem)
    for record, words in ((stamp, ["-data", authority.folder / "first"]), (renewal, ["-digest", front])):
        (authority.folder / "record.tsr").write_bytes(record.data)
        command = [authority.openssl, "ts", "-verify", "-in", authority.folder / "record.tsr", *words]
        command += ["-CAfile", authority.root, "-untrusted", authority.folder / "middle.pem"]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        assert "Verification: OK" in done.stdout, done.stderr
        command[6] = authority.root if words[0] == "-data" else front[::-1]  # other data, another digest
        wrong = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        assert "Verification: OK" not in wrong.stdout


def test_a_stamped_file_verifies(signed: Path, tsa: Maker) -> None:
    authority = tsa()
    result = attach(signed, authority.answer(request(signed).query.data), trusting=root(authority))
    assert result.stamped == "META-LLAMAFILE/signatures/0001.oms.json"
    assert result.records == (
        "META-LLAMAFILE/signatures/0002.tsr.der",
        "META-LLAMAFILE/signatures/0003.vm.json",
    )
    assert len(result.chain) == 3
    top = authority.authority.chain[-1].der
    policy = key_policy([keys("p384")[0].public], authorities=[Trusted("time", (top,))])
    report = lf.verify(signed, policy=policy)
    assert report.verdicts[Layer.AUTHENTIC].value == "yes"
    assert report.signatures[0].level == StampLevel.T.name


def test_lists_make_level_lt(signed: Path, tsa: Maker) -> None:
    authority = tsa()
    leaf, middle, top = authority.authority.chain
    lists = (middle.revocation_list(), top.revocation_list())
    attach(signed, authority.answer(request(signed).query.data), trusting=root(authority, revocations=lists))
    material = read_material(records(signed)[-1].data)
    assert (material.certificates, material.revocations) == ((middle.der,), lists)
    policy = key_policy([keys("p384")[0].public], authorities=[Trusted("time", (top.der,))])
    assert lf.verify(signed, policy=policy).signatures[0].level == "LT"
    revoked = middle.revocation_list((leaf, datetime(2021, 1, 1, tzinfo=UTC)))
    other = request(signed).query.data
    with pytest.raises(FormatError, match="revoked"):
        attach(signed, authority.answer(other), trusting=root(authority, revocations=(revoked,)))


def test_without_roots_nobody_is_believed(signed: Path, tsa: Maker, run_cli: Cli) -> None:
    answer = signed.with_name("answer.tsr")
    answer.write_bytes(tsa().answer(request(signed).query.data))
    done = run_cli("timestamp", "attach", signed, answer)
    assert done.returncode == 0, done.stderr
    assert "unknown  CN=Time Stamps was not checked" in done.stdout
    assert "claims " in done.stdout
    assert "trusted" not in done.stdout


def test_wrong_roots_and_wrong_times(signed: Path, tsa: Maker) -> None:
    authority = tsa()
    before, answer = signed.read_bytes(), authority.answer(request(signed).query.data)
    with pytest.raises(FormatError, match="does not lead to a root"):
        attach(signed, answer, trusting=Trusting(roots=(Authority.create("Else").der,)))
    with pytest.raises(FormatError, match="was not valid"):
        attach(signed, answer, trusting=root(authority, at=datetime(2061, 1, 1, tzinfo=UTC)))
    signer = Authority.create("Time Root").leaf("No authority for time")
    with pytest.raises(AssertionError, match=r"(?i)usage|purpose|certificate"):  # openssl itself refuses
        OpensslAuthority(signer, authority.folder / "signer").answer(request(signed).query.data)
    assert signed.read_bytes() == before


def test_wrong_imprint(signed: Path, tsa: Maker, tmp_path: Path) -> None:
    authority = tsa()
    elsewhere = container(tmp_path / "b.llamafile", name="Other")
    sign(elsewhere, keys("p384"))
    before = signed.read_bytes()
    for query in (build_query("sha256", DIGEST), request(elsewhere).query, renewal_request(elsewhere).query):
        answer = authority.answer(query.data)
        with pytest.raises(FormatError, match="about no signature"):
            attach(signed, answer)
        with pytest.raises(FormatError, match="not over"):
            renew(signed, answer)
    assert signed.read_bytes() == before


def test_refusals_of_the_authority(signed: Path, tsa: Maker) -> None:
    authority = tsa(accepts="sha512")
    with pytest.raises(FormatError, match=r"refused to stamp .*digest function"):
        attach(signed, authority.answer(request(signed).query.data))


def test_detached_signature(tmp_path: Path, tsa: Maker, run_cli: Cli) -> None:
    """A signature beside the file gets its stamp beside the file; both count when they are named."""
    path = container(tmp_path / "a.llamafile")
    before = path.read_bytes()
    (signature,) = sign(path, keys("p384"), detached=True).records
    authority = tsa()
    asked = request(path, signature=signature)
    result = attach(path, authority.answer(asked.query.data), trusting=root(authority), signature=signature)
    assert result.stamped == signature
    assert result.records[0] == str(tmp_path / "a.llamafile.0002.tsr.der")
    assert path.read_bytes() == before
    policy = key_policy([keys("p384")[0].public], authorities=[Trusted("t", (authority.authority.chain[-1].der,))])
    report = lf.verify(path, policy=policy, signatures=[signature, *result.records])
    assert report.verdicts[Layer.AUTHENTIC].value == "yes"
    assert report.signatures[0].level == "T"
    with pytest.raises(UsageError):
        attach(path, authority.answer(asked.query.data), tmp_path / "out", signature=signature)


# An authority on the net


def test_fetch(signed: Path, tsa: Maker, run_cli: Cli) -> None:
    authority = tsa()
    with served(authority) as url:
        result = fetch(signed, url, trusting=root(authority), record=1)
        assert result.stamped.endswith("0001.oms.json")
        again = fetch_renewal(signed, url, trusting=root(authority), algorithm="sha384")
        assert again.token.imprint_algorithm == "sha384"
        done = run_cli("timestamp", "fetch", signed, "--url", url, "--tsa", authority.root, "--json")
        assert done.returncode == 1  # the certificate between is not among what was given
        assert "does not lead to a root" in done.stderr
        middle = authority.folder / "middle.pem"
        middle.write_bytes(authority.authority.chain[1].pem)
        done = run_cli("renew", signed, "--url", url, "--tsa", authority.root, "--chain", middle)
        assert done.returncode == 0, done.stderr
        assert "stamps everything in front of it" in done.stdout
    assert [record.kind.value for record in records(signed)] == ["oms", "tsr", "vm", "tsr", "vm", "tsr", "vm"]
    report = lf.verify(signed, level="exhaustive")
    assert {finding.rule for finding in report.findings} == {"LF9005"}


@pytest.mark.parametrize(
    ("status", "headers", "body", "words"),
    [
        (302, {"Location": "http://192.0.2.1/"}, b"", "sends to http://192.0.2.1/"),
        (307, {"Location": "file:///etc/passwd"}, b"", "sends to"),
        (500, {}, b"", "answers 500"),
        (200, {"Content-Type": "text/html"}, b"<html>", "answers with text/html"),
        (200, {"Content-Type": "application/timestamp-reply"}, bytes((1 << 20) + 1), "more than 1048576 bytes"),
    ],
)
def test_answers_of_others(
    signed: Path, tsa: Maker, status: int, headers: dict[str, str], body: bytes, words: str
) -> None:
    before = signed.read_bytes()
    with served(tsa(), answer=(status, headers, body)) as url, pytest.raises(SourceError, match=words):
        fetch(signed, url)
    assert signed.read_bytes() == before


def test_an_answer_to_another_question(signed: Path, tsa: Maker) -> None:
    authority = tsa()
    old = authority.answer(build_query("sha256", hashlib.sha256(records(signed)[0].data).digest(), nonce=7).data)
    reply = (200, {"Content-Type": "application/timestamp-reply"}, old)
    with served(authority, answer=reply) as url, pytest.raises(FormatError, match="answer to another"):
        fetch(signed, url)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "nothing", "http://", "http://a:b@127.0.0.1/"]
)
def test_addresses(signed: Path, url: str) -> None:
    with pytest.raises(UsageError):
        fetch(signed, url)


def test_nobody_answers(signed: Path) -> None:
    with pytest.raises(SourceError, match="no answer"):
        fetch(signed, "http://127.0.0.1:9/", timeout=5)
