"""A run: what is new goes to the workers, shard by shard, and from them to the ledger (spec/1, 10.15.3).

A worker has one shard, and gets the next when the rows of the last are in the ledger. So whenever the coordinator is
killed, at most one shard for each worker is done again. All that is held at any time is those shards.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import IO, Any

from llamafile_format.errors import LlamafileError, SourceError
from llamafile_format.fleet.bounds import End
from llamafile_format.fleet.executor import Executor
from llamafile_format.fleet.inventory import Item
from llamafile_format.fleet.ledger import Ledger
from llamafile_format.fleet.row import CODES, PASSED_OVER, QUARANTINED, Row, quarantined
from llamafile_format.fleet.shard import Job, judge_shard
from llamafile_format.reports import WORST_FIRST

_LOOK = 2.0  # seconds after which it is asked again how many workers there are
_NAMED = 100  # quarantined objects that a tally names; the ledger has them all
_TRIES = 2  # times that a shard is given out; then its halves are, to find out whose fault it is

Shard = tuple[tuple[Item, str], ...]


@dataclass(slots=True)
class Tally:
    """How far a run is. ``before``: objects that the ledger had already; ``answers`` counts those too."""

    total: int = 0
    before: int = 0
    done: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    quarantined: list[Row] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Objects a second, since the workers began."""
        return self.done / max(time.monotonic() - self.began, 1e-6)

    @property
    def seconds_left(self) -> float:
        """Seconds that the rest will take at this rate."""
        return (self.total - self.done) / self.rate if self.done else 0.0

    @property
    def left_out(self) -> int:
        """How many more are quarantined, now or before, than ``quarantined`` holds."""
        return self.answers[QUARANTINED] - len(self.quarantined)

    @property
    def code(self) -> int:
        """The exit code: the worst of all objects, and 3 where there was none."""
        codes = {CODES.get(answer, 0) for answer in self.answers if answer != PASSED_OVER}
        return next((code for code in WORST_FIRST if code in codes), 3)

    def add(self, row: Row) -> None:
        """Count a row that is in the ledger now."""
        self.done += 1
        self.answers[row.answer] += 1
        if row.answer == QUARANTINED and len(self.quarantined) < _NAMED:
            self.quarantined.append(row)


def run(
    items: Iterable[Item],
    ledger: Ledger,
    job: Job,
    executor: Executor,
    *,
    shard: int = 100,
    told: Callable[[Tally], None] | None = None,
    again: bool = False,
) -> Tally:
    """Judge what ``ledger`` does not know yet of ``items``, in shards of so many; ``told`` hears how far it is.

    ``again``: what is quarantined is judged anew. SourceError if the executor goes away: what is in the ledger stays
    there, and the same run goes on from it.
    """
    tally = Tally()
    with tempfile.TemporaryFile("w+", encoding="ascii") as spool:
        _spool(items, ledger, tally, spool, again)
        if tally.total:
            with executor.connected() as client:
                tally.began = time.monotonic()
                _Run(client, ledger, job, tally, told).drain(_shards(spool, shard))
    return tally


def _spool(items: Iterable[Item], ledger: Ledger, tally: Tally, spool: IO[str], again: bool) -> None:
    """Write down what is to be done, each object once: then its number is known, and nobody holds the list."""
    seen: set[bytes] = set()
    for item in items:
        key = hashlib.blake2b(json.dumps([item.name, item.version]).encode("ascii"), digest_size=16).digest()
        if key in seen:
            continue
        seen.add(key)
        answer = ledger.known.answer(item.name, item.version)
        if answer and not (again and answer == QUARANTINED):
            tally.before += 1
            tally.answers[answer] += 1
        else:
            tally.total += 1
            unless = "" if item.version else ledger.known.learned(item.name)
            spool.write(json.dumps([asdict(item), unless]) + "\n")
    spool.seek(0)


def _shards(spool: IO[str], size: int) -> Iterator[Shard]:
    entries = ((Item(**item), unless) for item, unless in map(json.loads, spool))
    while part := tuple(itertools.islice(entries, size)):
        yield part


class _Run:
    """Gives out shards, one for each worker, and takes their rows."""

    def __init__(
        self, client: Any, ledger: Ledger, job: Job, tally: Tally, told: Callable[[Tally], None] | None
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._job = job
        self._tally = tally
        self._told = told
        self._given: dict[Any, tuple[Shard, int]] = {}
        self._back: deque[tuple[Shard, int]] = deque()
        self._workers = 0
        self._looked = 0.0

    def drain(self, shards: Iterator[Shard]) -> None:
        """Until nothing is left to give out and everything is back."""
        import distributed

        as_completed: Any = distributed.as_completed
        completed: Any = as_completed([], loop=self._client.loop)
        self._fill(completed, shards)
        for future in completed:
            part, tries = self._given.pop(future.key)
            self._take(future, part, tries)
            self._fill(completed, shards)

    def _fill(self, completed: Any, shards: Iterator[Shard]) -> None:
        while len(self._given) < self._window():
            part, tries = self._back.popleft() if self._back else (next(shards, ()), 0)
            if not part:
                return
            future = self._client.submit(judge_shard, self._job, part, pure=False, retries=0)
            self._given[future.key] = part, tries
            completed.add(future)

    def _window(self) -> int:
        now = time.monotonic()
        if now - self._looked > _LOOK:
            self._workers, self._looked = sum(self._client.nthreads().values()), now
        return max(self._workers, 1)

    def _take(self, future: Any, part: Shard, tries: int) -> None:
        """Write down what came back, or see who is at fault that nothing did."""
        if future.status == "finished":
            self._write(part, future.result())
        elif future.status == "error" and (fault := future.exception()) is not None and not _died(fault):
            raise _unable(fault)
        elif self._client.status != "running":
            raise SourceError("the scheduler has gone", hint="call the same command again: it goes on from the ledger")
        elif tries + 1 < _TRIES:
            self._back.append((part, tries + 1))
        elif len(part) > 1:
            half = len(part) // 2
            self._back += [(part[:half], 0), (part[half:], 0)]
        else:
            self._write(part, [quarantined(part[0][0], End.CRASHED, "every worker that had it died")])
        future.release()

    def _write(self, part: Shard, rows: Sequence[Row | None]) -> None:
        new = [row for row in rows if row is not None]
        if new:
            self._ledger.append(new)
        for (item, unless), row in zip(part, rows, strict=True):
            if row is not None:
                self._tally.add(row)
            else:
                self._tally.total -= 1
                self._tally.before += 1
                self._tally.answers[self._ledger.known.answer(item.name, unless)] += 1
        if self._told:
            self._told(self._tally)


def _died(error: BaseException) -> bool:
    from distributed.exceptions import WorkerStartTimeoutError
    from distributed.scheduler import KilledWorker

    return isinstance(error, KilledWorker | WorkerStartTimeoutError)


def _unable(error: BaseException) -> LlamafileError:
    if isinstance(error, LlamafileError):
        return error
    return SourceError(
        f"the workers cannot verify: {type(error).__name__}: {error}"[:500],
        hint="they need this version of llamafile-format, and of Python and Dask",
    )
