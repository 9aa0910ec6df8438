"""Publisher signatures: carried unchanged, matched by digest, established only by what a run recomputed (spec 13.5)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import llamafile_format
from llamafile_format.checks.publisher import check_publishers
from llamafile_format.findings import Finding
from llamafile_format.packing.inputs import Include
from llamafile_format.rules import Layer, all_rules
from llamafile_format.signing.records.envelope import encode_bundle, pae
from llamafile_format.signing.records.statement import OMS_PREDICATE, STATEMENT_TYPE
from llamafile_format.signing.trust.counting import count
from llamafile_format.signing.trust.evidence import Evidence, PublisherFact, Standing
from llamafile_format.signing.trust.policy import CertificateRule, Policy, Requirement, Role, SignerRule
from llamafile_format.signing.trust.sight import Sights
from tests.certificate_samples import when, world
from tests.conftest import CliRunner
from tests.laws.containers import tiny_gguf
from tests.signing_samples import keys

NOW = when(2026, 11, 21)
MODEL = tiny_gguf()


def upstream_statement(files: Mapping[str, bytes], **changed: Any) -> bytes:
    """What an OMS tool signs about a folder, spelt by nobody's rules."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    root = hashlib.sha256(b"".join(bytes.fromhex(digests[name]) for name in digests)).hexdigest()
    resources = [{"digest": digest, "name": name, "algorithm": "sha256"} for name, digest in digests.items()]
    serialization = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [".git"]}
    value = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "release", "digest": {"sha256": root}}],
        "predicateType": OMS_PREDICATE,
        "predicate": {"serialization": serialization, "resources": resources},
    }
    return json.dumps({**value, **changed}, indent=2).encode()


def bundle(files: Mapping[str, bytes], label: str = "publisher", **changed: Any) -> bytes:
    """A bundle by the publisher's key, in a spelling of its own and without our key id."""
    key = keys("p256", label)[0]
    payload = upstream_statement(files, **changed)
    value = json.loads(encode_bundle(payload, key.sign(pae(payload)), public=key.public))
    del value["dsseEnvelope"]["signatures"][0]["keyid"]
    return json.dumps(value, separators=(",", ":")).encode()


def packed(folder: Path, signature: bytes, name: str = "model.sig") -> Path:
    (folder / "tiny.gguf").write_bytes(MODEL)
    (folder / "LICENSE.txt").write_bytes(b"CC0-1.0\n")
    (folder / "model.sig").write_bytes(signature)
    out = folder / "signed.llamafile"
    include = Include(folder / "model.sig", name, "publisher-signature")
    files = [folder / "tiny.gguf", folder / "LICENSE.txt"]
    llamafile_format.pack(files, out, include=[include], prefix="none", force=True)
    return out


def policy(*, label: str = "publisher", role: Role = Role.PUBLISHER, demanded: bool = False) -> Policy:
    public = tuple(key.public for key in keys("p256", label))
    requirements = (Requirement(Role.PUBLISHER),) if demanded else ()
    return Policy("test", (SignerRule("Example Lab", frozenset({role}), keys=public),), requirements=requirements)


def look(
    path: Path, wanted: Policy | None = None, *, recomputed: bool = True
) -> tuple[list[Finding], list[PublisherFact]]:
    """Findings and facts of publishers' signatures under ``wanted``, once votes are counted."""
    with llamafile_format.open(path) as container:
        seen = Sights(Evidence("", ""), NOW)
        found = check_publishers(container, wanted, seen, recomputed=recomputed)
        if wanted is None:
            return [*found.findings], [*found.facts]
        tally = count(found.published.votes, wanted, at=NOW, weights=found.published.weights)
        return [*found.findings, *tally.findings], [*found.settled(tally)]


def rules(findings: Sequence[Finding]) -> list[str]:
    return [finding.rule for finding in findings]


RELEASE = {"models/tiny-f32.gguf": MODEL, "README.md": b"not here", "tokenizer.json": b"{}"}


def test_matched_by_digest_with_both_names(tmp_path: Path) -> None:
    findings, (fact,) = look(packed(tmp_path, bundle(RELEASE)), policy())
    assert rules(findings) == ["LF8303"]
    assert fact.matched == (("models/tiny-f32.gguf", "tiny.gguf"),)
    assert (fact.total, fact.signer, fact.standing, fact.established) == (3, "Example Lab", Standing.TRUSTED, True)
    assert all_rules()["LF8303"].render(findings[0]) == (
        "model.sig names 3 files, of which 1 are here: models/tiny-f32.gguf (here tiny.gguf)"
    )


def test_not_established_unless_recomputed(tmp_path: Path) -> None:
    path = packed(tmp_path, bundle(RELEASE))
    findings, (fact,) = look(path, policy(), recomputed=False)
    assert fact.standing is Standing.UNCHECKED
    assert not fact.established
    assert rules(findings) == ["LF8303"]  # nobody demanded it, so nothing is open
    findings, (fact,) = look(path, policy(demanded=True), recomputed=False)
    assert rules(findings) == ["LF8303", "LF8304"]


def test_without_a_policy_nobody_is_believed(tmp_path: Path) -> None:
    findings, (fact,) = look(packed(tmp_path, bundle(RELEASE)))
    assert rules(findings) == ["LF8303"]
    assert (fact.signer, fact.standing, fact.established) == ("", Standing.UNKNOWN, False)


def test_a_stranger_is_unknown(tmp_path: Path) -> None:
    findings, (fact,) = look(packed(tmp_path, bundle(RELEASE)), policy(label="somebody else"))
    assert rules(findings) == ["LF8303", "LF8103"]
    assert (fact.signer, fact.standing) == ("", Standing.UNKNOWN)


def test_an_assembler_is_no_publisher(tmp_path: Path) -> None:
    _, (fact,) = look(packed(tmp_path, bundle(RELEASE)), policy(role=Role.ASSEMBLER))
    assert fact.standing is Standing.UNKNOWN


def test_it_does_not_hold(tmp_path: Path) -> None:
    value = json.loads(bundle(RELEASE))
    payload = upstream_statement({**RELEASE, "other.bin": b"added"})
    import base64

    value["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    findings, (fact,) = look(packed(tmp_path, json.dumps(value).encode()), policy())
    assert rules(findings) == ["LF8303", "LF8305"]
    assert (fact.standing, fact.established) == (Standing.BAD, False)
    assert all_rules()["LF8305"].layer is Layer.AUTHENTIC


def test_it_names_nothing_here(tmp_path: Path) -> None:
    findings, (fact,) = look(packed(tmp_path, bundle({"other.gguf": b"other"})), policy())
    assert rules(findings) == ["LF8302"]
    assert not fact.established
    assert fact.standing is Standing.REFUSED


def test_a_publishers_card_does_not_vouch_for_other_weights(tmp_path: Path) -> None:
    """The genuine signature of a release, its genuine licence, and weights of somebody else."""
    release = {"model.gguf": tiny_gguf("genuine", 48), "LICENSE": b"CC0-1.0\n"}
    findings, (fact,) = look(packed(tmp_path, bundle(release)), policy(demanded=True))
    assert fact.matched == (("LICENSE", "LICENSE.txt"),)
    assert (fact.standing, fact.established) == (Standing.REFUSED, False)
    assert "none of the weights" in fact.because
    assert findings[0].args["names"] == "LICENSE (here LICENSE.txt); not tiny.gguf"
    report = llamafile_format.verify(tmp_path / "signed.llamafile", policy=policy(demanded=True), as_of=NOW)
    assert report.exit_code() == 5
    assert "LF8104" in {finding.rule for finding in report.findings}


def test_weights_that_nobody_published_spoil_the_others(tmp_path: Path) -> None:
    """And two publishers' signatures together may name all that there is."""
    second = tiny_gguf("second", 64)
    (tmp_path / "second.gguf").write_bytes(second)
    (tmp_path / "second.sig").write_bytes(bundle({"b/second.gguf": second}, "other lab"))
    path, out, full = packed(tmp_path, bundle(RELEASE)), tmp_path / "two.llamafile", tmp_path / "both.llamafile"
    llamafile_format.repack(path, out, include=[Include(tmp_path / "second.gguf")], default="tiny.gguf")
    _, (fact,) = look(out, policy())
    assert (fact.standing, fact.signer) == (Standing.REFUSED, "Example Lab")
    assert "second.gguf" in fact.because
    include = Include(tmp_path / "second.sig", role="publisher-signature")
    llamafile_format.repack(out, full, include=[include])
    both = Policy("test", (*policy().signers, replace(policy(label="other lab").signers[0], id="Other Lab")))
    _, facts = look(full, both)
    assert [(fact.signer, fact.established) for fact in facts] == [("Example Lab", True), ("Other Lab", True)]


def test_the_same_name_wins_among_equal_digests(tmp_path: Path) -> None:
    (tmp_path / "twin.gguf").write_bytes(MODEL)
    path = packed(tmp_path, bundle({"twin.gguf": MODEL}))
    out = tmp_path / "two.llamafile"
    include = Include(tmp_path / "twin.gguf", "twin.gguf", "weights")
    llamafile_format.repack(path, out, include=[include], default="tiny.gguf")
    _, (fact,) = look(out, policy())
    assert fact.matched == (("twin.gguf", "twin.gguf"),)
    assert fact.established  # the other one has the same bytes


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"{}",
        bundle(RELEASE)[:-1],
        bundle(RELEASE).replace(b'"mediaType":', b'"mediaType":"x","mediaType":'),
        bundle(RELEASE, predicateType="https://slsa.dev/provenance/v1"),
        bundle(RELEASE, subject=[]),
        b'{"a":' * 100 + b"1" + b"}" * 100,
        b" " * ((1 << 20) + 1),
    ],
    ids=["empty", "text", "object", "cut", "twice", "predicate", "subject", "deep", "large"],
)
def test_malformed(tmp_path: Path, data: bytes) -> None:
    findings, facts = look(packed(tmp_path, data), policy())
    assert rules(findings) == ["LF8301"]
    assert facts == []


def test_too_many(tmp_path: Path) -> None:
    path, out = packed(tmp_path, bundle(RELEASE)), tmp_path / "many.llamafile"
    more = [Include(tmp_path / "model.sig", f"s/{number:02d}.sig", "publisher-signature") for number in range(64)]
    llamafile_format.repack(path, out, include=more, force=True)
    findings, facts = look(out, policy())
    assert len(facts) == 64
    assert rules(findings).count("LF8301") == 1


def test_by_certificate(tmp_path: Path) -> None:
    here = world()
    signed = here.signer.sign(upstream_statement(RELEASE), [here.middle])
    rule = CertificateRule(here.roots, "release@example.org")
    wanted = Policy("test", (SignerRule("Example Lab", frozenset({Role.PUBLISHER}), certificate=rule),))
    _, (fact,) = look(packed(tmp_path, signed), wanted)
    assert (fact.standing, fact.signer, fact.method) == (Standing.TRUSTED, "Example Lab", "certificate")


def test_repacking_carries_it_unchanged(tmp_path: Path) -> None:
    signed = bundle(RELEASE)
    path = packed(tmp_path, signed, "signatures/publisher/model.sig")
    engine = tmp_path / "engine"
    engine.write_bytes(b"#!/bin/sh\nexit 0\n")
    once, twice = tmp_path / "once.llamafile", tmp_path / "twice.llamafile"
    llamafile_format.repack(path, once, prefix=str(engine))
    llamafile_format.repack(once, twice, rename={"tiny.gguf": "renamed.gguf"})
    for made in (path, once, twice):
        with llamafile_format.open(made) as container:
            assert container.read("signatures/publisher/model.sig") == signed
            assert {member.role for member in container.members if member.path.endswith(".sig")} == {
                "publisher-signature"
            }
        findings, (fact,) = look(made, policy())
        assert fact.established, findings
    assert fact.matched == (("models/tiny-f32.gguf", "renamed.gguf"),)


def test_from_the_command_line(tmp_path: Path, run_cli: CliRunner) -> None:
    (tmp_path / "tiny.gguf").write_bytes(MODEL)
    (tmp_path / "model.sig").write_bytes(bundle(RELEASE))
    (tmp_path / "lab.pub").write_text(keys("p256", "publisher")[0].public.pem)
    options = ["--include", "model.sig", "--role", "model.sig=publisher-signature"]
    done = run_cli("pack", "tiny.gguf", "--prefix", "none", *options, "-o", "a.llamafile")
    assert done.returncode == 0, done.stderr
    done = run_cli("verify", "a.llamafile", "--level", "exhaustive")
    assert done.returncode == 0, done.stderr
    assert "LF8303" in done.stdout
