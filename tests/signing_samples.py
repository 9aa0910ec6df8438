"""Keys and small containers to sign, the same for all tests; the keys protect nothing."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from llamafile_format.packing.assemble import Content, Labels, PrefixContent, assemble
from llamafile_format.packing.inputs import text_content
from llamafile_format.packing.readme import readme_text
from llamafile_format.packing.runtime_members import launcher_prefix
from llamafile_format.signing.keys.key import PrivateKey
from llamafile_format.signing.keys.key_files import generate
from llamafile_format.source import BytesSource
from tests.launcher_samples import HOST, runtime
from tests.laws.containers import tiny_gguf

TIME = "2026-11-21T14:00:00Z"


def keys(kind: str = "p384", label: str = "") -> tuple[PrivateKey, ...]:
    """The keys of ``kind``; another ``label`` gives other keys."""
    return _keys(kind, label)


@cache
def _keys(kind: str, _label: str) -> tuple[PrivateKey, ...]:
    return generate(kind)


def container(path: Path, *, name: str = "Tiny", launcher: bool = False, members: tuple[str, ...] = ()) -> Path:
    """A container with a tiny model, and with small documents called ``members``."""
    contents = [
        text_content("META-LLAMAFILE/README.txt", "readme", readme_text("", engine=False)),
        Content("tiny.gguf", "weights", "application/x-gguf", BytesSource(tiny_gguf()), 65536),
    ]
    contents += [text_content(member, "document", member.encode()) for member in members]
    prefix = PrefixContent("none", BytesSource(b""))
    if launcher:
        build = f"runtimes/llama.cpp/0.0.1/native/{HOST}"
        contents.append(Content(build, "runtime", "application/octet-stream", BytesSource(runtime()), 65536))
        prefix = launcher_prefix(contents, "tiny.gguf")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o755 if launcher else 0o644)
    try:
        assemble(descriptor, prefix, contents, Labels(name=name, default="tiny.gguf"))
    finally:
        os.close(descriptor)
    return path


@cache
def certified() -> tuple[PrivateKey, tuple[bytes, ...]]:
    """A P-256 key with its certificate for signing code, and the root that issued that, as DER."""
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    found = []
    root = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Root")])
    for common, public, authority in (("Signer", key.public_key(), False), ("Root", root_key.public_key(), True)):
        usage = dict.fromkeys(
            (
                "digital_signature",
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "key_cert_sign",
                "crl_sign",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        usage |= {"key_cert_sign" if authority else "digital_signature": True}
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)]))
            .issuer_name(root)
            .public_key(public)
            .serial_number(2 - authority)
            .not_valid_before(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
            .not_valid_after(dt.datetime(2056, 1, 1, tzinfo=dt.UTC))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        )
        if not authority:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CODE_SIGNING]), critical=False
            ).add_extension(x509.SubjectAlternativeName([x509.RFC822Name("a@example.org")]), critical=False)
        found.append(builder.sign(root_key, hashes.SHA256()).public_bytes(Encoding.DER))
    return PrivateKey(key), tuple(found)
