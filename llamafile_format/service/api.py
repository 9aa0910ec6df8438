"""What is asked and answered, as the OpenAPI description tells it."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from llamafile_format.errors import FormatError
from llamafile_format.service.documents import report_of, summary
from llamafile_format.service.jobs import Job, State

ID = r"^[0-9a-f]{32}$"
NAME = r"^[^\x00-\x1f\x7f/\\]{1,200}$"


class Depth(StrEnum):
    """How much is looked at: levels that start nothing of a file."""

    QUICK = "quick"
    FULL = "full"
    EXHAUSTIVE = "exhaustive"


class Reference(BaseModel):
    """An object elsewhere, on a host, in a bucket or in a repository that this gate's list has."""

    model_config = ConfigDict(extra="forbid")
    url: Annotated[str, Field(pattern=r"^(https|hf|s3|gs|az)://[!-~]{1,8000}$", examples=["hf://ORG/NAME/m.llamafile"])]
    level: Annotated[
        Depth | None, Field(description="How much to look at; the gate's first level, if none is named.")
    ] = None


class Problem(BaseModel):
    """Why not."""

    detail: str


class Health(BaseModel):
    """Whether this gate works."""

    status: str


class Told(BaseModel):
    """Where a job stands. ``status``, ``message`` and ``verdicts`` are there when it has ended."""

    id: Annotated[str, Field(pattern=ID)]
    state: State
    name: Annotated[str, Field(description="Of the file; of an address what may be shown of it.")]
    size: Annotated[int, Field(description="Of an upload, in bytes; else 0.")]
    level: str
    created: datetime
    ended: datetime | None = None
    status: Annotated[str, Field(description="safe, caution, suspicious, unsafe, error or unscanned; queued before.")]
    message: str
    verdicts: dict[str, str]
    report: Annotated[str, Field(description="Where the report is; ?format= names another form than JSON.")]
    badge: Annotated[str, Field(description="A picture of the verdicts, which needs no key.")]


def told(job: Job, value: dict[str, Any] | None) -> Told:
    """What is said of ``job``, whose report is ``value`` if it is done."""
    status, message = "queued", ""
    verdicts: dict[str, str] = {}
    if job.state in (State.DONE, State.FAILED):
        try:
            status, message, verdicts = summary(report_of(job, value))
        except FormatError:
            status, message = "unscanned", "verified by other rules than those of today: have it verified again"
    return Told(
        id=job.id,
        state=job.state,
        name=job.name,
        size=job.size,
        level=job.level,
        created=datetime.fromtimestamp(job.created, UTC),
        ended=datetime.fromtimestamp(job.ended, UTC) if job.ended else None,
        status=status,
        message=message,
        verdicts=verdicts,
        report=f"/v1/jobs/{job.id}/report",
        badge=f"/v1/jobs/{job.id}/badge.svg",
    )
