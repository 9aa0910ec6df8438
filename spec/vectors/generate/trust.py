"""Policies of the vectors (chapter 16): whom a vector's verification trusts, in ``spec/vectors/trust/``, by name.

Keys and certificates that they name are public halves of the fixed keys in ``signatures_keys.py``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence

from spec.vectors.generate.signatures_certificates import LATER_ROOT, LEAF, ROOT, STAMP_ROOT, Certificate
from spec.vectors.generate.signatures_keys import ARCHIVE, CURATOR, CURATOR_PQ, OLD, PUBLISHER, SECOND, Key

FOLDER = "trust"
KEYS = {
    "curator": (CURATOR,),
    "curator-pq": (CURATOR_PQ,),
    "curator-pair": (CURATOR, CURATOR_PQ),
    "second": (SECOND,),
    "archive": (ARCHIVE,),
    "old": (OLD,),
    "publisher": (PUBLISHER,),
    "leaf": (LEAF.key,),
}
ROOTS = {"root": ROOT, "stamp-root": STAMP_ROOT, "later-root": LATER_ROOT}


def signer(name: str, roles: str = "assembler", keys: Sequence[str] = (), more: Sequence[str] = ()) -> str:
    """A signer by the keys in ``keys/NAME.pub``."""
    files = ", ".join(f"keys/{key}.pub" for key in keys or [name])
    lines = [f"- id: {name}", f"  roles: [{roles}]", f"  keys: [{files}]", *(f"  {line}" for line in more)]
    return "\n".join(lines) + "\n"


CURATOR_RULE = signer("curator", keys=["curator", "curator-pq"])
PAIR_RULE = signer("curator", keys=["curator-pair"])
ARCHIVE_RULE = signer("archive", "archive")
SECOND_RULE = signer("second")
OLD_RULE = signer("old", more=["valid_until: 2026-06-01"])
PUBLISHER_RULE = signer("publisher", "publisher")
CERTIFICATE_RULE = """\
- id: curator by certificate
  roles: [assembler]
  certificate: {roots: [keys/root.pem], identity: curator@example.org}
"""
LEAF_RULE = signer("somebody", keys=["leaf"])
ARCHIVE_BY_CERTIFICATE = CERTIFICATE_RULE.replace("[assembler]", "[archive]")
PUBLISHER_PAIR_RULE = signer("publisher", "publisher", ["curator-pair"])
TWO_ROLES = "require:\n- {role: assembler}\n- {role: archive}\n"
PUBLISHED = "require:\n- {role: archive}\n- {role: publisher}\n"
SIGSTORE_RULE = """\
- id: curator by Sigstore
  roles: [assembler]
  sigstore: {trusted_root: keys/sigstore.json, identity: curator@example.org, issuer: "https://issuer.example.org"}
"""
AUTHORITIES = """\
  authorities:
  - {id: stamps, roots: [keys/stamp-root.pem]}
  - {id: later stamps, roots: [keys/later-root.pem]}
"""


def policy(name: str, signers: str, *more: str, version: int = 1) -> str:
    """A policy of ``signers``; ``more`` are fields."""
    listed = f"signers:\n{signers}" if signers else ""
    return f"policy: {version}\nname: {name}\n{listed}" + "".join(more)


def level(least: str) -> str:
    """The field ``time`` with a minimum level."""
    return f"time:\n  minimum_level: {least}\n{AUTHORITIES}"


_ALL = CURATOR_RULE + ARCHIVE_RULE + OLD_RULE
POLICIES = {
    "curator": policy("the curator", _ALL, f"time:\n{AUTHORITIES}"),
    "pair": policy("a pair", PAIR_RULE),
    "second": policy("another assembler", SECOND_RULE),
    "archive": policy("an archive alone", ARCHIVE_RULE),
    "two": policy("two assemblers", CURATOR_RULE + SECOND_RULE, "require:\n- {role: assembler, threshold: 2}\n"),
    "certificate": policy("a certificate", CERTIFICATE_RULE),
    "unsigned-allowed": policy("contents only", CURATOR_RULE, "unsigned: allow\n"),
    "level-t": policy("stamped", CURATOR_RULE, level("T")),
    "level-lt": policy("stamped, with material", CURATOR_RULE, level("LT")),
    "level-lta": policy("renewed", CURATOR_RULE, level("LTA")),
    "post-quantum": policy("post-quantum always", CURATOR_RULE, "post_quantum: always\n"),
    "young": policy("at most 30 days", CURATOR_RULE, f"time:\n  max_age_days: 30\n{AUTHORITIES}"),
    "key-denied": policy(
        "a lost key",
        CURATOR_RULE,
        f'deny:\n  keys:\n  - {{key_id: "{CURATOR.id}", since: 2026-12-01, reason: lost}}\n',
        f"time:\n{AUTHORITIES}",
    ),
    "p384-broken": policy(
        "P-384 has fallen", CURATOR_RULE, "algorithms: {ecdsa-p384-sha384: 2026-12-01}\n", f"time:\n{AUTHORITIES}"
    ),
    "p384-falls-in-2040": policy(
        "P-384 falls in 2040", CURATOR_RULE, "algorithms: {ecdsa-p384-sha384: 2040-01-01}\n", f"time:\n{AUTHORITIES}"
    ),
    "p256-broken": policy(
        "P-256 has fallen", CURATOR_RULE, "algorithms: {ecdsa-p256-sha256: 2026-12-01}\n", level("T")
    ),
    "other-models": policy("other models", signer("curator", more=['models: ["Other*"]'])),
    "these-models": policy("these models", signer("curator", more=['models: ["Ti*"]'])),
    "publisher": policy(
        "a publisher too",
        CURATOR_RULE + PUBLISHER_RULE,
        "require:\n- {role: assembler}\n- {role: publisher}\n",
    ),
    "publisher-pair": policy("a publisher with a pair", ARCHIVE_RULE + PUBLISHER_PAIR_RULE, PUBLISHED),
    "publisher-level-t": policy("a publisher, stamped", ARCHIVE_RULE + PUBLISHER_RULE, PUBLISHED, level("T")),
    "publisher-young": policy(
        "a publisher, at most 30 days",
        ARCHIVE_RULE + PUBLISHER_RULE,
        PUBLISHED,
        f"time:\n  max_age_days: 30\n{AUTHORITIES}",
    ),
    "two-ways": policy(
        "two of three", LEAF_RULE + SECOND_RULE + CERTIFICATE_RULE, "require:\n- {role: assembler, threshold: 2}\n"
    ),
    "two-roles": policy("two roles", LEAF_RULE + SECOND_RULE + ARCHIVE_BY_CERTIFICATE, TWO_ROLES),
    "separate": policy("two of them", LEAF_RULE + SECOND_RULE + ARCHIVE_BY_CERTIFICATE, TWO_ROLES, "separate: true\n"),
    "pinned": policy("no rollback", CURATOR_RULE, "pins:\n- {model: Tiny, minimum_revision: 2}\n"),
    "licences": policy("free licences", CURATOR_RULE, "allow:\n  licenses: [CC0-1.0, Apache-2.0]\n"),
    "sigstore": policy("an identity of Sigstore", CURATOR_RULE + SIGSTORE_RULE),
    "prefixes": policy("no programs", CURATOR_RULE, "allow:\n  prefixes: [none]\n"),
    "engines": policy("one engine", CURATOR_RULE, 'allow:\n  engines: ["llama.cpp@0.3.36"]\n'),
}
"""Policy documents by name; ``policies.py`` adds those that need the bytes of a vector."""


def key_file(keys: Sequence[Key]) -> str:
    """A file of public keys."""
    return "".join(key.pem for key in keys)


def sigstore_root(log: Key, root: Certificate, organization: str, authority: str) -> str:
    """The trusted root of a Sigstore instance that nobody runs: an authority, and a log that has no entries.

    The log's host is ``log.`` at the domain ``organization``; ``authority`` is the host that gives out certificates.
    """
    validity = {"start": "2026-01-01T00:00:00Z"}
    public = {"rawBytes": _text(log.spki), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": validity}
    entry = {
        "baseUrl": f"https://log.{organization}",
        "hashAlgorithm": "SHA2_256",
        "publicKey": public,
        "logId": {"keyId": _text(hashlib.sha256(log.spki).digest())},
    }
    issuing = {
        "subject": {"organization": organization, "commonName": root.name},
        "uri": f"https://{authority}",
        "certChain": {"certificates": [{"rawBytes": _text(root.der)}]},
        "validFor": validity,
    }
    value = {
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [entry],
        "certificateAuthorities": [issuing],
        "ctlogs": [entry],
        "timestampAuthorities": [],
    }
    return json.dumps(value, indent=1) + "\n"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def files() -> dict[str, bytes]:
    """Every file of the folder ``trust`` by its path in it."""
    made = {f"keys/{name}.pub": key_file(keys) for name, keys in KEYS.items()}
    made |= {f"keys/{name}.pem": _certificate(root) for name, root in ROOTS.items()}
    made["keys/sigstore.json"] = sigstore_root(Key("p256", "log"), ROOT, "example.org", "authority.example.org")
    made |= {f"{name}.yaml": text for name, text in POLICIES.items()}
    return {path: text.encode() for path, text in sorted(made.items())}


def _certificate(root: Certificate) -> str:
    return root.pem
