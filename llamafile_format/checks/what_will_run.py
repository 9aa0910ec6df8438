"""What a file will run: archive → arguments, model, template, companions, page, builds (spec/1, 14.7).

One function of the archive alone, so that whoever looks at a file, checks it or starts it speaks of the same things. It
goes by names and places as a runtime does, never by what a member claims to be for; whether the two agree is for the
checks to say. Nothing is executed, and of the contents only ``.args`` is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from llamafile_format.engines.members import ROOT, RuntimeName, parse_runtime_path
from llamafile_format.engines.pin import Flavour
from llamafile_format.errors import FormatError
from llamafile_format.prefix.argument_options import Option, named_members, read_options
from llamafile_format.prefix.argument_tables import choose_table
from llamafile_format.prefix.arguments import BUNDLE, MAX_SIZE, Arguments, Dialect, dialect_of, parse

if TYPE_CHECKING:
    from llamafile_format.container import Container

ARGUMENTS = ".args"
PAGE = "webui.tar"
_TEMPLATES = ("--chat-template", "--chat-template-file")
_GRAMMARS = ("--grammar", "--grammar-file", "--json-schema", "--json-schema-file")
_ADAPTERS = ("--lora", "--lora-scaled")
_NO_PROJECTOR = ("--no-mmproj", "--no-mmproj-auto")


class Use(Enum):
    """What a member is opened as."""

    ARGUMENTS = "arguments"
    MODEL = "model"
    PROJECTOR = "projector"
    ADAPTER = "adapter"
    DRAFT = "draft"
    TEMPLATE = "template"
    GRAMMAR = "grammar"
    SCHEMA = "schema"
    PAGE = "page"
    BUILD = "build"


class Why(Enum):
    """Why it is this one (the words of 14.7)."""

    NAME = "name"  # a runtime looks for this very name
    OPTION = "option"  # an option of .args names it
    INLINE = "inline"  # it stands in .args itself
    DEFAULT = "default"  # the manifest's default
    FIRST = "first"  # the first of its kind, where no manifest names one
    COMPANION = "companion"  # it goes with the default model
    IN_MODEL = "in-model"  # the model's own
    OUTSIDE = "outside"  # an option of .args names something that is not in this file
    NATIVE = "native"  # the first native build for its target
    ONLY = "only"  # the first build for its target, which has no native one
    BEHIND = "behind"  # another build for its target starts
    GPU = "gpu"  # the native build of its engine and target may start it


@dataclass(frozen=True, slots=True)
class Chosen:
    """Something that will be used. ``member`` is empty if it is no member; ``text`` is what ``.args`` says of it."""

    member: str
    why: Why
    text: str = ""


@dataclass(frozen=True, slots=True)
class Build:
    """A build in the order of the launcher's index, with the page that it serves; ``page`` is empty if it has none."""

    name: RuntimeName
    offset: int
    why: Why
    page: str = ""

    @property
    def member(self) -> str:
        """The member that holds it."""
        return self.name.path

    @property
    def starts(self) -> bool:
        """True if it is the one that starts on its target when nobody asks for another."""
        return self.why not in (Why.BEHIND, Why.GPU)


@dataclass(frozen=True, slots=True)
class Entry:
    """A member, as far as the function looks at it; in file order."""

    path: str
    role: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Described:
    """The input of the function: an archive. ``arguments`` are the bytes of ``.args``, None if there is none.

    ``manifest`` tells a container from a legacy llamafile, whose ``default`` is empty.
    """

    entries: tuple[Entry, ...]
    manifest: bool
    default: str
    dialect: Dialect
    arguments: bytes | None = None


@dataclass(frozen=True, slots=True)
class WillRun:
    """The answer. ``options`` are those of ``parsed``; ``unknown`` are engines whose options no table lists."""

    dialect: Dialect
    arguments: Chosen | None
    parsed: Arguments
    options: tuple[Option, ...]
    unknown: tuple[str, ...]
    model: Chosen | None
    template: Chosen | None
    projector: Chosen | None
    adapters: tuple[Chosen, ...]
    draft: Chosen | None
    grammar: Chosen | None
    page: Chosen | None
    builds: tuple[Build, ...]
    uses: tuple[tuple[str, Use], ...]
    """Every member that is opened, and as what: what is checked follows this."""

    def to_json(self) -> dict[str, Any]:
        """The answer as vectors and ``inspect --json`` give it."""
        return {
            "arguments": _json(self.arguments),
            "dialect": self.dialect.value,
            "tokens": list(self.parsed.texts),
            "rest": self.parsed.rest,
            "model": _json(self.model),
            "template": _json(self.template),
            "projector": _json(self.projector),
            "adapters": [_json(adapter) for adapter in self.adapters],
            "draft": _json(self.draft),
            "grammar": _json(self.grammar),
            "page": _json(self.page),
            "builds": [
                {"member": build.member, "why": build.why.value, "starts": build.starts, "page": build.page}
                for build in self.builds
            ],
        }


def _json(chosen: Chosen | None) -> dict[str, str] | None:
    return None if chosen is None else {"member": chosen.member, "why": chosen.why.value, "text": chosen.text}


def what_will_run(container: Container, *, scan: bool = True) -> WillRun:
    """What ``container`` will run. ``scan`` allows the prefix to be read for the version of its engine."""
    return decide(describe(container, scan=scan))


def describe(container: Container, *, scan: bool = True) -> Described:
    """What the function looks at in ``container``."""
    entry = container.archive.entry(ARGUMENTS)
    data = None
    if entry is not None and entry.located:
        try:
            data = container.read(ARGUMENTS) if entry.size <= MAX_SIZE else bytes(MAX_SIZE + 1)
        except FormatError:
            data = b""
    engine = container.engine if scan and container.engine_size else None
    return Described(
        entries=entries_of(container),
        manifest=container.manifest is not None,
        default=container.manifest.default if container.manifest is not None else "",
        dialect=dialect_of(engine, container.prefix.kind),
        arguments=data,
    )


def entries_of(container: Container) -> tuple[Entry, ...]:
    """The members of ``container``, as far as the function looks at them."""
    return tuple(Entry(member.path, member.role, member.offset) for member in container.members)


def decide(archive: Described) -> WillRun:
    """The normative function of clause 14.7."""
    builds = builds_of(archive.entries)
    parsed = parse(archive.arguments or b"", archive.dialect)
    options: tuple[Option, ...] = ()
    unknown: tuple[str, ...] = ()
    if parsed.tokens:
        choice = choose_table(archive.dialect, engines_of(archive.entries))
        options, unknown = read_options(parsed, choice.table), choice.unknown
    given = _Given(archive, options)
    model = given.last("--model") or _default(archive)
    companions = model is not None and model.why in (Why.DEFAULT, Why.FIRST)

    def beside(role: str) -> tuple[Chosen, ...]:
        """What goes with the default model."""
        """What is taken along without being named: only with a model that was not named either."""
        return _companions(archive, role) if companions else ()

    started = next((build for build in builds if build.starts and build.page), None)
    projector = given.last("--mmproj") or next(iter(beside("projector")), None)
    answer = WillRun(
        dialect=archive.dialect,
        arguments=Chosen(ARGUMENTS, Why.NAME) if archive.arguments is not None else None,
        parsed=parsed,
        options=options,
        unknown=unknown,
        model=model,
        template=given.last(*_TEMPLATES) or (Chosen(model.member, Why.IN_MODEL) if model else None),
        projector=None if given.switched_off("--mmproj-auto", _NO_PROJECTOR) else projector,
        adapters=given.all(*_ADAPTERS) or beside("adapter"),
        draft=given.last("--spec-draft-model", "--model-draft") or next(iter(beside("draft")), None),
        grammar=given.last(*_GRAMMARS),
        page=_page(archive, started),
        builds=builds,
        uses=(),
    )
    return _with_uses(answer, archive)


class _Given:
    """What the options of ``.args`` say."""

    def __init__(self, archive: Described, options: Sequence[Option]) -> None:
        self.archive = archive
        self.options = [option for option in options if option.row is not None]
        self.paths = {entry.path for entry in archive.entries}

    def all(self, *names: str) -> tuple[Chosen, ...]:
        """Everything that options called ``names`` name, in order."""
        found: list[Chosen] = []
        for option in self.options:
            if option.name in names and option.row is not None:
                for value in option.values[:1]:
                    parts = named_members(value, option.row.kind) if option.row.role else ("",)
                    found += [self._chosen(part, value, inline=not option.row.role) for part in parts]
        return tuple(found)

    def last(self, *names: str) -> Chosen | None:
        """What the last of the options called ``names`` names: a later one takes the place of an earlier one."""
        return next(reversed(self.all(*names)), None)

    def switched_off(self, name: str, off: Iterable[str]) -> bool:
        """True if the last option ``name`` stands in one of its spellings ``off``."""
        written = [option.written.replace("_", "-") for option in self.options if option.name == name]
        return bool(written) and written[-1] in off

    def _chosen(self, name: str, text: str, *, inline: bool) -> Chosen:
        if inline:
            return Chosen("", Why.INLINE, text)
        member = name.removeprefix(BUNDLE)
        bare = not self.archive.dialect.bundles and name.lower().endswith(".gguf")
        inside = member in self.paths and (name.startswith(BUNDLE) or bare)
        return Chosen(member if inside else "", Why.OPTION if inside else Why.OUTSIDE, text)


def _default(archive: Described) -> Chosen | None:
    """The model that starts where ``.args`` names none."""
    paths = [entry.path for entry in archive.entries]
    if archive.manifest:
        if archive.default in paths:
            return Chosen(archive.default, Why.DEFAULT)
        first = next((entry.path for entry in archive.entries if entry.role == "weights"), None)
        return Chosen(first, Why.FIRST) if first is not None else None
    models = [path for path in paths if path.lower().endswith(".gguf") and "mmproj" not in path]
    return Chosen(models[0], Why.FIRST) if models else None


def _companions(archive: Described, role: str) -> tuple[Chosen, ...]:
    """The members that go with the default model: by role; in a legacy file, a projector by its name."""
    if archive.manifest:
        return tuple(Chosen(entry.path, Why.COMPANION) for entry in archive.entries if entry.role == role)
    paths = [entry.path for entry in archive.entries if role == "projector" and "mmproj" in entry.path]
    return tuple(Chosen(path, Why.COMPANION) for path in paths if path.lower().endswith(".gguf"))


def builds_of(entries: Sequence[Entry]) -> tuple[Build, ...]:
    """All builds by offset, and for each target the one that starts: the first native one, else the first.

    One of flavour gpu never does: a native one starts it.
    """
    named = [(name, entry) for entry in entries if entry.role == "runtime" and (name := parse_runtime_path(entry.path))]
    named.sort(key=lambda item: item[1].offset)
    paths = {entry.path for entry in entries}
    starts: dict[str, RuntimeName] = {}
    for name, _ in named:
        if name.flavour is Flavour.GPU:
            continue
        best = starts.setdefault(name.target, name)
        if name.flavour is Flavour.NATIVE and best.flavour is not Flavour.NATIVE:
            starts[name.target] = name
    found = []
    for name, entry in named:
        page = f"{ROOT}/{name.engine}/{name.version}/{PAGE}"
        served = page if name.flavour is not Flavour.REFERENCE and page in paths else ""
        found.append(Build(name, entry.offset, _why(name, starts), served))
    return tuple(found)


def _why(name: RuntimeName, starts: Mapping[str, RuntimeName]) -> Why:
    """Why the build ``name`` starts, or not; ``starts`` has the one that does, by target."""
    if name.flavour is Flavour.GPU:
        return Why.GPU
    if starts[name.target] is not name:
        return Why.BEHIND
    return Why.NATIVE if name.flavour is Flavour.NATIVE else Why.ONLY


def engines_of(entries: Sequence[Entry]) -> tuple[tuple[str, str], ...]:
    """Name and version of the engines whose builds are in the file."""
    return tuple(dict.fromkeys((build.name.engine, build.name.version) for build in builds_of(entries)))


def choose_build(builds: Sequence[Build], target: str, *, flavour: str = "", runtime: str = "") -> Build | None:
    """The build in a file that starts on ``target`` (14.3.3): of those asked for, native first, then by offset.

    ``runtime`` is ``ENGINE`` or ``ENGINE@VERSION``. Without wishes it is the one that the launcher starts. One of
    flavour gpu is none that starts.
    """
    suiting = [
        build
        for build in builds
        if build.name.target == target
        and build.name.flavour is not Flavour.GPU
        and flavour in ("", build.name.flavour.value)
        and runtime in ("", build.name.engine, build.name.key)
    ]
    native = (build for build in suiting if build.name.flavour is Flavour.NATIVE)
    return next(native, next(iter(suiting), None))


def _page(archive: Described, started: Build | None) -> Chosen | None:
    """The page of the first build that starts and has one; of a file without builds, one that a runtime would find."""
    if started is not None:
        return Chosen(started.page, Why.NAME)
    if any(entry.role == "runtime" and parse_runtime_path(entry.path) for entry in archive.entries):
        return None
    loose = (entry.path for entry in archive.entries if is_page(entry.path))
    return next((Chosen(path, Why.NAME) for path in loose), None)


def is_page(path: str) -> bool:
    """True for the names under which a runtime looks for its chat page."""
    parts = path.split("/")
    return len(parts) == 4 and parts[0] == ROOT and parts[3] == PAGE


def _with_uses(answer: WillRun, archive: Described) -> WillRun:
    uses: list[tuple[str, Use]] = []
    if answer.arguments is not None:
        uses.append((ARGUMENTS, Use.ARGUMENTS))
    for chosen, use in (
        (answer.model, Use.MODEL),
        (answer.projector, Use.PROJECTOR),
        *((adapter, Use.ADAPTER) for adapter in answer.adapters),
        (answer.draft, Use.DRAFT),
    ):
        if chosen is not None and chosen.member:
            uses += [(path, use) for path in _shards(archive, chosen.member)]
    if answer.template is not None and answer.template.why is Why.OPTION:
        uses.append((answer.template.member, Use.TEMPLATE))
    uses += _named(answer, archive)
    uses += [(build.page, Use.PAGE) for build in answer.builds if build.page]
    uses += [(answer.page.member, Use.PAGE)] if answer.page else []
    uses += [(build.member, Use.BUILD) for build in answer.builds]
    return replace(answer, uses=tuple(dict.fromkeys(uses)))


_BY_KIND = {"template-file": Use.TEMPLATE, "grammar-file": Use.GRAMMAR, "schema-file": Use.SCHEMA}
_BY_ROLE = {"weights": Use.MODEL, "projector": Use.PROJECTOR, "adapter": Use.ADAPTER, "draft": Use.DRAFT}


def _named(answer: WillRun, archive: Described) -> list[tuple[str, Use]]:
    """Every member that an option names, also one whose place a later option takes: it may be opened on the way."""
    given = _Given(archive, answer.options)
    found = []
    for option in given.options:
        if option.row is not None and option.row.role:
            use = _BY_KIND.get(option.row.kind) or _BY_ROLE[option.row.role]
            found += [(chosen.member, use) for chosen in given.all(option.name) if chosen.member]
    return found


def _shards(archive: Described, member: str) -> list[str]:
    """``member``, and if it is named like a shard, the others of its set, which the runtime finds by name."""
    from llamafile_format.checks.manifest import SPLIT_NAME

    match = SPLIT_NAME.match(member)
    if match is None:
        return [member]
    paths = [entry.path for entry in archive.entries]
    others = [path for path in paths if (other := SPLIT_NAME.match(path)) and other["stem"] == match["stem"]]
    return list(dict.fromkeys([member, *others]))
