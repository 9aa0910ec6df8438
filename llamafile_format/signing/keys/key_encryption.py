"""Encrypt a private key as PKCS#8: PBES2 of PBKDF2 with HMAC-SHA-256 and AES-256-CBC (RFC 8018; spec/1, 13.8).

The library's own writer turns the function 2,048 times, which a graphics card undoes for most passphrases. Nothing but
the number differs here, so every openssl and every other reader of PKCS#8 opens the file. Imported only where a key
is encrypted, since it loads the library.
"""

from __future__ import annotations

import hashlib
import os

from cryptography.hazmat.asn1 import Null, encode_der, sequence
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.x509 import ObjectIdentifier

ROUNDS = 600_000
"""Turns of PBKDF2: a quarter of a second for the owner, and as long for every guess of a thief."""

_PBES2 = ObjectIdentifier("1.2.840.113549.1.5.13")
_PBKDF2 = ObjectIdentifier("1.2.840.113549.1.5.12")
_HMAC_SHA256 = ObjectIdentifier("1.2.840.113549.2.9")
_AES_256_CBC = ObjectIdentifier("2.16.840.1.101.3.4.1.42")
_BLOCK = 16  # bytes of AES


@sequence
class _Function:
    algorithm: ObjectIdentifier
    parameters: Null


@sequence
class _Derivation:
    salt: bytes
    rounds: int
    function: _Function


@sequence
class _DerivationScheme:
    algorithm: ObjectIdentifier
    parameters: _Derivation


@sequence
class _Cipher:
    algorithm: ObjectIdentifier
    vector: bytes


@sequence
class _Parameters:
    derivation: _DerivationScheme
    cipher: _Cipher


@sequence
class _Scheme:
    algorithm: ObjectIdentifier
    parameters: _Parameters


@sequence
class _EncryptedPrivateKeyInfo:
    scheme: _Scheme
    data: bytes


def encrypt(pkcs8: bytes, passphrase: bytes, *, rounds: int = ROUNDS) -> bytes:
    """EncryptedPrivateKeyInfo in DER for the unencrypted PKCS#8 ``pkcs8``; salt and initial vector are random."""
    salt = os.urandom(16)
    vector = os.urandom(_BLOCK)
    key = hashlib.pbkdf2_hmac("sha256", passphrase, salt, rounds, 32)
    filling = _BLOCK - len(pkcs8) % _BLOCK
    encryptor = Cipher(algorithms.AES256(key), modes.CBC(vector)).encryptor()
    function = _Function(algorithm=_HMAC_SHA256, parameters=Null())
    derivation = _Derivation(salt=salt, rounds=rounds, function=function)
    parameters = _Parameters(
        derivation=_DerivationScheme(algorithm=_PBKDF2, parameters=derivation),
        cipher=_Cipher(algorithm=_AES_256_CBC, vector=vector),
    )
    return encode_der(
        _EncryptedPrivateKeyInfo(
            scheme=_Scheme(algorithm=_PBES2, parameters=parameters),
            data=encryptor.update(pkcs8 + bytes([filling]) * filling) + encryptor.finalize(),
        )
    )
