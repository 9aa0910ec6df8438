"""The kinds of values that stand in a trust policy: dates, words, counts, and files beside it (spec/1, 16.2.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from llamafile_format.errors import FormatError, SourceError
from llamafile_format.source import read_small
from llamafile_format.strict_fields import Fields

if TYPE_CHECKING:
    from llamafile_format.signing.keys.key import PublicKey

MAX_FILE = 1 << 20  # bytes, of the policy and of each file that it names
_MAX_COUNT = 1 << 63
_DATE = re.compile(r"[0-9]{4}-[0-9][0-9]-[0-9][0-9](?:T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]Z)?")
W = TypeVar("W", bound=StrEnum)


def parse_moment(text: str) -> datetime:
    """The moment that a day, or a day and time in UTC, means. ValueError for anything else."""
    if not _DATE.fullmatch(text):
        raise ValueError("a date is 2026-01-31 or 2026-01-31T12:00:00Z")
    return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)


def moment(fields: Fields, name: str, value: Any) -> datetime:
    """The date ``value``. YAML reads an unquoted one by itself; a quoted one comes as text."""
    if isinstance(value, datetime):
        if value.tzinfo is not None and not value.utcoffset() and not value.microsecond:
            return value.astimezone(UTC)
    elif isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    elif isinstance(value, str):
        try:
            return parse_moment(value)
        except ValueError:  # the error below says what is allowed
            pass
    raise fields.wrong(name, str(value), "2026-01-31 or 2026-01-31T12:00:00Z")


def date_of(fields: Fields, name: str) -> datetime | None:
    """A date that may be absent."""
    return moment(fields, name, fields.take(name)) if fields.has(name) else None


def window(fields: Fields) -> tuple[datetime | None, datetime | None]:
    """``valid_from`` and ``valid_until``, in this order."""
    first, end = date_of(fields, "valid_from"), date_of(fields, "valid_until")
    if first and end and first >= end:
        raise fields.wrong("valid_until", end.isoformat(), "a date after valid_from")
    return first, end


def mapping(fields: Fields, name: str) -> dict[str, Any]:
    """A mapping of texts to anything; empty where the field is absent."""
    value = fields.take(name) if fields.has(name) else {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise fields.wrong(name, value, "a mapping")
    return value


def word(fields: Fields, name: str, value: Any, words: Iterable[str]) -> str:
    """``value``, if it is one of ``words``."""
    known = [str(each) for each in words]
    if not isinstance(value, str) or value not in known:
        raise fields.wrong(name, value, " or ".join(known) if len(known) < 12 else "a name that is registered")
    return value


def choice(fields: Fields, name: str, kind: type[W], default: W) -> W:
    """One of the words of ``kind``, or ``default`` where the field is absent."""
    return kind(word(fields, name, fields.take(name), kind)) if fields.has(name) else default


def count(fields: Fields, name: str, *, least: int, default: int, most: int = _MAX_COUNT - 1) -> int:
    """A whole number from ``least`` to ``most``, or ``default`` where the field is absent."""
    if not fields.has(name):
        return default
    value = fields.number(name)
    if not least <= value <= most:
        raise fields.wrong(name, value, f"a whole number from {least} to {most}")
    return value


def beside(fields: Fields, name: str, value: str, folder: Path) -> bytes:
    """The bytes of the file ``value``, relative to the policy's ``folder``. FormatError that names the field."""
    path = PurePosixPath(value)
    if not value or path.is_absolute() or "\\" in value:
        raise fields.wrong(name, value, "a path relative to the policy's folder, with / between its parts")
    try:
        return read_bounded(folder.joinpath(*path.parts))
    except SourceError as error:
        raise fields.wrong(name, error.message, "a file that can be read") from error


def read_bounded(path: Path) -> bytes:
    """All of a small file. SourceError if it cannot be read, FormatError if it is too long."""
    data = read_small(path, MAX_FILE)
    if len(data) > MAX_FILE:
        raise FormatError(f"{path} is too long", found=f"more than {MAX_FILE} bytes", clause="16.2.2")
    return data


def public_keys(fields: Fields, name: str, data: bytes) -> tuple[PublicKey, ...]:
    """The public keys in ``data``: PEM, or lines of OpenSSH."""
    from llamafile_format.signing.keys.key_files import parse_public

    try:
        return parse_public(data, name)
    except FormatError as error:
        raise fields.wrong(name, error.message, "public keys in PEM, or lines of OpenSSH") from error


def roots(fields: Fields, folder: Path) -> tuple[bytes, ...]:
    """The certificates (DER) in the files of the field ``roots``; at least one."""
    from llamafile_format.signing.x509.certificates import read_certificates

    found: list[bytes] = []
    for index, value in enumerate(fields.texts("roots")):
        name = f"roots[{index}]"
        data = beside(fields, name, value, folder)
        try:
            found += read_certificates(data, name)
        except FormatError as error:
            raise fields.wrong(name, error.message, "certificates in PEM or DER") from error
    if not found:
        raise fields.wrong("roots", [], "at least one file of certificates")
    return tuple(found)
