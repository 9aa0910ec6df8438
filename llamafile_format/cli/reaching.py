"""The options of commands that read FILE, which may be on another machine (spec/1, 10.12)."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from llamafile_format.errors import SourceError, UsageError
from llamafile_format.source.address import HUB, STORES, Address, is_remote, read_address
from llamafile_format.source.foreign_object import foreign_address, is_foreign
from llamafile_format.source.pending import refuse_pending
from llamafile_format.source.proxies import Proxies
from llamafile_format.source.small import read_small
from llamafile_format.source.traffic import LOOK, WHOLE, read_limits

if TYPE_CHECKING:
    from llamafile_format.source import ByteSource

_F = TypeVar("_F", bound=Callable[..., Any])

_TOKEN = re.compile(rb"[!-~]{1,4096}")
_TOKEN_VARIABLE, _HOST_VARIABLE = "LFF_TOKEN", "LFF_TOKEN_HOST"
_HUB_VARIABLE, _HUB_TOKEN_VARIABLE = "HF_ENDPOINT", "HF_TOKEN"


@dataclass(frozen=True, slots=True)
class Reach:
    """How files are reached that have an address instead of a path. ``typed``: whoever runs us has typed them all."""

    limits: tuple[str, ...]
    ca_file: str
    token_file: str
    typed: bool = False

    def judge(self, names: Iterable[str]) -> None:
        """UsageError, before anything is asked for, if an address is none or the token could go astray."""
        read_limits(self.limits, WHOLE)
        foreign = [foreign_address(name) for name in names if self._is_foreign(name)]
        if foreign and (self.token_file or self.ca_file):
            raise UsageError(
                f"--token-file and --ca-file are not for {foreign[0].name}",
                hint="the package for its scheme has its own",
            )
        addresses = [_address(name) for name in names if is_remote(name) and not self._is_foreign(name)]
        if self.token_file and any(address.origin[0] in STORES for address in addresses):
            raise UsageError(
                "--token-file is for servers", hint="a store takes keys from its own variables, AWS_… and the like"
            )
        if self.token_file and len({address.origin for address in addresses}) > 1:
            raise UsageError("--token-file is for one host", hint="call the command once for each host")
        for address in addresses:
            self._token(address)
        if addresses:
            Proxies.of(os.environ)

    @contextmanager
    def opened(self, name: str, *, whole: bool) -> Iterator[str | ByteSource]:
        """``name`` itself if it is a path without a pending change, else a source; ``whole``: all of it may be read."""
        if not is_remote(name):
            refuse_pending(name)
            yield name
            return
        from llamafile_format.source.opening import open_foreign, open_remote

        limits = read_limits(self.limits, WHOLE if whole else LOOK)
        if self._is_foreign(name):
            with open_foreign(name, limits=limits) as source:
                yield source
            return
        token = self._token(_address(name))
        with open_remote(
            name,
            limits=limits,
            ca_file=self.ca_file,
            token=token,
            hub=_hub(),
            settings=os.environ,
            proxies=Proxies.of(os.environ),
        ) as source:
            yield source

    def _is_foreign(self, name: str) -> bool:
        return self.typed and is_foreign(name)

    def _token(self, address: Address) -> str:
        """The token for the host of ``address``, or an empty text. UsageError if others could read it on its way."""
        token = _from_file(self.token_file) if self.token_file else _from_environment(address)
        if token and not address.private:
            raise UsageError(f"{address.name}: a token is not sent over http", hint="ask by https")
        return token


def hub_terms(name: str) -> dict[str, str]:
    """``hub`` and ``token`` for the address ``name``, by the variables of the hub's own tools and by ours.

    UsageError as :meth:`Reach.judge` raises it.
    """
    return {"hub": _hub(), "token": Reach((), "", "")._token(_address(name))}


def _hub() -> str:
    return os.environ.get(_HUB_VARIABLE) or HUB


def _address(name: str) -> Address:
    return read_address(name, _hub())


def _from_file(path: str) -> str:
    try:
        return _token(read_small(path, 4098), f"--token-file {path}")
    except SourceError as error:
        raise UsageError(error.message, hint=error.hint) from error


def _from_environment(address: Address) -> str:
    token, host = os.environ.get(_TOKEN_VARIABLE, ""), os.environ.get(_HOST_VARIABLE, "")
    if token and not host:
        raise UsageError(
            f"{_TOKEN_VARIABLE} is set and {_HOST_VARIABLE} is not", hint="say which host the token is for"
        )
    _, name, port = address.origin
    if token and host.lower() in (name, f"{name}:{port}"):
        return _token(token.encode(), _TOKEN_VARIABLE)
    mine = os.environ.get(_HUB_TOKEN_VARIABLE, "") if address.name.startswith("hf://") else ""
    return _token(mine.encode(), _HUB_TOKEN_VARIABLE) if mine else ""


def _token(data: bytes, where: str) -> str:
    if not _TOKEN.fullmatch(data.strip()):
        raise UsageError(f"{where} holds no token", hint="a token is one line of ASCII without blanks")
    return data.strip().decode("ascii")


def reaching(function: _F) -> _F:
    """``--ca-file``, ``--token-file`` and ``--limit``; the function gets them as ``reach``."""

    @functools.wraps(function)
    def wrapped(*args: Any, limits: tuple[str, ...], ca_file: str, token_file: str, **others: Any) -> Any:
        """``function``, with the three options as one."""
        return function(*args, reach=Reach(limits, ca_file, token_file, typed=True), **others)

    for decorate in (
        click.option(
            "--limit",
            "limits",
            multiple=True,
            metavar="NAME=N",
            help="Of a FILE that is an address: read at most so many requests, rounds, bytes or seconds.",
        ),
        click.option("--token-file", metavar="FILE", default="", help="Send this token to the host of FILE."),
        click.option(
            "--ca-file", metavar="FILE", default="", help="Trust these certificates of hosts, instead of the system's."
        ),
    ):
        wrapped = decorate(wrapped)
    return wrapped  # type: ignore[return-value]
