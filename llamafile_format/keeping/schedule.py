"""``scrub --schedule``: the same run as a systemd timer and as a line for cron, ready to use."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from llamafile_format.errors import UsageError

_ESCAPED = {"\\": "\\\\", '"': '\\"', "%": "%%", "$": "$$"}


def schedule(command: Sequence[str], *, daily: bool) -> str:
    """The text of unit, timer and cron line that run ``command``, a day or a week after the other.

    UsageError for a word with a control character: neither of the two has a way to write each of them.
    """
    for word in command:
        if any(ord(character) < 32 or ord(character) == 127 for character in word):
            raise UsageError(f"{word!r} has a control character", hint="cron has no way to write it: rename it")
    when, clock = ("daily", "17 3 * * *") if daily else ("weekly", "17 3 * * 0")
    return "\n".join(
        (
            "# /etc/systemd/system/llamafile-scrub.service",
            "[Unit]",
            "Description=Check kept llamafiles for damage",
            "",
            "[Service]",
            "Type=oneshot",
            "Nice=19",
            "IOSchedulingClass=idle",
            f"ExecStart={' '.join(map(_unit, command))}",
            "",
            "# /etc/systemd/system/llamafile-scrub.timer (then: systemctl enable --now llamafile-scrub.timer)",
            "[Unit]",
            "Description=Check kept llamafiles for damage",
            "",
            "[Timer]",
            f"OnCalendar={when}",
            "Persistent=true",
            "RandomizedDelaySec=1h",
            "",
            "[Install]",
            "WantedBy=timers.target",
            "",
            "# or a line of a crontab (crontab -e); cron sends what is printed, which is nothing if all is well",
            f"{clock} {' '.join(map(_cron, command))}",
            "",
        )
    )


def _unit(word: str) -> str:
    """``word`` as systemd.service(5) quotes it: specifiers and variables are doubled."""
    return f'"{"".join(_ESCAPED.get(character, character) for character in word)}"'


def _cron(word: str) -> str:
    """``word`` for ``sh``, behind cron, which ends a command at the first bare percent sign."""
    return shlex.quote(word).replace("%", "\\%")
