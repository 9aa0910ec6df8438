"""A signed file that is repacked: what it says loudly, and what becomes of the signatures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import llamafile_format as lf
from llamafile_format.changing.history import claimed_signers
from llamafile_format.checks.signatures import read_records
from llamafile_format.signing.trust.policy import key_policy
from tests.signing_samples import container, keys

Cli = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    path = container(tmp_path / "a.llamafile")
    lf.sign(path, keys("p384+ml-dsa-65"))
    lf.sign(path, keys("ed25519"), countersign=True)
    return path


def _ids() -> list[str]:
    return [key.public.key_id for kind in ("p384+ml-dsa-65", "ed25519") for key in keys(kind)]


def test_the_new_file_is_unsigned_and_says_by_whom(signed: Path, tmp_path: Path, run_cli: Cli) -> None:
    done = run_cli("repack", signed, "--name", "Other", "-o", "out")
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert lines[0] == ("warning: out is NOT signed. The old file was: 0001.oms.json, 0002.sig.json, 0003.cnt.json.")
    for key_id, line in zip(_ids(), lines[1:4], strict=True):
        assert f"by the key {key_id}, as the signature says; it was not checked here" in line
    assert "sign out --key KEY" in done.stderr
    done = run_cli("repack", signed, "--name", "Other", "-o", "out", "--force", "--json")
    assert json.loads(done.stdout)["claimed_keys"] == _ids()
    with lf.open(tmp_path / "out") as found:
        assert read_records(found.source, found.archive) == ()
        history = [member.path for member in found.members if member.role == "history"]
    assert len(history) == 4
    report = lf.verify(tmp_path / "out", policy=key_policy([keys("ed25519")[0].public]))
    assert report.exit_code() == 5


def test_nothing_changed_nothing_lost(signed: Path, tmp_path: Path) -> None:
    result = lf.repack(signed, tmp_path / "out", name="Tiny")
    assert (result.changed, result.unsigned, result.claimed_keys) == (False, (), ())
    assert (tmp_path / "out").read_bytes() == signed.read_bytes()


def test_in_place_only_if_the_user_insists(signed: Path, run_cli: Cli) -> None:
    before = signed.read_bytes()
    done = run_cli("repack", signed, "--in-place", "--name", "Other")
    assert done.returncode == 2
    assert "0001.oms.json" in done.stderr
    assert signed.read_bytes() == before
    assert run_cli("repack", signed, "--in-place", "--name", "Other", "--force").stderr.count("warning: ") == 6


def test_to_legacy_loses_them(signed: Path, run_cli: Cli) -> None:
    done = run_cli("repack", signed, "--to", "legacy", "-o", "old")
    assert "is NOT signed" in done.stderr
    assert "kept as history" not in done.stderr


def test_claims_of_whatever_lies_there() -> None:
    assert claimed_signers([("0001.oms.json", b"{}"), ("0002.tsr.der", b"0"), ("0003.vm.json", b"[]\n")]) == ()
