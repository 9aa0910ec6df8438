"""Packages judged by rocrate-validator and frictionless, offline, in a folder of their own.

They bring thirty packages, and one of these wants an older library than we have: nothing else shall run with them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from llamafile_format.caring import export_crate, export_datapackage
from llamafile_format.output.orders import ExportOrder
from tests.interop.test_packages import judge, made
from tests.unit.test_packages import flipped

pytestmark = pytest.mark.interop
__all__ = ["made"]  # a fixture
JUDGES = (
    *("roc-validator==0.13.0", "rocrate==0.16.0", "cattrs==26.2.1", "colorlog==6.12.0", "enum-tools==0.12.0"),
    *("html5rdf==1.2.1", "owlrl==7.6.2", "pyparsing==3.3.3", "pyshacl==0.40.1", "rdflib==7.6.0", "toml==0.10.2"),
    *("requests-cache==1.3.3", "url-normalize==3.1.0", "frictionless==5.21.0", "chardet==7.7.0", "humanize==4.17.0"),
    *("simpleeval==1.0.8", "python-slugify==9.2.0", "text-unidecode==1.3", "tabulate==0.10.0"),
)
"""What of their demands is not here yet, and is loaded."""
CRATE = """
import email.message, io, json, pathlib, sys, urllib.request
sys.path.append(sys.argv[2])
import requests
CONTEXT = (pathlib.Path(sys.argv[2]) / "rocrate/data/ro-crate.jsonld").read_bytes()
KNOWN = {"https://w3id.org/ro/crate/1.1/context", "https://www.researchobject.org/ro-crate/specification/1.1/index.html"}
class Answer(io.BytesIO):
    status = code = 200
    def __init__(self, url):
        super().__init__(CONTEXT)
        self.url, self.headers = url, email.message.Message()
        self.headers["Content-Type"] = "application/ld+json"
    info, geturl, getcode = (lambda self: self.headers), (lambda self: self.url), (lambda self: 200)
def opened(self, request, *_, **__):
    url = request if isinstance(request, str) else request.full_url
    if url not in KNOWN: raise OSError("offline: " + url)
    return Answer(url)
def requested(self, method, url, *_, **__):
    found = requests.Response()
    found.raw, found.url, found.status_code = opened(None, url), url, 200
    found.headers["Content-Type"] = "application/ld+json"
    return found
urllib.request.OpenerDirector.open, requests.sessions.Session.request = opened, requested
from rocrate_validator import models, services
required = models.Severity.REQUIRED
wanted = dict(profile_identifier="ro-crate-1.1", requirement_severity=required)
for crate in sys.argv[3:]:
    found = services.validate(services.ValidationSettings(rocrate_uri=crate, **wanted))
    print(json.dumps([not found.has_issues(), [each.message for each in found.get_issues()]]))
"""
"""The two addresses that it asks are answered with the context that the wheel of rocrate brings."""
DATA = """
import json, sys
sys.path.append(sys.argv[2])
from frictionless import validate
for package in sys.argv[3:]:
    found = validate(package + "/datapackage.json")
    print(json.dumps([found.valid, [row[0] for row in found.flatten(["type"])]]))
"""


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the two are, with what only they need."""
    folder = tmp_path_factory.mktemp("judges")
    done = judge("-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, *JUDGES)
    if done.returncode:
        pytest.skip(f"no {JUDGES[0]} from the package index here: {done.stderr.strip().splitlines()[-1:]}")
    return folder


def judged(program: str, judges: Path, *packages: Path) -> list[tuple[bool, list[str]]]:
    """Whether each package is valid, and what speaks against it."""
    done = judge("-c", program, "", judges, *packages)
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines() if line.startswith("[")]


def test_rocrate_validator_takes_the_crate(made: Path, judges: Path, tmp_path: Path) -> None:
    crates = [tmp_path / f"crate-{number}" for number in range(3)]
    for crate, moment in zip(crates, ("", "2026-11-29T14:00:00Z", ""), strict=True):
        export_crate(ExportOrder(str(made), crate, moment=moment))
    metadata = crates[2] / "ro-crate-metadata.json"
    text = metadata.read_text("utf-8")
    value: dict[str, Any] = json.loads(text)
    root = next(each for each in value["@graph"] if each["@id"] == "./")
    root["@type"] = "Thing"
    metadata.write_text(json.dumps(value), "utf-8")
    *good, bad = judged(CRATE, judges, *crates)
    assert good == [(True, []), (True, [])]
    assert not bad[0]
    assert re.search("Dataset|Root Data Entity", " ".join(bad[1]))


def test_frictionless_takes_the_package(made: Path, judges: Path, tmp_path: Path) -> None:
    packages = [tmp_path / f"package-{number}" for number in range(3)]
    for package, moment in zip(packages, ("", "2026-11-29T14:00:00Z", ""), strict=True):
        export_datapackage(ExportOrder(str(made), package, moment=moment))
    flipped(packages[2] / made.name)
    assert judged(DATA, judges, *packages) == [(True, []), (True, []), (False, ["hash-count"])]
