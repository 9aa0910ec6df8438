"""Starting what is in a file, on behalf of its user: verified first, weights in place (spec/1.0, 14.3).

The file is looked at as ``verify --level quick`` does, and under a policy as ``verify --policy`` does, every byte; the
build that will run is read and hashed whole. Then a copy of it in the private cache is started on the file. No shell
takes part.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llamafile_format.checks.verdict import Level, Verdict
from llamafile_format.container import Container, Kind, MemberFacts, open_container
from llamafile_format.engines.members import RuntimeName
from llamafile_format.engines.pin import Flavour
from llamafile_format.errors import FormatError, NotAuthentic, SourceError, UsageError
from llamafile_format.examining import Trust, examine
from llamafile_format.manifest.model import MAX_MANIFEST
from llamafile_format.packing import DEFAULT_RUNTIME
from llamafile_format.rules import Layer, Severity, rule
from llamafile_format.running.accepted_arguments import refuse_unaccepted
from llamafile_format.source import FileSource, Window

if TYPE_CHECKING:
    from llamafile_format.engines.pin import Pin
    from llamafile_format.manifest.model import Manifest, Member
    from llamafile_format.signing.trust.policy import Policy

BUNDLE = "/zip/"
_OURS = ("LFF_CONTAINER", "LFF_WEIGHTS_OFFSET", "LFF_WEIGHTS_SIZE", "LFF_WEBUI")
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user asked for; empty fields mean: whatever suits."""

    runtime: str = ""
    flavour: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """A program that is ready to be started. ``embedded`` tells a build of the file from one of this installation.

    ``notes`` are sentences for the user. Values in them come from files: escape them on output.
    """

    program: Path
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    build: RuntimeName
    embedded: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Program:
    """A build in the cache, and the pin that it is of, if this installation has it."""

    path: Path
    build: RuntimeName
    embedded: bool
    pin: Pin | None = None


def prepare(
    what: str | os.PathLike[str],
    arguments: Sequence[str] = (),
    wanted: Selection | None = None,
    *,
    policy: Policy | None = None,
    accept: Sequence[str] = (),
) -> Start:
    """Verify the file ``what`` (a container, a legacy llamafile or a plain GGUF) and get its runtime ready.

    With ``policy`` every byte is read, and what the policy refuses is not started (clause 16.9.4). ``accept`` are the
    options that the arguments of a classic engine may set (clause 14.3.9).

    Raises FormatError with the rule that is broken, NotAuthentic if nobody vouches whom ``policy`` trusts, UsageError
    if there is no fitting build, SourceError.
    """
    path, wanted = Path(what), _settled(wanted or Selection())
    with FileSource(path) as source:
        magic = source.read_at(0, min(4, source.size))
    if magic == b"GGUF":
        if policy is not None:
            raise NotAuthentic(
                f"{path} was not started: a plain GGUF has nobody who vouches for it",
                hint="pack it into a container and sign that, or start it without a policy",
            )
        return _plain(path, arguments, wanted)
    with open_container(path) as container:
        _refuse_compressed(container)
        sibling = container.manifest is not None and container.manifest.prefix.sibling is not None
        if policy is None or sibling:  # the small program only names the container that will run
            _verified(container)
        if sibling:
            return prepare(_sibling(container, path), arguments, wanted, policy=policy, accept=accept)
        if policy is not None:
            _accepted(container, policy)
        refuse_unaccepted(container, accept)
        program = _embedded(container, wanted) or _installed(container, wanted)
        return _on_container(container, path, program, arguments)


def start(begin: Start) -> int:
    """Become the program (on POSIX), or run it and return its exit status. SourceError if it cannot be started."""
    command = [os.fspath(begin.program), *begin.arguments]
    try:
        if os.name == "posix":
            for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores them, and a new program would inherit that
                if hasattr(signal, name):
                    signal.signal(getattr(signal, name), signal.SIG_DFL)
            os.execve(begin.program, command, dict(begin.environment))
        import subprocess

        process = subprocess.Popen(command, env=dict(begin.environment))
    except OSError as error:
        raise SourceError(
            f"cannot start {begin.program}: {error.strerror or error}",
            hint=f"it is the build for {begin.build.target}; is this such a system?",
        ) from error
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the console sends it to the program too, which ends in its own way
            continue


def _settled(wanted: Selection) -> Selection:
    """``wanted`` with a target; UsageError for words that mean nothing."""
    from llamafile_format.engines.host import host_target

    flavour = wanted.flavour or os.environ.get("LFF_FLAVOUR", "")
    if flavour not in ("", *(known.value for known in Flavour)):
        raise UsageError(f"unknown flavour {flavour!r}", hint="flavours: native, reference")
    target = wanted.target or host_target()
    if target is None:
        raise UsageError("there is no name for this system among the targets", hint="name one with --target")
    if target.startswith("wasm"):
        raise UsageError(
            f"{target} is for a WebAssembly runtime to start", hint="extract the build, and start it with one"
        )
    return Selection(wanted.runtime, flavour, target)


def _verified(container: Container) -> None:
    """FormatError with the first fault, if a quick verification finds one."""
    report = examine(container, level=Level.QUICK)
    if not report.complete:
        raise SourceError(f"{container.name}: {report.error}")
    if report.verdicts.get(Layer.WELL_FORMED) is not Verdict.NO:
        return
    for finding in report.findings:
        row = rule(finding.rule)
        if row.severity is Severity.ERROR and row.layer is Layer.WELL_FORMED:
            raise FormatError(
                f"{container.name} was not started: {row.render(finding)}",
                clause=finding.rule,
                hint="llamafile-format verify lists every fault",
            )


def _accepted(container: Container, policy: Policy) -> None:
    """NotAuthentic, FormatError or SourceError unless ``container`` passes a full verification under ``policy``."""
    report = examine(container, level=Level.FULL, trust=Trust(policy))
    code = report.exit_code()
    if not code:
        return
    if not report.complete:
        raise SourceError(f"{container.name}: {report.error}")
    grave = [(rule(finding.rule), finding) for finding in report.findings]
    reasons = [(row, finding) for row, finding in grave if report.severity(row.id) is Severity.ERROR]
    reasons.sort(key=lambda reason: (reason[0].layer is Layer.AUTHENTIC) is not (code == NotAuthentic.exit_code))
    text = reasons[0][0].render(reasons[0][1]) if reasons else "not all that it takes could be checked"
    message = f"{container.name} was not started: {text}"
    hint = "`llamafile-format verify`, with the same --policy or --key, tells everything"
    if code == NotAuthentic.exit_code:
        raise NotAuthentic(message, hint=hint)
    raise FormatError(message, clause=reasons[0][1].rule if reasons else "16.9", hint=hint)


def _sibling(container: Container, path: Path) -> Path:
    """The container that the small program at ``path`` was made for. FormatError if another one lies beside it."""
    assert container.manifest is not None
    bound = container.manifest.prefix.sibling
    assert bound is not None
    beside = path.with_suffix(".llamafile")
    if not beside.is_file():
        raise SourceError(f"{path.name} opens {beside.name}, which is not beside it", hint="keep both in one folder")
    with FileSource(beside) as source:
        inside = bound.offset + bound.size <= source.size and bound.size <= MAX_MANIFEST
        data = source.read_at(bound.offset, bound.size) if inside else b""
    if hashlib.sha256(data).hexdigest() != bound.sha256:
        raise FormatError(f"{beside} is not the file that {path.name} was made for", clause="14.4.3")
    return beside


def _embedded(container: Container, wanted: Selection) -> _Program | None:
    """The build in ``container`` that suits, unpacked; its bytes are hashed whatever the cache holds."""
    from llamafile_format.engines.cache import place

    found = _suiting(container.manifest, wanted) if container.manifest is not None else None
    if found is None:
        return None
    name, member = found
    window = Window(container.source, member.offset, member.size)
    digest = hashlib.sha256()
    for block in _blocks(window):
        digest.update(block)
    if digest.hexdigest() != member.sha256:
        raise FormatError(
            f"{container.name} was not started: {member.path} is damaged; the manifest names another SHA-256",
            offset=member.offset,
            clause="14.3.2",
            hint="llamafile-format verify says where; restore it, or choose another with --runtime",
        )
    return _Program(place(member.sha256, member.size, lambda: _blocks(window)), name, embedded=True)


def _suiting(manifest: Manifest, wanted: Selection) -> tuple[RuntimeName, Member] | None:
    """The member to start (14.3.3): without wishes, the very one that the launcher starts."""
    from llamafile_format.checks.what_will_run import Entry, builds_of, choose_build

    builds = builds_of([Entry(member.path, member.role, member.offset) for member in manifest.members])
    build = choose_build(builds, wanted.target, flavour=wanted.flavour, runtime=wanted.runtime)
    member = manifest.member(build.member) if build is not None else None
    return (build.name, member) if build is not None and member is not None else None


def _installed(container: Container | None, wanted: Selection) -> _Program:
    """The build of this installation that suits, unpacked. UsageError that says what there is."""
    from llamafile_format.engines.store import find_pin, is_here, unpacked

    pin = find_pin(wanted.runtime or DEFAULT_RUNTIME)
    flavours = [Flavour(wanted.flavour)] if wanted.flavour else list(Flavour)
    builds = [pin.build(wanted.target, flavour) for flavour in flavours]
    build = next((build for build in builds if build is not None and is_here(pin, build)), None)
    if build is None:
        inside = _inside(container)
        raise UsageError(
            f"there is no {wanted.flavour + ' ' if wanted.flavour else ''}build for {wanted.target}: "
            f"{'the file has ' + inside if inside else 'the file has none'}, and {pin.key} has none here",
            hint="choose with --runtime, --flavour and --target, or build one: llamafile-format runtimes build",
        )
    name = RuntimeName(pin.name, pin.version, build.flavour, build.target)
    return _Program(unpacked(pin, build), name, embedded=False, pin=pin)


def _inside(container: Container | None) -> str:
    members = container.manifest.with_role("runtime") if container is not None and container.manifest else ()
    return ", ".join(member.path.removeprefix("runtimes/") for member in members[:16])


def _on_container(container: Container, path: Path, program: _Program, arguments: Sequence[str]) -> Start:
    """The environment of a start on a container or legacy llamafile."""
    environment = _environment(program)
    environment["LFF_CONTAINER"] = os.fspath(path.absolute())
    notes = _notes(program, container)
    model = _default_model(container)
    if model is not None:
        environment["LFF_WEIGHTS_OFFSET"], environment["LFF_WEIGHTS_SIZE"] = str(model.offset), str(model.size)
        notes += _mapping(path, model.offset)
        if not _speaks_ours(container):
            arguments = ["-m", BUNDLE + model.path, *arguments]
            notes.append(
                "its default arguments were written for another engine; what this one does not know, it refuses"
            )
        if program.pin is not None:
            notes += _fit(container, model, program.pin)
    return Start(program.path, tuple(arguments), environment, program.build, program.embedded, tuple(notes))


def _default_model(container: Container) -> MemberFacts | None:
    """The model that starts: the manifest's default, or of a legacy file the one that its arguments name."""
    models = [member for member in container.members if member.role == "weights" and member.offset >= 0]
    wanted = container.manifest.default if container.manifest is not None else _named_by_arguments(container)
    return next((member for member in models if member.path == wanted), models[0] if models else None)


def _refuse_compressed(container: Container) -> None:
    """FormatError for weights that cannot be used where they lie: better advice than that of the rule."""
    for member in container.members:
        if member.role == "weights" and not member.stored:
            raise FormatError(
                f"{member.path} is compressed and cannot be used in place",
                clause="LF2023",
                hint="llamafile-format repack FILE --to 1.0 --prefix launcher -o NEW.llamafile stores it",
            )


def _named_by_arguments(container: Container) -> str:
    from llamafile_format.changing import named_model
    from llamafile_format.prefix.arguments import Dialect, parse

    if container.archive.entry(".args") is None:
        return ""
    return named_model([token.text for token in parse(container.read(".args"), Dialect.QUOTED).tokens])


def _speaks_ours(container: Container) -> bool:
    """True unless ``.args`` was written for an engine of upstream's."""
    return container.manifest is not None and container.manifest.prefix.kind in ("none", "launcher")


def _notes(program: _Program, container: Container) -> list[str]:
    if program.embedded:
        return []
    of = "a legacy llamafile" if container.kind is Kind.LEGACY else "this file"
    return [
        f"{of} has no suiting build inside; starting {program.build.key} ({program.build.flavour}) of this installation"
    ]


def _fit(container: Container, model: MemberFacts, pin: Pin) -> list[str]:
    from llamafile_format.checks.fitting import check_fit

    gguf = container.gguf(model, budget=64 << 20)
    found = check_fit(gguf, [pin], path=model.path, role="weights", base=model.offset)
    return [rule(finding.rule).render(finding) for finding in found]


def _plain(path: Path, arguments: Sequence[str], wanted: Selection) -> Start:
    """A start on a GGUF that lies by itself; of a split one, on its first shard."""
    from llamafile_format.checks.fitting import check_fit
    from llamafile_format.packing import expand_splits
    from llamafile_format.weights.gguf import read_gguf

    shards = expand_splits([path])
    program = _installed(None, wanted)
    assert program.pin is not None
    with FileSource(shards[0]) as source:
        found = list(check_fit(read_gguf(source), [program.pin], path=path.name, role="weights"))
    notes = [rule(finding.rule).render(finding) for finding in found]
    model = os.fspath(shards[0].absolute())  # links stay: a hub cache keeps shards under other names
    return Start(
        program.path,
        ("-m", model, *arguments),
        _environment(program),
        program.build,
        embedded=False,
        notes=tuple(notes),
    )


def _mapping(path: Path, offset: int) -> list[str]:
    """What to expect where the file system cannot map files: the runtime reads the weights into memory instead."""
    import mmap

    unit = mmap.ALLOCATIONGRANULARITY
    with open(path, "rb") as file:
        try:
            mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_READ, offset=offset // unit * unit).close()
        except (OSError, ValueError):
            return ["this file system cannot map files: the weights are read into memory, which takes time and room"]
    return []


def _environment(program: _Program) -> dict[str, str]:
    """The user's environment, in which nothing pretends to come from a launcher; and the chat page, if it has to."""
    from llamafile_format.engines.store import is_here, webui

    environment = {key: value for key, value in os.environ.items() if key not in _OURS}
    pin, native = program.pin, program.build.flavour is Flavour.NATIVE
    if native and pin is not None and pin.webui is not None and is_here(pin, pin.webui):
        environment["LFF_WEBUI"] = os.fspath(webui(pin))
    return environment


def _blocks(window: Window) -> Iterator[bytes]:
    for at in range(0, window.size, _BLOCK):
        yield window.read_at(at, min(_BLOCK, window.size - at))
