"""Starting what is in a file, on behalf of its user: verified first, weights in place (spec/1, 14.3).

Every chunk is read the first time that a file is met; the build that will run is read and hashed whole. Then a copy of
it in the private cache is started on the very file that was verified. No shell takes part.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from llamafile_format.container import Container, Kind
from llamafile_format.engines.handover import VARIABLE, hand_over, takes_descriptor
from llamafile_format.engines.members import RuntimeName
from llamafile_format.engines.pin import Flavour
from llamafile_format.errors import FormatError, NotAuthentic, SourceError
from llamafile_format.manifest.model import MAX_MANIFEST
from llamafile_format.rules import Severity, rule
from llamafile_format.running.accepted_arguments import refuse_unaccepted
from llamafile_format.running.builds import Program, Selection, installed, program_for
from llamafile_format.running.default_model import default_model
from llamafile_format.running.guard import Demand, verified
from llamafile_format.running.matching import refuse_gguf, refuse_without_libraries, strange_to
from llamafile_format.running.shut_in import shut_in
from llamafile_format.source import FileSource, Identity

if TYPE_CHECKING:
    from types import FrameType

    from llamafile_format.weights.gguf_model import Gguf

BUNDLE = "/zip/"
_SERVER = "--server"
"""What has a program start its server whatever else it could do (14.6.3)."""
GPU = "LFF_GPU"
"""The variable that chooses a graphics processor (14.6.16); what the user's environment says of it is passed on."""
_OURS = (
    "LFF_CONTAINER",
    VARIABLE,
    "LFF_FURTHER_FD",
    "LFF_WEIGHTS_OFFSET",
    "LFF_WEIGHTS_SIZE",
    "LFF_WEBUI",
)
_WATCHED = 1.0  # seconds in which a runtime has opened its file
_UNPROVEN = (
    "this system cannot hand over an open file: it is compared before and after the start, which does not prove that "
    "the program opened no other in between"
)
_FORWARDED = ("SIGTERM", "SIGHUP", "SIGINT")


@dataclass(frozen=True, slots=True)
class Start:
    """A program that is ready to be started. ``embedded`` tells a build of the file from one of this installation.

    ``checked`` is open on the very program that was hashed; None where a system starts programs by their path only.
    ``file`` is the path that it opens and ``descriptor`` what that path leads to, open until the start; None where a
    program cannot be given one. Then ``watched`` is the identity that the path must keep, if somebody relies on it.
    ``notes`` are sentences for the user. Values in them come from files: escape them on output.
    """

    program: Path
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    build: RuntimeName
    embedded: bool
    file: Path = Path()
    notes: tuple[str, ...] = ()
    checked: int | None = None
    descriptor: int | None = None
    watched: Identity | None = None
    before: tuple[str, ...] = ()
    """What runs the program, which is a text then, with its words (14.10.5); empty for programs."""


def prepare(
    what: str | os.PathLike[str],
    arguments: Sequence[str] = (),
    wanted: Selection | None = None,
    demand: Demand | None = None,
) -> Start:
    """Verify the file ``what`` (a container, a legacy llamafile or a plain GGUF) and get its runtime ready.

    Raises FormatError with the rule that is broken, NotAuthentic if nobody vouches whom the policy trusts, UsageError
    if there is no fitting build, SourceError.
    """
    settled = (wanted or Selection()).settled()
    begin = _prepared(Path(what), arguments, settled, demand or Demand())
    gpu = "" if begin.before else settled.gpu  # what is shut in gets no variable that it has no use for (14.10.5)
    return replace(begin, environment={**begin.environment, GPU: gpu}) if gpu else begin


def _prepared(
    path: Path, arguments: Sequence[str], wanted: Selection, demand: Demand, *, opener: Path | None = None
) -> Start:
    """See :func:`prepare`. ``opener`` is the small program that opens ``path``, which opens nothing in its turn."""
    if _is_plain(path):
        return _plain(path, arguments, wanted, demand)
    with verified(path, demand) as (container, doubts):
        if container.manifest is not None and container.manifest.prefix.sibling is not None:
            if opener is not None:
                raise FormatError(
                    f"{opener.name} was not started: {path.name}, which it opens, opens another file in its turn",
                    clause="14.4.3",
                )
            return _prepared(_sibling(container, path), arguments, wanted, demand, opener=path)
        if demand.policy is not None:
            _refuse_unverified(arguments)
        program = program_for(container, wanted)
        if not program.embedded:  # what reads the arguments is not what verify judged them by
            engine = (program.build.engine, program.build.version)
            refuse_unaccepted(container, demand.accept, instead=engine)
        begin = _on_container(container, program, arguments)
        begin = replace(begin, notes=(*doubts, *program.notes, *begin.notes))
        takes = takes_descriptor(program.sha256)
        if takes and demand.accept:
            accepted = [word for name in demand.accept for word in ("--accept-args", name)]
            begin = replace(begin, arguments=(*accepted, *begin.arguments))
        return _handed_over(begin, container, path, takes=takes, relied_on=demand.policy is not None)


def _refuse_unverified(arguments: Sequence[str]) -> None:
    """FormatError for models that the user's own arguments name outside the file: nobody has vouched for those."""
    from llamafile_format.prefix.argument_options import named_members, read_options
    from llamafile_format.prefix.argument_tables import choose_table
    from llamafile_format.prefix.arguments import Arguments, Dialect
    from llamafile_format.prefix.arguments_token import literal

    given = Arguments(Dialect.NATIVE, tuple(map(literal, arguments)), None)
    for option in read_options(given, choose_table(Dialect.NATIVE).table):
        if option.row is None or not option.row.role or not option.values:
            continue
        for name in named_members(option.values[0], option.row.kind):
            if not name.startswith(BUNDLE):
                raise FormatError(
                    f"{option.written} {name[:200]} was not verified: under a policy or a key what runs is in the file",
                    clause="14.3.7",
                    hint="leave it out, or pack it into a file that is signed",
                )


def _is_plain(path: Path) -> bool:
    """True for a GGUF that lies by itself. One in front of an archive is what ``verify`` takes it for (3.2.1)."""
    with FileSource(path) as source:
        if source.read_at(0, min(4, source.size)) != b"GGUF":
            return False
        with Container(source) as container:
            return container.kind is Kind.OTHER


def start(begin: Start) -> int:
    """Become the program (on POSIX), or run it and return its exit status. SourceError if it cannot be started."""
    command = [*(begin.before or [os.fspath(begin.program)]), *begin.arguments]
    try:
        if begin.watched is not None:
            return _start_watched(begin, command)
        if os.name == "posix":
            for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores them, and a new program would inherit that
                if hasattr(signal, name):
                    signal.signal(getattr(signal, name), signal.SIG_DFL)
            if begin.descriptor is not None:
                os.set_inheritable(begin.descriptor, True)
            _become(begin, command)
        inherits = begin.descriptor is not None
        return _wait(subprocess.Popen(command, env=dict(begin.environment), close_fds=not inherits))
    except OSError as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(
            f"cannot start {begin.program}: {error.strerror or error}",
            hint=f"it is the build for {begin.build.target}; is this such a system?",
        ) from error


def _become(begin: Start, command: list[str]) -> None:
    """Replace this process by the very program that was checked, whatever its path leads to by now (14.2.8)."""
    environment = dict(begin.environment)
    if begin.before:  # it reads the text itself, and compares
        os.execve(begin.before[0], command, environment)
    if begin.checked is None:
        os.execve(begin.program, command, environment)
        return
    if os.pread(begin.checked, 2, 0) == b"#!":  # a script: its interpreter opens the descriptor by a path
        os.set_inheritable(begin.checked, True)
    os.execve(begin.checked, command, environment)


def _start_watched(begin: Start, command: Sequence[str]) -> int:
    """Run the program where it cannot be given the open file: the path must lead to the same file before and after.

    What this does not prove: that the program, between the two, opened no other file that was there for a moment.
    """
    _same(begin)
    process = subprocess.Popen(command, env=dict(begin.environment))
    with _forwarding(process):
        deadline = time.monotonic() + _WATCHED
        while time.monotonic() < deadline and process.poll() is None:
            try:
                _same(begin)
            except FormatError:
                process.kill()
                process.wait()
                raise
            time.sleep(0.02)
        return _wait(process)


def _same(begin: Start) -> None:
    """FormatError unless the path of ``begin`` leads to the file that was verified, unchanged."""
    with suppress(OSError):
        if Identity.of(begin.file.stat()) == begin.watched:
            return
    raise FormatError(
        f"{begin.file} is not, or no longer, the file that was verified: it was not started", clause="14.3.7"
    )


@contextmanager
def _forwarding(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Signals that would end this process go to ``process``, which ends in its own way."""

    def forward(number: int, _frame: FrameType | None) -> None:
        """The handler; the console of Windows tells both by itself."""
        if os.name == "posix":
            process.send_signal(number)

    usual = {name: signal.signal(getattr(signal, name), forward) for name in _FORWARDED if hasattr(signal, name)}
    try:
        yield
    finally:
        for name, handler in usual.items():
            signal.signal(getattr(signal, name), handler)


def _wait(process: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            status = process.wait()
        except KeyboardInterrupt:  # the console sends it to the program too, which ends in its own way
            continue
        return status if status >= 0 else 128 - status  # as a shell tells the signal that ended it


def _sibling(container: Container, path: Path) -> Path:
    """The container that the small program at ``path`` was made for. FormatError if what lies beside it is another."""
    assert container.manifest is not None
    bound = container.manifest.prefix.sibling
    assert bound is not None
    beside = path.with_suffix(".llamafile")
    if not beside.is_file():
        raise SourceError(f"{path.name} opens {beside.name}, which is not beside it", hint="keep both in one folder")
    with FileSource(beside) as source:
        own = _source(container).identity
        if (source.identity.device, source.identity.inode) == (own.device, own.inode):
            raise FormatError(
                f"{path} was not started: it says that it opens another file, and is that file", clause="14.4.3"
            )
        inside = bound.offset + bound.size <= source.size and bound.size <= MAX_MANIFEST
        data = source.read_at(bound.offset, bound.size) if inside else b""
    if hashlib.sha256(data).hexdigest() != bound.sha256:
        raise FormatError(f"{beside} is not the file that {path.name} was made for", clause="14.4.3")
    return beside


def _on_container(container: Container, program: Program, arguments: Sequence[str]) -> Start:
    """A start on a container or legacy llamafile, but for the file that it opens."""
    environment, notes = _environment(program), list[str]()
    model = default_model(container)
    before = shut_in(container, model, program.sha256, program.path)
    if before:
        if _SERVER in arguments:
            raise FormatError(
                f"{container.name} was not started: its engine has no server",
                clause="14.10",
                hint="llamafile-format complete FILE -p TEXT",
            )
        begin = Start(program.path, tuple(arguments), {}, program.build, program.embedded, before=before)
        return replace(begin, checked=program.descriptor)
    if model is not None:
        environment["LFF_WEIGHTS_OFFSET"], environment["LFF_WEIGHTS_SIZE"] = str(model.offset), str(model.size)
        notes += _mapping(_source(container), model.offset)
        if not _speaks_ours(container):
            arguments = ["-m", BUNDLE + model.path, *arguments]
            notes.append(
                "its default arguments were written for another engine; what this one does not know, it refuses"
            )
        if program.pin is not None:
            notes += strange_to(container, model, program.pin)
    refuse_without_libraries(container, program)
    begin = Start(program.path, tuple(arguments), environment, program.build, program.embedded)
    return replace(begin, notes=tuple(notes), checked=program.descriptor)


def _handed_over(begin: Start, container: Container, path: Path, *, takes: bool, relied_on: bool) -> Start:
    """``begin`` on the very file that is open, where a program can be given it; else on its path (14.3.7)."""
    source = _source(container)
    handed = hand_over(source, path, takes=takes)
    environment = {**begin.environment, **handed.environment}
    file = path.absolute() if takes else Path(handed.environment["LFF_CONTAINER"])
    begin = replace(begin, environment=environment, file=file, descriptor=handed.descriptor)
    if handed.descriptor is not None or not relied_on:
        return begin
    return replace(begin, watched=source.identity, notes=(*begin.notes, _UNPROVEN))


def _source(container: Container) -> FileSource:
    source = container.origin
    assert isinstance(source, FileSource)  # it was opened by its path
    return source


def _speaks_ours(container: Container) -> bool:
    """True unless ``.args`` was written for an engine of upstream's."""
    return container.manifest is not None and container.manifest.prefix.kind in ("none", "launcher")


def _plain(path: Path, arguments: Sequence[str], wanted: Selection, demand: Demand) -> Start:
    """A start on a GGUF that lies by itself; of a split one, on its first shard."""
    from llamafile_format.checks.fitting import check_fit
    from llamafile_format.packing import expand_splits

    if demand.policy is not None:
        raise NotAuthentic(
            f"{path} was not started: a plain GGUF has nobody who vouches for it",
            hint="pack it into a container and sign that, or start it without a policy",
        )
    shards = expand_splits([path])
    program = installed(wanted)
    assert program.pin is not None
    refuse_gguf(path.name, path.name, program.pin)
    notes = ["a plain GGUF names no digests: its header and tensor table were checked, its weights cannot be"]
    for number, shard in enumerate(shards):
        with FileSource(shard) as source:
            gguf = _checked(source, shard)
            if not number:
                found = list(check_fit(gguf, [program.pin], path=path.name, role="weights"))
                notes += [rule(finding.rule).render(finding) for finding in found]
    first = shards[0].absolute()  # links stay: a hub cache keeps shards under other names
    arguments = ("-m", os.fspath(first), *arguments)
    begin = Start(program.path, arguments, _environment(program), program.build, False, first, tuple(notes))
    return replace(begin, checked=program.descriptor)


def _checked(source: FileSource, path: Path) -> Gguf:
    """Header and tensor table of a GGUF that lies by itself. FormatError with the first fault (chapter 7)."""
    from llamafile_format.checks.weights import check_gguf

    gguf, findings = check_gguf(source, deep=False)
    for finding in findings:
        row = rule(finding.rule)
        if row.severity is Severity.ERROR and not row.undetermined:
            raise FormatError(
                f"{path} was not started: {row.render(finding)}",
                offset=finding.where.offset,
                clause=finding.rule,
                hint=row.remedy,
            )
    return gguf


def _mapping(source: FileSource, offset: int) -> list[str]:
    """What to expect where the file system cannot map files: the runtime reads the weights into memory instead."""
    unit = mmap.ALLOCATIONGRANULARITY
    try:
        mmap.mmap(source.fd, 1, access=mmap.ACCESS_READ, offset=offset // unit * unit).close()
    except (OSError, ValueError):
        return ["this file system cannot map files: the weights are read into memory, which takes time and room"]
    return []


def _environment(program: Program) -> dict[str, str]:
    """The user's environment, in which nothing pretends to come from a launcher; and the chat page, if it has to."""
    from llamafile_format.engines.store import is_here, webui

    environment = {key: value for key, value in os.environ.items() if key not in _OURS}
    pin, native = program.pin, program.build.flavour is Flavour.NATIVE
    if native and pin is not None and pin.webui is not None and is_here(pin, pin.webui):
        environment["LFF_WEBUI"] = os.fspath(webui(pin))
    return environment
