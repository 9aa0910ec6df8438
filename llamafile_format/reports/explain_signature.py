"""The step that checks one signature by hand: by its key, or by the certificate that came with it (13.11)."""

from __future__ import annotations

from llamafile_format.examining import Signed
from llamafile_format.reports.explain_step import Step, quoted
from llamafile_format.signing.keys.algorithms import Algorithm
from llamafile_format.signing.records.envelope import Method

_EC = {Algorithm.ECDSA_P256: "P-256", Algorithm.ECDSA_P384: "P-384", Algorithm.ECDSA_P521: "P-521"}
_OTHER = {Algorithm.ED25519: "Ed25519", Algorithm.ML_DSA_65: "ML-DSA-65", Algorithm.ML_DSA_87: "ML-DSA-87"}
_DGST, _PKEYUTL = "Verified OK", "Signature Verified Successfully"
_RAW = r"""sed -n 's/.*"rawBytes": *"\([^"]*\)".*/\1/p' record"""


def verified(title: str, path: str, signed: Signed) -> Step:
    """The step that checks a signature by its key, or by the certificate that came with it."""
    take = f"take {quoted(path)}"
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
