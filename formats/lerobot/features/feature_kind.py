"""Feature kind: how a column is described, stored, written, merged, verified and read, by what it holds."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ....core.columns import Array
from ....core.errors import Damaged, EpisodeRejected, RobotroveError
from ....core.features import DEFAULT_FEATURES, PLACED_COLUMNS, Feature, Features
from ..dataset_files import ArrowColumn
from ..stats.feature_stats import STAT_KEYS, FeatureStats, Shape
from . import KINDS

if TYPE_CHECKING:
    from ....core.episode import Episode
    from ....media.encode.settings import VideoSettings

NO_PICTURE = "the picture is missing"
_MOST_AXES = 5  # LeRobot has Array2D to Array5D (lerobot/datasets/utils.py, get_hf_features_from_features)

# Per list, by its index column, the new number of each old one: (n,) each.
Lookups: TypeAlias = Mapping[str, NDArray[np.int64]]
# Severity, as in verification, and sentence.
Problem: TypeAlias = tuple[Literal["error", "warning"], str]


class ColumnWriter(ABC):
    """One column of an episode while the episode is written.

    Attributes:
        histogram: (3, 256) int64 counts of a camera's sampled pixels; None for other kinds.
    """

    histogram: NDArray[np.int64] | None = None

    @abstractmethod
    def stats(self) -> FeatureStats | None:
        """Return the statistics of the rows or frames written so far; None for a kind that has none."""


class RowsWriter(ColumnWriter):
    """A column of the rows.

    Attributes:
        batch_rows: Most rows at a time that memory allows.
    """

    batch_rows: ClassVar[int] = 1 << 62

    @abstractmethod
    def rows(self, first: int, last: int, kind: pa.DataType) -> pa.Array:
        """Return rows first..last, which are asked for in order."""


class FileWriter(ColumnWriter):
    """A column with a file of its own.

    Attributes:
        suffix: Of the file.
    """

    suffix: ClassVar[str]

    @abstractmethod
    def write_file(self, path: Path, video: VideoSettings, cpus: int) -> None:
        """Write the file, with frames read ahead where there is more than one CPU."""


@dataclass(frozen=True, slots=True)
class FeatureKind(ABC):
    """The kind of one column.

    Defaults are those of a column of the data files with rows that are arrays (*shape) of one arrow type.

    Attributes:
        feature: The column's entry in info.json.
        in_rows: True for a column of the data files.
        is_numeric: True if the rows are numbers, from which statistics can be computed.
        not_in: Versions of LeRobot's format without such columns; their datasets are written without it.
        refused_in: Versions of LeRobot's format that would lose the column's meaning; no dataset is written.
        has_dictionary: True if values repeat, so that parquet's dictionaries save room.
    """

    feature: Feature

    in_rows: ClassVar[bool] = True
    not_in: ClassVar[tuple[str, ...]] = ()
    refused_in: ClassVar[tuple[str, ...]] = ()
    is_numeric: ClassVar[bool] = False
    has_dictionary: ClassVar[bool] = False

    @property
    def row_values(self) -> int:
        """Values of a row, or as many as take the same memory."""
        return prod(self.feature.shape)

    @property
    def value_type(self) -> pa.DataType:
        """Arrow type of a single value; null for a kind that is not in the rows."""
        return pa.null()

    @property
    def numpy_kind(self) -> str:
        """Numpy's kind of the values, "O" for texts, empty for anything else."""
        return _numpy_kind(self.value_type)

    # In info.json.

    def info_entry(self, known: Mapping[str, Any], file: Path, fps: int) -> dict[str, Any]:
        """Return the entry of info.json.

        Args:
            known: The `info` that the sources agree on; empty for none.
            file: The first video file of the column, read where nothing is known.
            fps: Frames per second.
        """
        return self.feature.to_json()

    def stored_info(self, entry: Mapping[str, Any], where: str) -> Mapping[str, Any]:
        """Return the `info` of an entry of info.json, as far as a new dataset keeps it.

        Raises:
            Damaged: At `where`, if a new dataset cannot hold such a column.
        """
        return {}

    def merged_info(self, info: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what two datasets of the same settings say alike in `info`; empty for what files say better."""
        return info if info == other else {}

    def settings(self, info: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what `info` must have alike in datasets that are merged."""
        return {}

    def file_problems(self, codec: str, pix_fmt: str, entry: Mapping[str, Any]) -> Iterator[str]:
        """Yield how a video file contradicts an entry of info.json, size and length aside."""
        return iter(())

    def problems(self, key: str, entry: Mapping[str, Any], fps: Callable[[], int]) -> Iterator[str]:
        """Yield what LeRobot would refuse or read wrong in an entry of info.json; `fps` raises if it has no rate."""
        names, axes = self.feature.names, len(self.feature.shape)
        if "image" in key:
            yield f"is {self.feature}, but LeRobot takes every name with 'image' in it for a camera"
        if axes > _MOST_AXES:
            yield f"has {axes} axes; LeRobot knows at most {_MOST_AXES}"
        if names and axes == 1 and len(names) != self.feature.shape[0]:
            yield f"has {len(names)} names for {self.feature.shape[0]} values"

    # In the schema of the data files.

    def arrow_field(self, name: str) -> pa.Field:
        """Return the parquet column, as LeRobot's recorder writes it."""
        shape, value = self.feature.shape, self.value_type
        if shape == (1,):
            return pa.field(name, value)
        if len(shape) == 1:
            return pa.field(name, pa.list_(value, shape[0]))
        for _ in shape:
            value = pa.list_(value)
        metadata = {
            "ARROW:extension:name": f"datasets.features.features.Array{len(shape)}DExtensionType",
            "ARROW:extension:metadata": json.dumps([list(shape), self.feature.dtype]),
        }
        return pa.field(name, value, metadata=metadata)

    def reference_field(self, name: str) -> pa.Field:
        """Return the parquet column, as the reference converters to v2.1 write it."""
        return self.arrow_field(name)

    def dictionary_columns(self, name: str) -> list[str]:
        """Return the parquet columns that have dictionaries."""
        return [name] if self.has_dictionary else []

    def datasets_type(self, list_type: str) -> dict[str, Any] | None:
        """Return the type in the package `datasets`, which calls vectors `list_type`; None if files describe none."""
        shape, dtype = self.feature.shape, self.feature.dtype
        value = {"dtype": dtype, "_type": "Value"}
        if shape == (1,):
            return value
        if len(shape) == 1:
            return {"feature": value, "length": shape[0], "_type": list_type}
        return {"shape": list(shape), "dtype": dtype, "_type": f"Array{len(shape)}D"}

    def type_problem(self, found: pa.DataType, *, may_wrap: bool) -> Problem | None:
        """Return what is wrong with the type of a column in a data file.

        Args:
            found: The type.
            may_wrap: Accept single values as lists of one.
        """
        axes, value = 0, found
        while is_list(value):
            axes, value = axes + 1, value.value_type
        usual = 0 if self.feature.shape == (1,) else len(self.feature.shape)
        message = f"is {found}, which does not hold {self.feature}"
        is_wrapped = may_wrap and usual == 0 and axes == 1
        if (axes != usual and not is_wrapped) or _numpy_kind(value) != self.numpy_kind:
            return "error", message
        is_same = value == self.value_type or pa.types.is_large_string(value)
        return None if axes == usual and is_same else ("warning", message)  # LeRobot casts it

    # Reading.

    def values(self, column: ArrowColumn, where: str) -> NDArray[Any]:
        """Return a column of a data file as (rows, *shape).

        Raises:
            Damaged: At `where`, if a row is empty or has another shape or type.
        """
        rows = len(column)
        for size in () if self.feature.shape == (1,) else self.feature.shape:
            if column.null_count:
                raise Damaged(where, f"{column.null_count} rows are empty")
            if not is_list(column.type):
                raise Damaged(where, f"values are {column.type} instead of lists of {size}")
            is_fixed = pa.types.is_fixed_size_list(column.type)
            lengths = {column.type.list_size} if is_fixed else set(pc.unique(pc.list_value_length(column)).to_pylist())
            if wrong := sorted(lengths - {size}):
                raise Damaged(where, f"rows have {', '.join(map(str, wrong))} values instead of {size}")
            column = column.flatten()
        if column.null_count:
            raise Damaged(where, _empty(column.null_count))
        if pa.types.is_nested(column.type):
            raise Damaged(where, f"values are {column.type} instead of single ones")
        values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        if values.dtype.kind != self.numpy_kind:
            raise Damaged(where, f"values are {column.type} instead of {self.feature.dtype}")
        return values.reshape(rows, *self.feature.shape)

    def unusable(self, values: Array) -> NDArray[np.bool_] | None:
        """Return which values of rows no reader can use: (rows, values of a row); None for a kind that has no such."""
        return None

    def row_problem(self, row: Any) -> str:
        """Say what is wrong with a row, as Python has it; empty for a kind that `values` and `unusable` judge."""
        return ""

    # Writing an episode.

    def stored(self, values: Array) -> Array:
        """Return values of an episode as they are stored."""
        return values

    def writer(self, ep: Episode, key: str) -> ColumnWriter:
        """Return the writer of an episode's column.

        Raises:
            EpisodeRejected: If the values have another shape, or cannot be used.
        """
        values, expected = ep[key], (ep.length, *self.feature.shape)
        if values.shape != expected:
            raise EpisodeRejected("wrong_shape", f"{key} has shape {values.shape}, expected {expected}")
        stored = self.stored(values)
        self.refuse(stored, key)
        return ValuesWriter(self, stored)

    def refuse(self, values: Array, key: str) -> None:  # noqa: B027 - by default nothing is refused
        """Raise EpisodeRejected if stored values of an episode cannot be used; `key` is their column."""

    def to_arrow(self, values: Array, kind: pa.DataType) -> pa.Array:
        """Return values (rows, *shape) as an arrow array of the type of `arrow_field`."""
        if pa.types.is_fixed_size_list(kind):
            return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1), kind.value_type), type=kind)
        return pa.array(values.tolist() if pa.types.is_list(kind) else values.reshape(-1), kind)

    # Merging.

    def renamed(self, column: pa.Array, names: Mapping[str, str | None]) -> pa.Array:
        """Return a column of a new dataset with references to other features under their names there.

        Args:
            column: As `merged` returns it.
            names: Feature to its new name, None for a dropped one; others keep theirs.
        """
        return column

    def merged(self, piece: pa.Table, field: pa.Field, lookups: Lookups, where: str) -> pa.Array:
        """Return the column of a new dataset for rows of another one: the same values.

        Args:
            piece: The rows, as they are stored.
            field: The column of the new dataset.
            lookups: New numbers of the lists that the rows point into.
            where: Place of the rows, for errors.

        Raises:
            RobotroveError: If the column is missing, or a row is empty or has another shape or type.
        """
        where = f"{where}, column {field.name}"
        if field.name not in piece.column_names:
            raise RobotroveError(where, "is missing", "every feature of info.json")
        column = piece.column(field.name).combine_chunks()
        is_wrapped = self.feature.shape == (1,) and pa.types.is_list(field.type)  # a single value as a list of one
        kind = field.type.value_type if is_wrapped else field.type
        if column.type != kind:
            try:
                column = _cast(column, kind)
            except pa.ArrowException as exc:
                raise RobotroveError(where, f"is {column.type}: {exc}", f"{kind}") from exc
        self.refuse_empty(column, where)
        return pa.ListArray.from_arrays(range(len(column) + 1), column) if is_wrapped else column

    def refuse_empty(self, column: ArrowColumn, where: str) -> None:
        """Raise RobotroveError if a row has no value."""
        if empty := self.empty_rows(column):
            raise RobotroveError(where, _empty(empty), "a value in every row")

    def empty_rows(self, column: ArrowColumn) -> int:
        """Return the number of rows without a value."""
        return int(column.null_count)

    # Statistics.

    def stats(self, values: Array) -> FeatureStats | None:
        """Return the statistics of rows (T, *shape); None for a kind that has none."""
        return None

    def stats_shape(self, *, keep_axes: bool = False) -> Shape | None:
        """Return the shape of a new dataset's statistics; None for a kind that has none.

        Args:
            keep_axes: Keep all axes of a row, as LeRobot 0.3.3 does for v2.1, not only the last.
        """
        return None

    def known_stats_shapes(self) -> list[Shape]:
        """Return the shapes that statistics of any dataset can have, the usual one first."""
        return []

    def stats_type(self) -> pa.DataType:
        """Return the type of a statistic in meta/episodes of v3.0: float64 in as many lists as it has axes."""
        kind = pa.float64()
        for _ in self.stats_shape() or ():
            kind = pa.list_(kind)
        return kind


@dataclass(frozen=True, slots=True)
class ValuesWriter(RowsWriter):
    """Writer of values that are in memory.

    Attributes:
        kind: Their kind.
        values: (T, *shape), as they are stored.
    """

    kind: FeatureKind
    values: Array

    def rows(self, first: int, last: int, kind: pa.DataType) -> pa.Array:
        """See the base class."""
        return self.kind.to_arrow(self.values[first:last], kind)

    def stats(self) -> FeatureStats | None:
        """See the base class."""
        return self.kind.stats(self.values)


@lru_cache(maxsize=1024)
def kind_of(feature: Feature) -> FeatureKind:
    """Return the kind of a feature; raises LookupError if there is none that holds its dtype."""
    name = feature.points_into or feature.dtype
    if feature.is_depth and f"depth {name}" in KINDS:
        name = f"depth {name}"
    if name not in KINDS:
        raise LookupError(name)
    kind: FeatureKind = KINDS[name](feature)
    return kind


def in_rows(features: Features) -> Features:
    """Return the features that are columns of the data files."""
    return {key: feature for key, feature in features.items() if kind_of(feature).in_rows}


def with_stats(features: Features) -> dict[str, FeatureKind]:
    """Return the kinds of the features that have statistics."""
    kinds = {key: kind_of(feature) for key, feature in features.items()}
    return {key: kind for key, kind in kinds.items() if kind.stats_shape() is not None}


def row_kinds(features: Features) -> dict[str, FeatureKind]:
    """Return the kinds of all columns of the data files, the default five last.

    Args:
        features: What the dataset holds, the default five aside.
    """
    own = {key: feature for key, feature in in_rows(features).items() if key not in DEFAULT_FEATURES}
    return {key: kind_of(feature) for key, feature in (own | DEFAULT_FEATURES).items()}


def data_schema(features: Features, list_type: str = "List") -> pa.Schema:
    """Return the arrow schema of a data file, with the metadata that the Hub's viewer needs.

    Args:
        features: What the dataset holds, the default five aside.
        list_type: What vectors are called there: "Sequence" for datasets of version 2.1, which are read
            with releases of the package datasets that do not know "List".
    """
    kinds = row_kinds(features)
    described = {key: kind.datasets_type(list_type) for key, kind in kinds.items()}
    fields = [kind.arrow_field(key) for key, kind in kinds.items()]
    metadata = {"huggingface": json.dumps({"info": {"features": described}})}
    return pa.schema(fields, metadata=None if None in described.values() else metadata)


def stat_shapes(features: Features) -> dict[str, Shape]:
    """Return "stats/<feature>/<name>" to the shape of its values, of those that do not depend on an episode's place.

    (D,) for numbers, leading axes collapsed as in `feature_stats.numeric_stats`; (3, 1, 1) for cameras; (1,) for count.
    """
    shapes: dict[str, Shape] = {}
    for key, kind in with_stats(features | DEFAULT_FEATURES).items():
        if key not in PLACED_COLUMNS:
            shape = kind.stats_shape() or ()
            shapes |= {f"stats/{key}/{name}": (1,) if name == "count" else shape for name in STAT_KEYS}
    return shapes


def single_values(column: ArrowColumn, feature: Feature | None) -> ArrowColumn:
    """Return a column of single values as such where it holds lists of one, any other as it is."""
    may_wrap = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
    if feature is None or feature.shape != (1,) or not may_wrap or column.null_count:
        return column
    return column.flatten() if pc.all(pc.equal(pc.list_value_length(column), 1)).as_py() else column


def is_list(kind: pa.DataType) -> bool:
    """True for lists of any length, of one length, and large ones."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _empty(count: int) -> str:
    return f"{count} values are empty"


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Bring a column to the type that LeRobot's recorder writes; other writers use others for the same values."""
    if pa.types.is_nested(column.type) and not pa.types.is_nested(kind) and not column.null_count:
        # A feature of shape (1,) as a list with one value.
        if pc.any(pc.not_equal(pc.list_value_length(column), 1)).as_py():
            raise pa.ArrowInvalid("lists of other lengths than 1")
        column = column.flatten()
    is_narrowing = pa.types.is_floating(column.type) and pa.types.is_floating(kind)
    return column.cast(kind, safe=not is_narrowing)


def _numpy_kind(kind: pa.DataType) -> str:
    is_kind = {
        "b": pa.types.is_boolean,
        "i": pa.types.is_signed_integer,
        "u": pa.types.is_unsigned_integer,
        "f": pa.types.is_floating,
    }
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "O"
    return next((name for name, holds in is_kind.items() if holds(kind)), "")
