"""Vectors of publisher signatures and of signatures on earlier files (LF8301 to LF8311)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from spec.vectors.generate import vector
from spec.vectors.generate.forge import FOLDER, Part, encode, gguf, weights
from spec.vectors.generate.signatures import signed, tail
from spec.vectors.generate.signatures_forge import IGNORED, OMS, Edit, Tail, at, bundle, sha256
from spec.vectors.generate.signatures_keys import CURATOR, PUBLISHER, STRANGER, Key

CHAPTER = "signatures"


def published(
    files: Sequence[tuple[str, bytes]] = (("tiny.gguf", gguf()),), key: Key = PUBLISHER, **more: Any
) -> bytes:
    """An OMS bundle that was made over ``files``, as the reference tool spells it: compact, in no order of keys."""
    resources = [{"name": name, "digest": sha256(data), "algorithm": "sha256"} for name, data in sorted(files)]
    root = hashlib.sha256(b"".join(bytes.fromhex(item["digest"]) for item in resources)).hexdigest()
    serialization = {"hash_type": "sha256", "ignore_paths": IGNORED[:4], "method": "files", "allow_symlinks": False}
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "tiny", "digest": {"sha256": root}}],
        "predicateType": OMS,
        "predicate": {"serialization": serialization, "resources": resources},
    }
    edit: Edit | None = more.pop("edit", None)
    if edit is not None:
        edit(statement)
    return json.dumps(json.loads(bundle(json.dumps(statement).encode(), key, **more))).encode()


def with_publisher(data: bytes, *more: Part) -> Tail:
    """The container with a publisher's signature ``data``, not signed yet."""
    return tail(Part("publisher/model.sig", data, "publisher-signature", "application/json"), *more)


@vector(
    "good-published",
    rules="LF8303",
    near="LF8301 LF8302 LF8304 LF8305",
    trust="publisher",
    comment="The publisher signed the weights, the curator the file; the policy wants both.",
)
def good_published() -> bytes:
    return with_publisher(published()).oms(CURATOR).done()


@vector("good-no-publisher", rules="LF9005", near="LF8303", comment="No publisher's signature.")
def good_no_publisher() -> bytes:
    return signed().done()


@vector(
    "published-by-another-name",
    rules="LF8303",
    near="LF8302",
    trust="publisher",
    comment="The publisher called the file otherwise; digests decide.",
)
def published_by_another_name() -> bytes:
    return with_publisher(published([("model-00001-of-00001.gguf", gguf())])).oms(CURATOR).done()


_MALFORMED = [
    ("publisher-not-json", "Not JSON.", b"-----BEGIN PGP SIGNATURE-----\n"),
    ("publisher-key-twice", "A key twice.", b'{"mediaType": "x", ' + published()[1:]),
    (
        "publisher-two-signatures",
        "Two signatures.",
        published(change=at("dsseEnvelope", signatures=[{"sig": "AAAA"}] * 2)),
    ),
    ("publisher-shards", "Resources by shards.", published(edit=at("predicate", "serialization", method="shards"))),
    (
        "publisher-root",
        "The digest of the subject is not that of the resources.",
        published(edit=at("subject", 0, digest={"sha256": "ab" * 32})),
    ),
]
for _name, _comment, _data in _MALFORMED:
    vector(_name, rules="LF8301 LF9005", layer="content", comment=_comment)(
        lambda data=_data: with_publisher(data).oms(CURATOR).done()  # type: ignore[misc]
    )


@vector(
    "published-elsewhere",
    rules="LF8302 LF9005",
    comment="A genuine publisher's signature on weights that are not in here.",
)
def published_elsewhere() -> bytes:
    return with_publisher(published([("tiny.gguf", gguf("other"))])).oms(CURATOR).done()


@vector(
    "published-elsewhere-demanded",
    rules="LF8104 LF8302",
    layer="trust",
    trust="publisher",
    comment="The same where the policy wants the publisher: other weights under a genuine signature.",
)
def published_elsewhere_demanded() -> bytes:
    return published_elsewhere()


@vector(
    "published-in-part",
    rules="LF8303 LF9005",
    comment="Two of the three files that the publisher signed are here.",
)
def published_in_part() -> bytes:
    files = [("LICENSE", b"CC0-1.0\n"), ("tiny.gguf", gguf()), ("tokenizer.json", b"{}")]
    return with_publisher(published(files)).oms(CURATOR).done()


@vector(
    "published-licence-only",
    rules="LF8104 LF8303",
    layer="trust",
    trust="publisher",
    comment="Other weights beside a licence that the publisher signed: his word is about the licence alone.",
)
def published_licence_only() -> bytes:
    files = [("LICENSE", b"CC0-1.0\n"), ("tiny.gguf", gguf("genuine"))]
    return with_publisher(published(files), weights(data=gguf("evil"))).oms(CURATOR).done()


@vector(
    "published-at-a-glance",
    rules="LF8122 LF8303 LF8304 LF9001 LF9006",
    well_formed="undetermined",
    valid="undetermined",
    authentic="undetermined",
    trust="publisher",
    comment="Level quick does not recompute what the publisher signed (verified at level quick).",
)
def published_at_a_glance() -> bytes:
    return good_published()


@vector(
    "published-by-a-forger",
    rules="LF8104 LF8303 LF8305",
    layer="trust",
    trust="publisher",
    comment="A signature in the name of the publisher's key, made with another.",
)
def published_by_a_forger() -> bytes:
    return with_publisher(published(signer=STRANGER)).oms(CURATOR).done()


@vector(
    "published-by-a-stranger",
    rules="LF8103 LF8104 LF8303",
    layer="trust",
    trust="publisher",
    comment="A publisher whom the policy does not know.",
)
def published_by_a_stranger() -> bytes:
    return with_publisher(published(key=STRANGER)).oms(CURATOR).done()


@vector(
    "published-by-the-assembler",
    rules="LF8103 LF8104 LF8303",
    layer="trust",
    trust="publisher",
    comment="The assembler is no publisher, whatever he signs.",
)
def published_by_the_assembler() -> bytes:
    return with_publisher(published(key=CURATOR)).oms(CURATOR).done()


@vector(
    "published-and-not-assembled",
    rules="LF8101 LF8104 LF8303",
    layer="trust",
    trust="publisher",
    comment="The publisher signed the weights, and nobody the file.",
)
def published_and_not_assembled() -> bytes:
    return with_publisher(published()).done()


# LF8310, LF8311: the file before


def history(manifest: bytes, records: Sequence[tuple[str, bytes]], folder: str = "") -> list[Part]:
    """What a repack keeps of a signed file."""
    digest = folder or sha256(manifest)
    files = [("manifest.json", manifest), *records]
    kind = {"json": "application/json", "der": "application/octet-stream"}
    return [
        Part(f"{FOLDER}history/{digest}/{name}", data, "history", kind[name.rpartition(".")[2]]) for name, data in files
    ]


def repacked(earlier: Tail, *more: Part, **changes: Any) -> Tail:
    """The container that ``earlier`` became by a repack which exchanged the licence."""
    records = [(earlier.name(index), record.data) for index, record in enumerate(earlier.records)]
    entry = {"action": "repack", "changes": [{"what": "text"}], "manifest_sha256": sha256(earlier.manifest)}
    labels = {"default": "tiny.gguf", "name": "Tiny", "history": [entry]}
    licence = Part("LICENSE.txt", b"CC0-1.0, again\n", "license", "text/plain")
    return tail(licence, *more, *history(earlier.manifest, records, **changes), labels=labels)


@vector(
    "good-earlier",
    rules="LF8310",
    near="LF8311",
    trust="curator",
    comment="The curator signed the file before, and this one too.",
)
def good_earlier() -> bytes:
    return repacked(signed()).oms(CURATOR).done()


@vector("good-no-history", near="LF8310", trust="curator", comment="No earlier file.")
def good_no_history() -> bytes:
    return signed().done()


@vector(
    "signed-before-only",
    rules="LF8101 LF8310",
    layer="trust",
    trust="curator",
    comment="The curator signed the file before; this one is signed by nobody.",
)
def signed_before_only() -> bytes:
    return repacked(signed()).done()


@vector(
    "signed-before-with-other-weights",
    rules="LF8101 LF8310",
    layer="trust",
    trust="curator",
    comment="The same, and the weights were exchanged.",
)
def signed_before_with_other_weights() -> bytes:
    return repacked(signed(), weights(data=gguf("evil"))).done()


_UNREADABLE = [
    ("earlier-manifest-missing", "The manifest that was signed is not kept.", lambda parts: parts[1:]),
    ("earlier-manifest-of-another", "Another manifest in its folder.", lambda parts: [_changed(parts[0]), *parts[1:]]),
    ("earlier-record-junk", "A record that is none.", lambda parts: [parts[0], _with(parts[1], b"{}\n")]),
]


def _with(part: Part, data: bytes) -> Part:
    return Part(part.path, data, part.role, part.media)


def _changed(part: Part) -> Part:
    value = json.loads(part.data)
    value["name"] = "Tinier"
    return _with(part, encode(value))


for _name, _comment, _keep in _UNREADABLE:

    def _make(keep: Any = _keep) -> bytes:
        earlier = signed()
        parts = keep(history(earlier.manifest, [(earlier.name(0), earlier.records[0].data)]))
        return tail(*parts).oms(CURATOR).done()

    vector(_name, rules="LF8311", trust="curator", comment=_comment)(_make)
