"""What ``explain`` prints, pasted into a shell: it runs, it prints what it says, and says no for what is not good."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import llamafile_format
from tests import by_hand_samples as samples
from tests.authorities import Authority, stamp
from tests.laws.containers import tiny_gguf

pytestmark = pytest.mark.interop
Tool = Callable[[str], Path]
RunCli = Callable[..., subprocess.CompletedProcess[str]]
Json = dict[str, Any]

AT = datetime(2026, 11, 21, 14, tzinfo=UTC)
NEEDED = ("sh", "unzip", "sed", "base64", "sha256sum", "openssl", "tail", "head", "mkdir", "cat")


class Signed:
    """A file that holds one record of every sort, the keys that made them, and the roots to trust."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "it's signed.llamafile"
        self.keys: dict[str, Path] = {}
        self.folder = folder
        (folder / "model.gguf").write_bytes(tiny_gguf())
        (folder / "-[x] b.txt").write_text("a document\n")
        self.publisher = folder / "upstream.sigstore.json"
        self._publish(folder / "model.gguf")
        include = [
            llamafile_format.Include(folder / "-[x] b.txt", "-[x] b.txt", "document"),
            llamafile_format.Include(self.publisher, "publisher/[up]stream.json", "publisher-signature"),
        ]
        engine = folder / "engine"
        engine.write_bytes(b"#!/bin/sh\nexit 0\n")
        llamafile_format.pack([folder / "model.gguf"], self.file, prefix=engine, include=include)
        root = Authority.create("Root")
        signer = root.intermediate("Middle").leaf("Signer", email="signer@example.org")
        stamps = Authority.create("Time")
        self.roots = folder / "roots.pem"
        self.roots.write_bytes(root.pem)
        self.authorities = folder / "authorities.pem"
        self.authorities.write_bytes(stamps.pem)
        for kind in ("p256", "p384", "p521", "ed25519", "ml-dsa-65"):
            key = samples.new_key(kind)
            self.keep(samples.sign(self.file, key), key)
        chain = [each.der for each in signer.chain[:-1]]
        samples.sign(self.file, ("p384", signer.key), certificates=chain)
        last = self.records()["0006.oms.json"]
        samples.append_record(self.file, "tsr", stamp(stamps.tsa(), last, AT))
        key = samples.new_key("p256")
        self.keep(samples.countersign(self.file, key), key)
        claim = samples.oms_statement(self.file, key)
        claim = {**claim, "predicate": {"tested": True}, "predicateType": "https://example.org/tested"}
        claim["subject"][0]["digest"]["sha256"] = claim["subject"][0]["annotations"]["manifest_sha256"]
        self.keep(samples.append_record(self.file, "att", samples.bundle(samples.canonical(claim), key)), key)
        material = {
            "certificate_revocation_lists": [samples.text(root.revocation_list())],
            "certificates": [samples.text(stamps.der)],
            "format": "llamafile-validation-material/1.0",
        }
        samples.append_record(self.file, "vm", samples.canonical(material))
        before = self.file.read_bytes()
        covered = before[: before.index(b"PK\1\2")]  # the directory stands where the next header comes
        samples.append_record(self.file, "tsr", stamp(stamps.tsa(key="p384"), covered, AT, "sha512"))

    def _publish(self, model: Path) -> None:
        """A bundle over a folder in which the model has another name, spelt as other tools do: on one line."""
        key = samples.new_key("p384")
        digest = samples.sha256(model.read_bytes())
        resources = [{"name": "weights/tiny.gguf", "digest": digest, "algorithm": "sha256"}]
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "tiny", "digest": {"sha256": samples.sha256(bytes.fromhex(digest))}}],
            "predicateType": samples.OMS,
            "predicate": {"resources": resources, "serialization": {"hash_type": "sha256", "method": "files"}},
        }
        made = json.loads(samples.bundle(json.dumps(statement).encode(), key))
        self.publisher.write_text(json.dumps(made))
        self.keep("publisher/[up]stream.json", key)

    def keep(self, path: str, key: samples.Key) -> None:
        public = self.folder / f"key-{len(self.keys)}.pub"
        public.write_bytes(samples.public_pem(key))
        self.keys[path.rpartition("/")[2]] = public

    def records(self) -> dict[str, bytes]:
        with llamafile_format.open(self.file) as container:
            paths = [member.path for member in container.members if "/signatures/" in member.path]
            return {path.rpartition("/")[2]: container.read(path) for path in paths}


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    return Signed(tmp_path_factory.mktemp("signed"))


def explained(run_cli: RunCli, file: Path) -> list[Json]:
    done = run_cli("explain", "--json", file.name, cwd=file.parent)
    assert done.returncode == 0, done.stderr
    steps: list[Json] = json.loads(done.stdout)["steps"]
    return steps


def script(steps: list[Json], keys: dict[str, Path], roots: dict[str, Path]) -> str:
    """All commands in order, with the settings that are the user's filled in, and a line in front of each step."""
    lines = []
    for number, step in enumerate(steps, 1):
        lines.append(f"echo '=== {number}'; echo '=== {number}' >&2")
        for line in step["commands"]:
            if line.startswith("K="):
                name = next(name for name in keys if name in step["title"])
                lines.append(f"K='{keys[name]}'")
            elif line.startswith("C="):
                lines.append(f"C='{roots[line.rpartition('/')[2]]}'")
            elif not line.startswith("llamafile-format"):
                lines.append(line)
    return "\n".join(lines) + "\n"


def outputs(shown: str) -> Iterator[str]:
    yield from re.split(r"^=== \d+\n", shown, flags=re.MULTILINE)[1:]


def run(signed: Signed, steps: list[Json], file: Path, place: Path, tool: Tool) -> list[tuple[str, str, str]]:
    """(title, standard output, standard error) of each step, run in one shell beside ``file``."""
    programs = place / "programs"
    programs.mkdir()
    for name in NEEDED:
        (programs / name).symlink_to((shutil.which("dash") if name == "sh" else None) or tool(name))
    shutil.rmtree(file.parent / "by-hand", ignore_errors=True)
    roots = {"ROOTS.pem": signed.roots, "AUTHORITIES.pem": signed.authorities}
    done = subprocess.run(
        [programs / "sh", "-c", script(steps, signed.keys, roots)],
        env={"PATH": str(programs), "LC_ALL": "C.UTF-8"},
        cwd=file.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return list(zip((step["title"] for step in steps), outputs(done.stdout), outputs(done.stderr), strict=True))


def test_every_step_prints_what_it_says(signed: Signed, run_cli: RunCli, tool: Tool, tmp_path: Path) -> None:
    steps = explained(run_cli, signed.file)
    shown = run(signed, steps, signed.file, tmp_path, tool)
    assert len(shown) == 20
    newer = _openssl(tool) >= (3, 5)
    for step, (title, out, err) in zip(steps, shown, strict=True):
        digests = re.findall(r"\b[0-9a-f]{64}\b", " ".join(step["prints"]))
        assert all(digest in out for digest in digests), (title, out, err)
        if "Verified" in " ".join(step["prints"]):
            unreadable = "ML-DSA" in step["text"] and not newer
            assert (re.search("Verified OK|Verified Successfully", out) is None) == unreadable, (title, out, err)
        if "leaf.pem: OK" in step["prints"]:
            assert "leaf.pem: OK" in out
            assert "signer@example.org" in out
            assert "Code Signing" in out
        if "time stamp" in title:
            assert "Verification: OK" in out + err, (title, out, err)
            assert "Nov 21 14:00:00 2026 GMT" in out
    assert "damaged" not in "".join(out for _, out, _ in shown)
    assert "subject=CN = Time" in next(out for title, out, _ in shown if "validation material" in title)


def test_a_flipped_bit_is_noticed(signed: Signed, run_cli: RunCli, tool: Tool, tmp_path: Path) -> None:
    """The steps printed for the good file, run on a bad one: each names what it vouches for."""
    steps = explained(run_cli, signed.file)
    data = bytearray(signed.file.read_bytes())
    with llamafile_format.open(signed.file) as container:
        offsets = {member.path: member.offset for member in container.members}
    data[offsets["model.gguf"] + 200] ^= 4  # the weights
    for name in ("0001.oms", "0003.oms", "0006.oms"):
        start = offsets[f"META-LLAMAFILE/signatures/{name}.json"]
        data[data.index(b'"payload": "', start) + 200] ^= 1
    bad = tmp_path / signed.file.name
    bad.write_bytes(data)
    shown = {title: out + err for title, out, err in run(signed, steps, bad, tmp_path, tool)}
    for title, text in shown.items():
        verified = "Verified OK" in text or "Verified Successfully" in text
        if re.search(r"000[136]\.oms", title):
            assert not verified, title
            if "time stamp" in title:
                assert "Verification: FAILED" in text
        if title.startswith("Record 0002"):
            assert verified
    assert "damaged: " in next(text for title, text in shown.items() if title.startswith("Every byte"))
    good = {title: out + err for title, out, err in run(signed, steps, signed.file, _folder(tmp_path), tool)}
    assert shown.keys() == good.keys()


def _folder(place: Path) -> Path:
    folder = place / "again"
    folder.mkdir()
    return folder


def _openssl(tool: Tool) -> tuple[int, ...]:
    done = subprocess.run([tool("openssl"), "version"], capture_output=True, text=True, check=True)
    return tuple(map(int, done.stdout.split()[1].split(".")[:2]))


def test_a_converted_file_is_checked_as_what_it_was(run_cli: RunCli, tool: Tool, tmp_path: Path) -> None:
    from tests.signing_samples import container

    file = container(tmp_path / "a.llamafile", launcher=True)
    key = samples.new_key("p384")
    samples.sign(file, key)
    llamafile_format.convert(file, to="elf-x86_64")
    (tmp_path / "key.pub").write_bytes(samples.public_pem(key))
    steps = explained(run_cli, file)
    assert "converted-back" in " ".join(next(step["commands"] for step in steps if "Every byte" in step["title"]))
    text = script(steps, {"0001.oms.json": tmp_path / "key.pub"}, {})
    done = subprocess.run(["sh", "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert "damaged" not in done.stdout
    assert "Verified OK" in done.stdout
    plain = text.replace("F=$PWD/converted-back", ":")
    shutil.rmtree(tmp_path / "by-hand")
    done = subprocess.run(["sh", "-c", plain], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert re.search(r"damaged: \d+ bytes at 0 \(-\)", done.stdout)


def test_json_form_obeys_its_schema(signed: Signed, run_cli: RunCli, tmp_path: Path, repository: Path) -> None:
    from jsonschema import Draft202012Validator

    schema = json.loads((repository / "spec/schemas/explain.schema.json").read_text(encoding="utf-8"))
    data = bytearray(signed.file.read_bytes())
    with llamafile_format.open(signed.file) as container:
        at = next(member.offset for member in container.members if member.path.endswith(".tsr.der"))
    data[at + 10] ^= 1
    bad = tmp_path / "bad.llamafile"
    bad.write_bytes(data)
    for file in (signed.file, bad):
        Draft202012Validator(schema).validate(json.loads(run_cli("explain", "--json", file).stdout))
    titles = [step["title"] for step in explained(run_cli, bad)]
    assert "Record 0007.tsr.der: out of order" in titles


def test_text_form_fits_80_columns(signed: Signed, run_cli: RunCli) -> None:
    done = run_cli("explain", signed.file.name, cwd=signed.file.parent, env={"COLUMNS": "80"})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout
    for said in ("By its length", "whose key it is", "openssl before 3.5", "Nothing below was checked"):
        assert said in done.stdout


def test_unsigned_and_legacy_files(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(tiny_gguf())
    llamafile_format.pack([tmp_path / "model.gguf"], tmp_path / "plain.llamafile", prefix="none")
    shown = run_cli("explain", "plain.llamafile").stdout
    assert "The file is not signed" in shown
    assert "take()" not in shown
    llamafile_format.repack(tmp_path / "plain.llamafile", tmp_path / "old.llamafile", to="legacy")
    assert "no signatures" in run_cli("explain", "old.llamafile").stdout
    assert run_cli("explain", "model.gguf").returncode == 3
    assert run_cli("explain", "missing").returncode == 4
