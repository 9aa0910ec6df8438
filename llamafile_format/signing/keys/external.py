"""A signer that is a command: the seam for tokens, hardware modules and signing services (spec/1, 13.8).

The command gets the bytes to sign on its standard input and writes the bare signature to its standard output, in the
encoding of the key's algorithm. Whatever holds the key may be behind it, such as a token that openssl reaches::

    openssl dgst -sha384 -sign KEY
    openssl dgst -sha384 -engine pkcs11 -keyform engine -sign pkcs11:object=NAME
    sh -c 'cat > "$0" && openssl pkeyutl -sign -rawin -inkey KEY -in "$0"' to-sign.tmp

The third is for Ed25519, which openssl signs from files only.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import time
from threading import Thread
from typing import IO

from llamafile_format.errors import SourceError, UsageError
from llamafile_format.signing.keys.key import PublicKey

MAX_SIGNATURE = 16_384  # bytes; the longest here, ML-DSA-87, has 4,627
TIMEOUT = 300.0  # seconds; somebody may have to find the token and touch it
_MESSAGE = 2_000  # bytes of the end of standard error that are shown
_GRACE = 2.0  # seconds for pipes to close once the command has ended


class CommandSigner:
    """Signs by running ``command``, whose key is the private half of ``public``.

    The command is split into words as a POSIX shell does, and run without a shell. It keeps the terminal, so that it
    can ask for a PIN, and the environment. What it returns is verified before anybody uses it.
    """

    __slots__ = ("_timeout", "_words", "public")

    def __init__(self, command: str, public: PublicKey, *, timeout: float = TIMEOUT) -> None:
        try:
            self._words = shlex.split(command, posix=os.name == "posix")
        except ValueError as error:
            raise UsageError(f"the command of the signer cannot be split into words: {error}") from error
        if not self._words:
            raise UsageError("the command of the signer is empty")
        self.public = public
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"CommandSigner({self._words[0]!r}, {self.public.key_id})"

    def sign(self, data: bytes) -> bytes:
        """The command's signature of ``data``. UsageError if it is none under the key; SourceError if there is none."""
        signature = self._run(data)
        if not self.public.verify(signature, data):
            encoding = (
                f"ECDSA over {self.public.algorithm.digest}, in DER" if self.public.algorithm.oms else "bare bytes"
            )
            raise UsageError(
                f"{self._words[0]} returned {len(signature)} bytes, no signature by the key {self.public.key_id}",
                hint=f"is it the same key? The signature must be {self.public.algorithm.value}: {encoding}",
            )
        return signature

    def _run(self, data: bytes) -> bytes:
        try:
            process = subprocess.Popen(
                self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"cannot run {self._words[0]}: {reason}", hint="name the signer's command") from error
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        collected = _Collected(process)
        threads = [
            Thread(target=_feed, args=(process.stdin, data), daemon=True),
            Thread(target=collected.read_signature, args=(process.stdout,), daemon=True),
            Thread(target=collected.read_messages, args=(process.stderr,), daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            code = process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            raise SourceError(
                f"{self._words[0]} did not sign within {self._timeout:g} seconds{collected.said}"
            ) from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            end = time.monotonic() + _GRACE
            for thread in threads:
                thread.join(max(0.0, end - time.monotonic()))  # a grandchild may hold a pipe open for ever
        if collected.too_long:
            raise SourceError(f"{self._words[0]} wrote more than a signature: over {MAX_SIGNATURE} bytes")
        if code:
            raise SourceError(f"{self._words[0]} failed with exit code {code}{collected.said}")
        return collected.signature


class _Collected:
    """What a command has written: at most a signature, and the end of its messages."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._messages = b""
        self.signature = b""
        self.too_long = False

    def read_signature(self, pipe: IO[bytes]) -> None:
        """Read to the end, or until it is too long for a signature; then the command is stopped."""
        with pipe:
            self.signature = pipe.read(MAX_SIGNATURE + 1)
            if len(self.signature) > MAX_SIGNATURE:
                self.too_long = True
                self._process.kill()

    def read_messages(self, pipe: IO[bytes]) -> None:
        """Read to the end and keep the last part."""
        with pipe:
            while some := os.read(pipe.fileno(), 4096):
                self._messages = (self._messages + some)[-_MESSAGE:]

    @property
    def said(self) -> str:
        """The messages in one line, behind a colon; empty if there were none."""
        lines = self._messages.decode("utf-8", "replace").splitlines()
        text = " | ".join(line.strip() for line in lines if line.strip())
        return f": {text}" if text else ""


def _feed(pipe: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(OSError), pipe:  # a command that does not read is told by its signature
        pipe.write(data)
