"""``import-oms`` and ``export-oms``: what comes in must speak about this file, and what goes out is what was in."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import llamafile_format as lf
from llamafile_format.checks.signatures import read_records
from llamafile_format.errors import FormatError, UsageError
from llamafile_format.signing.records.envelope import read_bundle
from llamafile_format.signing.records.record import Record
from llamafile_format.signing.trust.policy import key_policy
from llamafile_format.vouching.oms import MAX_BUNDLE, export_oms, import_oms
from llamafile_format.vouching.sign import Attestation, sign
from tests.signing_samples import TIME, container, keys

Cli = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return container(tmp_path / "a.llamafile")


def _records(path: Path) -> tuple[Record, ...]:
    with lf.open(path) as found:
        return read_records(found.source, found.archive)


@pytest.mark.parametrize("kind", ["p384", "ed25519", "p384+ml-dsa-65"])
def test_detached_records_count_when_named_and_go_in_unchanged(kind: str, file: Path) -> None:
    paths = [Path(path) for path in sign(file, keys(kind), detached=True).records]
    policy = key_policy([key.public for key in keys(kind)])
    assert lf.verify(file, policy=policy).exit_code() == 5
    assert lf.verify(file, policy=policy, signatures=paths).exit_code() == 0
    for path in paths:
        import_oms(file, path)
    assert [record.data for record in _records(file)] == [path.read_bytes() for path in paths]
    assert [Path(record.path).name for record in _records(file)] == [path.name[12:] for path in paths]
    assert lf.verify(file, policy=policy).exit_code() == 0
    assert import_oms(file, paths[0]).method == "nothing to do"
    assert import_oms(file, paths[0], force=True).records


def test_attestations_and_countersignatures(file: Path) -> None:
    sign(file, keys())
    (claim,) = sign(file, keys(), attest=Attestation("urn:example:1", {"a": "b"}), detached=True).records
    (count,) = sign(file, keys("ed25519"), countersign=True, detached=True).records
    assert (Path(claim).name, Path(count).name) == ("a.llamafile.0002.att.json", "a.llamafile.0003.cnt.json")
    import_oms(file, count)
    import_oms(file, claim)
    assert [record.name for record in _records(file)] == ["0001.oms", "0002.cnt", "0003.att"]


def test_a_countersignature_goes_in_only_behind_what_it_names(file: Path) -> None:
    sign(file, keys())
    (count,) = sign(file, keys("ed25519"), countersign=True, detached=True).records
    sign(file, keys("p256"))
    with pytest.raises(FormatError, match="would not be well-formed"):
        import_oms(file, count)
    assert len(_records(file)) == 2


def test_of_another_file(file: Path, tmp_path: Path) -> None:
    other = container(tmp_path / "other", name="Other", members=("note.txt",))
    for options in ({}, {"attest": Attestation("urn:example:1", {})}):
        (path,) = sign(other, keys(), detached=True, **options).records  # type: ignore[arg-type]
        with pytest.raises(FormatError):
            import_oms(file, path)
    changed = container(tmp_path / "changed", name="Another manifest")
    (path,) = sign(changed, keys(), detached=True).records
    with pytest.raises(FormatError, match="would not be well-formed"):
        import_oms(file, path)
    assert _records(file) == ()


def test_another_spelling_becomes_ours(file: Path, tmp_path: Path) -> None:
    """Blanks, order and absent names are others' to choose; payload and signature stay."""
    (path,) = sign(file, keys(), detached=True, declared_time=TIME).records
    value = json.loads(Path(path).read_bytes())
    (signature,) = value["dsseEnvelope"]["signatures"]
    del signature["keyid"]
    value["verificationMaterial"] = {"tlogEntries": [], "publicKey": {"hint": keys()[0].public.hint}}
    bundle = tmp_path / "model.sig"
    bundle.write_text(json.dumps(dict(reversed(value.items())), indent=4))
    import_oms(file, bundle)
    (record,) = _records(file)
    assert record.name == "0001.oms"
    assert read_bundle(record.data).payload == read_bundle(Path(path).read_bytes()).payload
    assert lf.verify(file, policy=key_policy([keys()[0].public])).exit_code() == 0


def test_what_is_no_signature(file: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "model.sig"
    (path,) = sign(file, keys(), detached=True).records
    good = Path(path).read_bytes()
    doubled = good.replace(b'"mediaType"', b'"mediaType": "x",\n "mediaType"')
    payload = base64.b64encode(b'{"_type": "https://in-toto.io/Statement/v1"}')
    for data in (b"", b"{}", b"\x00" * 64, good[:-20], doubled, b" " * (MAX_BUNDLE + 1), payload):
        bundle.write_bytes(data)
        with pytest.raises(FormatError):
            import_oms(file, bundle)
    for name in ("x.0001.tsr.der", "x.0001.vm.json"):
        (tmp_path / name).write_bytes(good)
        with pytest.raises(FormatError, match="would not be well-formed"):
            import_oms(file, tmp_path / name)
    assert _records(file) == ()


def test_export(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.sig"
    with pytest.raises(UsageError, match="no record that OMS tools know"):
        export_oms(file, out)
    sign(file, keys("p384+ml-dsa-65"))
    result = export_oms(file, out)
    assert (result.name, result.method, out.read_bytes()) == ("0001.oms", "key", _records(file)[0].data)
    with pytest.raises(UsageError, match="exists"):
        export_oms(file, out)
    with pytest.raises(UsageError, match="Ed25519 or ML-DSA"):
        export_oms(file, out, number=2, force=True)
    with pytest.raises(UsageError, match="no record 0003"):
        export_oms(file, out, number=3, force=True)
    sign(file, keys("p256"))
    with pytest.raises(UsageError, match="2 records"):
        export_oms(file, out, force=True)
    assert export_oms(file, out, number=3, force=True).name == "0003.oms"


def test_commands(file: Path, tmp_path: Path, run_cli: Cli) -> None:
    sign(file, keys())
    done = run_cli("export-oms", file, "-o", "x.sig")
    assert (done.returncode, done.stdout) == (0, "x.sig  0001.oms\n")
    assert "model_signing verify key FOLDER --signature x.sig --public_key KEY.pub" in done.stderr
    other = container(tmp_path / "b.llamafile")
    done = run_cli("import-oms", other, "x.sig")
    assert (done.returncode, done.stderr) == (0, "")
    assert "added META-LLAMAFILE/signatures/0001.oms.json" in done.stdout
    assert other.read_bytes() == file.read_bytes()
    assert "nothing to do" in run_cli("import-oms", other, "x.sig").stdout
    done = run_cli("import-oms", other, "x.sig", "--json", "--force", "-o", "c.llamafile")
    assert json.loads(done.stdout)["records"] == ["META-LLAMAFILE/signatures/0002.oms.json"]
    done = run_cli("export-oms", "c.llamafile", "--record", "0002", "-o", "y.sig", "--json")
    assert json.loads(done.stdout) == {"path": "y.sig", "record": "0002.oms", "method": "key"}
    assert run_cli("import-oms", other, "absent").returncode == 4
