"""Language: annotations of LeRobot 0.6, a list of entries in every row."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ....core.errors import Damaged, RobotroveError
from ..dataset_files import ArrowColumn
from .feature_kind import FeatureKind, Lookups, Problem, is_list

# lerobot 0.6.1, datasets/language.py: columns, the styles that each has, and those that are about what a camera sees.
PERSISTENT, EVENTS = "language_persistent", "language_events"
_STYLES: Mapping[str, tuple[str | None, ...]] = {
    PERSISTENT: ("subtask", "plan", "memory", "motion", "task_aug"),
    EVENTS: ("interjection", "vqa", "trace", None),
}
_SEEN = ("vqa", "trace")
_CALLS = "tool_calls"
_FIELDS = {
    **{"role": pa.string(), "content": pa.string(), "style": pa.string(), "timestamp": pa.float64()},
    **{"camera": pa.string(), _CALLS: pa.list_(pa.string())},
}
_TEXTS = (pa.types.is_null, pa.types.is_string, pa.types.is_large_string)
_HOLDS = dict.fromkeys(_FIELDS, _TEXTS) | {
    "timestamp": (pa.types.is_null, pa.types.is_floating),
    _CALLS: (pa.types.is_null, is_list),
}


class Language(FeatureKind):
    """Rows of lists of entries, copied when datasets are merged.

    LeRobot's annotation pipeline infers arrow types from each file: a field that is None everywhere is null there, and
    tool calls are structs. New files have the types that LeRobot declares, with calls as JSON, which its loader reads
    as the same values: structs of two files would fill each other's missing keys with None.
    """

    refused_in = ("v2.1",)

    @property
    def row_values(self) -> int:
        """See the base class; persistent entries of an episode are in each of its rows."""
        return 1 << 12

    def arrow_field(self, name: str) -> pa.Field:
        """Return the parquet column; events have no time of their own."""
        fields = {field: kind for field, kind in _FIELDS.items() if field != "timestamp" or name != EVENTS}
        return pa.field(name, pa.list_(pa.struct(fields)))

    def datasets_type(self, list_type: str) -> dict[str, Any] | None:
        """Return None: files with annotations have no description, since releases before 4.7 know no JSON."""
        return None

    def dictionary_columns(self, name: str) -> list[str]:
        """Return the leaves: entries repeat from row to row."""
        fields = self.arrow_field(name).type.value_type
        return [f"{name}.list.element.{field.name}{'.list.element' * (field.name == _CALLS)}" for field in fields]

    def problems(self, key: str, entry: Mapping[str, Any], fps: Callable[[], int]) -> Iterator[str]:
        """See the base class."""
        if key not in _STYLES:
            yield f"is a language column, but LeRobot knows only {' and '.join(_STYLES)}"
        if self.feature.shape != (1,):
            yield f"has shape {list(self.feature.shape)} instead of [1]"

    def type_problem(self, found: pa.DataType, *, may_wrap: bool) -> Problem | None:
        """See the base class."""
        if pa.types.is_null(found):  # a file in which no row has entries
            return None
        if not is_list(found) or not (pa.types.is_struct(found.value_type) or pa.types.is_null(found.value_type)):
            return "error", f"is {found} instead of a list of entries"
        fields = {} if pa.types.is_null(found.value_type) else {field.name: field.type for field in found.value_type}
        if strange := [name for name in fields if name not in _FIELDS]:
            return "error", f"has entries with {', '.join(strange)}; LeRobot knows {', '.join(_FIELDS)}"
        wrong = [name for name, kind in fields.items() if not any(holds(kind) for holds in _HOLDS[name])]
        return ("error", f"has entries with a {wrong[0]} of type {fields[wrong[0]]}") if wrong else None

    def values(self, column: ArrowColumn, where: str) -> NDArray[Any]:
        """Return the entries of each row: (rows, 1) lists, of dictionaries with tool calls as Python has them."""
        if problem := self.type_problem(column.type, may_wrap=False):
            raise Damaged(where, problem[1])
        rows = np.empty((len(column), 1), object)
        for at, entries in enumerate(column.to_pylist()):
            rows[at, 0] = [_parsed(entry or {}, where) for entry in entries or ()]
        return rows

    def row_problem(self, row: Any, key: str = "", cameras: Collection[str] = ()) -> str:
        """Say what is wrong with the entries of a row.

        Args:
            row: The entries.
            key: The column.
            cameras: Those of the dataset.
        """
        problems = (_entry_problem(entry, key, cameras) for entry in row)
        return next(filter(None, problems), "")

    def merged(self, piece: pa.Table, field: pa.Field, made: Lookups, where: str) -> pa.Array:
        """Return the same entries."""
        where = f"{where}, column {field.name}"
        if field.name not in piece.column_names:
            raise RobotroveError(where, "is missing", "every feature of info.json")
        column = piece.column(field.name).combine_chunks()
        if problem := self.type_problem(column.type, may_wrap=False):
            raise RobotroveError(where, problem[1], f"{field.type}")
        if pa.types.is_null(column.type):
            column = column.cast(pa.list_(pa.null()))
        entries, kind = column.flatten(), field.type.value_type
        fields = () if pa.types.is_null(entries.type) else entries.type
        own = {one.name: pc.struct_field(entries, one.name) for one in fields}
        parts = [
            pa.nulls(len(entries), one.type)
            if one.name not in own
            else _calls(own[one.name], where)
            if one.name == _CALLS
            else own[one.name].cast(one.type)
            for one in kind
        ]
        made_entries = pa.StructArray.from_arrays(parts, fields=list(kind))
        return pa.ListArray.from_arrays(_offsets(column), made_entries)

    def renamed(self, column: ArrowColumn, names: Mapping[str, str | None]) -> ArrowColumn:
        """Return entries that name renamed cameras; those about dropped cameras are dropped."""
        entries, rows = column.flatten(), pc.list_parent_indices(column).to_numpy()
        cameras = pc.struct_field(entries, "camera").to_pylist()
        kept = [at for at, camera in enumerate(cameras) if names.get(camera, "") is not None]
        if kept == list(range(len(cameras))) and not set(cameras) & names.keys():
            return column
        lengths = np.bincount(rows[kept], minlength=len(column))
        fields = list(column.type.value_type)
        named = pa.array([names.get(cameras[at], cameras[at]) for at in kept], _FIELDS["camera"])
        parts = [named if one.name == "camera" else pc.struct_field(entries, one.name).take(kept) for one in fields]
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(parts, fields=fields))


def _offsets(column: ArrowColumn) -> pa.Array:
    """Return where the list of each row begins; a row without a list has an empty one, as LeRobot takes it."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())


def _calls(column: ArrowColumn, where: str) -> pa.Array:
    """Return lists of tool calls, structs or JSON, as lists of JSON."""
    lists = column.to_pylist() if column.null_count < len(column) else [None] * len(column)
    made = [None if calls is None else [_json(call, where) for call in calls] for calls in lists]
    return pa.array(made, _FIELDS[_CALLS])


def _json(call: Any, where: str) -> str:
    try:
        return call if isinstance(call, str) else json.dumps(call, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise RobotroveError(where, f"has a tool call that JSON cannot hold: {exc}", "texts and numbers") from exc


def _parsed(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return an entry with tool calls as dictionaries, however they are stored."""
    try:
        calls = [json.loads(call) if isinstance(call, str) else call for call in entry.get(_CALLS) or ()]
    except ValueError as exc:
        raise Damaged(where, f"has a tool call that cannot be parsed: {exc}") from None
    return {**entry, _CALLS: calls or None}


def _entry_problem(entry: Mapping[str, Any], key: str, cameras: Collection[str]) -> str:
    """Say what LeRobot would refuse in an entry (0.6.1, language.py: column_for_style, validate_camera_field)."""
    style, camera = entry.get("style"), entry.get("camera")
    if not entry.get("role"):
        return "an entry has no role"
    if key == PERSISTENT and entry.get("timestamp") is None:
        return f"an entry of style {style!r} has no timestamp"
    home = next((column for column, styles in _STYLES.items() if style in styles), key)
    if home != key:
        return f"style {style!r} belongs into {home}"
    if style in _SEEN and camera not in cameras:
        return f"camera of style {style!r} is {camera!r} instead of one of {', '.join(cameras) or 'the cameras'}"
    if style not in _SEEN and camera is not None:
        return f"style {style!r} is about no camera, but has {camera!r}"
    return ""
