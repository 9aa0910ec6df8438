"""Numbers for people: sizes with binary units, counts with groups of digits, large counts in words, shares."""

from __future__ import annotations

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_LARGE = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"))


def size_text(size: int) -> str:
    """``size`` bytes in three figures and a binary unit: ``1.13 MiB``, ``44 B``."""
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    return f"{size:,} B" if not unit else f"{three_figures(value)} {_UNITS[unit]}"


def three_figures(value: float) -> str:
    """``value`` in three figures: ``9.50``, ``42.1``, ``812``."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"


def grouped(number: int) -> str:
    """``1253103`` as ``1,253,103``."""
    return f"{number:,}"


def in_words(number: int) -> str:
    """A large count as people say it, ``7.24 billion``; below a million with groups of digits."""
    for scale, word in _LARGE:
        if number >= scale:
            return f"{three_figures(number / scale)} {word}"
    return grouped(number)


def plural(number: int, word: str, words: str = "") -> str:
    """``1 layer``, ``5 layers``."""
    return f"{number:,} {word if number == 1 else words or word + 's'}"


def percent(share: float) -> str:
    """A share between 0 and 1: ``94.6%``; nothing that is there reads as 0, and less than all never as 100."""
    if 0 < share < 0.001:
        return "<0.1%"
    return f"{min(share * 100, 99.9) if share < 1 else 100.0:.1f}%"


def alignment_text(boundary: int) -> str:
    """An alignment in bytes: ``64 KiB``, ``32``."""
    return f"{boundary >> 10} KiB" if boundary >= 1024 else str(boundary)


def span_of(values: tuple[int, ...]) -> str:
    """One number, or the range of several: ``8``, ``4 to 8``."""
    if not values:
        return ""
    low, high = min(values), max(values)
    return grouped(low) if low == high else f"{grouped(low)} to {grouped(high)}"
