"""A gate that runs: one process for one folder of state, until it is ended."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from llamafile_format.errors import SourceError, UsageError
from llamafile_format.service.config import Gate
from llamafile_format.source.allow_list import ambient

_CONNECTIONS = 1000  # at once; a further one is told to come again
_HEAD = 1 << 14  # bytes of a request's head
_BACKLOG = 512


def serve(gate: Gate, started: Callable[[str], None]) -> None:
    """Serve ``gate`` until a signal says to end; ``started`` is called with its address.

    Raises UsageError without the packages of ``serve-gate``, or if another process serves the folder; SourceError if
    it cannot listen.
    """
    try:
        import uvicorn

        from llamafile_format.service.app import make_app
        from llamafile_format.service.told import start_log
    except ImportError as error:
        raise UsageError(
            "serving a gate needs FastAPI and uvicorn", hint="pip install 'llamafile-format[serve-gate,remote]'"
        ) from error
    for name in ambient(list(os.environ)):  # neither this process nor its children take anything from there
        del os.environ[name]
    os.umask(0o077)
    with _alone(gate.state), _listening(gate) as listener:
        start_log()
        certificate, key = gate.tls or (None, None)
        config = uvicorn.Config(
            make_app(gate),
            http="h11",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=10,
            h11_max_incomplete_event_size=_HEAD,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        host, port = listener.getsockname()[:2]
        started(f"{'https' if gate.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/")
        uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """UsageError if another process has ``state``: two would judge the same jobs."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SourceError(f"{state} cannot be written to: {error.strerror}") from error
    try:
        try:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows: a port that is taken says it too
            pass
        except OSError as error:
            raise UsageError(f"{state} is served by another process", hint="end it, or name another state") from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _listening(gate: Gate) -> Iterator[socket.socket]:
    try:
        family = socket.getaddrinfo(gate.host, gate.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise SourceError(f"{gate.host} is none of this machine's names: {error.strerror}") from error
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((gate.host, gate.port))
            listener.listen(_BACKLOG)
        except OSError as error:
            raise SourceError(f"cannot listen at {gate.host}:{gate.port}: {error.strerror}") from error
        yield listener
