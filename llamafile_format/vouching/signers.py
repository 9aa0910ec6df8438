"""Who signs: keys in files, a command that reaches a token, the chain of a key; and who else is meant to."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llamafile_format.errors import UsageError

if TYPE_CHECKING:
    from llamafile_format.signing.keys.key import Signer

_KEY_ID = re.compile(r"[0-9a-f]{64}")


def read_signers(
    key: str | os.PathLike[str], *, passphrase: Callable[[], bytes] | None = None, command: str = ""
) -> tuple[Signer, ...]:
    """The one or two signers of the key file ``key``; with ``command``, which signs, the file of its public key.

    ``passphrase`` is called if the key is encrypted. UsageError if there is no such key in the file.
    """
    from llamafile_format.signing.keys.key_files import read_private, read_public

    if not command:
        return read_private(key, passphrase)
    from llamafile_format.signing.keys.external import CommandSigner

    public = read_public(key)
    if len(public) != 1:
        raise UsageError(f"{os.fspath(key)} holds {len(public)} keys, and a command signs with one")
    return (CommandSigner(command, public[0]),)


def chains_of(signers: Sequence[Signer], certificates: Sequence[bytes]) -> tuple[tuple[bytes, ...], ...]:
    """The chain (DER, leaf first) of each of ``signers``; empty for those that ``certificates`` are not about.

    UsageError unless the first certificate names the key of one of them.
    """
    if not certificates:
        return tuple(() for _ in signers)
    from llamafile_format.signing.x509.certificates import public_key

    leaf = public_key(certificates[0])
    if leaf.key_id not in {signer.public.key_id for signer in signers}:
        raise UsageError(
            "the first certificate is not that of the key",
            hint="the signer's own certificate comes first, then the one that issued it, and so on",
        )
    return tuple(tuple(certificates) if signer.public.key_id == leaf.key_id else () for signer in signers)


def key_ids(named: Sequence[str]) -> tuple[str, ...]:
    """The key ids that ``named`` stands for: ids themselves, or paths of files of public keys. UsageError."""
    from llamafile_format.signing.keys.key_files import read_public

    found: set[str] = set()
    for name in named:
        if _KEY_ID.fullmatch(name):
            found.add(name)
        elif Path(name).exists():
            found.update(key.key_id for key in read_public(name))
        else:
            raise UsageError(f"{name} is neither a key id nor a file", hint="a key id has 64 hexadecimal digits")
    return tuple(sorted(found))
