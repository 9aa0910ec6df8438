"""What users look at: verify, inspect, diff, explain, extract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamafile_format.door import open_door

if TYPE_CHECKING:
    from llamafile_format.examining.bill import Bill, DataSet, EngineFacts, Library, Model, bill_of
    from llamafile_format.examining.demands import Trust, detached_records
    from llamafile_format.examining.diff import Difference, diff
    from llamafile_format.examining.explain import Facts, Foreign, Piece, RecordFacts, Signed, Stamped, explain
    from llamafile_format.examining.extract import Extracted, extract, stream_member
    from llamafile_format.examining.format_identity import FormatIdentity, identify_format
    from llamafile_format.examining.inspect import inspect
    from llamafile_format.examining.inspection import (
        ArgumentsView,
        BuildView,
        ChosenView,
        Inspection,
        KeyRow,
        LicenceView,
        MemberView,
        ModelView,
        OnnxView,
        OperatorRow,
        PrefixView,
        RecordView,
        TemplateView,
        TensorRow,
        ValueRow,
        WeightsView,
    )
    from llamafile_format.examining.many import OURS, expand
    from llamafile_format.examining.memory import Memory, last_verified, memory_folder, recall, watch
    from llamafile_format.examining.refusal import refuse
    from llamafile_format.examining.resuming import Resumption, resumed
    from llamafile_format.examining.salvage import Found, State, salvage
    from llamafile_format.examining.upload import validate_upload
    from llamafile_format.examining.verify import examine, verify

open_door(
    __name__,
    {
        "bill": ("Bill", "DataSet", "EngineFacts", "Library", "Model", "bill_of"),
        "demands": ("Trust", "detached_records"),
        "diff": ("Difference", "diff"),
        "explain": ("Facts", "Foreign", "Piece", "RecordFacts", "Signed", "Stamped", "explain"),
        "extract": ("Extracted", "extract", "stream_member"),
        "format_identity": ("FormatIdentity", "identify_format"),
        "inspect": ("inspect",),
        "inspection": (
            "ArgumentsView",
            "BuildView",
            "ChosenView",
            "Inspection",
            "KeyRow",
            "LicenceView",
            "MemberView",
            "ModelView",
            "OnnxView",
            "OperatorRow",
            "PrefixView",
            "RecordView",
            "TemplateView",
            "TensorRow",
            "ValueRow",
            "WeightsView",
        ),
        "many": ("OURS", "expand"),
        "salvage": ("Found", "State", "salvage"),
        "memory": ("Memory", "last_verified", "memory_folder", "recall", "watch"),
        "refusal": ("refuse",),
        "resuming": ("Resumption", "resumed"),
        "upload": ("validate_upload",),
        "verify": ("examine", "verify"),
    },
)
