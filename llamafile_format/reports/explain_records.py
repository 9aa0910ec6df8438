"""The steps that check the records of a file by hand, and the signatures of its publishers (spec/1, 13.11)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from llamafile_format.examining import Facts, RecordFacts, Signed, Stamped
from llamafile_format.reports.escape import printable
from llamafile_format.reports.explain_signature import verified
from llamafile_format.reports.explain_step import Step, quoted
from llamafile_format.reports.numbers import plural
from llamafile_format.signing.records.record import RecordKind
from llamafile_format.signing.records.statement import COUNTERSIGNATURE, OMS_PREDICATE


def record_steps(record: RecordFacts, facts: Facts) -> Iterator[Step]:
    """Steps for one record: by its kind, or that it is out of order."""
    name = record.path.rpartition("/")[2]
    if record.fault:
        yield Step(
            f"Record {printable(name)}: out of order",
            f"No procedure can be given: {printable(record.fault)}",
            open="anything. llamafile-format verify reports it",
        )
    elif record.signed:
        yield from _signature(record, record.signed, facts)
    elif record.stamped:
        yield _stamp(record, record.stamped, facts)
    else:
        yield _material(record)


_WORDS = {
    RecordKind.OMS: "a signature of this file",
    RecordKind.SIG: "a signature of this file",
    RecordKind.CNT: "a countersignature of this file and of the records in front of it",
    RecordKind.ATT: "an attestation: a statement of another sort, and no approval of the file",
}


def _signature(record: RecordFacts, signed: Signed, facts: Facts) -> Iterator[Step]:
    name = record.path.rpartition("/")[2]
    step = verified(f"Record {name}: {_WORDS[record.kind]}", record.path, signed)
    if record.kind is RecordKind.ATT:
        about = "the file with this manifest" if signed.names_manifest else "one of the members, by its digest"
        yield replace(
            step,
            text=f"{step.text} It speaks of {about}, in a statement of type {printable(signed.predicate_type)}.",
            commands=(*step.commands, "cat statement"),
            open=f"that what it says is true, nor that its maker approves of the file; {step.open}",
        )
        return
    manifest = facts.manifest.sha256 if facts.manifest else ""
    type_ = COUNTERSIGNATURE if record.kind is RecordKind.CNT else OMS_PREDICATE
    yield replace(
        step,
        text=f"{step.text}{_said(record, signed, facts)}",
        commands=(*step.commands, *(_ANNOTATED if signed.annotated else _PLAIN)),
        prints=(*step.prints, type_, f"{manifest}, or it is about another file"),
        proves=f"{step.proves}: that the file has this manifest and, through steps 2 to 4, every byte in front of it",
    )
    if record.kind is RecordKind.CNT:
        yield _countersigned(name, facts.records[: facts.records.index(record)])


_ANNOTATED = ("""sed -n '/"predicateType"/p; /"annotations"/,$p' statement""",)
_PLAIN = (
    """sed -n '/"predicateType"/p; /^ *{/h; /^ *"/H""",
    """  /^ *}/{g; /"META-LLAMAFILE.manifest.json"/p;}' statement""",
)


def _said(record: RecordFacts, signed: Signed, facts: Facts) -> str:
    """The claims in a statement that a reader should know of before he believes them."""
    text = ""
    others = [key for key in signed.cosigners if key != signed.key_id]
    for key in others:
        records = [each for each in facts.records if each.signed and each is not record and each.signed.key_id == key]
        named = ", ".join(each.path.rpartition("/")[2] for each in records)
        text += f" It says that the key {key} should sign as well: {named or 'no record'} claims to be by it."
    if signed.declared_time:
        text += f" The time {signed.declared_time} in it is its maker's word, which only a time stamp proves."
    return text


def _countersigned(name: str, earlier: Sequence[RecordFacts]) -> Step:
    return Step(
        f"Record {name}: the records that it countersigns",
        "Each of these digests must stand in the statement, behind the name of its record.",
        (
            *(f'unzip -p "$F" {each.path} | sha256sum' for each in earlier),
            """sed -n 's/.*"path": //p; s/.*"sha256": //p' statement""",
        ),
        tuple(each.sha256 for each in earlier),
        "that these records, and no others in front of it, were there when this one was made",
    )


def _stamp(record: RecordFacts, stamped: Stamped, facts: Facts) -> Step:
    name = record.path.rpartition("/")[2]
    take = f'unzip -p "$F" {record.path} >stamp'
    if stamped.target:
        what = f"record {stamped.target.rpartition('/')[2]}"
        commands = (take, f'unzip -p "$F" {stamped.target} >record')
        verify = 'openssl ts -verify -in stamp -data record -CAfile "$C"'
        text = ""
    else:
        what = f"the {stamped.length} bytes in front of it"
        commands = (
            take,
            f'H=$(head -c {stamped.length} "$F" | openssl dgst -{stamped.digest} -r)',
        )
        verify = 'openssl ts -verify -in stamp -digest "${H%% *}" -CAfile "$C"'
        text = "It renews what was proven by older algorithms: all that is in front of it, records too. "
        if facts.converted:
            text += "F is the copy that step 4 made. "
    material = [each for each in facts.records if each.certificates]
    if material:
        text += "If a certificate is missing, add -untrusted vm.pem, from the step on validation material. "
    return Step(
        f"Record {name}: a time stamp of {what}",
        f"{text}Set C to the root certificates (PEM) of the authorities that you trust. The authority's certificate has"
        f" expired? Then add -attime {stamped.seconds}, and ask whether a later time stamp covers this one.",
        ("C=/path/to/AUTHORITIES.pem", *commands, verify, "openssl ts -reply -in stamp -text"),
        ("Verification: OK", f"the time, {stamped.time}"),
        f"that {what} {'was' if stamped.target else 'were'} there at that time",
        "who signed, and that the time is right beyond the word of the authority. With -attime alone it proves"
        " nothing: a stolen key of an expired certificate can stamp any time",
    )


def _material(record: RecordFacts) -> Step:
    name = record.path.rpartition("/")[2]
    pem = (
        f'unzip -p "$F" {record.path} | sed -n \\',
        r"""  '/^ "certificates": \[/,/^ \]/s/^  "\([^"]*\)",*$/\1/p' |""",
        "  while read -r c; do",
        '    printf %s "$c" | base64 -d | openssl x509 -inform DER -subject',
        "  done >vm.pem",
        "sed -n '/^subject/p' vm.pem",
    )
    return Step(
        f"Record {name}: validation material",
        f"{plural(record.certificates, 'certificate')} and {plural(record.revocations, 'revocation list')}, kept"
        " because the places that publish them will be gone.",
        pem if record.certificates else (),
        proves="nothing: a certificate in the file is no reason to trust it. Roots come from elsewhere",
    )


def publisher_steps(path: str, signed: Signed | None) -> Iterator[Step]:
    """Steps for the publisher signature in the member ``path``; ``signed`` is None if it cannot be read."""
    shown = printable(path)
    if signed is None:
        yield Step(f"Publisher signature {shown}", "It cannot be read.", open="anything")
        return
    yield verified(f"Publisher signature {shown}: by the maker of the weights", path, signed)
    commands = [
        line
        for piece in signed.named
        for line in (
            f"H={piece.sha256}",
            'sed -n "s/.*$H.*/$H/p" statement',
            f'unzip -p "$F" {quoted(piece.path)} | sha256sum',
        )
    ]
    if not commands:
        yield Step(f"Publisher signature {shown}: what it names", "It names no member of this file.", open="anything")
        return
    yield Step(
        f"Publisher signature {shown}: what it names",
        "For each member the same digest twice. The publisher's names may be others than those here.",
        tuple(commands),
        tuple(piece.sha256 for piece in signed.named for _ in "ab"),
        proves="that the owner of the key published these members, with these very bytes",
        open="anything about the rest of the file, or about who put it together",
    )
