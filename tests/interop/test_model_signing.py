"""OpenSSF Model Signing, both ways: its reference tool verifies our records on plain unzipped members, and we its."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

import llamafile_format as lf
from llamafile_format.checks.signatures import read_records
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.signing.keys.key_files import write_keys
from llamafile_format.signing.records.envelope import read_bundle
from llamafile_format.signing.records.record import Record, RecordKind
from llamafile_format.signing.trust.evidence import Standing
from llamafile_format.signing.trust.policy import CertificateRule, Policy, Role, SignerRule, key_policy
from llamafile_format.vouching.oms import export_oms, import_oms, verify_command
from llamafile_format.vouching.sign import sign
from tests.repack_samples import engine, gguf, write
from tests.signing_samples import certified, container, keys

Tool = Callable[[str], Path]
pytestmark = pytest.mark.interop
SCHEMAS = Path(__file__).resolve().parents[1] / "data" / "oms"
CURVES = ("p256", "p384", "p521")
NAMES = ("documents/read me first.txt", "documents/模型 für alle.txt", ".gitignore", ".github/notes.txt", "sub/.git")


@pytest.fixture
def oms(tool: Tool, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The reference tool."""
    program = tool("model_signing")

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *map(str, words)], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )

    return run


@pytest.fixture
def unzip(tool: Tool, tmp_path: Path) -> Callable[[Path], Path]:
    """``unzip(file)``: the folder into which plain unzip has put the members."""
    program = tool("unzip")

    def run(file: Path) -> Path:
        folder = tmp_path / f"{file.name}-unzipped"
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([program, "-q", file, "-d", folder], check=True, timeout=120)
        return folder

    return run


@pytest.fixture
def public(tmp_path: Path) -> Callable[[str], Path]:
    """``public(kind)``: the file of the public key; the private one lies beside it, without ``.pub``."""

    def file(kind: str) -> Path:
        path = tmp_path / f"{kind}.key"
        if not path.exists():
            write_keys(path, keys(kind), None)
        return path.with_name(f"{path.name}.pub")

    return file


def _records(path: Path) -> tuple[Record, ...]:
    with lf.open(path) as found:
        return read_records(found.source, found.archive)


def _authentic(path: Path, *kinds: str) -> bool:
    policy = key_policy([key.public for kind in kinds for key in keys(kind)])
    report = lf.verify(path, level="exhaustive", policy=policy)
    return report.exit_code() == 0


def test_they_verify_ours(tmp_path: Path, oms: Callable, unzip: Callable, public: Callable) -> None:  # type: ignore[type-arg]
    """Every curve, the first record and later ones, with records of other kinds between them."""
    file = container(tmp_path / "a.llamafile")
    sign(file, keys("ed25519"))
    for kind in CURVES:
        sign(file, keys(kind))
    sign(file, keys("p384+ml-dsa-65"))
    sign(file, keys("p256"), countersign=True)
    folder = unzip(file)
    for record, kind in zip(_records(file)[1:4], CURVES, strict=True):
        done = oms("verify", "key", folder, "--signature", folder / record.path, "--public_key", public(kind))
        assert done.returncode == 0, done.stderr
    record = _records(file)[1]
    options = ("--signature", folder / record.path, "--public_key")
    assert oms("verify", "key", folder, *options, public("p384")).returncode != 0
    weights = folder / "tiny.gguf"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert oms("verify", "key", folder, *options, public("p256")).returncode != 0


def test_they_verify_a_chain_of_ours(tmp_path: Path, oms: Callable, unzip: Callable) -> None:  # type: ignore[type-arg]
    file = container(tmp_path / "a.llamafile")
    signer, chain = certified()
    sign(file, [signer], certificates=chain[:1])
    root = "-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(chain[-1]).decode() + "-----END CERTIFICATE-----\n"
    (tmp_path / "root.pem").write_text(root)
    folder = unzip(file)
    (record,) = _records(file)
    done = oms("verify", "certificate", folder, "--signature", folder / record.path, "--certificate_chain", "root.pem")
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize("kind", CURVES)
def test_we_verify_theirs(kind: str, tmp_path: Path, oms: Callable, unzip: Callable, public: Callable) -> None:  # type: ignore[type-arg]
    """Made on the unpacked folder, with earlier records in it and without, payload and signature untouched."""
    file = container(tmp_path / "a.llamafile", members=NAMES)
    out = tmp_path / "b.llamafile"
    for earlier in (False, True):
        if earlier:
            sign(file, keys("ed25519"))
        folder, bundle = unzip(file), tmp_path / f"{earlier}.sig"
        done = oms(
            "sign", "key", folder, "--no-ignore-git-paths", "--private_key", public(kind).with_suffix(""),
            "--signature", bundle,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        import_oms(file, bundle, out, force=True)
        made, record = read_bundle(bundle.read_bytes(), canonical=False), _records(out)[-1]
        ours = read_bundle(record.data)
        assert (record.kind, ours.payload, ours.signature) == (RecordKind.OMS, made.payload, made.signature)
        assert _authentic(out, kind)
        assert not _authentic(out, "ed25519" if not earlier else "p256+ml-dsa-87")
        export_oms(out, tmp_path / "again.sig", number=record.number, force=True)
        options = ("--signature", "again.sig", "--public_key", public(kind), "--no-ignore-git-paths")
        assert oms("verify", "key", folder, *options).returncode == 0
    bundle.write_text(bundle.read_text().replace('"payload":"', '"payload":"A'))
    with pytest.raises(FormatError):
        import_oms(file, bundle)


def test_we_verify_a_chain_of_theirs(tmp_path: Path, oms: Callable, unzip: Callable) -> None:  # type: ignore[type-arg]
    """Believed by root and identity, and by nobody else's."""
    file = container(tmp_path / "a.llamafile")
    signer, chain = certified()
    write_keys(tmp_path / "KEY", [signer], None)
    for name, der in zip(("leaf.pem", "root.pem"), chain, strict=True):
        text = base64.encodebytes(der).decode()
        (tmp_path / name).write_text(f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n")
    options = ("--signing_certificate", "leaf.pem", "--certificate_chain", "root.pem", "--signature", "x.sig")
    done = oms("sign", "certificate", unzip(file), "--private_key", "KEY", *options)
    assert done.returncode == 0, done.stderr
    import_oms(file, tmp_path / "x.sig")
    for identity, code in (("a@example.org", 0), ("b@example.org", 5)):
        rule = CertificateRule((chain[-1],), identity)
        policy = Policy("test", (SignerRule("a", frozenset(Role), certificate=rule),))
        assert lf.verify(file, policy=policy).exit_code() == code


def test_names_and_engine_assets(tmp_path: Path, oms: Callable, unzip: Callable, public: Callable) -> None:  # type: ignore[type-arg]
    """Blanks, other scripts, names that git has too, and files that the engine brings, deflated."""
    write(tmp_path / "model.gguf", gguf())
    write(tmp_path / "engine", engine("e", 100_000, [("etc/about it.txt", b"about " * 100), ("help.txt", b"help")]))
    include = []
    for number, name in enumerate(NAMES):
        include.append(lf.Include(write(tmp_path / f"{number}", name.encode()), name, "document"))
    file = tmp_path / "a.llamafile"
    lf.pack([tmp_path / "model.gguf"], file, prefix=tmp_path / "engine", include=include)
    sign(file, keys("p384"))
    folder = unzip(file)
    assert (folder / "etc/about it.txt").exists()
    assert {name for name in NAMES if not (folder / name).exists()} == set()
    result = export_oms(file, tmp_path / "a.sig")
    words = verify_command(result).replace("FOLDER", str(folder)).replace("KEY.pub", str(public("p384"))).split()
    assert words.pop(0) == "model_signing"
    done = oms(*words)
    assert done.returncode == 0, done.stderr
    assert (
        oms("sign", "key", folder, "--private_key", public("p384").with_suffix(""), "--signature", "b.sig").returncode
        == 0
    )
    with pytest.raises(FormatError, match="not the whole file") as caught:
        import_oms(file, tmp_path / "b.sig")
    assert "--no-ignore-git-paths" in caught.value.hint
    (folder / "etc/about it.txt").write_text("something else")
    assert oms(*words).returncode != 0


def test_a_detached_record_verifies_too(tmp_path: Path, oms: Callable, unzip: Callable, public: Callable) -> None:  # type: ignore[type-arg]
    file = container(tmp_path / "a.llamafile")
    (path,) = sign(file, keys("p521"), detached=True).records
    done = oms("verify", "key", unzip(file), "--signature", path, "--public_key", public("p521"))
    assert done.returncode == 0, done.stderr


def test_a_signature_of_the_weights_is_the_publishers(tmp_path: Path, oms: Callable, public: Callable) -> None:  # type: ignore[type-arg]
    file = container(tmp_path / "a.llamafile")
    model = tmp_path / "model"
    lf.extract(file, model, ["tiny.gguf"])
    bundle = tmp_path / "model.sig"
    options = ("--private_key", public("p256").with_suffix(""), "--signature", bundle)
    assert oms("sign", "key", model, *options).returncode == 0
    with pytest.raises(FormatError, match="not the whole file") as caught:
        import_oms(file, bundle)
    assert "--role publisher-signature" in caught.value.hint
    out = tmp_path / "with.llamafile"
    lf.repack(file, out, include=[lf.Include(bundle, "publisher.sig", "publisher-signature")])
    for kind, standing in (("p256", Standing.TRUSTED), ("p384", Standing.UNKNOWN)):
        report = lf.verify(out, level="exhaustive", policy=key_policy([keys(kind)[0].public]))
        assert [fact.standing for fact in report.publishers] == [standing]
    other = write(tmp_path / "model" / "tiny.gguf", b"another model")
    assert oms("sign", "key", other.parent, *options).returncode == 0
    with pytest.raises(FormatError, match="other files"):
        import_oms(file, bundle)


def test_records_that_oms_does_not_know(tmp_path: Path) -> None:
    file = container(tmp_path / "a.llamafile")
    sign(file, keys("ed25519"))
    for number in (None, 1, 7):
        with pytest.raises(UsageError):
            export_oms(file, tmp_path / "x", number=number)


@cache
def _schema(name: str) -> Draft202012Validator:
    found = {path.name.partition(".")[0]: json.loads(path.read_text("utf-8")) for path in SCHEMAS.glob("*.schema.json")}
    registry: Registry[dict[str, object]] = Registry()
    registry = registry.with_resources([(value["$id"], Resource.from_contents(value)) for value in found.values()])
    Draft202012Validator.check_schema(found[name])
    return Draft202012Validator(found[name], registry=registry)


def test_the_schemas_accept_ours(tmp_path: Path) -> None:
    """Bundle, envelope, statement and predicate, with keys and with certificates."""
    file = container(tmp_path / "a.llamafile", members=NAMES)
    signer, chain = certified()
    for kind in (*CURVES, "p384+ml-dsa-65"):
        sign(file, keys(kind), cosigners=["ab" * 32])
    sign(file, [signer], certificates=chain)
    for record in _records(file):
        bundle = json.loads(record.data)
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        _schema("bundle").validate(bundle)
        _schema("envelope").validate(bundle["dsseEnvelope"])
        _schema("statement").validate(statement)
        _schema("predicate").validate(statement["predicate"])


def test_the_schemas_refuse(tmp_path: Path) -> None:
    """They say something: each of these changes is refused."""
    file = container(tmp_path / "a.llamafile")
    sign(file, keys())
    bundle = json.loads(_records(file)[0].data)
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    wrong = [
        ("bundle", {**bundle, "more": 1}),
        ("bundle", {**bundle, "verificationMaterial": {}}),
        ("envelope", {**bundle["dsseEnvelope"], "signatures": []}),
        ("statement", {**statement, "predicateType": "urn:other"}),
        ("statement", {**statement, "subject": statement["subject"] * 2}),
        ("predicate", {**statement["predicate"], "more": 1}),
        ("predicate", {"resources": []}),
    ]
    for name, value in wrong:
        assert not _schema(name).is_valid(value), (name, value)
