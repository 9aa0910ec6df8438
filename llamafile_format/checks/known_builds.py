"""What this installation thinks of the builds in a file, by their digests alone (spec/1, 14.3.4 and 14.3.12).

Nothing is read for it, so it is told at every level.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from llamafile_format.engines.known import Guard, KnownBuild, Status, known_build
from llamafile_format.engines.members import ROOT, RuntimeName
from llamafile_format.engines.pin import Flavour
from llamafile_format.engines.successors import Installed, better, installed_builds
from llamafile_format.findings import Finding, Where

if TYPE_CHECKING:
    from llamafile_format.manifest.model import Member

_WORDS: Mapping[Guard, str] = {
    Guard.ALLOW_LIST: "list of what a file may ask for",
    Guard.SANDBOX: "sandbox around the model",
}


def check_known_builds(builds: Iterable[tuple[RuntimeName, Member]]) -> Iterator[Finding]:
    """LF3330 and LF3331 for each build; LF3350 to LF3352 once for each engine and version."""
    started: dict[str, list[tuple[RuntimeName, KnownBuild]]] = {}
    for name, member in builds:
        where = Where(member.offset, member.size, member.path)
        known = known_build(member.sha256)
        if known is None:
            yield Finding("LF3330", where, {"path": member.path, "sha256": member.sha256})
        elif known.status is Status.REFUSED:
            yield Finding("LF3331", where, {"path": member.path, "build": known.key, "reason": known.reason})
        else:
            started.setdefault(name.key, []).append((name, known))
    for group in started.values():
        yield from _of_version(group)


def _of_version(group: Sequence[tuple[RuntimeName, KnownBuild]]) -> Iterator[Finding]:
    """What there is to say of builds of one engine and version."""
    name, known = group[0]
    where = Where(member=f"{ROOT}/{name.engine}/{name.version}")
    old = next((each for _, each in group if each.status is Status.SUPERSEDED), None)
    if old is not None:
        yield Finding("LF3352", where, {"build": old.key, "date": old.date, "reason": old.reason})
    lacking = [guard for guard in Guard if any(guard in each.lacks for _, each in group)]
    if lacking:
        bare = [each for each, build in group if build.lacks]
        named = ", ".join(dict.fromkeys(each.target for each in bare))
        build = known.key if len(bare) == len(group) else f"{known.key} for {named}"
        args = {"build": build, "lacks": " and no ".join(_WORDS[guard] for guard in lacking)}
        here = installed_builds()
        found = (better(each, build.sha256, here) for each, build in group)
        newer = next((each for each in found if each is not None), None)
        if newer is None:
            yield Finding("LF3351", where, args)
        else:
            yield Finding("LF3350", where, {**args, "runtime": _runtime([each for each, _ in group], newer, here)})


def _word(flavours: set[Flavour]) -> str:
    """What ``--flavour`` is to be given, so that builds of all of ``flavours`` come; ``gpu`` brings native ones too."""
    if Flavour.GPU in flavours:
        return "all" if Flavour.REFERENCE in flavours else Flavour.GPU.value
    return "both" if len(flavours) > 1 else min(flavours).value


def _runtime(names: Sequence[RuntimeName], newer: RuntimeName, installed: Sequence[Installed]) -> str:
    """What ``repack --runtime`` is to be given, so that builds of ``newer`` come for all that ``names`` are for."""
    flavours = {name.flavour for name in names}
    there = {each.name.target for each in installed if each.name.key == newer.key and each.name.flavour in flavours}
    inside = dict.fromkeys(name.target for name in names if name.target in there)
    targets = "" if there == set(inside) else f":{','.join(inside)}"
    flavour = _word(flavours)
    return f"{newer.key}{targets}" + ("" if flavour == Flavour.NATIVE.value else f" --flavour {flavour}")
