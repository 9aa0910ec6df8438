"""Making a container: pack, and what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.door import open_door

if TYPE_CHECKING:
    from llamafile_format.packing.admitting import admit, require_model
    from llamafile_format.packing.assemble import Assembled, Content, Labels, PrefixContent, assemble, finish
    from llamafile_format.packing.carry import Carried, CarriedEngine, carry, without_second_digest
    from llamafile_format.packing.created import created_text, declared_text
    from llamafile_format.packing.fitting import misfits, refuse, refuse_lacking
    from llamafile_format.packing.in_front import (
        Args,
        arguments_content,
        asset_of,
        notes_about,
        prefix_content_of,
        prefix_of,
    )
    from llamafile_format.packing.inputs import (
        ANOTHER_NAME,
        Include,
        check_alignment,
        check_name,
        choose_default,
        content_of,
        data_of,
        expand_splits,
        include_of,
        media_of,
        paths_of,
        recognise_role,
        split_sets,
        text_content,
        viewer_content,
    )
    from llamafile_format.packing.judging import INSIST, Judgement, judge, refuse_errors, with_forced
    from llamafile_format.packing.pack import PROFILES, PackResult, pack
    from llamafile_format.packing.planned import lowest_version
    from llamafile_format.packing.readme import how_to_run, readme_text
    from llamafile_format.packing.refuse_arguments import drop_options, refuse_arguments
    from llamafile_format.packing.runtime_members import (
        DEFAULT_RUNTIME,
        FLAVOURS,
        LAUNCHER,
        NONE,
        choose,
        launcher_prefix,
        pins_among,
        runtime_contents,
        strange_builds,
    )
    from llamafile_format.packing.telling import license_notes
    from llamafile_format.packing.windows import Companion

open_door(
    __name__,
    {
        "admitting": ("admit", "require_model"),
        "assemble": ("Assembled", "Content", "Labels", "PrefixContent", "assemble", "finish"),
        "carry": ("Carried", "CarriedEngine", "carry", "without_second_digest"),
        "created": ("created_text", "declared_text"),
        "fitting": ("misfits", "refuse", "refuse_lacking"),
        "in_front": ("Args", "arguments_content", "asset_of", "notes_about", "prefix_content_of", "prefix_of"),
        "inputs": (
            "ANOTHER_NAME",
            "Include",
            "check_alignment",
            "check_name",
            "choose_default",
            "content_of",
            "data_of",
            "expand_splits",
            "include_of",
            "media_of",
            "paths_of",
            "recognise_role",
            "split_sets",
            "text_content",
            "viewer_content",
        ),
        "judging": ("INSIST", "Judgement", "judge", "refuse_errors", "with_forced"),
        "pack": ("PROFILES", "PackResult", "pack"),
        "planned": ("lowest_version",),
        "readme": ("how_to_run", "readme_text"),
        "refuse_arguments": ("drop_options", "refuse_arguments"),
        "runtime_members": (
            "DEFAULT_RUNTIME",
            "FLAVOURS",
            "LAUNCHER",
            "NONE",
            "choose",
            "launcher_prefix",
            "pins_among",
            "runtime_contents",
            "strange_builds",
        ),
        "telling": ("license_notes",),
        "windows": ("Companion",),
    },
)
