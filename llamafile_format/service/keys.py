"""Whose key came with a request (spec/1, 10.16.3)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from llamafile_format.service.config import Key

_SCHEME = b"bearer "
_LONGEST = 1024


def holder(keys: Iterable[Key], headers: Iterable[tuple[bytes, bytes]]) -> Key | None:
    """Whom the one ``Authorization: Bearer`` among ``headers`` belongs to; None if there is not one, or nobody.

    Digests are compared, all of them, in constant time and as bytes: how long it takes says nothing, and no character
    is beyond it.
    """
    given = [value for name, value in headers if name.lower() == b"authorization"]
    if len(given) != 1 or given[0][: len(_SCHEME)].lower() != _SCHEME or len(given[0]) > _LONGEST:
        return None
    digest = hashlib.sha256(given[0][len(_SCHEME) :]).digest()
    found = None
    for key in keys:
        if hmac.compare_digest(digest, key.digest):
            found = key
    return found
