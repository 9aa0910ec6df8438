"""The application: what can be asked of a gate, and its page (spec/1, 10.16.6)."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.requests import ClientDisconnect

from llamafile_format import __version__
from llamafile_format.checks.verdict import Level
from llamafile_format.errors import FormatError, SourceError, UsageError
from llamafile_format.reports import printable
from llamafile_format.service.api import ID, NAME, Depth, Health, Problem, Reference, Told, told
from llamafile_format.service.badge import badge_svg
from llamafile_format.service.config import Gate, Key
from llamafile_format.service.documents import MEDIA, Form, document, report_of, summary
from llamafile_format.service.front import Front
from llamafile_format.service.jobs import Busy, Job, Jobs, State, new_id
from llamafile_format.service.judging import Workers
from llamafile_format.service.metrics import Metrics
from llamafile_format.service.page import page_routes
from llamafile_format.service.told import say
from llamafile_format.service.uploads import CutOff, TooLarge, Uploads

_WORDS = {
    400: "The body cannot be read.",
    401: "No valid key.",
    403: "Nothing that this gate asks for, or a level that it does not offer.",
    404: "No such job of this key.",
    408: "The upload was cut off.",
    409: "The job has not ended; Retry-After says when to ask again.",
    410: "The report was made by other rules than those of today.",
    411: "The length of the body is not said.",
    413: "More bytes than are taken.",
    422: "The request makes no sense.",
    429: "Too much at a time, or in a day; Retry-After says when to come again.",
}
_SOON = 2  # seconds until it is worth asking again
_PRUNING = 3600.0

Id = Annotated[str, Path(pattern=ID, description="Of a job.")]


def _answers(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": Problem, "description": _WORDS[code]} for code in codes}


class Refused(Exception):
    """An answer that says no."""

    def __init__(self, status: int, detail: str, wait: float = 0.0) -> None:
        super().__init__(detail)
        self.answer = JSONResponse(
            {"detail": detail[:2000]}, status, {"Retry-After": str(math.ceil(wait))} if wait else None
        )


@dataclass(frozen=True, slots=True)
class Office:
    """Everything that the routes need."""

    gate: Gate
    jobs: Jobs
    uploads: Uploads
    workers: Workers
    metrics: Metrics

    @classmethod
    def of(cls, gate: Gate) -> Office:
        """For ``gate``, whose folder is made if it is not there; what a kill has interrupted is queued again."""
        gate.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        jobs, metrics = Jobs(gate.state, gate.caps), Metrics()
        uploads = Uploads(gate, jobs)
        for job in jobs.recover():
            say("given up", job=job.id, name=job.name, tries=job.tries)
        uploads.tidy()
        return cls(gate, jobs, uploads, Workers(gate, jobs, uploads, metrics), metrics)

    def level(self, wanted: Depth | None) -> str:
        """The level of a job. Refused if it is not offered."""
        level = Level(wanted) if wanted else self.gate.levels[0]
        if level not in self.gate.levels:
            raise Refused(403, f"level {level.value} is not offered here")
        return str(level.value)

    def job(self, name: str, key: Key) -> Job:
        """The job of that id, if it is one of ``key``; nobody learns which others there are."""
        job = self.jobs.get(name)
        if job is None or job.holder != key.name:
            raise Refused(404, "no such job of this key")
        return job

    def told(self, job: Job) -> Told:
        """What is said of ``job``."""
        return told(job, self.jobs.report(job.id))


def make_app(gate: Gate) -> Front:
    """The application of ``gate``. Its workers begin with it and end with it."""
    office = Office.of(gate)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        """Workers, and a broom."""
        office.workers.start()
        broom = asyncio.create_task(_sweep(office))
        try:
            yield
        finally:
            broom.cancel()
            office.workers.close()

    app = FastAPI(
        title="llamafile gate",
        version=__version__,
        summary="Verifies llamafiles and says what is wrong with them.",
        docs_url=None,  # their pages come from other hosts
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_exception_handler(RequestValidationError, _makes_no_sense)
    app.add_exception_handler(Refused, lambda _, error: error.answer)
    app.add_exception_handler(Busy, _busy)
    app.add_exception_handler(sqlite3.Error, _cannot_write)
    app.include_router(_work(office))
    app.include_router(_state(office))
    page_routes(app, [level.value for level in gate.levels])
    return Front(app, gate, office.metrics)


def _work(office: Office) -> APIRouter:
    """What needs a key: the front has seen to that, and left it in ``request.state``."""
    bearer = Security(HTTPBearer(auto_error=False, scheme_name="key"))
    router = APIRouter(prefix="/v1", dependencies=[bearer, Depends(_known_words)], responses=_answers(401))

    @router.post("/jobs", status_code=202, responses=_answers(400, 403, 411, 413, 422, 429))
    def refer(request: Request, what: Reference) -> Told:
        """Have an object verified that lies elsewhere."""
        try:
            address = office.gate.allowed.judge(what.url)
        except (UsageError, SourceError) as error:
            raise Refused(403, error.message) from None
        key, level = request.state.key, office.level(what.level)
        office.uploads.room()
        return office.told(office.jobs.add(Job(new_id(), key.name, what.url, address.name, 0, level), key))

    kinds = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    body = {"requestBody": {"required": True, "content": kinds}}

    @router.post("/uploads", status_code=202, responses=_answers(403, 408, 411, 413, 422, 429), openapi_extra=body)
    async def upload(
        request: Request,
        name: Annotated[str, Query(pattern=NAME, description="What the file is called.")] = "upload",
        level: Depth | None = None,
    ) -> Told:
        """Have the body verified, which is the file itself. It is deleted when it has been judged."""
        return await _upload(office, request, name, office.level(level))

    @router.get("/jobs/{id}", responses=_answers(404, 422))
    def look(request: Request, id: Id) -> Told:  # noqa: A002
        """Where a job stands."""
        return office.told(office.job(id, request.state.key))

    media: dict[str, Any] = {kind: {"schema": {}} for kind in MEDIA.values()}
    forms: dict[int | str, dict[str, Any]] = {200: {"description": "The report.", "content": media}}

    @router.get("/jobs/{id}/report", response_class=Response, responses=forms | _answers(404, 409, 410, 422))
    def report(
        request: Request,
        id: Id,  # noqa: A002
        form: Annotated[Form, Query(alias="format")] = Form.JSON,
    ) -> Response:
        """What was found, in the form that is asked for."""
        job = office.job(id, request.state.key)
        if job.state in (State.QUEUED, State.RUNNING):
            raise Refused(409, f"the job is {job.state}", _SOON)
        try:
            text = document(form, report_of(job, office.jobs.report(id)))
        except FormatError as error:
            raise Refused(410, f"{error.message}: have it verified again") from None
        return Response(text, media_type=MEDIA[form])

    return router


def _known_words(request: Request) -> None:
    """Refuse what an operation does not know: ``levl=quick`` would be judged at another level, and nobody told."""
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    for word in request.query_params:
        if word not in known:
            raise Refused(422, f"query: {word[:64]!a} is not known here, {', '.join(sorted(known)) or 'nothing'} is")


async def _upload(office: Office, request: Request, name: str, level: str) -> Told:
    key, said = request.state.key, request.headers.get("content-length", "")
    if not (said.isascii() and said.isdecimal() and len(said) < 19):  # room is kept for what is announced
        raise Refused(411, "say how long the file is: Content-Length")
    length = int(said)
    job = Job(new_id(), key.name, "", printable(name), 0, level)
    try:
        await asyncio.to_thread(office.jobs.room, key)
        with office.uploads.promise(key, length):
            await office.uploads.receive(job.id, request.stream(), length)
            job = await asyncio.to_thread(_accept, office, job, key, length)
    except TooLarge as error:
        raise Refused(413, f"the upload has {error}") from None
    except (CutOff, ClientDisconnect) as error:
        raise Refused(408, f"the upload was cut off: {error}") from None
    except OSError as error:
        say("fault", error=str(error.strerror))
        raise Busy("the gate cannot write now", 60) from None
    office.metrics.received(length)
    return await asyncio.to_thread(office.told, job)


def _accept(office: Office, job: Job, key: Key, size: int) -> Job:
    """Both or neither: the bytes, which are on the disk, and the row that says so."""
    row = Job(job.id, job.holder, "", job.name, size, job.level)
    try:
        return office.jobs.add(row, key)
    except BaseException:
        office.uploads.drop(job.id)
        raise


def _state(office: Office) -> APIRouter:
    """What programs look at that watch over a gate, and pictures."""
    router = APIRouter()
    picture: dict[int | str, dict[str, Any]] = {200: {"description": "SVG.", "content": {"image/svg+xml": {}}}}

    @router.get("/v1/jobs/{id}/badge.svg", response_class=Response, responses=picture | _answers(404, 422))
    def badge(id: Id) -> Response:  # noqa: A002
        """A picture of the four verdicts. It needs no key: who knows the id, which nobody guesses, may see it."""
        job = office.jobs.get(id)
        if job is None:
            raise Refused(404, "no such job")
        waiting = str(job.state) if job.state in (State.QUEUED, State.RUNNING) else ""
        try:
            verdicts = {} if waiting else summary(report_of(job, office.jobs.report(id)))[2]
        except FormatError:
            waiting, verdicts = "outdated", {}
        if not verdicts and not waiting:
            waiting = "not judged"
        anywhere = {"Cross-Origin-Resource-Policy": "cross-origin"}  # it stands beside a file, on somebody else's page
        return Response(badge_svg(verdicts, waiting), media_type="image/svg+xml", headers=anywhere)

    @router.get("/healthz", responses={503: {"model": Health, "description": "It does not work."}})
    def health(response: Response) -> Health:
        """Whether jobs are accepted, and worked off."""
        office.jobs.counts()
        if not office.workers.alive:
            response.status_code = 503
        return Health(status="ok" if office.workers.alive else "no workers")

    numbers: dict[int | str, dict[str, Any]] = {200: {"description": "Numbers.", "content": {"text/plain": {}}}}

    @router.get("/metrics", response_class=Response, responses=numbers | _answers(401))
    def metrics() -> Response:
        """Numbers for Prometheus. Any key will do, or none, as the configuration says."""
        text = office.metrics.text(office.jobs.counts(), office.uploads.stored())
        return Response(text, media_type="text/plain; version=0.0.4")

    return router


async def _sweep(office: Office) -> None:
    while True:
        await asyncio.to_thread(office.jobs.prune)
        await asyncio.sleep(_PRUNING)


async def _makes_no_sense(_: Request, error: Exception) -> JSONResponse:
    """Where and why; what was sent is not repeated, as an address can hold a secret."""
    assert isinstance(error, RequestValidationError)
    parts = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:8]]
    return JSONResponse({"detail": "; ".join(parts)[:2000].encode("ascii", "backslashreplace").decode()}, 422)


async def _cannot_write(_: Request, error: Exception) -> JSONResponse:
    """The queue is on a disk that is full, or gone: nothing was accepted, and it may be later."""
    say("fault", error=f"{type(error).__name__}: {error}"[:500])
    return Refused(429, "the gate cannot write now", 60).answer


async def _busy(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Busy)
    return Refused(429, error.why, error.seconds).answer
