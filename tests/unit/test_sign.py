"""``sign``: what is said, by whom, in which kind of record; what is refused; the command."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import llamafile_format as lf
from llamafile_format.changing import convert
from llamafile_format.checks.signatures import read_records
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.manifest.canonical_json import decode, encode
from llamafile_format.signing.keys.key import PrivateKey, PublicKey
from llamafile_format.signing.keys.key_files import write_keys
from llamafile_format.signing.records.envelope import read_bundle
from llamafile_format.signing.records.record import Record, RecordKind
from llamafile_format.signing.records.statement import read_statement
from llamafile_format.vouching.append import append_records
from llamafile_format.vouching.sign import Attestation, sign
from llamafile_format.vouching.signers import key_ids, read_signers
from spec.vectors.generate import ROOT as VECTORS
from spec.vectors.generate.load import read_vector
from tests.signing_samples import TIME, certified, container, keys

Cli = Callable[..., "CompletedProcess[str]"]
KINDS = ["p256", "p384", "p521", "ed25519", "ml-dsa-65", "ml-dsa-87"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return container(tmp_path / "a.llamafile")


def _records(path: Path) -> tuple[Record, ...]:
    with lf.open(path) as found:
        return read_records(found.source, found.archive)


def _payload(record: Record) -> dict[str, object]:
    return decode(read_bundle(record.data).payload)  # type: ignore[no-any-return]


WRONG_IN_EVERY_COPY = [
    ("launcher/reserve-not-zero", "LF1101"),
    ("launcher/native-program-differs", "LF1101"),
    ("chunks/chunk-root-of-list", "LF4007"),
    ("chunks/empty-member-sha256", "LF4004"),
    ("runtimes/page-exchanged", "LF3320"),
    ("loading/big-endian", "LF3311"),
]


@pytest.mark.parametrize(("name", "rule"), WRONG_IN_EVERY_COPY)
def test_what_verify_refuses_whatever_the_weights_are_is_not_signed(name: str, rule: str, tmp_path: Path) -> None:
    path = tmp_path / "a.llamafile"
    path.write_bytes(read_vector(VECTORS / f"{name}.vector").payload)
    before = path.read_bytes()
    assert rule in {finding.rule for finding in lf.verify(path).findings}
    report = Attestation("https://example.org/report", {})
    for options in ({}, {"detached": True}, {"out": tmp_path / "b.llamafile"}, {"attest": report}, {"force": True}):
        with pytest.raises(FormatError) as refused:
            sign(path, keys("p384"), **options)  # type: ignore[arg-type]
        assert refused.value.clause == rule
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["a.llamafile"]


def test_no_record_of_any_kind_is_added_to_what_is_not_well_formed(tmp_path: Path) -> None:
    path = tmp_path / "a.llamafile"
    path.write_bytes(read_vector(VECTORS / "launcher" / "reserve-not-zero.vector").payload)
    with pytest.raises(FormatError, match="is not well-formed"):
        append_records(path, [(RecordKind.VM, b"{}")])
    with pytest.raises(FormatError, match="was not converted"):
        convert(path, "elf-x86_64")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_key(kind: str, file: Path) -> None:
    (key,) = keys(kind)
    with lf.open(file) as found:
        end = found.archive.directory_offset
        members = {member.path: member.sha256 for member in found.members if member.sha256}
        manifest = hashlib.sha256(found.manifest_bytes).hexdigest()
    result = sign(file, [key], declared_time=TIME, revision=7)
    (record,) = _records(file)
    assert record.kind is (RecordKind.OMS if key.public.algorithm.oms else RecordKind.SIG)
    assert (result.records, result.keys, result.declared_time) == ((record.path,), (key.public.key_id,), TIME)
    bundle = read_bundle(record.data)
    assert (bundle.keyid, bundle.hint) == (key.public.key_id, key.public.hint)
    assert key.public.verify(bundle.signature, bundle.signed)
    statement = decode(bundle.payload)
    named = {item["name"]: item["digest"] for item in statement["predicate"]["resources"]}
    assert named == {**members, "META-LLAMAFILE/manifest.json": manifest}
    assert list(named) == sorted(named)
    root = hashlib.sha256(b"".join(bytes.fromhex(named[name]) for name in sorted(named))).hexdigest()
    (subject,) = statement["subject"]
    assert subject["name"] == "Tiny"
    assert subject["digest"] == {"sha256": root}
    assert subject["annotations"] == {
        "cosigners": [],
        "covered": end,
        "declared_time": TIME,
        "format": "llamafile/1.0",
        "manifest_sha256": manifest,
        "revision": 7,
    }
    assert lf.verify(file, level="exhaustive").exit_code() == 0


def test_a_pair_says_the_same_and_names_both(file: Path) -> None:
    pair = keys("p384+ml-dsa-65")
    sign(file, pair)
    first, second = _records(file)
    assert (first.kind, second.kind) == (RecordKind.OMS, RecordKind.SIG)
    assert read_bundle(first.data).payload == read_bundle(second.data).payload
    annotations = read_statement(read_bundle(first.data).payload).annotations
    assert annotations is not None
    assert annotations.cosigners == tuple(sorted(key.public.key_id for key in pair))


def test_elliptic_curves_give_the_same_bytes_again(file: Path, tmp_path: Path) -> None:
    sign(file, keys(), tmp_path / "one", declared_time=TIME)
    sign(file, keys(), tmp_path / "two", declared_time=TIME)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_declared_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    assert sign(file, keys()).declared_time == "2027-01-15T08:00:00Z"
    assert sign(file, keys(), declared_time="2026-11-21T15:00:00+01:00", force=True).declared_time == TIME
    assert sign(file, keys(), declared_time="none", force=True).declared_time == ""
    assert "declared_time" not in _payload(_records(file)[2])["subject"][0]["annotations"]  # type: ignore[index]
    now = sign(file, keys(), declared_time="now", force=True).declared_time
    assert now < "2027"
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert sign(file, keys(), force=True).declared_time >= now
    with pytest.raises(UsageError, match="not a time"):
        sign(file, keys(), declared_time="yesterday")


def test_cosigners(file: Path, tmp_path: Path) -> None:
    other = keys("ed25519")[0].public
    (tmp_path / "other.pub").write_text(other.pem)
    ids = key_ids([str(tmp_path / "other.pub"), "ab" * 32])
    assert ids == tuple(sorted([other.key_id, "ab" * 32]))
    sign(file, keys("p384+ml-dsa-65"), cosigners=ids)
    annotations = read_statement(read_bundle(_records(file)[0].data).payload).annotations
    assert annotations is not None
    assert set(annotations.cosigners) == {*ids, *(key.public.key_id for key in keys("p384+ml-dsa-65"))}
    for wrong in ("AB" * 32, "ab" * 31, "nowhere.pub"):
        with pytest.raises(UsageError, match="neither a key id nor a file"):
            key_ids([wrong])


def test_nobody_says_the_same_twice(file: Path) -> None:
    sign(file, keys(), declared_time=TIME)
    before = file.read_bytes()
    again = sign(file, keys())
    assert (again.method, again.already, again.records) == ("nothing to do", ("0001.oms",), ())
    assert file.read_bytes() == before
    assert sign(file, keys(label="another")).records
    assert sign(file, keys(), revision=1).records
    assert sign(file, keys(), cosigners=["ab" * 32]).records
    assert sign(file, keys(), force=True).records
    assert len(_records(file)) == 5
    claim = Attestation("urn:example:1", {"is": "so"})
    assert sign(file, keys(), attest=claim).records
    assert sign(file, keys(), attest=claim).already == ("0006.att",)


def test_half_a_pair_is_not_the_pair(file: Path) -> None:
    """Whoever cut the second record off does not thereby keep it off."""
    classical, modern = keys("p384+ml-dsa-65")
    sign(file, [classical], cosigners=[modern.public.key_id, classical.public.key_id])
    assert len(sign(file, [classical, modern]).records) == 2


def test_countersignatures_cover_what_is_in_front(file: Path) -> None:
    sign(file, keys(), declared_time=TIME)
    sign(file, keys("p384+ml-dsa-65"), countersign=True, declared_time=TIME)
    records = _records(file)
    assert [record.kind for record in records] == [RecordKind.OMS, RecordKind.CNT, RecordKind.CNT]
    for index, record in enumerate(records[1:], 1):
        statement = read_statement(read_bundle(record.data).payload)
        assert statement.predicate_type == "urn:llamafile-format:countersignature:1.0"
        assert [(each.path, each.sha256, each.size) for each in statement.records] == [
            (each.path, each.sha256, len(each.data)) for each in records[:index]
        ]
    assert sign(file, keys(), countersign=True).records  # there is always more to cover
    assert lf.verify(file).exit_code() == 0


def test_attestation(file: Path) -> None:
    claim = Attestation("https://slsa.dev/provenance/v1", {"buildDefinition": {"buildType": "x"}})
    sign(file, keys("ed25519"), attest=claim, declared_time=TIME)
    (record,) = _records(file)
    assert record.kind is RecordKind.ATT
    assert _payload(record)["predicate"] == claim.predicate
    with pytest.raises(FormatError, match="predicate type"):
        sign(file, keys(), attest=Attestation("https://model_signing/signature/v1.0", {}))


def test_contradictions(file: Path) -> None:
    for options in (
        {"countersign": True, "attest": Attestation("urn:a:b", {})},
        {"detached": True, "out": "x"},
        {"detached": True, "countersign": True},
    ):
        with pytest.raises(UsageError):
            sign(file, keys("p384+ml-dsa-65"), **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="nobody"):
        sign(file, [])


def test_detached(file: Path) -> None:
    before = file.read_bytes()
    result = sign(file, keys("p384+ml-dsa-65"), detached=True, declared_time=TIME)
    assert result.records == (f"{file}.0001.oms.json", f"{file}.0002.sig.json")
    assert (result.method, file.read_bytes()) == ("detached", before)
    assert sign(file, keys("p384+ml-dsa-65"), detached=True).already == ("0001.oms", "0002.sig")
    sign(file, keys("p384"), declared_time=TIME)
    assert sign(file, keys("ed25519"), detached=True).records == (f"{file}.0003.sig.json",)


class Liar:
    """Says that it is somebody else."""

    def __init__(self, key: PrivateKey, public: PublicKey) -> None:
        self.key, self.public = key, public

    def sign(self, data: bytes) -> bytes:
        return self.key.sign(data)


def test_a_signature_that_does_not_hold_is_not_written(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(FormatError, match="does not hold"):
        sign(file, [Liar(keys()[0], keys(label="another")[0].public)])
    assert file.read_bytes() == before


def test_certificates(file: Path, tmp_path: Path) -> None:
    signer, chain = certified()
    write_keys(tmp_path / "key", [signer], None)
    signers = read_signers(tmp_path / "key")
    sign(file, signers, certificates=chain, declared_time=TIME)
    bundle = read_bundle(_records(file)[0].data)
    assert bundle.certificates == chain
    with pytest.raises(UsageError, match="first certificate"):
        sign(file, keys(), certificates=chain)
    with pytest.raises(UsageError, match="first certificate"):
        sign(file, signers, certificates=chain[::-1], force=True)
    pair = (*signers, *keys("ml-dsa-65"))
    sign(file, pair, certificates=chain)
    assert [read_bundle(record.data).method.value for record in _records(file)] == ["certificate", "certificate", "key"]


def test_too_many_members_for_a_record(tmp_path: Path) -> None:
    names = tuple(f"documents/{number:04d}/{'a' * 100}.txt" for number in range(3400))
    file = container(tmp_path / "a", members=names)
    before = file.read_bytes()
    with pytest.raises(FormatError, match="too many for a record"):
        sign(file, keys())
    assert file.read_bytes() == before


def _key_file(path: Path, kind: str = "p384", passphrase: bytes | None = None) -> Path:
    write_keys(path, keys(kind), passphrase)
    return path


def test_command(file: Path, tmp_path: Path, run_cli: Cli) -> None:
    key = _key_file(tmp_path / "KEY", "p384+ml-dsa-65")
    done = run_cli("sign", file, "--key", key)
    assert (done.returncode, done.stderr) == (0, "")
    first, second, third, last = done.stdout.splitlines()
    assert last.startswith("verified weights not read (last verified full: ")
    assert first.startswith(f"{file}  {file.stat().st_size} bytes  manifest sha256:")
    assert (
        second == f"signed   META-LLAMAFILE/signatures/0001.oms.json  key id {keys('p384+ml-dsa-65')[0].public.key_id}"
    )
    assert "0002.sig.json" in third
    done = run_cli("sign", file, "--key", key, "--json")
    assert json.loads(done.stdout)["already"] == ["0001.oms", "0002.sig"]
    assert "nothing to do" in run_cli("sign", file, "--key", key).stdout
    done = run_cli("sign", file, "--key", key, "--countersign", "-o", "out", "--json")
    value = json.loads(done.stdout)
    assert (value["method"], len(value["records"]), value["path"]) == ("new file", 2, "out")
    assert run_cli("sign", file, "--key", f"{key}.pub").returncode == 2
    assert run_cli("sign", file).returncode == 2


def test_command_attests(file: Path, tmp_path: Path, run_cli: Cli) -> None:
    key, predicate = _key_file(tmp_path / "KEY"), tmp_path / "p.json"
    predicate.write_text('{"a": [1, true, "x"]}')
    options = ("--key", key, "--attest", predicate, "--predicate-type", "urn:example:1")
    assert run_cli("sign", file, *options).returncode == 0
    assert _payload(_records(file)[0])["predicate"] == {"a": [1, True, "x"]}
    for text in ("[]", '{"a": 1.5}', '{"a": null}', '{"a": 1, "a": 2}', "{"):
        predicate.write_text(text)
        assert run_cli("sign", file, *options).returncode in (1, 2), text
    assert run_cli("sign", file, *options[:4]).returncode == 2
    assert len(_records(file)) == 1


def test_command_with_a_passphrase(file: Path, tmp_path: Path, run_cli: Cli) -> None:
    key, secret = _key_file(tmp_path / "KEY", passphrase=b"correct horse"), tmp_path / "secret"
    secret.write_bytes(b"correct horse\n")
    assert run_cli("sign", file, "--key", key, "--passphrase-file", secret, "--detached").returncode == 0
    assert Path(f"{file}.0001.oms.json").exists()
    secret.write_bytes(b"wrong\n")
    done = run_cli("sign", file, "--key", key, "--passphrase-file", secret)
    assert done.returncode == 2
    assert "passphrase" in done.stderr
    assert "correct" not in done.stderr


def test_command_with_a_signer(file: Path, tmp_path: Path, run_cli: Cli, tool: Callable[[str], Path]) -> None:
    """The seam for tokens: a command gets the bytes and returns a signature; here it is openssl."""
    key = _key_file(tmp_path / "KEY")
    command = f"{tool('openssl')} dgst -sha384 -sign {key}"
    done = run_cli("sign", file, "--key", f"{key}.pub", "--signer", command, "--declared-time", "none")
    assert done.returncode == 0, done.stderr
    bundle = read_bundle(_records(file)[0].data)
    assert keys()[0].public.verify(bundle.signature, bundle.signed)
    done = run_cli("sign", file, "--key", f"{key}.pub", "--signer", f"{sys.executable} -c pass", "--force")
    assert done.returncode != 0
    assert len(_records(file)) == 1


def test_command_with_a_chain(file: Path, tmp_path: Path, run_cli: Cli) -> None:
    signer, chain = certified()
    write_keys(tmp_path / "KEY", [signer], None)
    text = "".join(
        f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n" for der in chain
    )
    (tmp_path / "chain.pem").write_text(text)
    done = run_cli("sign", file, "--key", tmp_path / "KEY", "--certificate", tmp_path / "chain.pem")
    assert done.returncode == 0, done.stderr
    assert read_bundle(_records(file)[0].data).certificates == chain


def test_no_secret_in_environment_or_arguments(run_cli: Cli) -> None:
    """A passphrase comes from a prompt or a file; there is no option and no variable for it."""
    text = run_cli("sign", "--help").stdout
    assert "--passphrase-file" in text
    assert "--passphrase " not in text
    assert "environment" not in text.lower()
    assert not any("PASSPHRASE" in name for name in os.environ)


def test_records_are_canonical(file: Path) -> None:
    sign(file, keys("p384+ml-dsa-65"))
    for record in _records(file):
        assert encode(decode(record.data)) == record.data
