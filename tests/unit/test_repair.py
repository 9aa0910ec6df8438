"""``protect`` and ``repair`` (17.5 to 17.8): every kind of damage, and what counts as proof."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import llamafile_format as lf
from llamafile_format.caring import Proof, protect, protect_inside, repair
from llamafile_format.caring.losses import common, merged, named
from llamafile_format.changing import recover
from llamafile_format.cli.main import cli
from llamafile_format.errors import FormatError, NotAuthentic, SourceError, UsageError
from llamafile_format.recovery.packets import packets_in
from llamafile_format.recovery.sets import sets_of
from llamafile_format.source import BytesSource, FileSource
from spec.vectors.generate import ape
from tests.fault_server import FaultServer
from tests.laws.containers import tiny_gguf

ROOT = Path(__file__).resolve().parents[2]
SIZE = 300_000  # bytes of the model: 75 slices

Damage = Callable[[bytearray, random.Random], bytearray]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``plain.llamafile`` with a sidecar set for 10 %, ``inside.llamafile`` with recovery data for 10 % inside."""
    folder = tmp_path_factory.mktemp("samples")
    (folder / "model.gguf").write_bytes(tiny_gguf(values=SIZE // 4))
    lf.pack([folder / "model.gguf"], folder / "plain.llamafile", prefix="none", license="CC0-1.0")
    lf.pack([folder / "model.gguf"], folder / "inside.llamafile", prefix="none", license="CC0-1.0", recovery=10)
    protect(folder / "plain.llamafile", percent=10)
    return folder


def copied(samples: Path, folder: Path, kind: str) -> Path:
    """A copy of the sample and, if it has one, its set."""
    for path in samples.glob(f"{kind}.llamafile*"):
        shutil.copy(path, folder / path.name)
    return folder / f"{kind}.llamafile"


def sectors(count: int) -> Damage:
    """So many sectors of 512 bytes, anywhere, are noise."""

    def damage(data: bytearray, chance: random.Random) -> bytearray:
        for _ in range(count):
            at = chance.randrange(len(data) // 512) * 512
            data[at : at + 512] = chance.randbytes(min(512, len(data) - at))
        return data

    return damage


def burst(start: float, length: int) -> Damage:
    """``length`` bytes are noise from this part of the file on."""

    def damage(data: bytearray, chance: random.Random) -> bytearray:
        at = int(len(data) * start)
        data[at : at + length] = chance.randbytes(len(data[at : at + length]))
        return data

    return damage


def header_gone(data: bytearray, _: random.Random) -> bytearray:
    data[:9000] = bytes(9000)
    return data


def directory_gone(data: bytearray, _: random.Random) -> bytearray:
    at = data.rfind(b"PK\1\2", 0, data.rfind(b"PK\1\2"))
    data[at:] = bytes(len(data) - at)
    return data


def tail_cut(data: bytearray, _: random.Random) -> bytearray:
    return data[:-7000]


def deleted(data: bytearray, _: random.Random) -> bytearray:
    del data[100_000:100_777]
    return data


def inserted(data: bytearray, chance: random.Random) -> bytearray:
    data[50_000:50_000] = chance.randbytes(333)
    return data


def both(data: bytearray, chance: random.Random) -> bytearray:
    return sectors(2)(inserted(deleted(data, chance), chance), chance)


MATRIX = {
    "sectors": sectors(4),
    "burst": burst(0.4, 20_000),
    "header": header_gone,
    "directory": directory_gone,
    "tail": tail_cut,
    "deleted": deleted,
    "inserted": inserted,
    "several": both,
}


@pytest.mark.parametrize("kind", ["plain", "inside"])
@pytest.mark.parametrize("damage", MATRIX)
def test_damage_within_the_budget_is_undone(samples: Path, tmp_path: Path, kind: str, damage: str) -> None:
    path = copied(samples, tmp_path, kind)
    right = path.read_bytes()
    path.write_bytes(MATRIX[damage](bytearray(right), random.Random(damage)))
    broken = path.read_bytes()
    expect = hashlib.sha256(right).hexdigest()
    result = repair(path, expect=expect)
    assert result.outcome == "repaired"
    assert result.proof is Proof.DIGEST
    assert result.path == tmp_path / f"{kind}.repaired.llamafile"
    assert result.path.read_bytes() == right
    assert path.read_bytes() == broken, "the original stays"
    assert result.damaged


def test_rot_in_the_recovery_data_itself(samples: Path, tmp_path: Path) -> None:
    path = copied(samples, tmp_path, "inside")
    right = path.read_bytes()
    chance = random.Random(7)
    data = bytearray(right)
    first = right.find(b"PAR2\0PKT")
    for at in (20_000, 90_000, 200_000, first + 20_000, first + 40_000):
        data[at : at + 100] = chance.randbytes(100)
    path.write_bytes(data)
    assert repair(path).path.read_bytes() == right  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["plain", "inside"])
def test_beyond_the_budget_it_says_what_is_lost(samples: Path, tmp_path: Path, kind: str) -> None:
    path = copied(samples, tmp_path, kind)
    data = bytearray(path.read_bytes())
    data[100_352:200_704] = bytes(100_352)
    path.write_bytes(data)
    result = repair(path)
    assert (result.outcome, result.path) == ("beyond repair", None)
    (lost,) = result.lost
    assert lost.member == "model.gguf"
    assert lost.offset <= 100_352
    assert lost.offset + lost.length >= 200_704
    assert lost.length < 100_352 + 2 * 4096
    done = CliRunner().invoke(cli, ["repair", str(path)])
    assert done.exit_code == 1
    assert f"lost      {lost.length} bytes at {lost.offset} of model.gguf" in done.output
    assert len(list(tmp_path.glob("*.repaired.*"))) == 0


def test_two_half_destroyed_copies(samples: Path, tmp_path: Path) -> None:
    """Each is beyond repair, and what the one lost the other has; both together need some parity, too."""
    right = (samples / "plain.llamafile").read_bytes()
    one, other = tmp_path / "one", tmp_path / "other"
    half = len(right) // 2
    one.write_bytes(bytes(half) + right[half:])
    other.write_bytes(right[: half - 5000] + bytes(len(right) - half + 5000))
    result = repair(one, tmp_path / "out", others=[other], par2=[samples / "plain.llamafile.par2"])
    assert result.outcome == "repaired"
    assert (tmp_path / "out").read_bytes() == right
    assert result.proof is Proof.MANIFEST


def test_copies_alone_are_enough(samples: Path, tmp_path: Path) -> None:
    """Without any recovery data: each chunk from whoever has it right, by SHA-256."""
    right = (samples / "plain.llamafile").read_bytes()
    one, other = tmp_path / "one", tmp_path / "other"
    data = bytearray(right)
    data[-60:] = bytes(60)  # the directory's end; it follows from the rest
    data[200] ^= 1
    one.write_bytes(data)
    data = bytearray(right)
    data[150_000] ^= 1
    other.write_bytes(data)
    result = repair(one, tmp_path / "out", others=[BytesSource(other.read_bytes())])
    assert (result.outcome, result.proof) == ("repaired", Proof.MANIFEST)
    assert (tmp_path / "out").read_bytes() == right
    alone = repair(one, tmp_path / "not")
    assert alone.outcome == "beyond repair"


def test_another_file_is_no_copy_of_this_one(samples: Path, tmp_path: Path) -> None:
    """It is whole and has a manifest; the damaged file's own says that it was another."""
    right = (samples / "plain.llamafile").read_bytes()
    data = bytearray(right)
    data[150_000] ^= 1
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(data)
    (tmp_path / "other.gguf").write_bytes(tiny_gguf(values=SIZE // 8))
    lf.pack([tmp_path / "other.gguf"], other, prefix="none")
    told = repair(one, tmp_path / "out", others=[other])
    assert (told.outcome, told.path, told.proof) == ("unproven", None, Proof.PIECES)
    assert not (tmp_path / "out").exists()
    shown = CliRunner().invoke(cli, ["repair", str(one), "--from", str(other), "-o", str(tmp_path / "out")])
    assert "nothing but the copies themselves" in shown.output
    assert "recovery set" not in shown.output
    with lf.open(samples / "plain.llamafile") as container:
        assert container.manifest_bytes is not None
        where = right.index(container.manifest_bytes)
    data[where : where + 40] = bytes(40)  # now nothing of it says what it was
    one.write_bytes(data)
    found = repair(one, tmp_path / "out", others=[samples / "plain.llamafile"])
    assert (found.outcome, found.proof) == ("repaired", Proof.COPY)
    assert (tmp_path / "out").read_bytes() == right


@pytest.mark.parametrize("fault", ["plain", "flaky"])
def test_the_chunks_of_a_copy_on_another_machine(samples: Path, tmp_path: Path, fault: str) -> None:
    """Both are damaged, in other places; of the remote one only what is lacking is read."""
    right = (samples / "plain.llamafile").read_bytes()
    here, there = bytearray(right), bytearray(right)
    here[150_000] ^= 1
    there[10] ^= 1
    path, out = tmp_path / "a.llamafile", tmp_path / "out"
    path.write_bytes(here)
    with FaultServer(bytes(there)) as server:
        done = CliRunner().invoke(cli, ["repair", str(path), "--from", server.url(fault), "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert "a manifest that survived in the damaged file" in done.output
    assert out.read_bytes() == right
    assert path.read_bytes() == here


def test_a_copy_on_another_machine_that_is_not_there(samples: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.llamafile"
    path.write_bytes((samples / "plain.llamafile").read_bytes()[:-300])
    with FaultServer(b"") as server:
        done = CliRunner().invoke(cli, ["repair", str(path), "--from", server.url("missing")])
    assert isinstance(done.exception, SourceError)
    assert list(tmp_path.iterdir()) == [path]


def test_an_intact_file_is_left_alone(samples: Path, tmp_path: Path) -> None:
    for kind in ("plain", "inside"):
        result = repair(copied(samples, tmp_path, kind))
        assert (result.outcome, result.damaged, result.lost) == ("intact", (), ())
    assert not list(tmp_path.glob("*.repaired.*"))


def test_any_file_can_be_protected(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    right = b"Dear archive,\n" * 1000
    path.write_bytes(right)
    made = protect(path)
    assert (made.percent, made.slices, made.recovery) == (5, 4, 1)
    path.write_bytes(right[:5000] + b"?" + right[5001:])
    told = repair(path)
    assert (told.outcome, told.path, told.proof) == ("unproven", None, Proof.SET)
    assert CliRunner().invoke(cli, ["repair", str(path)]).exit_code == 1
    with pytest.raises(FormatError, match="another digest"):
        repair(path, expect="0" * 64, unproven=True)
    assert repair(path, unproven=True).path.read_bytes() == right  # type: ignore[union-attr]


def test_a_set_cannot_give_another_file_a_name(samples: Path, tmp_path: Path) -> None:
    """A stranger's set restores what the stranger wants; nothing vouches for that."""
    path = copied(samples, tmp_path, "plain")
    for each in tmp_path.glob("*.par2"):
        each.unlink()
    right = path.read_bytes()
    path.write_bytes(right.replace(b"CC0-1.0", b"MIT-1.0"))
    protect(path, percent=100)
    path.write_bytes(right)
    result = repair(path)
    assert result.outcome == "intact"
    data = bytearray(right)
    data[150_000] ^= 1
    path.write_bytes(data)
    assert repair(path).path is None


# In place


@pytest.mark.parametrize("damage", ["sectors", "tail", "header"])
def test_in_place(samples: Path, tmp_path: Path, damage: str) -> None:
    path = copied(samples, tmp_path, "plain")
    right = path.read_bytes()
    path.write_bytes(MATRIX[damage](bytearray(right), random.Random(damage)))
    inode = path.stat().st_ino
    result = repair(path, in_place=True, expect=hashlib.sha256(right).hexdigest())
    assert (result.outcome, result.method, result.path) == ("repaired", "in place", path)
    assert path.read_bytes() == right
    assert path.stat().st_ino == inode
    assert not Path(f"{path}.journal").exists()


def test_in_place_of_a_file_that_gets_shorter(samples: Path, tmp_path: Path) -> None:
    path = copied(samples, tmp_path, "plain")
    right = path.read_bytes()
    path.write_bytes(inserted(bytearray(right), random.Random(1)))
    result = repair(path, in_place=True, expect=hashlib.sha256(right).hexdigest())
    assert result.method == "replaced"
    assert path.read_bytes() == right


@pytest.mark.parametrize("step", ["journal", "patch", "truncated", "synced"])
def test_killed_in_the_middle(samples: Path, tmp_path: Path, step: str) -> None:
    """Whatever was interrupted, ``recover`` finishes it."""
    path = copied(samples, tmp_path, "plain")
    right = path.read_bytes()
    path.write_bytes(sectors(4)(bytearray(right), random.Random(3)))
    code = (
        "import os, sys\n"
        "from llamafile_format.changing import surgery\n"
        "from llamafile_format.caring import repair\n"
        f"surgery.checkpoint = lambda step: os._exit(9) if step == {step!r} else None\n"
        f"repair({str(path)!r}, in_place=True, expect={hashlib.sha256(right).hexdigest()!r})\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 9
    with pytest.raises(SourceError, match="was not finished"):
        repair(path)
    assert recover(path).outcome == "finished"
    assert path.read_bytes() == right


# Sets


def test_a_set_is_not_overwritten_and_can_be_renewed(samples: Path, tmp_path: Path) -> None:
    path = copied(samples, tmp_path, "plain")
    with pytest.raises(UsageError, match="exists"):
        protect(path)
    path.write_bytes(path.read_bytes() + bytes(100_000))
    renewed = protect(path, update=True)
    assert renewed.percent == 10
    assert set(renewed.files) == set(tmp_path.glob("*.par2"))
    fresh = tmp_path / "again"
    fresh.mkdir()
    shutil.copy(path, fresh / path.name)
    for one, two in zip(renewed.files, protect(fresh / path.name, percent=10).files, strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_an_empty_file_and_a_missing_numpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(UsageError, match="empty"):
        protect(tmp_path / "empty")
    (tmp_path / "a").write_bytes(b"a")
    monkeypatch.setattr("llamafile_format.recovery.available.have_numpy", lambda: False)
    with pytest.raises(UsageError, match="numpy"):
        protect(tmp_path / "a")


def test_a_full_disk_leaves_no_set(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "plain.llamafile"
    shutil.copy(samples / path.name, path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(SourceError, match="space"):
        protect(path)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_names_with_anything_in_them(tmp_path: Path) -> None:
    path = tmp_path / "a [b]*?\n.vol0+1.par2 é.bin"
    path.write_bytes(bytes(20_000))
    made = protect(path)
    path.write_bytes(bytes(10_000) + b"!" + bytes(9999))
    assert repair(path, unproven=True).path.read_bytes() == bytes(20_000)  # type: ignore[union-attr]
    assert len(made.files) == 2


# Signed files


@pytest.fixture
def signed(samples: Path, tmp_path: Path) -> Path:
    from llamafile_format.signing.keys.key_files import generate, write_keys

    write_keys(tmp_path / "archive.key", generate("p384"), passphrase=None)
    path = copied(samples, tmp_path, "inside")
    done = CliRunner().invoke(cli, ["sign", str(path), "--key", str(tmp_path / "archive.key")])
    assert done.exit_code == 0, done.output
    return path


def test_a_trusted_signature_proves(signed: Path) -> None:
    right = signed.read_bytes()
    signed.write_bytes(burst(0.4, 9000)(bytearray(right), random.Random(2)))
    done = CliRunner().invoke(cli, ["repair", str(signed), "--key", f"{signed.parent / 'archive.key.pub'}", "--json"])
    value = json.loads(done.stdout)
    assert (value["outcome"], value["proof"]) == ("repaired", "signature")
    assert Path(value["path"]).read_bytes() == right


def test_nobody_trusted_is_told(signed: Path, tmp_path: Path) -> None:
    from llamafile_format.signing.keys.key_files import generate, write_keys

    write_keys(tmp_path / "other.key", generate("p384"), passphrase=None)
    signed.write_bytes(burst(0.4, 9000)(bytearray(signed.read_bytes()), random.Random(2)))
    done = CliRunner().invoke(cli, ["repair", str(signed), "--key", str(tmp_path / "other.key.pub")])
    assert done.exit_code == NotAuthentic.exit_code or isinstance(done.exception, NotAuthentic)
    assert not list(tmp_path.glob("*.repaired.*"))


def test_a_set_from_before_the_signature_does_not_take_it_away(samples: Path, tmp_path: Path) -> None:
    from llamafile_format.signing.keys.key_files import generate, write_keys

    write_keys(tmp_path / "archive.key", generate("p384"), passphrase=None)
    path = copied(samples, tmp_path, "plain")
    done = CliRunner().invoke(cli, ["sign", str(path), "--key", str(tmp_path / "archive.key")])
    assert done.exit_code == 0
    assert "out of date" in done.stderr
    right = path.read_bytes()
    assert repair(path).outcome == "intact"
    data = bytearray(right)
    data[-10] ^= 1
    path.write_bytes(data)
    assert repair(path).path.read_bytes() == right  # type: ignore[union-attr]


@pytest.mark.parametrize("prefix", ["none", "engine"])
def test_a_file_with_recovery_data_inside_says_so(tmp_path: Path, prefix: str) -> None:
    """README.txt tells how to repair the file, however it came to its recovery data; without them it is as before."""
    (tmp_path / "m.gguf").write_bytes(tiny_gguf(values=30_000))
    (tmp_path / "engine").write_bytes(ape.forge())
    path = tmp_path / "a"
    lf.pack([tmp_path / "m.gguf"], path, prefix=tmp_path / prefix if prefix == "engine" else prefix, runtime="none")
    before = path.read_bytes()
    assert any("README" in change for change in protect_inside(path).changes)
    with lf.open(path) as container:
        assert "HOW TO REPAIR IT" in container.read("META-LLAMAFILE/README.txt").decode()
    assert lf.verify(path, level="exhaustive").exit_code() == 0
    once = path.read_bytes()
    protect_inside(path)
    assert path.read_bytes() == once
    path.write_bytes(bytes(9000) + once[9000:])
    assert repair(path, tmp_path / "again").path.read_bytes() == once
    lf.repack(tmp_path / "again", tmp_path / "without", recovery=0)
    with lf.open(tmp_path / "without") as container, lf.open(before) as old:
        assert container.read("META-LLAMAFILE/README.txt") == old.read("META-LLAMAFILE/README.txt")


def test_inside_a_signed_file_only_by_force(signed: Path) -> None:
    with pytest.raises(UsageError, match="signed"):
        protect_inside(signed, percent=20)
    result = protect_inside(signed, signed.parent / "new.llamafile", percent=20, force=True)
    assert result.unsigned


# Hostile


def test_a_set_over_several_files_is_none_of_ours(tmp_path: Path, samples: Path) -> None:
    path = copied(samples, tmp_path, "plain")
    index = tmp_path / "plain.llamafile.par2"
    index.write_bytes(b"PAR2\0PKT" * 1000)
    for each in tmp_path.glob("*.vol*"):
        each.write_bytes(bytes(100))
    with FileSource(index) as source:
        assert sets_of(packets_in(source)) == []
    assert repair(path).outcome == "intact"


def test_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "noise"
    path.write_bytes(random.Random(1).randbytes(10_000))
    with pytest.raises(FormatError, match="nothing is left"):
        repair(path)


def test_spans() -> None:
    assert merged([(5, 5), (0, 5), (20, 1), (19, 3)]) == [(0, 10), (19, 3)]
    assert common([(0, 10), (20, 10)], [(5, 20)]) == [(5, 5), (20, 5)]
    assert common([(0, 4)], [(4, 4)]) == []


def test_what_is_lost_is_named_by_its_member(samples: Path) -> None:
    with lf.open(samples / "plain.llamafile") as opened:
        manifest = opened.manifest
    assert manifest is not None
    readme, model = manifest.members[:2]
    start, end = readme.offset + readme.size - 10, model.offset + 5
    found = named([(start, end - start)], manifest)
    assert [(each.offset, each.length, each.member) for each in found] == [
        (start, 10, readme.path),
        (readme.offset + readme.size, model.offset - readme.offset - readme.size, ""),
        (model.offset, 5, model.path),
    ]
    assert named([(1 << 40, 3)], manifest) == named([(1 << 40, 3)], None)
