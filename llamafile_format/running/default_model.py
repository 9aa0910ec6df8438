"""The model of a file that starts, of a container and of a legacy llamafile (spec/1, 14.3.5)."""

from __future__ import annotations

from llamafile_format.container import Container, MemberFacts


def default_model(container: Container) -> MemberFacts | None:
    """The model that starts: the manifest's default, or of a legacy file the one that ``inspect`` shows (14.7)."""
    models = [member for member in container.members if member.role == "weights" and member.offset >= 0]
    wanted = container.manifest.default if container.manifest is not None else _of_legacy(container)
    return next((member for member in models if member.path == wanted), models[0] if models else None)


def _of_legacy(container: Container) -> str:
    """What clause 14.7 answers; a name that its own engine does not find in the file is taken for one of a member."""
    from llamafile_format.checks.what_will_run import what_will_run

    model = what_will_run(container).model
    return model.member if model is not None and model.member else _named_by_arguments(container)


def _named_by_arguments(container: Container) -> str:
    from llamafile_format.changing import named_model
    from llamafile_format.prefix.arguments import Dialect, parse

    if container.archive.entry(".args") is None:
        return ""
    return named_model([token.text for token in parse(container.read(".args"), Dialect.QUOTED).tokens])
