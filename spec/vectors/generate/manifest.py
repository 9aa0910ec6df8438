"""Faults in what the manifest says (chapter 5). Layout, directory and digests are right for what is really there."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from spec.vectors.generate import vector
from spec.vectors.generate.forge import Part, Spec, container, encode, gguf, parts, readme, weights

Change = Callable[[dict[str, Any]], Any]
SHA256_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def edited(change: Change, **spec: Any) -> bytes:
    """The good container with its manifest changed by ``change`` and encoded canonically again."""

    def text(data: bytes) -> bytes:
        value = json.loads(data)
        change(value)
        return encode(value)

    return container(Spec(parts(), labels={"default": "tiny.gguf"}, text=text, **spec))


def respelt(change: Callable[[bytes], bytes]) -> bytes:
    """The good container with the manifest's bytes changed."""
    return container(Spec(parts(), labels={"default": "tiny.gguf"}, text=change))


_ALL = "LF3002 LF3003 LF3004 LF3006 LF3007 LF3011 LF3012 LF3013 LF3014 LF3015 LF3016 LF3018 LF3019 LF3020 LF3025"


@vector("good", near=_ALL + " LF3005 LF3008 LF3009 LF3010 LF3017 LF3023 LF3027", comment="The neighbour of them all.")
def good() -> bytes:
    return edited(lambda value: None)


@vector(
    "major-version",
    rules="LF3004 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="Version 2.0 may mean anything.",
)
def major_version() -> bytes:
    return edited(lambda value: value.update(version="2.0"))


@vector("minor-version", rules="LF3005", near="LF3004", comment="Version 1.2 is read, with a warning.")
def minor_version() -> bytes:
    return edited(lambda value: value.update(version="1.2"))


@vector("version-spelling", rules="LF3007 LF9003", valid="undetermined", layer="manifest", comment="Version 01.0.")
def version_spelling() -> bytes:
    return edited(lambda value: value.update(version="01.0"))


@vector("missing-profile", rules="LF3006 LF3011 LF9003", valid="undetermined", layer="manifest", comment="No profile.")
def missing_profile() -> bytes:
    return edited(lambda value: value.pop("profile"))


@vector(
    "missing-digest",
    rules="LF3006 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="A member without its SHA-256.",
)
def missing_digest() -> bytes:
    return edited(lambda value: value["members"][0].pop("sha256"))


@vector(
    "upper-case-digest", rules="LF3007 LF9003", valid="undetermined", layer="manifest", comment="A digest in capitals."
)
def upper_case_digest() -> bytes:
    return edited(lambda value: value["members"][0].update(sha256=value["members"][0]["sha256"].upper()))


@vector(
    "size-is-true",
    rules="LF3007 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="A size that is true, which some languages count as 1.",
)
def size_is_true() -> bytes:
    return edited(lambda value: value["members"][0].update(size=True))


@vector(
    "created-in-other-digits",
    comment="The time in digits of another script, which a pattern of digits takes for digits too.",
    layer="manifest",
    rules="LF3007 LF9003",
    valid="undetermined",
)
def created_in_other_digits() -> bytes:
    return edited(lambda value: value.update(created="\uff12\uff10\uff12\uff16-11-20T00:00:00Z"))


@vector(
    "created-is-words",
    rules="LF3007 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="A time that is not a time.",
)
def created_is_words() -> bytes:
    return edited(lambda value: value.update(created="last spring"))


@vector("created", near="LF3007", comment="A time in the one allowed form.")
def created() -> bytes:
    return edited(lambda value: value.update(created="2026-11-20T00:00:00Z"))


@vector(
    "long-name", rules="LF3007 LF9003", valid="undetermined", layer="manifest", comment="A name of 5,000 characters."
)
def long_name() -> bytes:
    return edited(lambda value: value.update(name="x" * 5000))


@vector(
    "critical-unknown",
    rules="LF3008 LF3009 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="A field of tomorrow that must be understood.",
)
def critical_unknown() -> bytes:
    return edited(lambda value: value.update(critical=["tomorrow"], tomorrow="x"))


@vector("critical-known", near="LF3008", comment="A critical field that is known.")
def critical_known() -> bytes:
    return edited(lambda value: value.update(critical=["history"]))


@vector("unknown-field", rules="LF3009", near="LF3008", comment="A field of tomorrow that may be ignored.")
def unknown_field() -> bytes:
    return edited(lambda value: value.update(tomorrow="x"))


@vector(
    "unknown-role",
    rules="LF3010 LF3014",
    valid="yes",
    layer="manifest",
    comment="A role of tomorrow; unknown roles stand behind history.",
)
def unknown_role() -> bytes:
    return edited(lambda value: value["members"][1].update(role="weather"))


@vector("unknown-role-last", rules="LF3010", near="LF3014", comment="A role of tomorrow in its place.")
def unknown_role_last() -> bytes:
    more = Part("notes.bin", b"tomorrow\n", "weather", "application/octet-stream")
    return container(Spec([*parts(), more], labels={"default": "tiny.gguf"}))


@vector(
    "unknown-profile", rules="LF3011 LF9003", valid="undetermined", layer="manifest", comment="A profile of tomorrow."
)
def unknown_profile() -> bytes:
    return edited(lambda value: value.update(profile="vault"))


@vector(
    "order",
    rules="LF3014",
    valid="yes",
    layer="manifest",
    comment="The licence stands behind the weights; all else fits that order.",
)
def order() -> bytes:
    first, second, third = parts()
    return container(Spec([first, third, second], labels={"default": "tiny.gguf"}))


@vector(
    "alignment-3",
    rules="LF3015 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="An alignment that is no power of two.",
)
def alignment_3() -> bytes:
    return edited(lambda value: value["members"][2].update(alignment=3))


@vector(
    "alignment-huge",
    rules="LF3015 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="An alignment of 2^40 would claim a terabyte of gap.",
)
def alignment_huge() -> bytes:
    return edited(lambda value: value["members"][2].update(alignment=1 << 40))


@vector(
    "alignment-of-licence",
    rules="LF3015",
    valid="yes",
    layer="manifest",
    comment="A licence aligned like weights: a second layout for one set of members.",
)
def alignment_of_licence() -> bytes:
    licence = Part("LICENSE.txt", b"CC0-1.0\n", "license", "text/plain", 32)
    return container(Spec(parts(licence), labels={"default": "tiny.gguf"}))


@vector(
    "offset",
    rules="LF3016 LF9001",
    valid="yes",
    layer="manifest",
    well_formed="no",
    comment="A member said to lie 32 bytes further.",
)
def offset() -> bytes:
    return edited(lambda value: value["members"][2].update(offset=value["members"][2]["offset"] + 32))


@vector(
    "offset-far",
    rules="LF3016 LF9001",
    valid="yes",
    layer="manifest",
    comment="A member said to lie at the end of the world.",
)
def offset_far() -> bytes:
    return edited(lambda value: value["members"][2].update(offset=(1 << 63) - 1))


@vector(
    "size-beyond-file",
    rules="LF3107 LF3016 LF9003",
    valid="undetermined",
    layer="manifest",
    near="",
    comment="A member said to have 2^62 bytes.",
)
def size_beyond_file() -> bytes:
    return edited(lambda value: value["members"][2].update(size=1 << 40))


@vector(
    "default-missing",
    rules="LF3018",
    valid="yes",
    layer="manifest",
    comment="Two models and no default: two readers start two models.",
)
def default_missing() -> bytes:
    return container(Spec(parts(weights("a.gguf")), labels={"default": None}))


@vector(
    "default-missing-of-one",
    rules="LF3018",
    valid="yes",
    layer="manifest",
    comment="One model and no default: a reader that knows no other way has none to load.",
)
def default_missing_of_one() -> bytes:
    return container(Spec(parts(), labels={"default": None}))


@vector("default-given", near="LF3018", comment="Two models and a default.")
def default_given() -> bytes:
    return container(Spec(parts(weights("a.gguf")), labels={"default": "a.gguf"}))


@vector("default-is-licence", rules="LF3018 LF5001", valid="no", layer="manifest", comment="The default is no model.")
def default_is_licence() -> bytes:
    return edited(lambda value: value.update(default="LICENSE.txt"))


@vector(
    "no-chunks",
    rules="LF3019 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="The manifest leaves the chunk list out.",
)
def no_chunks() -> bytes:
    return edited(lambda value: value["members"].pop())


@vector(
    "chunks-role", rules="LF3014 LF3020", valid="yes", layer="manifest", comment="The chunk list calls itself an asset."
)
def chunks_role() -> bytes:
    return edited(lambda value: value["members"][-1].update(role="readme"))


@vector(
    "reserved-name", rules="LF2038 LF3020", valid="yes", layer="manifest", comment="A document in the reserved folder."
)
def reserved_name() -> bytes:
    more = Part("META-LLAMAFILE/notes.txt", b"notes\n", "document", "text/plain")
    return container(Spec(parts(more), labels={"default": "tiny.gguf"}))


@vector(
    "readme-elsewhere",
    rules="LF3020",
    valid="yes",
    layer="manifest",
    comment="A reserved role outside the reserved folder.",
)
def readme_elsewhere() -> bytes:
    more = Part("READ.txt", b"notes\n", "readme", "text/plain")
    return container(Spec(parts(more), labels={"default": "tiny.gguf"}))


@vector(
    "unknown-prefix-kind",
    rules="LF3023 LF3027",
    valid="yes",
    layer="manifest",
    comment="A prefix kind of tomorrow over a script of today.",
)
def unknown_prefix_kind() -> bytes:
    script = b"#!/bin/sh\necho hello\nexit 0\n"
    return container(Spec(parts(), prefix=script, kind="hologram", labels={"default": "tiny.gguf"}, end=_end()))


@vector("prefix-kind-lies", rules="LF3027", valid="yes", layer="manifest", comment="A script called an ELF program.")
def prefix_kind_lies() -> bytes:
    script = b"#!/bin/sh\necho hello\nexit 0\n"
    return container(Spec(parts(), prefix=script, kind="elf", labels={"default": "tiny.gguf"}, end=_end()))


@vector("prefix-kind", near="LF3023 LF3027 LF4009 LF4010 LF4008 LF3026", comment="A script called a script.")
def prefix_kind() -> bytes:
    script = b"#!/bin/sh\necho hello\nexit 0\n"
    return container(Spec(parts(), prefix=script, kind="script", labels={"default": "tiny.gguf"}, end=_end()))


def _end() -> Any:
    from spec.vectors.generate.forge import End

    return End()


@vector(
    "prefix-size",
    rules="LF3017 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="A prefix of 100 bytes, which no block sharing could replace.",
)
def prefix_size() -> bytes:
    return edited(lambda value: value["prefix"].update(size=100, engine_size=100))


@vector(
    "prefix-none-with-bytes",
    rules="LF3017 LF3027",
    valid="yes",
    layer="manifest",
    comment="Kind none over a prefix that is there.",
)
def prefix_none_with_bytes() -> bytes:
    script = b"#!/bin/sh\necho hello\nexit 0\n"
    return container(Spec(parts(), prefix=script, kind="none", labels={"default": "tiny.gguf"}))


@vector(
    "directory-claimed",
    rules="LF3026",
    valid="yes",
    layer="manifest",
    comment="An engine directory that the prefix does not have.",
)
def directory_claimed() -> bytes:
    script = b"#!/bin/sh\necho hello\nexit 0\n"
    claim = {"assets": [], "count": 1, "dropped": [], "offset": 0, "size": 20}
    return container(
        Spec(parts(), prefix=script, kind="script", engine_directory=claim, labels={"default": "tiny.gguf"})
    )


@vector(
    "sha512-missing",
    rules="LF3025 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="Archive profile, one member without SHA-512.",
)
def sha512_missing() -> bytes:
    return edited(lambda value: value["members"][1].pop("sha512"), archive_profile=True)


@vector("sha512", near="LF3025 LF4006", comment="Archive profile, complete.")
def sha512() -> bytes:
    return edited(lambda value: None, archive_profile=True)


@vector(
    "sha512-surplus",
    rules="LF3025 LF9003",
    valid="undetermined",
    layer="manifest",
    comment="Default profile with a SHA-512 that nothing else has.",
)
def sha512_surplus() -> bytes:
    return edited(lambda value: value["members"][1].update(sha512="0" * 128))


@vector(
    "unsafe-name",
    rules="LF3012 LF2034",
    valid="yes",
    layer="manifest",
    comment="A member whose name leaves the folder.",
)
def unsafe_name() -> bytes:
    more = Part("../evil.txt", b"evil\n", "document", "text/plain")
    return container(Spec(parts(more), labels={"default": "tiny.gguf"}))


@vector(
    "colliding-names",
    rules="LF3013 LF2032 LF9001",
    valid="yes",
    layer="manifest",
    comment="Two names that differ in case only.",
)
def colliding_names() -> bytes:
    more = Part("license.TXT", b"CC0-1.0\n", "license", "text/plain")
    return container(Spec(parts(more), labels={"default": "tiny.gguf"}))


@vector(
    "weights-unknown-format",
    rules="LF9003",
    valid="undetermined",
    comment="Weights of a format that this version does not know.",
)
def weights_unknown_format() -> bytes:
    model = Part("model.tomorrow", b"tensors of tomorrow", "weights", "application/octet-stream", 32)
    return container(Spec([readme(), model], labels={"default": "model.tomorrow"}))


@vector("weights-known-format", near="LF9003", comment="Weights that were read.")
def weights_known_format() -> bytes:
    return container(Spec([readme(), weights(data=gguf("other"))], labels={"default": "tiny.gguf"}))


@vector(
    "too-large",
    rules="LF3001 LF9003",
    well_formed="undetermined",
    valid="undetermined",
    layer="none",
    encoding="zlib",
    comment="A manifest of 16 MiB and one byte is not read.",
)
def too_large() -> bytes:
    return respelt(lambda data: b" " * ((16 << 20) + 1))


@vector("not-too-large", near="LF3001 LF3024", comment="A manifest of ordinary size and count.")
def not_too_large() -> bytes:
    return edited(lambda value: None)


@vector(
    "too-many-members",
    rules="LF3024 LF9003",
    valid="undetermined",
    layer="manifest",
    encoding="zlib",
    comment="65,535 members, where 16-bit counts stop meaning one thing.",
)
def too_many_members() -> bytes:
    return edited(lambda value: value.update(members=[{}] * 65535))


def with_arguments(path: str, role: str) -> bytes:
    """The good container with arguments called ``path`` under ``role``."""
    part = Part(path, b"--temp\n0\n...\n", role, "text/plain")
    order = ["readme", "document", "license", "arguments", "weights"]
    given = sorted((part, *parts()), key=lambda each: (order.index(each.role), each.name))
    return container(Spec(given, labels={"default": "tiny.gguf"}))


@vector("arguments", near="LF3029", comment="The member .args with role arguments.")
def arguments() -> bytes:
    return with_arguments(".args", "arguments")


@vector(
    "arguments-as-document", rules="LF3029", layer="manifest", valid="yes", comment="Arguments that pose as a document."
)
def arguments_as_document() -> bytes:
    return with_arguments(".args", "document")


@vector(
    "arguments-elsewhere", rules="LF3029", layer="manifest", valid="yes", comment="Arguments that no runtime looks for."
)
def arguments_elsewhere() -> bytes:
    return with_arguments("default.args", "arguments")
