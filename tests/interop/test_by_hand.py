"""The procedure of META-LLAMAFILE/README.txt, run as it is printed, with the few programs that it asks for.

The signed files are made by ``tests.by_hand_samples``, from the bytes that the specification describes: what a stranger
checks in thirty years must not hang on the code that signs today.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

import llamafile_format
from tests import by_hand_samples as samples
from tests.laws.containers import tiny_gguf

pytestmark = pytest.mark.interop
Tool = Callable[[str], Path]
Bench = Callable[..., subprocess.CompletedProcess[str]]

PROGRAMS = ("sh", "unzip", "sed", "base64", "sha256sum", "openssl")
CURVES = ("p256", "p384", "p521")
NAMES = ("Grüße.txt", "[x].txt", "a  b.txt", "-x", "it's $HOME.txt", "a[b", "~ `id`", " lead", "日本.md")
FOLDER = "META-LLAMAFILE/"
EMPTY = "nothing.txt"


def commands(text: str, skip: Collection[str] = (), *, more: bool = False) -> str:
    """The commands of the numbered steps under HOW TO CHECK A SIGNATURE, as they stand there.

    ``more`` adds those behind the steps: what the signer adds, and the time stamp.
    """
    section = text.split("HOW TO CHECK A SIGNATURE\n", 1)[1].split("\nHOW TO RUN IT\n", 1)[0]
    section = section if more else section.split("\nYES says", 1)[0]
    step, lines = "", []
    for line in section.splitlines():
        if heading := re.match(r"(\d+)\. ", line):
            step = heading[1]
        elif line.startswith("    ") and step not in skip:
            lines.append(line)
    return "\n".join(lines) + "\n"


@pytest.fixture
def bench(tmp_path: Path, tool: Tool) -> Bench:
    """``bench(file, key)``: the procedure that stands in ``file``, in an empty folder, with PROGRAMS alone on PATH.

    Without the step that needs tail and head, unless ``whole``. ``skip`` leaves out more steps.
    """

    def run(
        file: Path,
        key: Path,
        *,
        record: str = "0001",
        whole: bool = False,
        skip: Collection[str] = (),
        shell: str = "sh",
        authorities: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        place = tmp_path / f"bench {len(list(tmp_path.glob('bench *')))}"
        programs, empty = place / "programs", place / "empty"
        programs.mkdir(parents=True)
        empty.mkdir()
        for name in (*PROGRAMS, *(("tail", "head") if whole else ())):
            (programs / name).symlink_to(shutil.which("dash") or tool("sh") if name == "sh" else tool(name))
        found = subprocess.run(
            [tool("unzip"), "-p", file, f"{FOLDER}README.txt"], capture_output=True, text=True, check=False
        )
        script = commands(found.stdout, {*skip, *(() if whole else ("7",))}, more=authorities is not None)
        for line, setting in {"F=/path/to/FILE": file, "K=/path/to/KEY.pub": key, "R=0001": record}.items():
            assert script.count(line) == 1
            script = script.replace(line, f"{line[0]}='{setting}'")
        script = script.replace("C=/path/to/ROOTS.pem", f"C='{authorities}'")
        return subprocess.run(
            [programs / "sh" if shell == "sh" else tool(shell), "-c", script],
            env={"PATH": str(programs), "LC_ALL": os.environ.get("LC_ALL", "C.UTF-8")},
            cwd=empty,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A small container with names that shells and unzip could misread, and a script in front."""
    engine = tmp_path / "engine"
    engine.write_bytes(b"#!/bin/sh\nexit 0\n")
    (tmp_path / "model.gguf").write_bytes(tiny_gguf(values=5000))
    include = []
    for index, name in enumerate((*NAMES, EMPTY)):
        path = tmp_path / f"document-{index}"
        path.write_text("" if name == EMPTY else f"{name}, document {index}\n", encoding="utf-8")
        include.append(llamafile_format.Include(path, name, "document"))
    out = tmp_path / "a packed.llamafile"
    llamafile_format.pack([tmp_path / "model.gguf"], out, prefix=engine, include=include)
    return out


def signed(packed: Path, kind: str) -> Path:
    """``packed``, signed by a new key of this kind; the file of the public key."""
    key = samples.new_key(kind)
    samples.sign(packed, key)
    public = packed.with_name(f"{kind}.pub")
    public.write_bytes(samples.public_pem(key))
    return public


def yes(result: subprocess.CompletedProcess[str]) -> bool:
    assert ("YES: " in result.stdout) == (result.returncode == 0), result
    assert (result.returncode == 0) != ("NO: " in result.stdout), result
    return result.returncode == 0


def offset_of(file: Path, name: str) -> int:
    """Where the data of a stored member begins."""
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo(name)
    return info.header_offset + 30 + len(name.encode())


def flipped(file: Path, at: int) -> Path:
    """A copy of ``file`` with one bit flipped at ``at``."""
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    copy = file.with_name(f"flipped-{at}.llamafile")
    copy.write_bytes(data)
    return copy


def rewritten(file: Path, change: Callable[[dict[str, bytes]], dict[str, bytes] | list[tuple[str, bytes]]]) -> Path:
    """A fresh archive of the members of ``file`` after ``change``, all sums right: what a forger makes."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    changed = change(members)
    copy = file.with_name("forged.llamafile")
    with zipfile.ZipFile(copy, "w") as archive:
        for name, data in changed.items() if isinstance(changed, dict) else changed:
            archive.writestr(name, data)
    return copy


@pytest.mark.parametrize("shell", ["sh", "bash", "ksh"])
@pytest.mark.parametrize("kind", [*CURVES, "ed25519"])
def test_good_file_passes(packed: Path, bench: Bench, kind: str, shell: str) -> None:
    key = signed(packed, kind)
    result = bench(packed, key, shell=shell)
    assert yes(result), result
    assert result.stderr == ""
    assert yes(bench(packed, key, whole=True, shell=shell))
    told = {finding.rule for finding in llamafile_format.verify(packed).findings}
    assert told <= {"LF3035", "LF9002", "LF9005"}  # a document without a suffix is data that nobody checks


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_names_in_any_locale(packed: Path, bench: Bench, locale: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    assert yes(bench(packed, signed(packed, "p384")))


@pytest.mark.parametrize("kind", CURVES)
def test_another_key_fails(packed: Path, bench: Bench, kind: str) -> None:
    signed(packed, kind)
    for other in CURVES:
        key = packed.with_name("other.pub")
        key.write_bytes(samples.public_pem(samples.new_key(other)))
        result = bench(packed, key)
        assert not yes(result)
        assert "no signature of this key" in result.stdout


@pytest.mark.parametrize("kind", CURVES)
def test_one_flipped_bit_fails(packed: Path, bench: Bench, kind: str) -> None:
    key = signed(packed, kind)
    record = offset_of(packed, f"{FOLDER}signatures/0001.oms.json")
    data = packed.read_bytes()
    places = {
        "weights": offset_of(packed, "model.gguf") + 4000,
        "a document": offset_of(packed, "Grüße.txt") + 3,
        "README": offset_of(packed, f"{FOLDER}README.txt") + 100,
        "chunk list": offset_of(packed, f"{FOLDER}chunks.txt") + 70,
        "manifest": offset_of(packed, f"{FOLDER}manifest.json") + 200,
        "payload": data.index(b'"payload": "', record) + 500,
        "signature": data.index(b'"sig": "', record) + 40,
    }
    for what, at in places.items():
        assert not yes(bench(flipped(packed, at), key)), what


def test_prefix_and_gaps_are_the_chunk_list_s(packed: Path, bench: Bench) -> None:
    """Members alone do not cover the program in front and the bytes between: the step with tail and head does."""
    key = signed(packed, "p384")
    for at in (3, 40_000, offset_of(packed, "model.gguf") - 60):
        copy = flipped(packed, at)
        assert yes(bench(copy, key))
        result = bench(copy, key, whole=True)
        assert not yes(result)
        assert "damaged: " in result.stdout


FORGERIES: dict[str, Callable[[dict[str, bytes]], dict[str, bytes] | list[tuple[str, bytes]]]] = {
    "added": lambda members: {**members, "run.sh": b"evil\n"},
    "added, called *": lambda members: {**members, "*": b"evil\n"},
    "added like a record": lambda members: {**members, f"{FOLDER}signatures/0002.oms.json.sh": b"evil\n"},
    "added behind spaces": lambda members: {**members, f"run.sh   {FOLDER}signatures/0002.oms.json": b"evil\n"},
    "dropped": lambda members: {name: data for name, data in members.items() if name != "model.gguf"},
    "renamed": lambda members: {("m.gguf" if n == "model.gguf" else n): data for n, data in members.items()},
    "empty one swapped": lambda members: {("run.sh" if n == EMPTY else n): data for n, data in members.items()},
    "twice": lambda members: [*members.items(), ("a[b", b"evil\n")],
    "empty one twice": lambda members: [*members.items(), (EMPTY, b"")],
    "contents swapped": lambda members: {**members, "-x": members["a[b"], "a[b": members["-x"]},
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_archives_fail(packed: Path, bench: Bench, forgery: str) -> None:
    key = signed(packed, "p256")
    assert yes(bench(rewritten(packed, lambda members: members), key))
    assert not yes(bench(rewritten(packed, FORGERIES[forgery]), key))


def test_record_of_another_file_fails(packed: Path, bench: Bench, tmp_path: Path) -> None:
    key = samples.new_key("p384")
    public = tmp_path / "key.pub"
    public.write_bytes(samples.public_pem(key))
    other = tmp_path / "other.llamafile"
    llamafile_format.pack([tmp_path / "model.gguf"], other, prefix="none")
    with zipfile.ZipFile(packed) as archive:  # the genuine file holds, as a document, what the other one has inside
        assert archive.testzip() is None
    payload = samples.canonical(samples.oms_statement(other, key))
    samples.append_record(packed, "oms", samples.bundle(payload, key))
    result = bench(packed, public)
    assert not yes(result)
    assert "another manifest" in result.stdout


def test_other_statements_are_no_approval(packed: Path, bench: Bench) -> None:
    """A countersignature, and an attestation whose predicate imitates a statement about members."""
    key = samples.new_key("p384")
    public = packed.with_name("key.pub")
    public.write_bytes(samples.public_pem(key))
    samples.countersign(packed, key)
    inner = samples.oms_statement(packed, key)
    outer = {**inner, "predicate": {**inner["predicate"], "predicateType": samples.OMS}, "predicateType": "urn:x:y"}
    samples.append_record(packed, "att", samples.bundle(samples.canonical(outer), key))
    for record in ("0001", "0002"):
        result = bench(packed, public, record=record)
        assert not yes(result)
        assert "another type" in result.stdout
    assert not yes(bench(packed, public, record="0003"))  # there is none


def test_post_quantum_key_needs_a_newer_openssl(packed: Path, bench: Bench, tool: Tool) -> None:
    key = signed(packed, "ml-dsa-65")
    result = bench(packed, key)
    version = subprocess.run([tool("openssl"), "version"], capture_output=True, text=True, check=True).stdout.split()[1]
    if tuple(map(int, version.split(".")[:2])) >= (3, 5):
        assert yes(result)
    else:
        assert not yes(result)
        assert f"cannot read {key}" in result.stdout


def test_statement_by_the_oms_tool(packed: Path, bench: Bench, tmp_path: Path) -> None:
    """What ``model_signing`` signs over the unpacked folder has no annotations: step 4 is left out, as it says."""
    pytest.importorskip("model_signing")
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from model_signing import hashing, signing

    plain = rewritten(packed, lambda members: {n: d for n, d in members.items() if n.isascii()})
    key = samples.new_key("p384")
    (tmp_path / "key.pub").write_bytes(samples.public_pem(key))
    pem = key[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key").write_bytes(pem)
    tree = tmp_path / "tree"
    with zipfile.ZipFile(plain) as archive:
        archive.extractall(tree)
    made = tmp_path / "model.sig"
    config = signing.Config()  # type: ignore[no-untyped-call]
    config.use_elliptic_key_signer(private_key=tmp_path / "key")
    config.set_hashing_config(hashing.Config().use_file_serialization())  # type: ignore[no-untyped-call]
    config.sign(tree, made)
    record = samples.canonical(json.loads(made.read_bytes()))
    samples.append_record(plain, "oms", record)
    result = bench(plain, tmp_path / "key.pub", skip={"4"})
    assert yes(result), result
    assert not yes(bench(plain, tmp_path / "key.pub"))
    assert not yes(bench(flipped(plain, offset_of(plain, "model.gguf") + 99), tmp_path / "key.pub", skip={"4"}))


@pytest.mark.parametrize("kind", ["p384", "p384+ml-dsa-65", "ed25519"])
def test_what_our_own_command_signed(
    packed: Path, bench: Bench, kind: str, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Of a pair, openssl reads the first key in the file, and checks its half."""
    assert run_cli("keygen", "--type", kind, "--no-passphrase", "-o", "key").returncode == 0
    assert run_cli("sign", packed, "--key", "key").returncode == 0
    key = packed.with_name("key.pub")
    assert yes(bench(packed, key, whole=True))
    assert not yes(bench(flipped(packed, offset_of(packed, "model.gguf") + 99), key))
    if "+" in kind:
        assert not yes(bench(packed, key, record="0002"))


def test_time_stamp(packed: Path, bench: Bench, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    from tests.authorities import Authority, stamp

    key = signed(packed, "p384")
    with zipfile.ZipFile(packed) as archive:
        record = archive.read(f"{FOLDER}signatures/0001.oms.json")
    clock = Authority.create("Clock")
    at = datetime(2026, 11, 21, 14, tzinfo=UTC)
    samples.append_record(packed, "tsr", stamp(clock.tsa(), record, at))
    roots = tmp_path / "roots.pem"
    roots.write_bytes(clock.pem)
    result = bench(packed, key, authorities=roots)
    assert "YES: " in result.stdout
    assert "Verification: OK" in result.stdout
    assert "Nov 21 14:00:00 2026 GMT" in result.stdout
    assert '"cosigners": [' in result.stdout
    roots.write_bytes(Authority.create("Other clock").pem)
    assert "Verification: FAILED" in bench(packed, key, authorities=roots).stdout


def test_text_fits_a_terminal_and_names_nothing_of_the_file(packed: Path) -> None:
    with llamafile_format.open(packed) as container:
        text = container.read(f"{FOLDER}README.txt").decode()
        known = {container.manifest_bytes, *(container.read(member.path) for member in container.members)}
    assert max(map(len, text.splitlines())) <= 80
    assert text.isascii()
    assert not re.search(r"[0-9a-f]{32}", text)
    assert not {str(len(data)) for data in known if len(data) > 999} & set(re.findall(r"\d+", text))
