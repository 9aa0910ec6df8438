"""The example policies load, obey the schema, and say of nine files what chapter 16 says that they say."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from llamafile_format.checks.verdict import Report, Verdict
from llamafile_format.examining.verify import verify
from llamafile_format.rules import Layer
from llamafile_format.signing.keys.key import PublicKey
from llamafile_format.signing.records.record import RecordKind
from llamafile_format.signing.trust.policy_reader import read_policy
from llamafile_format.specdata import load_yaml, spec_dir
from llamafile_format.vouching.append import append_records
from llamafile_format.vouching.sign import sign
from spec.vectors.generate.signatures_keys import Key
from spec.vectors.generate.timestamps_forge import Stamp
from tests.laws.containers import small_container

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples" / "policies"
NAMES = ("archive", "hub", "personal")
AT = datetime(2026, 12, 1, tzinfo=UTC)
STAMPED = datetime(2026, 11, 22, tzinfo=UTC)
_WORDS = {"yes": Verdict.YES, "no": Verdict.NO, "–": None}
_CELL = re.compile(r"(yes|no|–), (yes|no): (\d)(?: \((LF\d{4}(?:, LF\d{4})*)\))?")


@functools.cache
def material() -> ModuleType:
    spec = importlib.util.spec_from_file_location("policy_material", FOLDER / "material.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Hand:
    """A key of the example material, as a signer."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self.public = PublicKey.from_spki(key.spki)

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


def signed(path: Path, keys: tuple[Key, ...], *, revision: int = 3, stamped: bool = False) -> Path:
    """Sign ``path`` in place; ``stamped``: with a stamp of the example clock on each record."""
    before = len(records(path))
    sign(path, [Hand(key) for key in keys], revision=revision, declared_time="2026-11-21T12:00:00Z")
    if stamped:
        import hashlib

        for data in records(path)[before:]:
            stamp = Stamp(hashlib.sha256(data).digest(), signer=material().CLOCK, time=STAMPED)
            append_records(path, [(RecordKind.TSR, stamp.encode())])
    return path


def records(path: Path) -> list[bytes]:
    """The signature records of a container, in order."""
    from llamafile_format.container import open_container

    with open_container(path) as container:
        return [container.read(m.path) for m in container.members if m.role == "signature-record"]


def made(what: str, folder: Path) -> Path:
    """The file that a row of the table describes."""
    given = material()
    options: dict[str, Any] = {"name": "exhibit", "license": "CC0-1.0"}
    if "without a licence" in what:
        options["license"] = ""
    if "named `other`" in what:
        options["name"] = "other"
    path = small_container(folder, **options)
    revision = 2 if "revision 2" in what else 3
    if "stranger" in what:
        return signed(path, given.STRANGER, revision=revision)
    if "friend" in what:
        return signed(path, given.FRIEND, revision=revision)
    if "former key" in what:
        return signed(path, given.LEAKED)
    if "Alice" in what:
        signed(path, given.ALICE, stamped=True)
    if "Boris" in what:
        signed(path, given.BORIS, stamped=True)
    assert "Alice" in what or what.startswith("not signed")
    return path


def rows() -> list[tuple[str, list[str]]]:
    """The table of 16.10: what the file is, and a cell for each policy."""
    chapter = (ROOT / "spec" / "1" / "16-policies.md").read_text("utf-8")
    table = chapter[chapter.index("## 16.10") : chapter.index("## 16.11")]
    found = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")][2:]
    return [(cells[0].strip(), [cell.strip() for cell in cells[1:]]) for cells in found]


@pytest.mark.parametrize("what", [what for what, _ in rows()])
def test_the_worked_example_holds(what: str, tmp_path: Path) -> None:
    path = made(what, tmp_path)
    for name, cell in zip(NAMES, dict(rows())[what], strict=True):
        report = verify(path, policy=read_policy(FOLDER / f"{name}.yaml"), as_of=AT)
        match = _CELL.fullmatch(cell)
        assert match, cell
        assert report.verdicts.get(Layer.AUTHENTIC) is _WORDS[match[1]], (name, report.findings)
        assert report.verdicts[Layer.POLICY] is _WORDS[match[2]], (name, report.findings)
        assert report.exit_code() == int(match[3]), name
        assert set(re.findall(r"LF\d{4}", match[4] or "")) <= named(report), name


def named(report: Report) -> set[str]:
    return {finding.rule for finding in report.findings}


def test_the_table_has_nine_rows_and_all_three_policies() -> None:
    assert len(rows()) == 9
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_examples_obey_the_schema(name: str) -> None:
    schema = json.loads((spec_dir() / "schemas" / "policy.schema.json").read_text("utf-8"))
    Draft202012Validator(schema).validate(plain(load_yaml((FOLDER / f"{name}.yaml").read_text("utf-8"))))


def plain(value: Any) -> Any:
    """YAML's dates as the texts that they were."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return value.isoformat() if isinstance(value, date) else value


def test_the_material_is_what_its_script_writes() -> None:
    written = material().files()
    assert {path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/*") if path.suffix != ".pyc"} == set(written)
    for name, text in written.items():
        assert (FOLDER / name).read_text("utf-8") == text, name
    assert material().pem(*material().ME) in (FOLDER / "personal.yaml").read_text("utf-8").replace("    ", "")
    assert material().LEAKED[0].id in (FOLDER / "hub.yaml").read_text("utf-8")
