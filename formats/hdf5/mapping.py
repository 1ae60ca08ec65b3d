"""Mapping: source of a feature as a pipeline file names it, and the column that reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeAlias

import h5py
import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from ...core.columns import Column, ConcatColumn
from ...core.errors import EpisodeRejected, nearest
from ...core.features import Feature
from .columns import (
    Assume,
    Color,
    EncodedFrameColumn,
    Flip,
    NumericColumn,
    RawFrameColumn,
    StringColumn,
    begins_like_image,
    depth_or_mask,
    is_encoded,
)
from .hdf5_file import check_declared, datasets, dtype_name, form, lookup, reading, rows_of, stores_all_rows
from .stored_rows import check_rows
from .unrendered import unrendered

Kind: TypeAlias = Literal["auto", "video", "image", "vector", "string"]
Dtype: TypeAlias = Literal["float32", "float64", "keep"]
Entries: TypeAlias = tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]
_RowRange: TypeAlias = tuple[int | None, int | None]


def _leaves_rows(rows: _RowRange) -> _RowRange:
    start, stop = rows[0] or 0, rows[1]
    if stop is not None and (stop == 0 or (start >= stop and (start < 0) == (stop < 0))):
        raise ValueError(f"rows {json.dumps(rows)} select nothing; [1, null] drops the first row, [null, -1] the last")
    return rows


Rows: TypeAlias = Annotated[_RowRange, AfterValidator(_leaves_rows)]


class _Shorthand(BaseModel):
    """A model that a plain path, or a list, may stand for."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _from(cls, value: Any) -> Any:
        return {"from": value} if isinstance(value, str | list) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Let editors accept the short form too."""
        full = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [dict(full["properties"]["from"]), full]}


class ColumnPart(_Shorthand):
    """One dataset of a vector that is concatenated from several.

    Attributes:
        source: Path of the dataset, relative to the episode's group (`from` in YAML).
        slice: Entries [start, stop) of its last axis; all of them by default.
        rows: Rows [start, stop), as a Python slice: each may be negative or null; all of them by default.
    """

    source: str = Field(validation_alias="from", serialization_alias="from", min_length=1)
    slice: Entries | None = None
    rows: Rows | None = None

    def span(self, length: int) -> range:
        """Return the rows of a dataset of so many rows that count."""
        return range(length)[slice(*self.rows or (None,))]


class ColumnSpec(_Shorthand):
    """Source of a feature. In YAML a plain path, or a list of paths, is short for `{from: …}`.

    Attributes:
        source: Path of a dataset relative to the episode's group, or several, with their vectors side by
            side (`from` in YAML).
        slice: Entries [start, stop) of the last axis; in a list each source has its own.
        rows: Rows [start, stop), as a Python slice: each may be negative or null; in a list each source has its own.
        dtype: None stores floats as float32, integers as int64 and booleans as they are; `float32`
            and `float64` convert all numbers; `keep` stores what the file has.
        names: A name per entry of a vector.
        kind: Kind of the feature; `auto` makes uint8 frames and encoded images a video.
        color: Order of the colours in the file.
        flip: Difference between the file's frames and upright ones; given, no EXIF orientation is reported.
        assume: What frames are that could also be depth or a mask: `grey` takes one channel of floats from 0
            to 1 for grey pictures, `colour` takes four channels for colour with alpha, which is dropped; each of
            them takes a camera with mask or seg in its name for pictures.
    """

    source: str | list[ColumnPart] = Field(validation_alias="from", serialization_alias="from", min_length=1)
    slice: Entries | None = None
    rows: Rows | None = None
    dtype: Dtype | None = None
    names: list[str] | None = None
    kind: Kind = "auto"
    color: Color = "rgb"
    flip: Flip = "none"
    assume: Assume | None = None

    @property
    def parts(self) -> tuple[ColumnPart, ...]:
        """The sources in order."""
        if isinstance(self.source, str):
            return (ColumnPart(source=self.source, slice=self.slice, rows=self.rows),)
        return tuple(self.source)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not isinstance(self.source, str):
            if self.slice is not None:
                raise ValueError("with a list of sources write the slice beside each: - {from: path, slice: [0, 3]}")
            if self.rows is not None:
                raise ValueError("with a list of sources write rows beside each: - {from: path, rows: [null, -1]}")
        return self


def mapping_text(columns: Mapping[str, ColumnSpec], unused: Sequence[str]) -> str:
    """Return where the columns of an episode are, as JSON for the manifest.

    Args:
        columns: Feature name to its source.
        unused: Paths of the episode's datasets that none of them reads.
    """
    specs = {key: spec.model_dump(mode="json", by_alias=True, exclude_defaults=True) for key, spec in columns.items()}
    return json.dumps({"columns": specs, "unused": list(unused)})


def read_mapping(text: str) -> tuple[dict[str, ColumnSpec], tuple[str, ...]]:
    """Return columns and unused datasets of `mapping_text`."""
    entry = json.loads(text)
    columns = {key: ColumnSpec.model_validate(spec) for key, spec in entry["columns"].items()}
    return columns, tuple(entry["unused"])


def without_last(group: h5py.Group, specs: Mapping[str, ColumnSpec]) -> dict[str, ColumnSpec]:
    """Return a mapping without the observation after the last action: sources of T + 1 rows lose their last.

    T is the smallest number of rows of all sources, each cut by its own `rows` before.

    Raises:
        EpisodeRejected: missing_dataset.
    """
    spans: dict[ColumnPart, tuple[int, range]] = {}
    for part in (part for spec in specs.values() for part in spec.parts):
        length = len(find_dataset(group, part.source))
        spans[part] = length, part.span(length)
    shortest = min(len(span) for _, span in spans.values())

    def cut(part: ColumnPart) -> dict[str, Any]:
        length, span = spans[part]
        if len(span) != shortest + 1 or not shortest:
            return {}
        return {"rows": (part.rows and part.rows[0], span.stop - 1 - length)}

    return {
        key: spec.model_copy(update=cut(spec.parts[0]))
        if isinstance(spec.source, str)
        else spec.model_copy(update={"source": [part.model_copy(update=cut(part)) for part in spec.parts]})
        for key, spec in specs.items()
    }


def build_column(group: h5py.Group, spec: ColumnSpec, key: str, *, is_planned: bool = False) -> Column:
    """Return the column for feature `key` of the episode in `group`, without reading its rows.

    Args:
        group: The episode.
        spec: Source of the column.
        key: The feature.
        is_planned: The camera is known to be no depth and no mask; to find out may take its fourth channel.

    Raises:
        EpisodeRejected: missing_dataset, bad_image, image_dtype, bad_dtype, bad_shape, bad_slice, bad_names,
            bad_feature_name, unequal_lengths, too_large, unreadable_data, or what `check_rows` raises.
    """
    sources = [find_dataset(group, part.source) for part in spec.parts]
    for source in sources:
        _check_type(source)
        check_declared(source, len(rows_of(group, source)))
    kind = spec.kind if spec.kind != "auto" else _guess_kind(sources, spec.assume)
    if kind in ("video", "image"):
        if not is_planned and (reason := depth_or_mask(group, spec.parts[0].source, spec.assume)):
            shape, dtype = form(sources[0])
            text = f"{sources[0].name} {shape} of {dtype_name(dtype)} is not a picture but {reason}"
            raise EpisodeRejected("image_dtype", text)
        return _frames(sources, spec, key, kind)
    if "image" in key:
        raise EpisodeRejected(
            "bad_feature_name",
            f"feature {key!r} is not a camera, but readers of LeRobot datasets treat every name with 'image' as one; "
            "choose another name, or set `kind: video`",
        )
    if kind == "string":
        return _string(sources, spec, key)
    return _vector(sources, spec, key)


def check_lengths(lengths: Mapping[str, int], where: str = "") -> None:
    """Refuse columns, or sources of one, with different numbers of rows.

    Raises:
        EpisodeRejected: unequal_lengths, with what to write where one has the observation after the last action.
    """
    if len(set(lengths.values())) <= 1:
        return
    shortest, longest = min(lengths.values()), max(lengths.values())
    text = where + ", ".join(f"{name} {length}" for name, length in lengths.items())
    if longest == shortest + 1:
        longer = next(name for name, length in lengths.items() if length == longest)
        text += (
            f"; {{from: …, rows: [null, -1]}} drops the last row of {longer}, rows: [1, null] the first; with layout "
            "generic, options: {last_observation: drop} drops the last of all that have one more"
        )
    raise EpisodeRejected("unequal_lengths", f"numbers of rows differ: {text}")


def find_dataset(group: h5py.Group, path: str) -> h5py.Dataset:
    """Return the dataset at `path` relative to `group`.

    Raises:
        EpisodeRejected: missing_dataset, with the nearest path that exists, or what `lookup` raises.
    """
    item = lookup(group, path)
    if isinstance(item, h5py.Dataset) and item.shape:
        if not len(item) and not stores_all_rows(item):
            check_rows(item, 0, 0)  # without its source, a virtual dataset may have no rows
        return item
    if isinstance(item, h5py.Dataset):
        raise EpisodeRejected("missing_dataset", f"{item.name} is a single value, not one row per frame")
    if path.strip("/").startswith("obs") and (why := unrendered(group)):
        raise EpisodeRejected("missing_dataset", why)
    where = f"{group.name} has no dataset {path!r}"
    if isinstance(item, h5py.Group):
        inside = ", ".join(list(item)[:8])
        raise EpisodeRejected("missing_dataset", f"{where}: it is a group with {inside or 'nothing in it'}")
    raise EpisodeRejected("missing_dataset", where + nearest(path, datasets(group)))


def _check_type(dataset: h5py.Dataset) -> None:
    """Refuse a type of several values, and one that numpy does not have."""
    with reading(dataset.name):
        _, dtype = form(dataset)
    if dtype.names is not None:
        text = f"{dataset.name} is {_type(dtype)}; `from:` takes no field: store each as a dataset"
        raise EpisodeRejected("bad_dtype", text)


def _type(dtype: np.dtype[Any]) -> str:
    if dtype.names is not None:
        return f"a compound table with the fields {', '.join(dtype.names)}"
    if h5py.check_ref_dtype(dtype) is not None:
        return "references"
    return f"opaque bytes ({dtype})" if dtype.kind == "V" else dtype_name(dtype)


def _guess_kind(sources: Sequence[h5py.Dataset], assume: Assume | None) -> Kind:
    first = sources[0]
    if assume:
        return "video"
    if len(sources) > 1:
        return "vector"
    if is_encoded(first):
        if h5py.check_string_dtype(first.dtype) is None and first.dtype.kind == "O":
            return "video"
        if begins_like_image(first):
            return "video"
    if h5py.check_string_dtype(first.dtype) is not None:
        return "string"
    shape, dtype = form(first)
    return "video" if len(shape) == 4 and dtype.kind in "biuf" else "vector"


def _cut(column: Column, part: ColumnPart) -> Column:
    """Return the rows of a source that count."""
    if part.rows is None or not column.length:
        return column
    rows = part.span(column.length)
    if not rows:
        text = f"rows {json.dumps(part.rows)} of {part.source} select nothing: it has {column.length} rows"
        raise EpisodeRejected("bad_slice", text)
    return column.take(np.arange(rows.start, rows.stop))


def _frames(sources: Sequence[h5py.Dataset], spec: ColumnSpec, key: str, kind: Literal["video", "image"]) -> Column:
    if len(sources) > 1 or spec.parts[0].slice or spec.names:
        raise EpisodeRejected("bad_shape", f"camera {key!r} is made from one dataset, without slice and names")
    column = EncodedFrameColumn if is_encoded(sources[0]) else RawFrameColumn
    return _cut(column(sources[0], kind, spec.color, spec.flip), spec.parts[0])


def _string(sources: Sequence[h5py.Dataset], spec: ColumnSpec, key: str) -> Column:
    first = sources[0]
    if len(sources) > 1 or h5py.check_string_dtype(first.dtype) is None or first.ndim != 1:
        raise EpisodeRejected("bad_dtype", f"text {key!r} needs one dataset of strings, {first.name} is {first.dtype}")
    return _cut(StringColumn(first), spec.parts[0])


def _vector(sources: Sequence[h5py.Dataset], spec: ColumnSpec, key: str) -> Column:
    for source in sources:
        shape, dtype = form(source)
        if dtype.kind not in "biuf":
            raise EpisodeRejected("bad_dtype", f"{source.name} is {_type(dtype)}, not numbers for {key!r}")
        is_wide = dtype.kind == "f" and dtype.itemsize > 8
        if is_wide and (spec.dtype is None or _target(dtype, spec.dtype) == dtype.name):
            text = f"{source.name} is {dtype.name}, which no column of a dataset has; dtype: float64 rounds its numbers"
            raise EpisodeRejected("bad_dtype", text)
        if len(shape) > (3 if len(sources) == 1 else 2):
            raise EpisodeRejected("bad_shape", f"{source.name} has shape {shape}, too many axes for {key!r}")
    dtypes = [form(source)[1] for source in sources]
    # numpy would make floats of int64 beside uint64, which have not the digits.
    common = np.dtype(np.int64) if {dtype.kind for dtype in dtypes} == {"i", "u"} else np.result_type(*dtypes)
    target = _target(common, spec.dtype)
    labels = _labels(spec.parts)
    columns = [
        _cut(_numbers(source, part.slice, target, label, spec.dtype is not None), part)
        for source, part, label in zip(sources, spec.parts, labels, strict=True)
    ]
    check_lengths({part.source: column.length for part, column in zip(spec.parts, columns, strict=True)}, f"{key!r}: ")
    if len(columns) > 1:
        names = [
            name for column, label in zip(columns, labels, strict=True) for name in column.feature.names or (label,)
        ]
        whole: Column = ConcatColumn(columns, Feature(target, (len(names),), tuple(names)))
    else:
        whole = columns[0]
    return _renamed(whole, spec.names, key)


def _numbers(
    source: h5py.Dataset, entries: tuple[int, int] | None, dtype: str, label: str, is_decided: bool
) -> NumericColumn:
    shape, _ = form(source)
    if len(shape) == 1:
        if entries is not None:
            raise EpisodeRejected("bad_slice", f"{source.name} has one number per row, so `slice` does not apply")
        return NumericColumn(source, Feature(dtype, (1,)), is_decided=is_decided)
    width = shape[-1]
    first, last = entries or (0, width)
    _check_slice(source.name, width, first, last)
    if len(shape) == 2:
        names = tuple(f"{label}_{index}" for index in range(first, last))
        return NumericColumn(source, Feature(dtype, (last - first,), names), entries, is_decided=is_decided)
    feature = Feature(dtype, (*shape[1:-1], last - first))
    return NumericColumn(source, feature, entries, is_decided=is_decided)


def _check_slice(where: str, width: int, first: int, last: int) -> None:
    if not 0 <= first < last <= width:
        raise EpisodeRejected("bad_slice", f"slice [{first}, {last}] does not fit {where}, which has {width} entries")


def _renamed(column: Column, names: list[str] | None, key: str) -> Column:
    if names is not None:
        feature = column.feature
        if len(feature.shape) != 1 or len(names) != feature.shape[0]:
            raise EpisodeRejected("bad_names", f"{key!r} has {len(names)} names for entries of shape {feature.shape}")
        column.feature = Feature(feature.dtype, feature.shape, tuple(names))
    return column


def _target(found: np.dtype[Any], wanted: Dtype | None) -> str:
    if wanted == "keep":
        return found.name
    if wanted is not None:
        return wanted
    return {"f": "float32", "b": "bool"}.get(found.kind, "int64")


def _leaf(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _labels(parts: Sequence[ColumnPart]) -> list[str]:
    """Name each source by its last component, or by its whole path where two would get the same name."""
    leaves = [_leaf(part.source) for part in parts]
    paths = {part.source for part in parts}
    clash = {leaf for leaf in leaves if sum(_leaf(path) == leaf for path in paths) > 1}
    return [
        part.source.strip("/").replace("/", ".") if leaf in clash else leaf
        for part, leaf in zip(parts, leaves, strict=True)
    ]
