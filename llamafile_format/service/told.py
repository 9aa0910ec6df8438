"""The log: one JSON object a line, on standard error. No key, no query and no user part is ever in it (10.16.7)."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

_LOG = logging.getLogger("llamafile_format.gate")
_LONGEST = 1000


def say(event: str, **facts: Any) -> None:
    """Write ``event`` down, with ``facts``, which are plain values."""
    _LOG.info(event, extra={"facts": facts})


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """One line of ASCII: no string of a stranger ends it, or steers a terminal."""
        facts: dict[str, Any] = getattr(record, "facts", {})
        if record.exc_info:
            facts = facts | {"error": self.formatException(record.exc_info)[-4 * _LONGEST :]}
        known = {
            name: value[:_LONGEST] if isinstance(value, str) and name != "error" else value
            for name, value in facts.items()
        }
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        return json.dumps({"time": moment, "event": record.getMessage()[:_LONGEST], **known})


def start_log() -> None:
    """From now on what is said goes to standard error; what the libraries below say, only if it is an error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    for name, level in (
        ("llamafile_format.gate", logging.INFO),
        ("uvicorn", logging.ERROR),
        ("asyncio", logging.ERROR),
    ):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
