"""The steps of checking one file by hand: commands ready to paste, what each proves, and what it does not (13.11).

Commands are for a POSIX shell. Names from the file stand in them quoted, and escaped where a terminal could be steered.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from llamafile_format.container import Kind
from llamafile_format.examining import Facts, Piece, RecordFacts, Signed, Stamped
from llamafile_format.prefix.bootstrap import HEADER_SIZE, SLOTS_OFFSET
from llamafile_format.reports.escape import printable
from llamafile_format.reports.numbers import plural
from llamafile_format.signing.keys.algorithms import Algorithm
from llamafile_format.signing.records.envelope import Method
from llamafile_format.signing.records.record import RecordKind
from llamafile_format.signing.records.statement import COUNTERSIGNATURE, OMS_PREDICATE

_EC = {Algorithm.ECDSA_P256: "P-256", Algorithm.ECDSA_P384: "P-384", Algorithm.ECDSA_P521: "P-521"}
_OTHER = {Algorithm.ED25519: "Ed25519", Algorithm.ML_DSA_65: "ML-DSA-65", Algorithm.ML_DSA_87: "ML-DSA-87"}
_FIRST_SLOT = SLOTS_OFFSET + HEADER_SIZE  # clause 14.2.7: the first 64 bytes of a launcher that was not converted
_DGST, _PKEYUTL = "Verified OK", "Signature Verified Successfully"
_RAW = r"""sed -n 's/.*"rawBytes": *"\([^"]*\)".*/\1/p' record"""


@dataclass(frozen=True, slots=True)
class Step:
    """One step. ``prints`` are lines that the commands must print, as far as known beforehand; texts may be empty."""

    title: str
    text: str = ""
    commands: tuple[str, ...] = ()
    prints: tuple[str, ...] = ()
    proves: str = ""
    open: str = ""


def steps(facts: Facts) -> Iterator[Step]:
    """The steps for this file, in an order in which nothing is relied on before it was checked."""
    yield _start(facts)
    if facts.manifest is None or facts.chunks is None:
        yield from _without_manifest(facts)
        return
    yield _manifest(facts.manifest)
    yield _chunk_list(facts.chunks)
    yield _every_byte(facts)
    if facts.model:
        yield _model(facts.model)
    if not facts.records:
        yield _unsigned()
    for record in facts.records:
        yield from _record(record, facts)
    for path, signed in facts.publishers:
        yield from _publisher(path, signed)
    yield _rest(facts)


def _start(facts: Facts) -> Step:
    name = facts.name if facts.name.startswith("/") else f"./{facts.name}"
    quoted = shlex.quote(printable(name.removeprefix("./")))
    where = quoted if name.startswith("/") else f"$PWD/{quoted}"
    signatures = bool(facts.publishers) or any(record.signed for record in facts.records)
    return Step(
        "Begin",
        "Type sh first, if your shell is another. Small files are written to a new folder, by-hand."
        + (" The function takes a signature apart: files signed, sig, and the statement in it." if signatures else ""),
        (f"F={where}", "mkdir by-hand && cd by-hand", 'unzip -l "$F"', *(_TAKE if signatures else ())),
        (plural(facts.members, "member"),),
    )


_TAKE = (
    "take() {",
    '  unzip -p "$F" "$1" >record',
    r"""  P=$(sed -n 's/.*"payload": *"\([^"]*\)".*/\1/p' record)""",
    r"""  sed -n 's/.*"sig": *"\([^"]*\)".*/\1/p' record | base64 -d >sig""",
    '  printf %s "$P" | base64 -d >statement',
    "  N=$((${#P} / 4 * 3))",
    "  case $P in *==) N=$((N - 2));; *=) N=$((N - 1));; esac",
    """  printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$N" >signed""",
    '  printf %s "$P" | base64 -d >>signed',
    "}",
)


def _without_manifest(facts: Facts) -> Iterator[Step]:
    if facts.kind is Kind.LEGACY:
        text = "A llamafile from before format 1.0 has no manifest, no digests but CRC-32, and no signatures."
    else:
        text = "The manifest of this file cannot be used, so that nothing says what the file should be."
    yield Step(
        "The checksums of its members",
        text,
        ('unzip -t "$F"', 'sha256sum "$F"'),
        proves="that members were not damaged by accident",
        open="who made the file, and whether somebody changed it: compare the digest with one from its maker",
    )


def _manifest(manifest: Piece) -> Step:
    return Step(
        "The name of the file: the digest of its manifest",
        "The manifest determines every byte in front of the signatures.",
        (f'unzip -p "$F" {manifest.path} | sha256sum',),
        (manifest.sha256,),
        proves="everything, if somebody whom you trust told you this digest by another way",
        open="anything by itself: the digest printed here was computed from the same file",
    )


def _chunk_list(chunks: Piece) -> Step:
    return Step(
        "The chunk list is the one that the manifest names",
        "",
        (
            f'unzip -p "$F" {chunks.path} | sha256sum',
            """unzip -p "$F" META-LLAMAFILE/manifest.json |""",
            """  sed -n '/chunks.txt/,/"size"/s/.*"sha256": "//p'""",
        ),
        (chunks.sha256, chunks.sha256),
        proves="that whoever vouches for the manifest vouches for the chunk list",
    )


def _every_byte(facts: Facts) -> Step:
    text = "Prints a line for each damaged piece, and nothing for a good file."
    before: tuple[str, ...] = ()
    if facts.converted:
        text = (
            f"The file was made a native program ({printable(facts.converted)}): its first 64 bytes are not those that"
            " were signed. They are kept further on (14.2.7); a copy with them is what is checked from here on. " + text
        )
        before = (
            f'{{ tail -c +{_FIRST_SLOT + 1} "$F" | head -c 64; tail -c +65 "$F"; }} >converted-back',
            "F=$PWD/converted-back",
        )
    return Step(
        "Every byte in front of the chunk list",
        text,
        (
            *before,
            'unzip -p "$F" META-LLAMAFILE/chunks.txt | while read -r s o n p; do',
            '  t=$(tail -c +$((o + 1)) "$F" | head -c "$n" | sha256sum)',
            '  [ "${t%% *}" = "$s" ] || echo "damaged: $n bytes at $o ($p)"',
            "done",
        ),
        proves="that all these bytes are those of the chunk list: program, members, what lies between",
        open="the list of members at the end of the file, and the signature records",
    )


def _model(model: Piece) -> Step:
    return Step(
        f"The model alone, {printable(model.path)}",
        "It lies in the file as it is. (openssl dgst -sha256 -r does the work of sha256sum, often much faster.)",
        (f'tail -c +{model.offset + 1} "$F" | head -c {model.size} | sha256sum',),
        (model.sha256,),
        proves="that these are the weights that the manifest names; compare the digest with their publisher's",
    )


def _unsigned() -> Step:
    return Step(
        "Signatures: none",
        "The file is not signed.",
        open="who made it. Only the digest of the manifest, told by somebody whom you trust, vouches for it",
    )


def _record(record: RecordFacts, facts: Facts) -> Iterator[Step]:
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
    step = _verified(f"Record {name}: {_WORDS[record.kind]}", record.path, signed)
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


def _verified(title: str, path: str, signed: Signed) -> Step:
    """The step that checks a signature by its key, or by the certificate that came with it."""
    take = f"take {_quoted(path)}"
    if signed.method is not Method.KEY:
        return _by_certificate(title, take, signed)
    text, verify, prints = _by_key(signed)
    commands: tuple[str, ...] = ("K=/path/to/KEY.pub", take, verify)
    if signed.key_id:
        commands = (*commands, 'openssl pkey -pubin -in "$K" -outform DER | sha256sum')
        prints = (prints[0], f"{signed.key_id}, if it is the key that the record claims")
    proves = "that the owner of the key signed the statement"
    unproven = "whose key it is: have it from somebody you trust, never from where the file came from"
    return Step(title, text, commands, prints, proves, unproven)


def _by_key(signed: Signed) -> tuple[str, str, tuple[str, ...]]:
    """What to say of the algorithm, the command, and what that prints for a good signature."""
    algorithm = signed.algorithm
    if algorithm is not None and algorithm in _EC:
        text = (
            f"By its length it is made with a key on the curve {_EC[algorithm]}. Your key decides, not the file: a key"
            " on P-256 takes sha256, on P-384 sha384, on P-521 sha512."
        )
        return text, f'openssl dgst -{algorithm.digest} -verify "$K" -signature sig signed', (_DGST,)
    command = 'openssl pkeyutl -verify -rawin -pubin -inkey "$K" -sigfile sig -in signed'
    text = f"By its length it is made with {_OTHER[algorithm] if algorithm else 'no algorithm that is known here'}."
    if algorithm is not None and algorithm.post_quantum:
        text += (
            " openssl before 3.5 cannot read such a key, and then cannot check this record: take a newer one, or"
            " another implementation of FIPS 204 (pure, empty context) on the files signed and sig. If the key is half"
            " of a pair, the other half's record can be checked by itself; that both have signed is then not shown."
        )
    return text, command, (_PKEYUTL,)


def _by_certificate(title: str, take: str, signed: Signed) -> Step:
    digest = signed.algorithm.digest if signed.algorithm else ""
    verify = (
        f"openssl dgst -{digest} -verify leaf.pub -signature sig signed"
        if digest
        else "openssl pkeyutl -verify -rawin -pubin -inkey leaf.pub -sigfile sig -in signed"
    )
    text = "The record brings its certificate. Set C to the root certificates (PEM) that you trust to name signers."
    unproven = (
        "anything about who signed, unless the last command says OK and the subject is whom you expect, with Code"
        " Signing among its purposes. If the certificate has expired, only a time stamp shows that it was valid when it"
        " signed: add -attime SECONDS of that time"
    )
    if signed.method is Method.SIGSTORE:
        text = "The record brings a short-lived certificate of sigstore. Set C to the root certificates of sigstore."
        unproven = (
            "who signed: the certificate was valid for minutes, and that the signature was made in them is shown by"
            " sigstore's log alone, which openssl cannot check. Use a verifier for sigstore"
        )
    return Step(
        title,
        text,
        (
            "C=/path/to/ROOTS.pem",
            take,
            f"{_RAW} |",
            "  sed 1q | base64 -d | openssl x509 -inform DER >leaf.pem",
            "openssl x509 -in leaf.pem -noout -pubkey >leaf.pub",
            verify,
            f"{_RAW} | while read -r c; do",
            '  printf %s "$c" | base64 -d | openssl x509 -inform DER',
            "done >chain.pem",
            "openssl x509 -in leaf.pem -noout -subject -dates -ext extendedKeyUsage",
            "openssl x509 -in leaf.pem -noout -ext subjectAltName",
            'openssl verify -CAfile "$C" -untrusted chain.pem leaf.pem',
        ),
        (_DGST if digest else _PKEYUTL, "leaf.pem: OK"),
        "that the owner of the certificate's key signed the statement",
        unproven,
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


def _publisher(path: str, signed: Signed | None) -> Iterator[Step]:
    shown = printable(path)
    if signed is None:
        yield Step(f"Publisher signature {shown}", "It cannot be read.", open="anything")
        return
    yield _verified(f"Publisher signature {shown}: by the maker of the weights", path, signed)
    commands = [
        line
        for piece in signed.named
        for line in (
            f"H={piece.sha256}",
            'sed -n "s/.*$H.*/$H/p" statement',
            f'unzip -p "$F" {_quoted(piece.path)} | sha256sum',
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


def _rest(facts: Facts) -> Step:
    text = (
        "The list of members and the mark at the end of the file, and the headers of the last members, follow from the"
        " manifest and the records. To compute and compare them takes this software, or the specification (chapters 4"
        " and 5)."
    )
    if facts.earlier:
        text += (
            f" {plural(facts.earlier, 'record')} in META-LLAMAFILE/history/ signed earlier files, before a repack; they"
            " say nothing about this one."
        )
    command = "llamafile-format verify --key KEY.pub FILE" if facts.records else "llamafile-format verify FILE"
    return Step("What is left", text, (command,))


def _pattern(path: str) -> str:
    """A member's name as unzip takes it: it reads brackets as a class, and a hyphen in front as an option."""
    path = printable(path).replace("[", "[[]")
    return f"[-]{path[1:]}" if path.startswith("-") else path


def _quoted(path: str) -> str:
    return shlex.quote(_pattern(path))
