"""``view``: the newest registered page and one file, served on 127.0.0.1 until somebody ends it (spec/1, 11.10.4)."""

from __future__ import annotations

import os
import secrets
import sys
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from llamafile_format.container import open_container
from llamafile_format.errors import SourceError
from llamafile_format.viewers import newest_page
from llamafile_format.viewing.answers import Answers, Shown
from llamafile_format.viewing.served_copy import served_copy

HOST = "127.0.0.1"


class View:
    """A server that has its port and answers while :meth:`serve` runs. Used as a context it closes file and port."""

    def __init__(self, path: str | os.PathLike[str], port: int = 0) -> None:
        """See :func:`view`."""
        self._container = open_container(path)
        try:
            word = secrets.token_urlsafe(16)
            copy = served_copy(newest_page().read(), f"/{word}/file", Path(path).name)
            handler: type[Answers] = type("_Answers", (Answers,), {})
            self._server = _Server((HOST, port), handler)
            found = int(self._server.server_address[1])
            handler.shown = Shown(copy, self._container.origin, word, found)
        except OSError as error:
            self._container.close()
            if isinstance(error, SourceError):
                raise
            raise SourceError(f"port {port} cannot be had: {error.strerror}", hint="another --port, or none") from error
        self.address = f"http://{HOST}:{found}/{word}/"
        """Where the page is. Whoever knows it, on this machine, can read the file."""

    def serve(self) -> None:
        """Answer until :meth:`stop`, from another thread, or until an exception ends it."""
        self._server.serve_forever(poll_interval=0.1)

    def stop(self) -> None:
        """End :meth:`serve`."""
        self._server.shutdown()

    def __enter__(self) -> View:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._server.server_close()
        self._container.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that broke is nobody's concern."""


def view(path: str | os.PathLike[str], *, port: int = 0) -> View:
    """A server of the newest registered page and the llamafile at ``path``, which stays open as it is now.

    A damaged one too: what is wrong with it is for the page to show. ``port`` 0 is any free one. Raises NotALlamafile
    and SourceError as ``open`` does.
    """
    return View(path, port)


def has_desktop() -> bool:
    """True where a browser that is started would appear in front of the user."""
    if os.environ.get("SSH_CONNECTION"):
        return False
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
