"""Who does the work: processes of this machine, or the workers of a Dask scheduler (spec/1, 10.15.3)."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from llamafile_format.errors import SourceError, UsageError

_PLACE = re.compile(r"(dask|tls)://(\[[0-9A-Fa-f:.]+\]|[^\s/:@\[\]]+):([0-9]{1,5})")
_PATIENCE = 60  # seconds until a scheduler answers, and until it has a worker

_KEEPING = 5  # seconds between two looks at who is still there

_SETTINGS = {
    "distributed.scheduler.allowed-failures": 50,  # workers are killed by whoever owns the machine; files do not do it
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-saturation": 1.0,  # a worker has what it is at, and nothing that would wait for it
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.admin.low-level-log-length": 100,
    "distributed.comm.timeouts.connect": "60s",
    "distributed.deploy.lost-worker-timeout": "60s",
    "logging": {"distributed": "critical"},  # that a worker has died is told by what becomes of its shard
}


@dataclass(frozen=True, slots=True)
class Executor:
    """Where the work is done: ``local``, ``dask://HOST:PORT`` or ``tls://HOST:PORT``; ``workers`` of a local one."""

    place: str = "local"
    workers: int = 0
    insecure: bool = False

    def judge(self) -> None:
        """UsageError if that is no place, or one where strangers could run code."""
        if self.place == "local":
            return
        found = _PLACE.fullmatch(self.place)
        if found is None:
            raise UsageError(
                f"no executor: {self.place!r:.200}", hint="local, dask://HOST:PORT or tls://HOST:PORT, without a user"
            )
        if self.workers:
            raise UsageError("--workers is for the executor local", hint="a scheduler has the workers that joined it")
        if found[1] == "dask" and not _is_loopback(found[2]) and not self.insecure:
            raise UsageError(
                f"{self.place}: whoever reaches a scheduler without TLS runs code on its workers, and on this machine",
                hint="use tls://, or add --insecure where nobody else is on that network",
            )

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """A Dask client of it, with at least one worker. UsageError without Dask, SourceError if nobody answers."""
        self.judge()
        try:
            import dask
            import distributed
        except ImportError as error:
            raise UsageError("a fleet needs Dask", hint="pip install 'llamafile-format[fleet]'") from error
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        with dask.config.set(_SETTINGS), ExitStack() as stack:
            try:
                client = stack.enter_context(self._client(stack, distributed))
                client.wait_for_workers(1, timeout=_PATIENCE)
            except (OSError, TimeoutError, ValueError, RuntimeError) as error:
                raise SourceError(f"the executor {self.place} does not answer: {error}") from error
            yield client

    def _client(self, stack: ExitStack, distributed: Any) -> Any:
        if self.place != "local":
            secure = self.place.startswith("tls:")
            address = self.place if secure else self.place.replace("dask:", "tcp:", 1)
            security = distributed.Security() if secure else None
            if security is not None and security.get_connection_args("client").get("ssl_context") is None:
                raise UsageError(
                    f"{self.place} needs certificates",
                    hint="Dask's settings name them: DASK_DISTRIBUTED__COMM__TLS__CA_FILE, …__CLIENT__CERT and __KEY",
                )
            return distributed.Client(address, security=security, timeout=_PATIENCE, set_as_default=False)
        security = distributed.Security.temporary()  # other users of this machine reach a port on it, too
        workers = self.workers or os.cpu_count() or 1
        cluster = stack.enter_context(
            distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                worker_dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                dashboard=False,
                memory_limit=0,
                security=security,
                silence_logs=logging.CRITICAL,
            )
        )
        _keep(cluster, workers)
        return distributed.Client(cluster, security=security, set_as_default=False)


def _keep(cluster: Any, workers: int) -> None:
    """See to it that there are so many workers: Dask starts a killed one again, but none killed at its start."""
    from tornado.ioloop import PeriodicCallback

    def keep() -> None:
        """Forget who is gone, and start as many anew."""
        for name, worker in list(cluster.workers.items()):
            if worker.status.name in ("closed", "failed"):
                del cluster.workers[name]
        cluster.scale(workers)

    cluster.loop.add_callback(PeriodicCallback(keep, _KEEPING * 1000).start)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
