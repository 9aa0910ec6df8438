"""A file becomes the newer one: only what differs is fetched, and nothing is taken that its signers would miss."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import llamafile_format as lf
from llamafile_format.changing import convert
from llamafile_format.errors import FormatError, NotAuthentic, SourceError, UsageError
from llamafile_format.exchanging import Updated, update
from llamafile_format.exchanging.newer import Newer, read_newer
from llamafile_format.manifest.model import CHUNKS_PATH
from llamafile_format.output import room
from llamafile_format.signing.trust.policy import key_policy
from llamafile_format.source import FileSource
from llamafile_format.source.opening import open_remote
from tests.fault_server import FaultServer
from tests.laws.sparse import sparse_container
from tests.remote_samples import remote_container
from tests.repack_samples import engine, gguf, legacy
from tests.signing_samples import TIME, container, keys

Cli = Callable[..., "CompletedProcess[str]"]
MIB = 1 << 20
KEY = "p384"


def packed(
    path: Path, *, prefix: bytes = b"", note: bytes = b"one", model: str = "m", profile: str = "default"
) -> Path:
    """A container with a model of 9 MiB behind an engine."""
    folder = path.parent / f"{path.name}.parts"
    folder.mkdir()
    (folder / "m.gguf").write_bytes(gguf(model, 9 * MIB))
    (folder / "note.txt").write_bytes(note)
    (folder / "engine").write_bytes(prefix or engine("e", 70_000, [("zone/a.txt", b"a" * 900)]))
    lf.pack(
        [folder / "m.gguf"],
        path,
        prefix=folder / "engine",
        recovery=0,  # which covers the engine too, so all of it would differ
        include=[lf.Include(folder / "note.txt")],
        profile=profile,  # type: ignore[arg-type]
    )
    return path


def updated(path: Path, newer: Path, **options: object) -> tuple[Updated, FaultServer]:
    """``path`` made what a server has, which counts."""
    with FaultServer(newer.read_bytes()) as server, open_remote(server.url()) as source:
        return update(path, source, **options), server  # type: ignore[arg-type]


def allowance(newer: Path) -> int:
    """Bytes of chunk list, manifest, directory and records, and a MiB."""
    with lf.open(newer) as found:
        return found.size - found.entry(CHUNKS_PATH).header_offset + MIB


@pytest.mark.parametrize("profile", ["default", "archive"])
def test_a_new_engine_costs_the_engine(profile: str, tmp_path: Path) -> None:
    old = packed(tmp_path / "old", profile=profile)
    prefix = engine("newer", 2 * MIB, [("zone/b.txt", b"b" * 90)])
    new = packed(tmp_path / "new", prefix=prefix, profile=profile)
    result, server = updated(old, new)
    assert old.read_bytes() == new.read_bytes()
    assert result.changed
    assert result.reused >= 9 * MIB
    assert server.sent <= 2 * MIB + 4096 + allowance(new)
    assert result.fetched <= server.sent
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "new.parts", "old", "old.parts"]


def test_only_chunks_that_differ_are_fetched(tmp_path: Path) -> None:
    old = remote_container(tmp_path / "old", aligned=2, filler=40 * MIB)
    new = tmp_path / "new"
    folder = tmp_path / "parts"
    folder.mkdir()
    with lf.open(old) as found:
        data = bytearray(found.read("model-1.gguf"))
        (folder / "tiny.gguf").write_bytes(found.read("tiny.gguf"))
    for at in (9 * MIB, 30 * MIB):
        data[at] ^= 1
    (folder / "model-1.gguf").write_bytes(data)
    lf.pack([folder / "tiny.gguf", folder / "model-1.gguf"], new, prefix="none", default="tiny.gguf")
    result, server = updated(old, new)
    assert old.read_bytes() == new.read_bytes()
    assert server.sent <= 2 * (4 * MIB) + allowance(new)
    assert result.reused >= 30 * MIB


def test_the_same_file_costs_its_end(tmp_path: Path) -> None:
    old = packed(tmp_path / "old")
    (tmp_path / "new").write_bytes(old.read_bytes())
    before = old.stat()
    result, server = updated(old, tmp_path / "new")
    assert not result.changed
    assert server.sent <= allowance(old)
    assert old.stat().st_ino == before.st_ino


@pytest.mark.parametrize("place", ["model", "engine", "header", "list"])
def test_what_looks_the_same_is_made_again_where_it_is_damaged(place: str, tmp_path: Path) -> None:
    """Its end says that it is the newer one; one byte of it is not."""
    old, new = packed(tmp_path / "old"), tmp_path / "new"
    new.write_bytes(old.read_bytes())
    with lf.open(old) as found:
        places = {
            "model": found.entry("m.gguf").data_offset + 5 * MIB,
            "engine": 5000,
            "header": found.entry("m.gguf").header_offset + 12,
            "list": found.entry(CHUNKS_PATH).data_offset + 70,
        }
    data = bytearray(old.read_bytes())
    data[places[place]] ^= 1
    old.write_bytes(data)
    result, server = updated(old, new)
    assert result.changed
    assert old.read_bytes() == new.read_bytes()
    assert server.sent <= 4 * MIB + allowance(new) + (1 << 16)
    assert result.reused >= 5 * MIB
    assert not updated(old, new)[0].changed


def test_what_looks_the_same_is_judged(tmp_path: Path) -> None:
    old, new = packed(tmp_path / "old"), tmp_path / "new"
    alice, bob = (key_policy({name: (keys(key)[0].public,)}) for name, key in (("alice", "p384"), ("bob", "ed25519")))
    for signed in (False, True):
        if signed:
            lf.sign(old, keys("p384"), declared_time=TIME)
        new.write_bytes(old.read_bytes())
        with pytest.raises(NotAuthentic, match="is not accepted"):
            update(old, new, policy=bob)
        assert not update(old, new, policy=bob, force=True).changed
    assert not update(old, new, policy=alice).changed


@pytest.mark.parametrize("named", [False, True])
def test_who_attests_a_report_has_approved_of_nothing(named: bool, tmp_path: Path) -> None:
    old, new = packed(tmp_path / "old"), packed(tmp_path / "new", model="other")
    alice = keys("p384")
    lf.sign(old, alice, declared_time=TIME)
    lf.sign(new, alice, declared_time=TIME, attest=lf.Attestation("https://example.org/report", {"damaged": True}))
    policy = key_policy({"alice": (alice[0].public,)}) if named else None
    before = old.read_bytes()
    with pytest.raises(NotAuthentic, match="has lost"):
        update(old, new, policy=policy)
    fresh = packed(tmp_path / "fresh")
    with pytest.raises(NotAuthentic, match="nobody whom the policy trusts"):
        update(fresh, new, policy=key_policy({"alice": (alice[0].public,)}))
    assert old.read_bytes() == before


def test_no_signer_is_lost_with_a_report(tmp_path: Path) -> None:
    old, new = packed(tmp_path / "old"), packed(tmp_path / "new", note=b"two")
    lf.sign(old, keys("p384"), declared_time=TIME, attest=lf.Attestation("https://example.org/report", {}))
    assert update(old, new).lost == ()


def test_room_is_asked_for_before_a_long_list_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = packed(tmp_path / "old")
    sparse_container(tmp_path / "new", 100 * 10**9)
    before = old.read_bytes()
    monkeypatch.setattr(room, "_kind", lambda _folder: "ext4")
    monkeypatch.setattr(room, "free_in", lambda _folder: 10**9)
    monkeypatch.setattr(Newer, "bring_list", lambda *_: pytest.fail("the list was read"))
    with pytest.raises(SourceError, match="no space left"):
        update(old, tmp_path / "new")
    assert old.read_bytes() == before


def test_a_long_list_is_never_held(tmp_path: Path) -> None:
    """2.5 MB of it: a stranger's list may be a hundred times as long."""
    sparse_container(tmp_path / "new", 100 * 10**9)
    with FileSource(tmp_path / "new") as source:
        newer = read_newer(source)
        tracemalloc.start()
        count = sum(1 for _ in newer.pieces(source))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert count > 20_000
    assert peak < 8 * MIB


def test_a_smaller_file_needs_no_room_for_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = packed(tmp_path / "old"), container(tmp_path / "new")
    monkeypatch.setattr(room, "_kind", lambda _folder: "ext4")
    monkeypatch.setattr(room, "free_in", lambda _folder: MIB)
    update(old, new)
    assert old.read_bytes() == new.read_bytes()


def test_a_new_signature_is_taken(tmp_path: Path) -> None:
    old = packed(tmp_path / "old")
    (tmp_path / "new").write_bytes(old.read_bytes())
    lf.sign(tmp_path / "new", keys(KEY), declared_time=TIME)
    result, server = updated(old, tmp_path / "new")
    assert old.read_bytes() == (tmp_path / "new").read_bytes()
    assert server.sent <= allowance(old) + (1 << 16)
    assert result.reused >= 9 * MIB


def test_a_file_of_this_machine(tmp_path: Path) -> None:
    old, new = packed(tmp_path / "old"), packed(tmp_path / "new", note=b"two")
    result = update(old, new)
    assert old.read_bytes() == new.read_bytes()
    assert 0 < result.fetched < 1 << 16


@pytest.mark.parametrize("which", ["old", "new", "both"])
def test_converted_launchers(which: str, tmp_path: Path) -> None:
    old = container(tmp_path / "old", launcher=True)
    new = container(tmp_path / "new", launcher=True, members=("a.txt", "more.txt"))
    for path in {"old": [old], "new": [new], "both": [old, new]}[which]:
        convert(path, "elf-x86_64")
    updated(old, new)
    assert old.read_bytes() == new.read_bytes()


def test_damage_here_is_fetched(tmp_path: Path) -> None:
    old, new = packed(tmp_path / "old"), packed(tmp_path / "new", note=b"two")
    data = bytearray(old.read_bytes())
    with lf.open(old) as found:
        data[found.entry("m.gguf").data_offset + 5 * MIB] ^= 1
    old.write_bytes(data)
    _, server = updated(old, new)
    assert old.read_bytes() == new.read_bytes()
    assert server.sent <= 4 * MIB + allowance(new) + (1 << 16)


def test_damage_there_changes_nothing(tmp_path: Path) -> None:
    old, new = packed(tmp_path / "old"), packed(tmp_path / "new", model="other")
    with lf.open(new) as found:
        places = [found.entry("m.gguf").data_offset + 5 * MIB, found.entry(CHUNKS_PATH).data_offset + 70]
        manifest = found.entry("META-LLAMAFILE/manifest.json")
        places += [manifest.header_offset, manifest.data_offset + 30, found.size - 60]
    before, whole = old.read_bytes(), new.read_bytes()
    for place in places:
        data = bytearray(whole)
        data[place] ^= 1
        new.write_bytes(data)
        with pytest.raises(FormatError):
            updated(old, new)
        assert old.read_bytes() == before
    for data in (whole[:-100], whole[: len(whole) // 2], b"", b"#!/bin/sh\n" * 9000, whole + b"\0"):
        new.write_bytes(data)
        with pytest.raises((FormatError, SourceError)):
            updated(old, new)
        assert old.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir() if "partial" in path.name) == []


def test_what_is_no_container(tmp_path: Path) -> None:
    (tmp_path / "legacy").write_bytes(legacy(b"#!/bin/sh\n" + bytes(4096), [("m.gguf", gguf())]))
    good = packed(tmp_path / "good")
    with pytest.raises(UsageError, match="no container that could be updated"):
        update(tmp_path / "legacy", good)
    with pytest.raises(FormatError, match="is no container"):
        update(good, tmp_path / "legacy")


def test_a_lost_signer_is_refused_before_a_chunk_is_asked_for(tmp_path: Path) -> None:
    old, new = packed(tmp_path / "old"), packed(tmp_path / "new", model="other")
    for name in ("p384", "ed25519"):
        lf.sign(old, keys(name), declared_time=TIME)
    lf.sign(new, keys("p384"), declared_time=TIME)
    before = old.read_bytes()
    with FaultServer(new.read_bytes()) as server, open_remote(server.url()) as source:
        with pytest.raises(NotAuthentic, match="has lost"):
            update(old, source)
        assert server.sent <= allowance(new)
    assert old.read_bytes() == before
    result, _ = updated(old, new, force=True)
    assert len(result.lost) == 1
    assert old.read_bytes() == new.read_bytes()


def test_a_policy_is_judged_first_and_last(tmp_path: Path) -> None:
    old, new = packed(tmp_path / "old"), packed(tmp_path / "new", model="other")
    policy = key_policy({"alice": (keys("p384")[0].public,)})
    before = old.read_bytes()
    with FaultServer(new.read_bytes()) as server, open_remote(server.url()) as source:
        with pytest.raises(NotAuthentic, match="nobody whom the policy trusts"):
            update(old, source, policy=policy)
        assert server.sent <= allowance(new)
    lf.sign(new, keys("p384"), declared_time=TIME)
    updated(old, new, policy=policy)
    assert old.read_bytes() == new.read_bytes()
    other = packed(tmp_path / "third", note=b"three")
    lf.sign(other, keys("p384"), declared_time=TIME)
    data = bytearray(other.read_bytes())  # a signature that claims the key and does not hold
    at = data.rindex(b'"sig": "') + 20
    data[at] = ord("A") if data[at] != ord("A") else ord("B")
    other.write_bytes(data)
    with pytest.raises((NotAuthentic, FormatError)):
        updated(old, other, policy=policy)
    assert old.read_bytes() == new.read_bytes()
    assert before != old.read_bytes()


def test_an_end_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    old, new = packed(tmp_path / "old"), packed(tmp_path / "new", model="other")
    before = old.read_bytes()
    with FaultServer(new.read_bytes()) as server, open_remote(server.url()) as source:
        server.data = os.urandom(len(server.data))  # another file has taken its place
        with pytest.raises((SourceError, FormatError)):
            update(old, source)
    assert old.read_bytes() == before
    assert not list(tmp_path.glob(".old*"))


def test_links_are_followed_and_stay(tmp_path: Path) -> None:
    old, new = packed(tmp_path / "old"), packed(tmp_path / "new", note=b"two")
    old.chmod(0o700)
    (tmp_path / "link").symlink_to(old)
    update(tmp_path / "link", new)
    assert (tmp_path / "link").is_symlink()
    assert old.read_bytes() == new.read_bytes()
    assert old.stat().st_mode & 0o777 == 0o700


def test_the_command(tmp_path: Path, run_cli: Cli) -> None:
    old, new = packed(tmp_path / "old"), packed(tmp_path / "new", note=b"two")
    with FaultServer(new.read_bytes()) as server:
        done = run_cli("update", "old", "--from", server.url())
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(old.read_bytes()).digest() == hashlib.sha256(new.read_bytes()).digest()
    assert "were here" in done.stdout
    lf.sign(old, keys(KEY), declared_time=TIME)
    done = run_cli("update", "old", "--from", "new")
    assert done.returncode == 5
    assert "has lost" in done.stderr
