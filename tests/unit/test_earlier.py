"""Signatures of earlier files: told, never counted (spec 13.7)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.checks.earlier import check_earlier
from llamafile_format.checks.verdict import Verdict
from llamafile_format.findings import Finding
from llamafile_format.packing.inputs import Include, text_content
from llamafile_format.rules import Layer
from llamafile_format.signing.trust.evidence import Evidence
from llamafile_format.signing.trust.policy import Policy, Role, SignerRule
from llamafile_format.signing.trust.sight import Sights
from llamafile_format.vouching.sign import sign
from tests.certificate_samples import when
from tests.laws.containers import tiny_gguf
from tests.signing_samples import container, keys

NOW = when(2026, 11, 21)
SAME, OTHER = "equal those of this one", "differ from those of this one"


def policy(*names: str) -> Policy:
    signers = (
        SignerRule(name, frozenset({Role.ARCHIVE}), keys=tuple(key.public for key in keys("p256", name)))
        for name in names
    )
    return Policy("test", tuple(signers))


def signed(folder: Path, *names: str) -> Path:
    """A container, signed by each of ``names`` in turn."""
    file = container(folder / "old.llamafile", members=("notes.txt",))
    for name in names:
        sign(file, keys("p256", name))
    return file


def repacked(file: Path, **changes: object) -> Path:
    out = file.with_name(f"{file.stem}-new.llamafile")
    lf.repack(file, out, force=True, **changes)  # type: ignore[arg-type]
    return out


def look(file: Path, wanted: Policy | None) -> list[Finding]:
    with lf.open(file) as opened:
        return check_earlier(opened, wanted, Sights(Evidence("", ""), NOW))


def test_an_earlier_signature_is_told_and_does_not_count(tmp_path: Path) -> None:
    old = signed(tmp_path, "Ada")
    assert lf.verify(old, policy=policy("Ada")).verdicts[Layer.AUTHENTIC] is Verdict.YES
    new = repacked(old, name="Other name")
    (finding,) = look(new, policy("Ada"))
    assert finding.rule == "LF8310"
    manifest = lf.verify(old).manifest_sha256
    assert (finding.args["signer"], finding.args["manifest"]) == ("Ada", manifest)
    assert finding.args["weights"] == SAME
    report = lf.verify(new, policy=policy("Ada"))
    assert report.verdicts[Layer.AUTHENTIC] is Verdict.NO
    assert {"LF8310", "LF8101"} <= {found.rule for found in report.findings}


def test_other_weights_are_told(tmp_path: Path) -> None:
    (tmp_path / "second.gguf").write_bytes(tiny_gguf("second", 64))
    new = repacked(signed(tmp_path, "Ada"), include=[Include(tmp_path / "second.gguf")], default="tiny.gguf")
    (finding,) = look(new, policy("Ada"))
    assert finding.args["weights"] == OTHER


def test_another_name_for_the_weights_is_no_difference(tmp_path: Path) -> None:
    (finding,) = look(repacked(signed(tmp_path, "Ada"), rename={"tiny.gguf": "model.gguf"}), policy("Ada"))
    assert finding.args["weights"] == SAME


def test_nothing_is_told_of_strangers_or_without_a_policy(tmp_path: Path) -> None:
    new = repacked(signed(tmp_path, "Ada"), name="Other name")
    assert look(new, None) == []
    assert look(new, policy("Bob")) == []


def test_each_signer_once_for_each_file(tmp_path: Path) -> None:
    old = signed(tmp_path, "Ada", "Bob")
    sign(old, keys("p256", "Ada"), countersign=True)
    once = repacked(old, name="Second")
    sign(once, keys("p256", "Bob"))
    twice = repacked(once, name="Third")
    told = [(finding.args["signer"], finding.args["manifest"]) for finding in look(twice, policy("Ada", "Bob"))]
    first, second = lf.verify(old).manifest_sha256, lf.verify(once).manifest_sha256
    assert sorted(told) == sorted([("Ada", first), ("Bob", first), ("Bob", second)])


def history(folder: Path, new: Path, files: dict[str, bytes]) -> Path:
    """A container whose history is ``files`` by name: what a hostile packer could arrange."""
    import os

    from llamafile_format.packing.assemble import Content, Labels, PrefixContent, assemble
    from llamafile_format.source import BytesSource

    contents = [Content("tiny.gguf", "weights", "application/x-gguf", BytesSource(tiny_gguf()), 65536)]
    contents += [text_content(f"META-LLAMAFILE/history/{name}", "history", data) for name, data in files.items()]
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        assemble(descriptor, PrefixContent("none", BytesSource(b"")), contents, Labels(name="x", default="tiny.gguf"))
    finally:
        os.close(descriptor)
    return new


def kept(file: Path) -> dict[str, bytes]:
    """History of a file by name inside the history folder."""
    with lf.open(file) as opened:
        return {
            member.path.removeprefix("META-LLAMAFILE/history/"): opened.read(member.path)
            for member in opened.members
            if member.role == "history"
        }


@pytest.mark.parametrize("fault", ["no manifest", "other manifest", "junk manifest", "junk record", "foreign record"])
def test_history_that_cannot_be_read(tmp_path: Path, fault: str) -> None:
    files = kept(repacked(signed(tmp_path, "Ada"), name="Other name"))
    record = next(name for name in files if name.endswith(".oms.json"))
    manifest = next(name for name in files if name.endswith("manifest.json"))
    if fault == "no manifest":
        del files[manifest]
    elif fault == "other manifest":
        files[manifest] = files[manifest].replace(b"Tiny", b"Tidy")
    elif fault == "junk manifest":
        import hashlib

        digest = hashlib.sha256(b"junk").hexdigest()
        files = {f"{digest}/manifest.json": b"junk", f"{digest}/0001.oms.json": files[record]}
    elif fault == "junk record":
        files[record] = b"{}\n"
    else:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        other = container(elsewhere / "o.llamafile", name="Foreign")
        sign(other, keys("p256", "Ada"))
        theirs = kept(repacked(other, name="Else"))
        files[record] = next(data for name, data in theirs.items() if name.endswith(".oms.json"))
    file = history(tmp_path, tmp_path / "made.llamafile", files)
    (finding,) = look(file, policy("Ada"))
    assert finding.rule == "LF8311"
    report = lf.verify(file)
    assert report.verdicts[Layer.WELL_FORMED] is Verdict.YES  # it is a member like any other


def test_history_goes_through_further_repacks(tmp_path: Path) -> None:
    new = repacked(signed(tmp_path, "Ada"), name="Second")
    third = tmp_path / "third.llamafile"
    shutil.copy(repacked(new, name="Third"), third)
    assert [finding.rule for finding in look(third, policy("Ada"))] == ["LF8310"]
