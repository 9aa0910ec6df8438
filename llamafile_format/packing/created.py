"""Times that end up in files: what the user asked for, ``SOURCE_DATE_EPOCH``, or the clock if it was asked for."""

from __future__ import annotations

import datetime as dt
import os

from llamafile_format.errors import UsageError

_FORM = "%Y-%m-%dT%H:%M:%SZ"


def created_text(wanted: str) -> str:
    """The manifest's ``created``: what was asked for, ``now``, ``SOURCE_DATE_EPOCH``, or nothing."""
    if not wanted:
        return _epoch()
    return _now() if wanted == "now" else _written(wanted)


def declared_text(wanted: str) -> str:
    """A statement's ``declared_time``: what was asked for, or nothing for ``none``; else ``SOURCE_DATE_EPOCH`` or now.

    Unlike a container, a signature is made at a moment, and people want to know it.
    """
    return "" if wanted == "none" else created_text(wanted) or _now()


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime(_FORM)


def _epoch() -> str:
    seconds = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not seconds:
        return ""
    if not seconds.isascii() or not seconds.isdigit() or len(seconds) > 11:
        raise UsageError(f"SOURCE_DATE_EPOCH is {seconds!r}, not a number of seconds")
    return dt.datetime.fromtimestamp(int(seconds), dt.UTC).strftime(_FORM)


def _written(wanted: str) -> str:
    try:
        moment = dt.datetime.fromisoformat(wanted)
    except ValueError:
        raise UsageError(f"{wanted!r} is not a time", hint="write it as 2026-11-20T00:00:00Z, or now") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return moment.astimezone(dt.UTC).strftime(_FORM)
