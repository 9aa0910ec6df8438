"""Certificates, by the tools of others: OpenSSF Model Signing both ways, and openssl's opinion of chains."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509

import llamafile_format as lf
from llamafile_format.checks.signatures import read_records
from llamafile_format.checks.verdict import Verdict
from llamafile_format.errors import FormatError
from llamafile_format.packing.inputs import Include
from llamafile_format.rules import Layer
from llamafile_format.signing.keys.algorithms import Agility
from llamafile_format.signing.keys.key import PrivateKey
from llamafile_format.signing.records.envelope import Method, read_bundle
from llamafile_format.signing.trust.policy import CertificateRule, Policy, Requirement, Role, SignerRule
from llamafile_format.signing.x509.certificates import Purpose, verify_chain
from llamafile_format.vouching.oms import import_oms
from llamafile_format.vouching.sign import sign
from tests.certificate_samples import (
    CODE_SIGNING,
    SERVER_AUTH,
    TIME_STAMPING,
    Issued,
    World,
    issue,
    revoke,
    when,
    world,
)
from tests.laws.containers import tiny_gguf
from tests.signing_samples import container

Tool = Callable[[str], Path]
pytestmark = pytest.mark.interop
NOW = when(2026, 11, 21)


@cache
def here() -> World:
    return world()


def policy(which: World, identity: str = "release@example.org", role: Role = Role.ASSEMBLER) -> Policy:
    rule = CertificateRule(which.roots, identity)
    demands = (Requirement(role),) if role is Role.PUBLISHER else ()
    return Policy("test", (SignerRule("Lab", frozenset({role}), certificate=rule),), requirements=demands)


def authentic(file: Path, wanted: Policy) -> Verdict:
    return lf.verify(file, policy=wanted, as_of=NOW).verdicts[Layer.AUTHENTIC]


@pytest.fixture
def oms(tool: Tool, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The reference tool."""
    program = tool("model_signing")

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [str(program), *map(str, words)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    return run


def written(folder: Path, which: World) -> None:
    """The world as files of the folder: PEM certificates and the signer's key."""
    for name, one in (("root", which.root), ("middle", which.middle), ("signer", which.signer)):
        (folder / f"{name}.pem").write_bytes(one.pem)
    (folder / "signer.key").write_bytes(which.signer.key_pem)


def their_signature(oms: Callable[..., subprocess.CompletedProcess[str]], folder: Path, out: Path) -> None:
    done = oms(
        *("sign", "certificate", folder, "--signature", out, "--private_key", "signer.key"),
        *("--signing_certificate", "signer.pem", "--certificate_chain", "middle.pem"),
    )
    assert done.returncode == 0, done.stderr + done.stdout


def unzipped(tool: Tool, file: Path, folder: Path) -> Path:
    subprocess.run([tool("unzip"), "-q", file, "-d", folder], check=True, timeout=120)
    return folder


def test_they_verify_ours(tmp_path: Path, tool: Tool, oms: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    written(tmp_path, here())
    file = container(tmp_path / "a.llamafile")
    chain = [here().signer.der, here().middle.der]
    sign(file, [PrivateKey(here().signer.key)], certificates=chain)
    folder = unzipped(tool, file, tmp_path / "folder")
    options = ("verify", "certificate", folder, "--signature", folder / "META-LLAMAFILE/signatures/0001.oms.json")
    done = oms(*options, "--certificate_chain", "root.pem")
    assert done.returncode == 0, done.stderr + done.stdout
    (tmp_path / "other.pem").write_bytes(world().root.pem)
    assert oms(*options, "--certificate_chain", "other.pem").returncode != 0
    assert authentic(file, policy(here())) is Verdict.YES
    assert authentic(file, policy(here(), "other@example.org")) is Verdict.NO
    assert authentic(file, policy(world())) is Verdict.NO


def test_we_verify_theirs(tmp_path: Path, tool: Tool, oms: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    written(tmp_path, here())
    file = container(tmp_path / "a.llamafile")
    folder = unzipped(tool, file, tmp_path / "folder")
    their_signature(oms, folder, tmp_path / "theirs.sig")
    import_oms(file, tmp_path / "theirs.sig")
    with lf.open(file) as opened:
        (record,) = read_records(opened.source, opened.archive)
    bundle = read_bundle(record.data)
    assert bundle.method is Method.CERTIFICATE
    assert bundle.certificates == (here().signer.der, here().middle.der)  # DER once, not base64 of base64
    assert authentic(file, policy(here())) is Verdict.YES
    assert authentic(file, policy(here(), "*@example.org")) is Verdict.YES
    assert authentic(file, policy(here(), "*@example.com")) is Verdict.NO


def test_their_signature_of_a_release_is_a_publishers(
    tmp_path: Path, oms: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    written(tmp_path, here())
    release = tmp_path / "release"
    (release / "gguf").mkdir(parents=True)
    (release / "gguf" / "model-f32.gguf").write_bytes(tiny_gguf())
    (release / "README.md").write_text("not packed\n")
    their_signature(oms, release, tmp_path / "model.sig")
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf())
    out = tmp_path / "a.llamafile"
    include = Include(tmp_path / "model.sig", "model.sig", "publisher-signature")
    lf.pack([tmp_path / "tiny.gguf"], out, prefix="none", include=[include])
    report = lf.verify(out, policy=policy(here(), role=Role.PUBLISHER), as_of=NOW, level="exhaustive")
    (fact,) = report.publishers
    assert fact.established
    assert fact.matched == (("gguf/model-f32.gguf", "tiny.gguf"),)
    assert (fact.signer, fact.total, fact.method) == ("Lab", 2, "certificate")


def test_a_web_servers_certificate_passes_with_them_and_not_with_us(
    tmp_path: Path, tool: Tool, oms: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    web = world(usages=(SERVER_AUTH,), email="", dns="release.example.org")
    written(tmp_path, web)
    file = container(tmp_path / "a.llamafile")
    sign(file, [PrivateKey(web.signer.key)], certificates=[web.signer.der, web.middle.der])
    folder = unzipped(tool, file, tmp_path / "folder")
    record = folder / "META-LLAMAFILE/signatures/0001.oms.json"
    done = oms("verify", "certificate", folder, "--signature", record, "--certificate_chain", "root.pem")
    assert done.returncode == 0, "if this fails, they have become stricter; good"
    assert authentic(file, policy(web, "release.example.org")) is Verdict.NO
    (finding,) = (each for each in lf.verify(file, policy=policy(web), as_of=NOW).findings if each.rule == "LF8110")
    assert "serverAuth" in json.dumps(dict(finding.args))


# -- openssl ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A chain and what is thought of it."""

    name: str
    good: bool
    leaf: Issued
    helpers: Sequence[Issued]
    root: Issued
    at: datetime = NOW
    lists: Sequence[bytes] = field(default=())
    purpose: Purpose = Purpose.CODE_SIGNING


def cases() -> list[Case]:
    it = here()
    constrained = x509.NameConstraints([x509.RFC822Name("example.org")], None)
    named = issue("Constrained", it.root, authority=True, more=[(constrained, True)])
    short = issue("Short", authority=True, path_length=0)
    below = issue("Below", short, authority=True)
    stamps = issue("Stamps", it.root, usages=(TIME_STAMPING,), critical=True)
    loose = issue("Loose Stamps", it.root, usages=(TIME_STAMPING, CODE_SIGNING), critical=True)
    serial = it.signer.certificate.serial_number
    listed = [revoke(it.middle, serial, when(2026, 1)), revoke(it.root, 1, when(2026, 1))]
    evil = issue("Evil", named, usages=(CODE_SIGNING,), email="a@evil.example")
    deep = issue("Deep", below, usages=(CODE_SIGNING,))
    forged = issue("Forged", it.signer, usages=(CODE_SIGNING,))
    return [
        Case("good", True, it.signer, [it.middle], it.root),
        Case("good in 2055", True, it.signer, [it.middle], it.root, when(2055)),
        Case("before its time", False, it.signer, [it.middle], it.root, when(2019)),
        Case("expired", False, it.signer, [it.middle], it.root, when(2061)),
        Case("gap", False, it.signer, [], it.root),
        Case("other root", False, it.signer, [it.middle], world().root),
        Case("signer as authority", False, forged, [it.signer, it.middle], it.root),
        Case("path length", False, deep, [below], short),
        Case("name constraints", False, evil, [named], it.root),
        Case("good name", True, issue("Good", named, usages=(CODE_SIGNING,), email="a@example.org"), [named], it.root),
        Case("revoked", False, it.signer, [it.middle], it.root, when(2026, 6), listed),
        Case("not yet revoked", True, it.signer, [it.middle], it.root, when(2025, 6), listed),
        Case("stamps", True, stamps, [], it.root, purpose=Purpose.TIME_STAMPING),
        Case("loose stamps", False, loose, [], it.root, purpose=Purpose.TIME_STAMPING),
        Case("code for stamps", False, it.signer, [it.middle], it.root, purpose=Purpose.TIME_STAMPING),
    ]


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_openssl_thinks_so_too(case: Case, tmp_path: Path, tool: Tool) -> None:
    """openssl 3.0 has no purpose for code signing; of revocation it knows the present alone."""
    for name, some in (("leaf", [case.leaf]), ("helpers", case.helpers), ("root", [case.root])):
        (tmp_path / f"{name}.pem").write_bytes(b"".join(one.pem for one in some))
    options = ["-CAfile", "root.pem", "-no-CApath", "-attime", str(int(case.at.timestamp()))]
    options += ["-untrusted", "helpers.pem"] if case.helpers else []
    if case.purpose is Purpose.TIME_STAMPING:
        options += ["-purpose", "timestampsign"]
    if case.lists and not case.good:
        lists = b"".join(_pem(data) for data in case.lists)
        (tmp_path / "lists.pem").write_bytes(lists)
        options += ["-crl_check_all", "-CRLfile", "lists.pem"]
    command = [str(tool("openssl")), "verify", *options, "leaf.pem"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) is case.good, done.stdout + done.stderr
    try:
        helpers, roots = [one.der for one in case.helpers], [case.root.der]
        options_: dict[str, object] = {"at": case.at, "purpose": case.purpose, "revocations": case.lists}
        verify_chain(case.leaf.der, helpers, roots, agility=Agility({}), **options_)  # type: ignore[arg-type]
        ours = True
    except FormatError:
        ours = False
    assert ours is case.good


def _pem(data: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return x509.load_der_x509_crl(data).public_bytes(Encoding.PEM)
