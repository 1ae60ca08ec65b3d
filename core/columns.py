"""Lazy columns of an episode: one primitive, `batches`, from which everything else follows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .features import Feature

Array: TypeAlias = NDArray[Any]


class Column(ABC):
    """One feature of one episode, read on demand.

    Attributes:
        feature: What one row is.
        length: Number of rows.
    """

    def __init__(self, feature: Feature, length: int) -> None:
        self.feature = feature
        self.length = length

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

    def cut(self, first: int, last: int) -> Column:
        """Return rows first..last as a column of their own."""
        return SlicedColumn(self, first, last)


class MappedColumn(Column):
    """A column whose batches go through a function; rows stay aligned one to one.

    The function gets the batch and the index of its first row, so that an error can name a row.
    """

    def __init__(self, base: Column, feature: Feature, function: Callable[[Array, int], Array]) -> None:
        super().__init__(feature, base.length)
        self._base = base
        self._function = function

    def batches(self, start: int, stop: int) -> Iterator[Array]:
        first = start
        for batch in self._base.batches(start, stop):
            yield self._function(batch, first)
            first += len(batch)


class SlicedColumn(Column):
    """Rows first..last of another column."""

    def __init__(self, base: Column, first: int, last: int) -> None:
        super().__init__(base.feature, last - first)
        self._base = base
        self._first = first

    def batches(self, start: int, stop: int) -> Iterator[Array]:
        return self._base.batches(self._first + start, self._first + stop)


class ConcatColumn(Column):
    """Vectors side by side, in the order given."""

    def __init__(self, parts: Sequence[Column], feature: Feature) -> None:
        super().__init__(feature, parts[0].length)
        self._parts = parts

    def batches(self, start: int, stop: int) -> Iterator[Array]:
        # Vectors of an episode may be in memory (design §3); frames are never concatenated.
        rows = [part.read(start, stop).reshape(stop - start, -1) for part in self._parts]
        yield np.concatenate(rows, axis=1)


class ArrayColumn(Column):
    """Rows that are in memory already."""

    def __init__(self, feature: Feature, rows: Array) -> None:
        super().__init__(feature, len(rows))
        self._rows = rows

    def batches(self, start: int, stop: int) -> Iterator[Array]:
        yield self._rows[start:stop]


class ConstantColumn(Column):
    """A scalar (1,) with one value in every row, and `last` in the last one; None for the same there.

    A part of it is the column of an episode that was shortened, whose own last row has `last`.
    """

    def __init__(self, feature: Feature, length: int, value: float, last: float | None = None) -> None:
        super().__init__(feature, length)
        self._value = value
        self._last = value if last is None else last

    def batches(self, start: int, stop: int) -> Iterator[Array]:
        is_last = np.arange(start, stop)[:, None] == self.length - 1
        yield np.where(is_last, self._last, self._value).astype(self.feature.dtype)

    def cut(self, first: int, last: int) -> Column:
        """Return the column of the shortened episode."""
        return ConstantColumn(self.feature, last - first, self._value, self._last)
