"""What we write, judged by those who take it: bagit, ocfl-py, eark-validator, the schema of PREMIS 3."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import etree

from llamafile_format.caring import export_bag, export_csip, export_ocfl, export_premis, import_bag
from llamafile_format.output.orders import ExportOrder, ImportOrder
from tests.conftest import ToolFinder
from tests.laws.containers import small_container
from tests.unit.test_packages import EVIL, flipped

pytestmark = pytest.mark.interop
XML_SCHEMA = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="http://www.w3.org/XML/1998/namespace">
<xs:attribute name="lang" type="xs:language"/></xs:schema>"""
"""Of the schema of the namespace ``xml``, what xlink needs."""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return small_container(tmp_path, license="CC0-1.0", name=EVIL, created="2026-01-02T03:04:05Z")


def judge(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.parametrize("moment", ["", "2026-11-29T14:00:00Z"])
def test_bagit_takes_the_bag(made: Path, tmp_path: Path, moment: str) -> None:
    odd = made.rename(tmp_path / "ein Modell, größer.llamafile")
    export_bag(ExportOrder(str(odd), tmp_path / "bag", moment=moment))
    done = judge("-m", "bagit", "--validate", tmp_path / "bag")
    assert done.returncode == 0, done.stderr
    flipped(tmp_path / "bag/data" / odd.name)
    assert judge("-m", "bagit", "--validate", tmp_path / "bag").returncode == 1


def test_a_bag_of_bagit_is_taken(made: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/small.llamafile").write_bytes(made.read_bytes())
    assert judge("-m", "bagit", "--sha256", "--md5", tmp_path / "theirs").returncode == 0
    import_bag(ImportOrder(str(tmp_path / "theirs"), tmp_path / "again"))
    assert (tmp_path / "again").read_bytes() == made.read_bytes()


def test_ocfl_py_takes_the_root(made: Path, tool: ToolFinder, tmp_path: Path) -> None:
    validate = tool("ocfl-validate.py")
    export_ocfl(ExportOrder(str(made), tmp_path / "root"))
    (tmp_path / "second").mkdir()
    export_ocfl(ExportOrder(str(small_container(tmp_path / "second")), tmp_path / "root"))
    done = judge(validate, tmp_path / "root")
    assert done.returncode == 0, done.stdout + done.stderr
    thing = next(path for path in (tmp_path / "root").rglob("small.llamafile"))
    done = judge(validate, thing.parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[W" not in done.stdout, done.stdout
    flipped(thing)
    assert judge(validate, thing.parents[2]).returncode == 1


class _Local(etree.Resolver):
    """Schemas from the folder beside the checkout, and none from the network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resolve(self, url: str, _: object, context: object) -> object:  # type: ignore[override]
        name = url.rpartition("/")[2]
        if name == "xml.xsd":
            return self.resolve_string(XML_SCHEMA, context)
        return self.resolve_filename(str(self.folder / name), context)


def premis_schema(folder: Path) -> etree.XMLSchema:
    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(_Local(folder))
    return etree.XMLSchema(etree.parse(str(folder / "premis.xsd"), parser))


def test_the_schema_of_premis_takes_the_document(made: Path, shared_data: Path, tmp_path: Path) -> None:
    schema = premis_schema(shared_data / "schemas")
    for number, moment in enumerate(("", "2026-11-29T14:00:00Z")):
        path = tmp_path / f"{number}.xml"
        export_premis(ExportOrder(str(made), path, moment=moment))
        schema.assertValid(etree.parse(str(path)))


EARK = ("eark-validator==1.1.3", "importlib-resources==5.12.0")
"""It demands lxml 5.1.0 and nothing else; without its demands it runs with the one that is here."""
EARK_JUDGE = """
import json, pathlib, sys, urllib.request
here = pathlib.Path(sys.argv[2]) / "eark_validator/ipxml/resources/vocabs"
urllib.request.urlopen = lambda address: (here / address.rpartition("/")[2]).open("rb")
from eark_validator.packages import PackageValidator
report = PackageValidator(pathlib.Path(sys.argv[1])).validation_report
found = json.loads(report.model_dump_json())
told = [*found["structure"]["messages"], *found["metadata"]["schematron_results"]["messages"]]
told += found["metadata"]["schema_results"]["messages"]
print(json.dumps([report.is_valid, [each["message"] for each in told if each["severity"] == "Error"]]))
"""
"""It asks the network for four vocabularies that its own wheel brings: these are given to it."""


@pytest.fixture(scope="module")
def eark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where eark-validator is, in a folder of its own."""
    folder = tmp_path_factory.mktemp("eark")
    done = judge("-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, *EARK)
    if done.returncode:
        pytest.skip(f"no {EARK[0]} from the package index here: {done.stderr.strip().splitlines()[-1:]}")
    return folder


def test_eark_validator_takes_the_package(made: Path, eark: Path, tmp_path: Path) -> None:
    def judged(package: Path) -> tuple[bool, list[str]]:
        """Whether it is valid, and its errors."""
        program = f"import sys; sys.path.append({str(eark)!r})\n{EARK_JUDGE}"
        done = judge("-c", program, package, eark)
        assert done.returncode == 0, done.stderr
        valid, errors = json.loads(done.stdout.splitlines()[-1])
        return valid, errors

    for number, moment in enumerate(("", "2026-11-29T14:00:00Z")):
        export_csip(ExportOrder(str(made), tmp_path / f"aip-{number}", moment=moment))
        assert judged(tmp_path / f"aip-{number}") == (True, [])
    text = (tmp_path / "aip-1/METS.xml").read_text("utf-8")
    (tmp_path / "aip-1/METS.xml").write_text(text.replace('USE="Schemas"', 'USE="Rules"'))
    assert not judged(tmp_path / "aip-1")[0]
    schema = etree.XMLSchema(etree.parse(str(tmp_path / "aip-0/schemas/dublin-core.xsd")))
    schema.assertValid(etree.parse(str(tmp_path / "aip-0/metadata/descriptive/dublin-core.xml")))
