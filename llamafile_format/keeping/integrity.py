"""The row *Integrity* of the NDSA Levels of Digital Preservation (version 2.0, 2019), as far as a program can see it.

The other rows (storage, control, metadata, content) are about copies, places and people; docs/archive.md says what each
level needs, and which command serves it. A level is reached only with all below it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one file. ``whole``: every byte was proven at least once; ``again``: once more after that;
    ``overdue``: not within the interval; ``apart``: the state lies on another file system; ``wrong``: it is damaged,
    changed or missing. ``protected``: recovery data that are up to date."""

    tracked: bool
    whole: bool
    again: bool
    overdue: bool
    apart: bool
    scanned: bool
    protected: bool
    wrong: bool


@dataclass(frozen=True, slots=True)
class Level:
    """``reached`` is 0 to 4, ``lacking`` what keeps it from the next one."""

    reached: int
    lacking: tuple[str, ...] = ()


UNKNOWN = Level(0)
"""Of a file that nobody has looked at."""


def level_of(seen: Seen) -> Level:
    """The level of one file."""
    demands: tuple[tuple[tuple[bool, str], ...], ...] = (
        (
            (seen.tracked, "no digests of it are recorded: run `scrub`"),
            (seen.whole, "not every byte of it has been proven yet: go on with `scrub`"),
            (not seen.wrong, "it is not as it was recorded"),
            (seen.scanned, 'no virus check is written down: `events FILE --add "virus check" --outcome pass`'),
        ),
        ((seen.apart, "the recorded digests lie on the file system of the file: keep the state on another medium"),),
        (
            (seen.again, "it was proven once, and not again at an interval: schedule `scrub`"),
            (not seen.overdue, "the last proof is older than the interval: run `scrub`"),
        ),
        ((seen.protected, "nothing can repair it: `protect`, or renew what is out of date with `protect --update`"),),
    )
    for reached, demanded in enumerate(demands):
        lacking = tuple(text for fulfilled, text in demanded if not fulfilled)
        if lacking:
            return Level(reached, lacking)
    return Level(len(demands))
