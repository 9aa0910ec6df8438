"""Containers to put behind servers, and certificates of such servers."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import random
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from llamafile_format.packing.assemble import Content, Labels, PrefixContent, assemble
from llamafile_format.packing.inputs import text_content
from llamafile_format.packing.readme import readme_text
from llamafile_format.source import BytesSource
from tests.laws.containers import tiny_gguf
from tests.laws.sparse import ROW, gguf_header

FINITE = bytes.maketrans(b"\x7f\xff", b"\x3f\xbf")
"""Makes numbers of any bytes: none with them is NaN or infinite."""


def remote_container(path: Path, *, aligned: int = 3, filler: int = 1 << 20) -> Path:
    """``aligned`` models, a tiny one and others of some ``filler`` bytes: more than both ends that are read at once."""
    contents = [
        text_content("META-LLAMAFILE/README.txt", "readme", readme_text("", engine=False)),
        Content("tiny.gguf", "weights", "application/x-gguf", BytesSource(tiny_gguf()), 65536),
    ]
    for index in range(1, aligned):
        head = gguf_header(filler)
        data = head + random.Random(index).randbytes(4 * ROW * ((filler - 4096) // (4 * ROW))).translate(FINITE)
        contents.append(Content(f"model-{index}.gguf", "weights", "application/x-gguf", BytesSource(data), 65536))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        assemble(descriptor, PrefixContent("none", BytesSource(b"")), contents, Labels(default="tiny.gguf"))
    finally:
        os.close(descriptor)
    return path


def server_certificate(folder: Path, name: str = "") -> tuple[Path, Path]:
    """(the authority, key and chain) of a server at 127.0.0.1, or of the host ``name``, as PEM files."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = dt.datetime.now(dt.UTC)

    def certificate(subject: x509.Name, public: ec.EllipticCurvePublicKey, authority: bool) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(root_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        )

    root = certificate(root_name, root_key.public_key(), True).sign(root_key, hashes.SHA256())
    names = x509.SubjectAlternativeName(
        [x509.DNSName(name) if name else x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    leaf = certificate(x509.Name([]), key.public_key(), False).add_extension(names, critical=True)
    chain = leaf.sign(root_key, hashes.SHA256())
    authority, served = folder / "authority.pem", folder / "server.pem"
    authority.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    served.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + chain.public_bytes(serialization.Encoding.PEM)
    )
    return authority, served
