"""Packages of archives: the container comes out as it went in, and what is not whole or not plain is refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import pytest

import llamafile_format as lf
from llamafile_format.caring import (
    export_bag,
    export_crate,
    export_csip,
    export_datapackage,
    export_ocfl,
    export_premis,
    import_bag,
    import_ocfl,
)
from llamafile_format.caring.bag_write import encoded
from llamafile_format.caring.ocfl import json_bytes, object_path
from llamafile_format.errors import FormatError, LlamafileError, NotALlamafile, SourceError, UsageError
from llamafile_format.output.leftovers import leftovers
from llamafile_format.output.orders import ExportOrder, ImportOrder
from tests.conftest import CliRunner
from tests.laws.containers import small_container, tiny_gguf

EVIL = 'x\n\x1b[2J\u202e"<script>&'
FORMS = {"bag": (export_bag, import_bag), "ocfl": (export_ocfl, import_ocfl)}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return small_container(tmp_path, license="CC0-1.0", name=EVIL, created="2026-01-02T03:04:05Z")


def package(form: str, made: Path) -> Path:
    out = made.parent / form
    FORMS[form][0](ExportOrder(str(made), out))
    return out


def take(form: str, place: Path, out: Path) -> None:
    FORMS[form][1](ImportOrder(str(place), out))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def the_object(root: Path) -> Path:
    (inventory,) = root.glob("*/*/*/*/inventory.json")
    return inventory.parent


@pytest.mark.parametrize("form", FORMS)
def test_what_goes_in_comes_out(form: str, made: Path, tmp_path: Path) -> None:
    made.chmod(0o755)
    place = package(form, made)
    take(form, place, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == made.read_bytes()
    assert os.access(tmp_path / "again", os.X_OK)


@pytest.mark.parametrize("form", FORMS)
def test_a_package_is_the_same_every_time(form: str, made: Path, tmp_path: Path) -> None:
    first = contents(package(form, made))
    shutil.rmtree(tmp_path / form)
    os.utime(made, (1, 1))
    assert contents(package(form, made)) == first


@pytest.mark.parametrize("form", FORMS)
def test_an_older_llamafile_goes_in_too(form: str, run_cli: CliRunner, made: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.llamafile"
    assert run_cli("repack", made, "--to", "legacy", "-o", old).returncode == 0
    FORMS[form][0](ExportOrder(str(old), tmp_path / "place"))
    take(form, tmp_path / "place", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == old.read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_damage_is_not_vouched_for(form: str, made: Path) -> None:
    data = bytearray(made.read_bytes())
    data[len(data) // 2] ^= 1
    made.write_bytes(data)
    with pytest.raises(FormatError, match="was not put into"):
        package(form, made)
    assert not (made.parent / form).exists()
    assert not leftovers(made.parent)


def test_what_is_no_llamafile_has_no_package(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(tiny_gguf())
    with pytest.raises(NotALlamafile):
        export_bag(ExportOrder(str(tmp_path / "m.gguf"), tmp_path / "bag"))


def test_a_folder_that_holds_something_stays(made: Path, tmp_path: Path) -> None:
    for form in FORMS:
        (tmp_path / form).mkdir()
        (tmp_path / form / "mine").write_text("mine")
        with pytest.raises(UsageError, match="exists"):
            package(form, made)
        assert contents(tmp_path / form) == {"mine": b"mine"}


def test_a_full_disk_leaves_nothing(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("llamafile_format.output.transfer.os.pwrite", full)
    for form in FORMS:
        with pytest.raises(SourceError, match="no space left"):
            package(form, made)
    assert {path.name for path in tmp_path.iterdir()} == {"small.llamafile", "tiny.gguf", "LICENSE.txt"}


def test_what_reads_back_otherwise_is_not_kept(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A medium that keeps other bytes than it was given."""

    def careless(out: int) -> None:
        os.pwrite(out, b"?", 5000)

    monkeypatch.setattr("llamafile_format.output.checked_copy._forget", careless)
    for form in FORMS:
        with pytest.raises(SourceError, match="reads back"):
            package(form, made)
        assert not (tmp_path / form).exists()


def test_a_folder_that_a_killed_run_left_is_named(made: Path, tmp_path: Path) -> None:
    left = tmp_path / ".bag.0123456789ab.partial"
    left.mkdir()
    (left / "data").write_bytes(bytes(8192))
    (found,) = leftovers(tmp_path)
    assert found.path == left
    assert found.size >= 8192


def test_a_root_takes_more_objects_and_none_twice(made: Path, tmp_path: Path) -> None:
    root = package("ocfl", made)
    with pytest.raises(UsageError, match="already"):
        export_ocfl(ExportOrder(str(made), root))
    before = contents(root)
    (tmp_path / "second").mkdir()
    second = small_container(tmp_path / "second", name="another")
    export_ocfl(ExportOrder(str(second), root))
    assert before.items() < contents(root).items()
    with pytest.raises(UsageError, match="2 objects"):
        take("ocfl", root, tmp_path / "again")
    take("ocfl", the_object_of(root, second), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == second.read_bytes()


def the_object_of(root: Path, made: Path) -> Path:
    (found,) = [path.parents[2] for path in root.rglob("*.llamafile") if path.read_bytes() == made.read_bytes()]
    return found


def test_a_root_of_others_is_left_alone(made: Path, tmp_path: Path) -> None:
    root = package("ocfl", made)
    (root / "ocfl_layout.json").write_text('{"extension": "0002-flat-direct-storage-layout", "description": "x"}')
    with pytest.raises(UsageError, match="no storage root"):
        export_ocfl(ExportOrder(str(made), root))


def test_objects_lie_where_the_layout_says() -> None:
    """The examples of the extension 0003 itself."""
    assert object_path("object-01") == "3c0/ff4/240/object-01"
    assert object_path("..hor/rib:le-$id") == "487/326/d8c/%2e%2ehor%2frib%3ale-%24id"
    long = object_path("abcdefghij" * 10 + "a")
    assert long.startswith("5cc/73e/648/abcdefghijabcdefghij")
    assert long.endswith(hashlib.sha256(b"abcdefghij" * 10 + b"a").hexdigest())


def test_names_in_manifests_are_encoded() -> None:
    assert encoded("data/100%\r\n") == "data/100%25%0D%0A"


def test_names_with_a_percent_sign(made: Path, tmp_path: Path) -> None:
    odd = made.rename(tmp_path / "100%25.llamafile")
    bag = package("bag", odd)
    take("bag", bag, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == odd.read_bytes()


# PREMIS


def premis(path: Path) -> ET.Element:
    return ET.parse(path).getroot()


def test_premis_tells_fixity_members_and_events(made: Path, tmp_path: Path) -> None:
    export_premis(ExportOrder(str(made), tmp_path / "p.xml", moment="2026-11-29T14:00:00Z"))
    space = {"p": "http://www.loc.gov/premis/v3"}
    root = premis(tmp_path / "p.xml")
    digests = [each.text for each in root.findall("p:object[1]//p:messageDigest", space)]
    assert digests == [hashlib.new(kind, made.read_bytes()).hexdigest() for kind in ("sha256", "sha512")]
    assert [each.text for each in root.findall("p:event/p:eventType", space)] == ["creation", "fixity check"]
    assert len(root.findall("p:object", space)) == 6
    assert root.findtext(".//p:licenseTerms", "", space) == "CC0-1.0"
    text = (tmp_path / "p.xml").read_text("utf-8")
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_premis_without_a_moment_claims_no_check(made: Path, tmp_path: Path) -> None:
    export_premis(ExportOrder(str(made), tmp_path / "p.xml"))
    assert "fixity check" not in (tmp_path / "p.xml").read_text("utf-8")
    with pytest.raises(UsageError):
        export_premis(ExportOrder(str(made), tmp_path / "p.xml"))
    export_premis(ExportOrder(str(made), tmp_path / "p.xml", force=True))


# Descriptions


def storied(folder: Path) -> Path:
    """A container whose model says where it is from."""
    from tests.unit.test_sbom import storied as weights

    (folder / "m.gguf").write_bytes(weights())
    lf.pack([folder / "m.gguf"], folder / "told.llamafile", prefix="none", license="Apache-2.0", force=True)
    return folder / "told.llamafile"


def test_a_crate_describes_the_container(tmp_path: Path) -> None:
    told = storied(tmp_path)
    done = export_crate(ExportOrder(str(told), tmp_path / "crate"))
    assert done.sha256 == hashlib.sha256(told.read_bytes()).hexdigest()
    assert (tmp_path / "crate/told.llamafile").read_bytes() == told.read_bytes()
    text = (tmp_path / "crate/ro-crate-metadata.json").read_text("utf-8")
    assert "\x1b" not in text
    assert "secret" not in text
    graph = {each["@id"]: each for each in json.loads(text)["@graph"]}
    assert graph["./"]["license"] == {"@id": "https://spdx.org/licenses/Apache-2.0"}
    assert graph["./"]["publisher"] == {"@id": "#publisher"}
    assert graph["told.llamafile"]["name"] == "A model"
    assert "https://hub.example/a/base" in graph["told.llamafile"]["isBasedOn"]
    for each in graph.values():
        for value in each.values():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict) and not one["@id"].startswith("https://w3id.org"):
                    assert one["@id"] in graph


def test_a_data_package_names_every_file(tmp_path: Path) -> None:
    told = storied(tmp_path)
    export_datapackage(ExportOrder(str(told), tmp_path / "package"))
    value = json.loads((tmp_path / "package/datapackage.json").read_text("utf-8"))
    found = contents(tmp_path / "package")
    del found["datapackage.json"]
    assert {each["path"] for each in value["resources"]} == set(found)
    for each in value["resources"]:
        assert each["hash"] == f"sha256:{hashlib.sha256(found[each['path']]).hexdigest()}"
        assert each["bytes"] == len(found[each["path"]])
    assert value["licenses"][0]["name"] == "Apache-2.0"


def test_mets_names_every_file_with_its_digest(tmp_path: Path) -> None:
    told = storied(tmp_path).rename(tmp_path / "ein Modell & größer%20#1.llamafile")
    done = export_csip(ExportOrder(str(told), tmp_path / "a package"))
    found = contents(tmp_path / "a package")
    assert done.files == len(found)
    named = {"METS.xml"}
    for document in ("METS.xml", "representations/rep1/METS.xml"):
        root = ET.fromstring(found[document])
        assert root.attrib["OBJID"] == ("a package" if document == "METS.xml" else "rep1")
        ids = [each.attrib["ID"] for each in root.iter() if "ID" in each.attrib]
        assert len(ids) == len(set(ids))
        refers = {each.attrib["FILEID"] for each in root.iter() if "FILEID" in each.attrib}
        refers |= {
            one for each in root.iter() for key in ("DMDID", "ADMID") for one in each.attrib.get(key, "").split()
        }
        assert refers <= set(ids)
        for each in root.iter():
            if "CHECKSUM" not in each.attrib:
                continue
            place = each if each.tag.endswith("mdRef") else each[0]
            href = unquote(place.attrib["{http://www.w3.org/1999/xlink}href"])
            path = str(PurePosixPath(document).parent / href)
            named.add(path)
            assert each.attrib["SIZE"] == str(len(found[path]))
            assert each.attrib["CHECKSUM"] == hashlib.sha256(found[path]).hexdigest().upper()
    assert named == set(found)
    assert found[f"representations/rep1/data/{told.name}"] == told.read_bytes()


def test_catalogues_are_told_what_the_file_says(tmp_path: Path) -> None:
    export_bag(ExportOrder(str(storied(tmp_path)), tmp_path / "bag"))
    core = ET.parse(tmp_path / "bag/metadata/dublin-core.xml").getroot()
    named = {each.tag.rpartition("}")[2] for each in core}
    assert {"title", "creator", "publisher", "description", "format", "identifier", "source", "relation"} <= named
    value = json.loads((tmp_path / "bag/metadata/datacite.json").read_text("utf-8"))
    assert value["titles"] == [{"title": "A model"}]
    assert value["rightsList"] == [{"rights": "Apache-2.0", "rightsUri": "https://spdx.org/licenses/Apache-2.0"}]
    assert value["publicationYear"] == ":unkn"
    assert {each["relatedIdentifier"] for each in value["relatedIdentifiers"]} >= {"https://hub.example/a/base"}


# Hostile packages


def renew(bag: Path) -> None:
    """Make the tag manifests of ``bag`` fit again, as somebody would who hides what he did."""
    for kind in ("sha256", "sha512"):
        names = sorted(path for path in contents(bag) if not path.startswith(("data/", "tagmanifest")))
        lines = [f"{hashlib.new(kind, (bag / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
        (bag / f"tagmanifest-{kind}.txt").write_text("".join(lines))


def edit(bag: Path, name: str, change: Callable[[str], str]) -> None:
    (bag / name).write_text(change((bag / name).read_text("utf-8")))
    renew(bag)


def in_manifests(bag: Path, old: str, new: str) -> None:
    for kind in ("sha256", "sha512"):
        edit(bag, f"manifest-{kind}.txt", lambda text: text.replace(old, new))


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def linked(path: Path) -> None:
    away = path.parent.parent.parent / "away"
    path.rename(away)
    path.symlink_to(away)


PAYLOAD = "data/small.llamafile"
BAGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped": (lambda bag: flipped(bag / PAYLOAD), "was not taken out"),
    "flipped tag": (lambda bag: flipped(bag / "metadata/premis.xml"), "another sha"),
    "wrong sha512": (
        lambda bag: edit(bag, "manifest-sha512.txt", lambda text: f"{'0' * 128}{text[128:]}"),
        "another sha512",
    ),
    "wrong md5": (lambda bag: md5(bag), "another md5"),
    "missing": (lambda bag: (bag / PAYLOAD).unlink(), "missing"),
    "surplus": (lambda bag: (bag / "data/more").write_text("x"), "does not list"),
    "surplus folder": (lambda bag: ((bag / "data/a").mkdir(), (bag / "data/a/b").write_text("x")), "does not list"),
    "link": (lambda bag: linked(bag / PAYLOAD), "is a link"),
    "folder link": (lambda bag: (bag / "metadata/up").symlink_to(".."), "is a link"),
    "pipe": (lambda bag: os.mkfifo(bag / "data/pipe"), "neither a file nor a folder"),
    "fetch": (lambda bag: (bag / "fetch.txt").write_text("http://127.0.0.1/ 1 data/x\n"), "fetch.txt"),
    "leading out": (lambda bag: in_manifests(bag, "data/small", "data/../../small"), "missing"),
    "absolute": (lambda bag: in_manifests(bag, PAYLOAD, "/etc/passwd"), "missing"),
    "tag in the payload": (lambda bag: in_manifests(bag, PAYLOAD, "bagit.txt"), "for another manifest"),
    "device": (lambda bag: (bag / "data/aux.txt").write_text("x"), "on Windows"),
    "two cases": (lambda bag: (bag / "data/SMALL.llamafile").write_text("x"), "one file on some systems"),
    "version": (lambda bag: edit(bag, "bagit.txt", lambda text: text.replace("1.0", "2.0")), "declares no bag"),
    "encoding": (lambda bag: edit(bag, "bagit.txt", lambda text: text.replace("UTF-8", "UTF-16")), "declares no bag"),
    "no manifest": (lambda bag: [(bag / f"manifest-{kind}.txt").unlink() for kind in ("sha256", "sha512")], "."),
    "unknown algorithm": (lambda bag: (bag / "manifest-crc32.txt").write_text("x"), "nobody here can check"),
    "no line": (lambda bag: edit(bag, "manifest-sha256.txt", lambda text: "hello\n"), "no digest and path"),
    "two digests": (
        lambda bag: edit(bag, "manifest-sha256.txt", lambda text: text + "0" * 64 + text[64:]),
        "two digests",
    ),
    "not text": (lambda bag: (bag / "manifest-sha256.txt").write_bytes(b"\xff\xfe"), "not UTF-8"),
    "oxum": (lambda bag: edit(bag, "bag-info.txt", lambda text: text.replace(".1\n", ".2\n")), "Payload-Oxum"),
    "two llamafiles": (lambda bag: second(bag), "2 llamafiles"),
    "no llamafile": (lambda bag: other(bag), "is no llamafile"),
    "too large": (lambda bag: os.truncate(bag / "manifest-sha256.txt", 1 << 30), "too large"),
}


def md5(bag: Path) -> None:
    (bag / "manifest-md5.txt").write_text(f"{'0' * 32}  {PAYLOAD}\n")
    renew(bag)


def second(bag: Path) -> None:
    (bag / "data/b.llamafile").write_bytes((bag / PAYLOAD).read_bytes())
    for kind in ("sha256", "sha512"):
        edit(bag, f"manifest-{kind}.txt", lambda text: text + text.replace("small", "b"))
    edit(bag, "bag-info.txt", lambda text: "")


def other(bag: Path) -> None:
    (bag / PAYLOAD).write_text("Dear Sir or Madam,\n" * 99)
    for kind in ("sha256", "sha512"):
        digest = hashlib.new(kind, (bag / PAYLOAD).read_bytes()).hexdigest()
        (bag / f"manifest-{kind}.txt").write_text(f"{digest}  {PAYLOAD}\n")
    edit(bag, "bag-info.txt", lambda text: "")


@pytest.mark.parametrize("case", BAGS)
def test_a_bag_that_is_not_right_is_refused(case: str, made: Path, tmp_path: Path) -> None:
    bag = package("bag", made)
    damage, words = BAGS[case]
    damage(bag)
    with pytest.raises(LlamafileError, match=words):
        take("bag", bag, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_bag_as_others_write_it(made: Path, tmp_path: Path) -> None:
    """Version 0.97, one manifest, capitals, an asterisk, a mark in front, and line ends of Windows."""
    bag = package("bag", made)
    for name in ("manifest-sha512.txt", "tagmanifest-sha256.txt", "tagmanifest-sha512.txt", "bag-info.txt"):
        (bag / name).unlink()
    (bag / "bagit.txt").write_bytes(b"BagIt-Version: 0.97\r\nTag-File-Character-Encoding: UTF-8\r\n")
    digest = hashlib.sha256(made.read_bytes()).hexdigest().upper()
    (bag / "manifest-sha256.txt").write_bytes(f"\ufeff{digest} *./{PAYLOAD}\r\n".encode())
    take("bag", bag, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == made.read_bytes()


def rewritten(thing: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the inventory, and make its digests fit again."""
    value = json.loads((thing / "inventory.json").read_text())
    change(value)
    data = json_bytes(value)
    for folder in (thing, thing / "v1"):
        (folder / "inventory.json").write_bytes(data)
        (folder / "inventory.json.sha512").write_text(f"{hashlib.sha512(data).hexdigest()} inventory.json\n")


CONTENT = "v1/content/small.llamafile"
OBJECTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped": (lambda thing: flipped(thing / CONTENT), "was not taken out"),
    "flipped document": (lambda thing: flipped(thing / "v1/content/metadata/premis.xml"), "another sha"),
    "flipped inventory": (lambda thing: flipped(thing / "inventory.json"), "."),
    "missing": (lambda thing: (thing / CONTENT).unlink(), "missing"),
    "surplus": (lambda thing: (thing / "v1/content/more").write_text("x"), "nothing lists"),
    "surplus beside": (lambda thing: (thing / "more").write_text("x"), "nothing lists"),
    "link": (lambda thing: linked(thing / CONTENT), "is a link"),
    "link in the logs": (lambda thing: ((thing / "logs").mkdir(), (thing / "logs/a").symlink_to("/")), "is a link"),
    "leading out": (
        lambda thing: rewritten(thing, lambda value: moved(value, "../../../../../small.llamafile")),
        "missing",
    ),
    "in no version": (
        lambda thing: rewritten(thing, lambda value: moved(value, "inventory.json")),
        "no ver",
    ),
    "wrong fixity": (
        lambda thing: rewritten(thing, lambda value: value.update(fixity={"md5": {"0" * 32: [CONTENT]}})),
        "another md5",
    ),
    "foreign fixity": (
        lambda thing: rewritten(thing, lambda value: value.update(fixity={"md5": {"0" * 32: ["v1/content/x"]}})),
        "fixity block",
    ),
    "no digest": (
        lambda thing: rewritten(thing, lambda value: value["manifest"].update({"xyz": ["a"]})),
        "is no sha512",
    ),
    "weak": (lambda thing: rewritten(thing, lambda value: value.update(digestAlgorithm="md5")), "digestAlgorithm"),
    "head": (lambda thing: rewritten(thing, lambda value: value.update(head="v2")), "numbered"),
    "type": (lambda thing: rewritten(thing, lambda value: value.update(type="x")), "type"),
    "no state": (lambda thing: rewritten(thing, lambda value: value["versions"]["v1"].pop("state")), "no state"),
    "state of nothing": (
        lambda thing: rewritten(thing, lambda value: value["versions"]["v1"]["state"].update({"0" * 128: ["y"]})),
        "nowhere",
    ),
    "a list": (lambda thing: rewritten(thing, lambda value: value.update(manifest=[])), "no manifest"),
    "no list": (lambda thing: rewritten(thing, lambda value: moved(value, 7)), "list of paths"),
    "other version": (lambda thing: (thing / "v1/inventory.json").write_text("{}"), "digestAlgorithm"),
    "no declaration": (lambda thing: (thing / "0=ocfl_object_1.1").write_text("x"), "does not say"),
    "deep": (lambda thing: (thing / "inventory.json").write_text("[" * 999), "."),
}


def moved(value: dict[str, Any], path: object) -> None:
    """Have the inventory say that the container is at ``path``."""
    value.pop("fixity")
    for digest, paths in list(value["manifest"].items()):
        if paths == [CONTENT]:
            value["manifest"][digest] = [path]


@pytest.mark.parametrize("case", OBJECTS)
def test_an_object_that_is_not_right_is_refused(case: str, made: Path, tmp_path: Path) -> None:
    root = package("ocfl", made)
    damage, words = OBJECTS[case]
    damage(the_object(root))
    with pytest.raises(LlamafileError, match=words):
        take("ocfl", root, tmp_path / "again")
    assert not (tmp_path / "again").exists()


# The command


def test_the_commands(run_cli: CliRunner, made: Path, tmp_path: Path) -> None:
    done = run_cli("export", made, "--bagit", "bag", "--date", "2026-11-29", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sha256"] == hashlib.sha256(made.read_bytes()).hexdigest()
    assert "Bagging-Date: 2026-11-29\n" in (tmp_path / "bag/bag-info.txt").read_text("utf-8")
    done = run_cli("import", "bag:bag", "-o", "again")
    assert done.returncode == 0, done.stderr
    assert run_cli("import", "bag:bag", "-o", "again").returncode == 2
    assert run_cli("import", "bag:bag", "-o", "again", "--force").returncode == 0
    assert (tmp_path / "again").read_bytes() == made.read_bytes()
    for words in (["export", made], ["export", made, "--bagit", "a", "--ocfl", "b"], ["import", "x", "-o", "y"]):
        assert run_cli(*words).returncode == 2
    assert run_cli("import", "bag:nowhere", "-o", "y").returncode == 2
    before = made.read_bytes()
    assert run_cli("export", made, "--premis", made, "--force").returncode == 2
    assert made.read_bytes() == before
    (tmp_path / "bag" / "fetch.txt").write_text("x")
    assert run_cli("import", "bag:bag", "-o", "y").returncode == 1
