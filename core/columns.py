"""Lazy columns of an episode: one primitive, `batches`, from which everything else follows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import EpisodeRejected, RobotroveError, of_episode
from .features import Feature

Array: TypeAlias = NDArray[Any]

MOST_SIDE = 16_384  # of a picture, in pixels
_MOST_ROWS = 1 << 24  # of an episode: 155 hours at 30 fps
_MOST_BYTES = 1 << 32  # of its vectors, which are in memory
_MOST_ENTRIES, _MOST_FILE_BYTES = 1 << 20, 1 << 26  # of a row: of vectors, and of pictures as the bytes of a file
# Zstandard packs most: 128 KiB of one value take 4 bytes (RFC 8878, 3.1.1.2). Small columns may be what they like.
_MOST_PACKED, _LARGE = 100_000, 1 << 28
_HELD_BYTES = 8 << 20  # read at a time for rows that do not follow each other


def check_size(where: str, shape: Sequence[int], itemsize: int, n_rows: int, stored: Callable[[], int]) -> None:
    """Refuse what declares more than an episode can be: to read it could take all memory, or for ever.

    Args:
        where: Its name, for people.
        shape: All rows, and the shape of a row.
        itemsize: Bytes of a value.
        n_rows: Rows in use; where episodes lie end to end there are more.
        stored: Returns the bytes of all rows on the disk, 0 where they are not known; of many chunks that takes time.

    Raises:
        EpisodeRejected: too_large, with what is declared.
    """
    entries, is_flat, problem = prod(shape[1:]), len(shape) <= 2, ""
    declared = n_rows * entries * itemsize
    most = _MOST_ENTRIES if itemsize > 1 else _MOST_FILE_BYTES
    if n_rows > _MOST_ROWS or max(shape[:1], default=0) > 16 * _MOST_ROWS:
        problem = f"{n_rows:,} rows, and an episode has at most {_MOST_ROWS:,}"
    elif is_flat and entries > most:
        problem = f"rows of {entries:,} values, and they have at most {most:,}"
    elif is_flat and itemsize > 1 and declared > _MOST_BYTES:
        problem = f"{declared:,} bytes, and the vectors of an episode have at most {_MOST_BYTES:,}"
    elif not is_flat and max(shape[1:]) > MOST_SIDE:
        problem = f"rows of {tuple(shape[1:])}, and sides of pictures have at most {MOST_SIDE:,} pixels"
    elif declared > _LARGE and 0 < (packed := stored()) * _MOST_PACKED < declared:
        problem = f"{declared:,} bytes and stores {packed:,}, which no compression makes of data"
    if problem:
        raise EpisodeRejected("too_large", f"{where} declares {problem}")


@dataclass(frozen=True, slots=True)
class RowMap:
    """Rows of a recording in the order in which an episode has them.

    Attributes:
        runs: (first, count, step) of each run of rows that are `step` apart, in order. A row that stands alone has
            step 1, a row that is repeated has step 0. Equal rows have equal runs.
    """

    runs: tuple[tuple[int, int, int], ...]

    @classmethod
    def all(cls, length: int) -> RowMap:
        """Return the map of an episode that has every row of its recording."""
        return cls(((0, length, 1),) if length else ())

    @classmethod
    def of(cls, rows: NDArray[np.int64]) -> RowMap:
        """Return the map of some rows (n,)."""
        steps = np.diff(rows)
        runs: list[tuple[int, int, int]] = []
        first = 0
        # A run ends at the row after which the step changes.
        for end in [*map(int, np.flatnonzero(np.diff(steps)) + 1), len(rows) - 1]:
            if first < end and (end - first > 1 or steps[first] in (0, 1)):
                runs.append((int(rows[first]), end - first + 1, int(steps[first])))
                first = end + 1
            elif first < end:  # two rows far apart: the second may begin a longer run
                runs.append((int(rows[first]), 1, 1))
                first = end
        if first < len(rows):
            runs.append((int(rows[first]), 1, 1))
        return cls(tuple(runs))

    @property
    def rows(self) -> NDArray[np.int64]:
        """All rows: (n,)."""
        parts = [first + step * np.arange(count) for first, count, step in self.runs]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    @property
    def first(self) -> int:
        """Smallest row."""
        return min(min(first, first + (count - 1) * step) for first, count, step in self.runs)

    @property
    def last(self) -> int:
        """Largest row."""
        return max(max(first, first + (count - 1) * step) for first, count, step in self.runs)

    @property
    def is_span(self) -> bool:
        """True if the rows follow each other."""
        return len(self.runs) == 1 and self.runs[0][2] == 1

    def __len__(self) -> int:
        return sum(count for _, count, _ in self.runs)

    def __getitem__(self, index: int) -> int:
        """Return the row of the recording that a row of the episode is."""
        for first, count, step in self.runs:
            if index < count:
                return first + index * step
            index -= count
        raise IndexError(index)

    def __str__(self) -> str:
        shown = [_run_text(*run) for run in self.runs[:4]]
        return ", ".join([*shown, *([f"{len(self.runs) - 4} more runs"] if len(self.runs) > 4 else [])])


def _run_text(first: int, count: int, step: int) -> str:
    if step == 0:
        return f"{first} x {count}"
    by = "" if step == 1 else f" by {step}"
    return f"{first}..{first + (count - 1) * step}{by}" if count > 1 else str(first)


def checked_rows(rows: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Return row numbers (n,) as int64.

    Raises:
        TypeError: If they are not whole numbers.
        IndexError: If one is not within 0 and `length` - 1.
    """
    rows = np.asarray(rows)
    if rows.ndim != 1 or (rows.dtype.kind not in "iu" and len(rows)):
        raise TypeError(
            f"rows to take have shape {rows.shape} and dtype {rows.dtype}, expected (n,) whole numbers; "
            "np.flatnonzero makes them from a mask"
        )
    if len(strange := rows[(rows < 0) | (rows >= length)]):
        raise IndexError(f"row {strange[0]} to take is not within 0 and {length - 1}")
    return rows.astype(np.int64, copy=False)


@dataclass(frozen=True, slots=True)
class Loss:
    """A recorded value that its column cannot hold.

    Attributes:
        dataset: Path of its dataset in the recording.
        row: Its row in the dataset.
        entry: Its number in a row of the column, counted over all axes.
        name: Name of the entry, or its number; empty where it is alone.
        value: As recorded.
        stored: As the column gives it.
        share: Its change, as a share of the range of its entry in the episode.
    """

    dataset: str
    row: int
    entry: int
    name: str
    value: float
    stored: float
    share: float


class Column(ABC):
    """One feature of one episode, read on demand.

    Attributes:
        feature: Dtype, shape and names of one row.
        length: Number of rows.
    """

    def __init__(self, feature: Feature, length: int) -> None:
        self.feature = feature
        self.length = length

    @property
    def stored(self) -> Column:
        """The column that it takes rows of; itself where it has all rows."""
        return self

    @abstractmethod
    def batches(self, start: int, stop: int) -> Iterator[Array]:
        """Yield rows start..stop in order as arrays (n, *feature.shape), n chosen to bound memory.

        Frames are uint8 RGB, channel last; strings are object arrays of str.

        Raises:
            EpisodeRejected: If the data turn out to be unusable.
        """

    def read(self, start: int = 0, stop: int | None = None) -> Array:
        """Return rows start..stop as one array (rows, *feature.shape)."""
        parts = list(self.batches(start, self.length if stop is None else stop))
        if not parts:
            return np.empty((0, *self.feature.shape), dtype=object)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def loss(self, rows: NDArray[np.int64] | None = None) -> Loss | None:
        """Return the value that loses most by a cast to float32 that nobody decided; None if none loses much.

        Args:
            rows: Rows that count (n,), all by default.

        Raises:
            EpisodeRejected: If the data turn out to be unusable.
        """
        return None

    def as_recorded(self) -> tuple[Column, ...]:
        """Return the columns that it is made of, before any cast: one per dataset of the recording."""
        return (self,)

    def take(self, rows: NDArray[np.int64]) -> Column:
        """Return some rows as a column of their own: (n,) int64, which may drop, repeat and reorder rows.

        Raises:
            TypeError, IndexError: See `checked_rows`.
        """
        return self._taken(checked_rows(rows, self.length))

    def _taken(self, rows: NDArray[np.int64]) -> Column:
        return TakenColumn(self, RowMap.of(rows))

    def _named(self, loss: Loss | None, before: int = 0) -> Loss | None:
        """Return the loss of a part with the number and the name that its entry has here, behind others."""
        if loss is None:
            return None
        entry, names = before + loss.entry, self.feature.names
        return replace(loss, entry=entry, name=names[entry] if names else loss.name)


class TakenColumn(Column):
    """Some rows of another column; memory does not grow with their number."""

    def __init__(self, base: Column, rows: RowMap) -> None:
        super().__init__(base.feature, len(rows))
        self._base = base
        self._rows = rows

    @property
    def stored(self) -> Column:
        """See the base class."""
        return self._base.stored

    def batches(self, start: int, stop: int) -> Iterator[Array]:
        before = 0
        for first, count, step in self._rows.runs:
            begin, end = max(start - before, 0), min(stop - before, count)
            if begin < end:
                yield from self._run(first + begin * step, end - begin, step)
            before += count

    def _run(self, first: int, count: int, step: int) -> Iterator[Array]:
        if step == 1:
            yield from self._base.batches(first, first + count)
            return
        # Rows between those taken are read with them: storage is in chunks, which would be read once for each row.
        held = max(1, _HELD_BYTES // max(1, 8 * prod(self.feature.shape)))
        size = max(1, held // max(1, abs(step)))
        for begin in range(0, count, size):
            rows = first + step * np.arange(begin, min(begin + size, count))
            low = int(rows.min())
            yield self._base.read(low, int(rows.max()) + 1)[rows - low]

    def loss(self, rows: NDArray[np.int64] | None = None) -> Loss | None:
        """See the base class."""
        own = self._rows.rows
        return self._named(self._base.loss(own if rows is None else own[rows]))

    def as_recorded(self) -> tuple[Column, ...]:
        return tuple(TakenColumn(column, self._rows) for column in self._base.as_recorded())

    def _taken(self, rows: NDArray[np.int64]) -> Column:
        return TakenColumn(self._base, RowMap.of(self._rows.rows[rows]))


class MappedColumn(Column):
    """Column with a function applied to batches of another one, row for row.

    Args:
        base: The column.
        feature: Dtype, shape and names of a changed row.
        function: Takes a batch (n, *base.feature.shape) and returns (n, *feature.shape).
        name: The column, for errors.
    """

    def __init__(
        self, base: Column, feature: Feature, function: Callable[[Array], Array], name: str = "a mapped column"
    ) -> None:
        super().__init__(feature, base.length)
        self._base = base
        self._function = function
        self._name = name

    def batches(self, start: int, stop: int) -> Iterator[Array]:
        for batch in self._base.batches(start, stop):
            try:
                changed = np.asarray(self._function(batch))
            except RobotroveError:
                raise
            except Exception as exc:
                raise of_episode(exc, self._name) from exc
            shape, dtype = (len(batch), *self.feature.shape), self.feature.values_dtype
            if changed.shape != shape or not np.can_cast(changed.dtype, dtype, "same_kind"):
                found = f"its function returned {changed.dtype} {changed.shape}"
                raise RobotroveError(self._name, found, f"{dtype} {shape}", "fix the block")
            yield changed

    def loss(self, rows: NDArray[np.int64] | None = None) -> Loss | None:
        """Return that of the column before the function."""
        return self._base.loss(rows)

    def _taken(self, rows: NDArray[np.int64]) -> Column:
        return MappedColumn(self._base.take(rows), self.feature, self._function, self._name)


class ConcatColumn(Column):
    """Vectors side by side, in the order given."""

    def __init__(self, parts: Sequence[Column], feature: Feature) -> None:
        super().__init__(feature, parts[0].length)
        self._parts = parts

    def batches(self, start: int, stop: int) -> Iterator[Array]:
        # Vectors of an episode may be in memory (design §3); frames are never concatenated.
        rows = [part.read(start, stop).reshape(stop - start, -1) for part in self._parts]
        yield np.concatenate(rows, axis=1)

    def loss(self, rows: NDArray[np.int64] | None = None) -> Loss | None:
        """See the base class."""
        widths = [prod(part.feature.shape) for part in self._parts]
        found = [self._named(part.loss(rows), sum(widths[:at])) for at, part in enumerate(self._parts)]
        return max(filter(None, found), key=lambda loss: loss.share, default=None)

    def as_recorded(self) -> tuple[Column, ...]:
        return tuple(column for part in self._parts for column in part.as_recorded())

    def _taken(self, rows: NDArray[np.int64]) -> Column:
        return ConcatColumn([part.take(rows) for part in self._parts], self.feature)


class ArrayColumn(Column):
    """Rows that are in memory already."""

    def __init__(self, feature: Feature, rows: Array) -> None:
        super().__init__(feature, len(rows))
        self._rows = rows

    @classmethod
    def of(cls, rows: Array) -> ArrayColumn:
        """Return a column of an array (n, …) with its own dtype; (n,) becomes (n, 1)."""
        rows = rows[:, None] if rows.ndim == 1 else rows
        is_text = rows.dtype.kind in "OU"
        return cls(Feature("string" if is_text else rows.dtype.name, rows.shape[1:]), rows)

    def batches(self, start: int, stop: int) -> Iterator[Array]:
        rows = self._rows[start:stop].view()
        rows.flags.writeable = False  # a function that changes its batch in place would do so at every reading
        yield rows

    def _taken(self, rows: NDArray[np.int64]) -> Column:
        return ArrayColumn(self.feature, self._rows[rows])


class ConstantColumn(Column):
    """A scalar (1,) with one value in every row, and `last` in the last row; None for the same there.

    Rows taken from it are the column of an episode with these rows: the last of them has `last`.
    """

    def __init__(self, feature: Feature, length: int, value: float, last: float | None = None) -> None:
        super().__init__(feature, length)
        self._value = value
        self._last = value if last is None else last

    def batches(self, start: int, stop: int) -> Iterator[Array]:
        is_last = np.arange(start, stop)[:, None] == self.length - 1
        yield np.where(is_last, self._last, self._value).astype(self.feature.dtype)

    def _taken(self, rows: NDArray[np.int64]) -> Column:
        return ConstantColumn(self.feature, len(rows), self._value, self._last)
