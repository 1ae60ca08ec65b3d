"""Exact statistics of columns of any length, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .feature_stats import QUANTILES, Counts, FeatureStats, Floats, Moments, as_table, interpolate, neighbours

DIGIT_BITS = 16
DIGITS = 1 << DIGIT_BITS
_PASS_BYTES = 160 << 20  # counts held in one pass over the files; more columns than fit get a pass of their own
_DIRECT_BYTES = 112 << 20  # values that take up to so much are sorted in memory instead
_PIECE = 64  # columns with quantiles counted together: wide tables are cut, so that the counts stay small
_BLOCK_ROWS = 4096
_BLOCK_VALUES = 1 << 20
_BATCH_VALUES = 1 << 21  # smaller batches are gathered up to this, so that counting costs more than its setup


def _keys(values: NDArray[Any], carrier: np.dtype[Any]) -> NDArray[Any]:
    """Return unsigned keys that sort like `values`: IEEE 754 and two's complement with the sign mapped."""
    bits = 8 * carrier.itemsize
    # Adding zero makes -0.0 the same value as 0.0.
    raw = np.ascontiguousarray(np.add(values, 0, dtype=carrier))
    signed = raw.view(f"i{carrier.itemsize}")
    flip = signed.dtype.type(-1 << (bits - 1))
    if carrier.kind == "f":
        flip = (signed >> (bits - 1)) | flip  # all bits of a negative number, the sign bit of others
    keys: NDArray[Any] = (signed ^ flip).view(f"u{carrier.itemsize}")
    return keys


def _values(keys: NDArray[np.uint64], carrier: np.dtype[Any]) -> Floats:
    """Return the values, as float64, that `keys` came from."""
    top = np.uint64(1 << (8 * carrier.itemsize - 1))
    if carrier.kind == "i":
        return (keys ^ top).view(np.int64).astype(np.float64)
    raw = np.where(keys & top, keys ^ top, ~keys).astype(f"u{carrier.itemsize}")
    return raw.view(carrier).astype(np.float64)


def carrier_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the narrowest of float32, float64 and int64 that holds every value of `dtype`."""
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise TypeError(f"quantiles of {dtype} are not defined")
    if dtype.kind == "b" or (dtype.kind == "f" and dtype.itemsize <= 4) or dtype.itemsize <= 2:
        return np.dtype(np.float32)
    return np.dtype(np.float64 if dtype.kind == "f" or dtype == np.uint64 else np.int64)


class ExactQuantiles:
    """Selects quantiles of D columns of one dtype in 2 passes (up to 32 bits) or 4 (64 bits).

    Per pass: `add` every batch, in any batching and order; then `advance`, which says whether
    another pass is due. A distributed pass replaces `histogram` by the sum of all ranks' histograms
    before `advance`; every rank then holds the same state.

    Args:
        dtype: Any bool, integer or float dtype; NaN has no rank and must not occur.
        width: D, the number of values per row.
        quantiles: In [0, 1].
    """

    def __init__(self, dtype: Any, width: int, quantiles: Iterable[float] = tuple(QUANTILES.values())) -> None:
        self._carrier = carrier_of(np.dtype(dtype))
        self._quantiles = np.array(list(quantiles), np.float64)
        self._passes = 8 * self._carrier.itemsize // DIGIT_BITS
        self._done = 0
        self._count = 0
        # Per column: the upper digits, known so far, of the values needed. In pass 1 that is nothing.
        self._prefixes = [np.zeros(1, np.uint64) for _ in range(width)]
        # (width, ranks needed): upper digits of the value at a rank, and its rank among those that share them.
        self._prefix = np.zeros((width, 0), np.uint64)
        self._rank = np.zeros((width, 0), np.int64)
        self.histogram: Counts = np.zeros((width, DIGITS), np.int64)

    @property
    def pass_bytes(self) -> int:
        """Memory of the current pass's counts."""
        return self.histogram.nbytes

    def add(self, batch: NDArray[Any]) -> None:
        """Count a batch (n, D)."""
        keys = np.ascontiguousarray(_keys(batch, self._carrier).T)
        shift = DIGIT_BITS * (self._passes - self._done - 1)
        digits = (keys >> keys.dtype.type(shift)).astype(np.uint16)
        if self._done == 0:
            for column, row in enumerate(digits):
                self.histogram[column] += np.bincount(row, minlength=DIGITS)
            return
        upper = keys >> keys.dtype.type(shift + DIGIT_BITS)
        slot = 0
        for column, prefixes in enumerate(self._prefixes):
            for prefix in prefixes:
                chosen = digits[column][upper[column] == keys.dtype.type(prefix)]
                self.histogram[slot] += np.bincount(chosen, minlength=DIGITS)
                slot += 1

    def advance(self) -> bool:
        """End a pass; True if another one is needed, False if `result` is ready.

        Raises:
            ValueError: If no row was added.
        """
        if self._done == 0:
            self._begin_ranks()
        following = np.empty_like(self._prefix)
        slot = 0
        for column, prefixes in enumerate(self._prefixes):
            for prefix in prefixes:
                sharing = self._prefix[column] == prefix
                cumulative = np.cumsum(self.histogram[slot])
                rank = self._rank[column, sharing]
                digit = np.searchsorted(cumulative, rank, side="right")
                self._rank[column, sharing] = rank - (cumulative - self.histogram[slot])[digit]
                following[column, sharing] = (prefix << np.uint64(DIGIT_BITS)) | digit.astype(np.uint64)
                slot += 1
        self._prefix = following
        self._prefixes = [np.unique(row) for row in following]
        self._done += 1
        more = self._done < self._passes
        self.histogram = np.zeros((sum(map(len, self._prefixes)) if more else 0, DIGITS), np.int64)
        return more

    def _begin_ranks(self) -> None:
        self._count = int(self.histogram[:1].sum())
        lower, upper, _ = neighbours(self._quantiles, self._count)
        self._rank = np.tile(np.concatenate([lower, upper]), (len(self._prefixes), 1))
        self._prefix = np.zeros(self._rank.shape, np.uint64)

    def result(self) -> Floats:
        """Return (quantiles, D), equal to np.quantile(rows.astype(float64), quantiles, axis=0)."""
        _, _, weight = neighbours(self._quantiles, self._count)
        values = _values(self._prefix, self._carrier).T
        half = len(self._quantiles)
        return interpolate(values[:half], values[half:], weight[:, None])


def column_stats(make_batches: Callable[[], Iterator[Mapping[str, NDArray[Any]]]]) -> dict[str, FeatureStats]:
    """Return the statistics of numeric columns over all their rows, in float64; see `numeric_stats`.

    Memory stays below about 250 MB whatever the number of rows: columns with counts that do not fit
    together are counted in separate passes.

    Args:
        make_batches: Starts a pass over the data: mappings of column name to rows (n, ..., D) in any
            batching; every pass and batch has the same columns, dtypes and values.

    Returns:
        By column name; empty if there is no batch.

    Raises:
        ValueError: If there are batches but no rows.
    """
    whole: dict[str, Moments] = {}

    def pieces() -> Iterator[dict[str, NDArray[Any]]]:
        own: dict[str, Moments] = {}
        for batch in _blocks(make_batches()):
            for name, rows in batch.items() if not whole else ():
                carrier_of(rows.dtype)  # refuses what has no order
                own.setdefault(name, Moments()).add(rows)
            tables = {name: as_table(rows) for name, rows in batch.items()}
            yield {
                f"{name}[{start}]": table[:, start : start + _PIECE]
                for name, table in tables.items()
                for start in range(0, table.shape[1], _PIECE)
            }
        whole.update(own)  # after a whole pass: the first may end early

    levels: dict[str, list[Floats]] = {}
    for piece, found in _column_quantiles(pieces).items():
        levels.setdefault(piece[: piece.rindex("[")], []).append(found)
    return {
        name: {key: values[0] for key, values in moments.result().items()}
        | dict(zip(QUANTILES, np.concatenate(levels[name], axis=1), strict=True))
        for name, moments in whole.items()
    }


def _blocks(batches: Iterator[Mapping[str, NDArray[Any]]]) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Yield batches of as many rows each, but the last: sums must not depend on how rows are cut into files."""
    parts: list[Mapping[str, NDArray[Any]]] = []
    count = 0
    for batch in batches:
        parts.append(batch)
        count += len(next(iter(batch.values())))
        size = max(1, min(_BLOCK_ROWS, _BLOCK_VALUES // sum(prod(rows.shape[1:]) for rows in batch.values())))
        if count >= size:
            joined, last = _joined(parts), count - count % size
            for first in range(0, last, size):
                yield {name: rows[first : first + size] for name, rows in joined.items()}
            parts, count = [{name: rows[last:] for name, rows in joined.items()}], count - last
    if parts:
        yield _joined(parts)


def _column_quantiles(make_batches: Callable[[], Iterator[Mapping[str, NDArray[Any]]]]) -> dict[str, Floats]:
    """Return the quantiles (quantiles, D) of columns by name; arguments and errors are those of `column_stats`."""
    held: list[dict[str, NDArray[Any]]] = []
    size = 0
    for batch in make_batches():
        held.append({name: as_table(rows) for name, rows in batch.items()})
        size += sum(table.nbytes for table in held[-1].values())
        if size > _DIRECT_BYTES:
            break
    else:  # counting pays only where not everything can be in memory
        return {name: _direct([part[name] for part in held]) for name in held[0]} if held else {}
    selectors = {name: ExactQuantiles(table.dtype, table.shape[1]) for name, table in held[0].items()}
    held.clear()
    unfinished = list(selectors)
    while unfinished:
        group = _fitting(unfinished, selectors)
        for batch in _gathered(make_batches(), group):
            for name, table in batch.items():
                selectors[name].add(table)
        unfinished = [name for name in unfinished if name not in group or selectors[name].advance()]
    return {name: selector.result() for name, selector in selectors.items()}


def _direct(parts: list[NDArray[Any]]) -> Floats:
    quantiles = np.array(list(QUANTILES.values()))
    count = sum(map(len, parts))
    lower, upper, weight = neighbours(quantiles, count)
    low, high = np.empty((2, len(quantiles), parts[0].shape[1]))
    for column in range(parts[0].shape[1]):  # side by side in memory, and no more than one of them twice
        ordered = np.concatenate([part[:, column] for part in parts])
        ordered.sort()  # vectorised, and so quicker than to partition around ten ranks
        low[:, column], high[:, column] = ordered[lower], ordered[upper]
    # Adding zero makes -0.0 the same value as 0.0.
    return interpolate(low + 0.0, high + 0.0, weight[:, None])


def _fitting(names: list[str], selectors: Mapping[str, ExactQuantiles]) -> list[str]:
    """Return the first names with counts that fit into memory together; at least one."""
    total = np.cumsum([selectors[name].pass_bytes for name in names])
    return names[: max(1, int(np.searchsorted(total, _PASS_BYTES, side="right")))]


def _gathered(
    batches: Iterator[Mapping[str, NDArray[Any]]], names: Sequence[str]
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Yield the named columns as tables (n, D), small batches joined."""
    parts: list[dict[str, NDArray[Any]]] = []
    values = 0
    for batch in batches:
        parts.append({name: as_table(batch[name]) for name in names})
        values += sum(table.size for table in parts[-1].values())
        if values >= _BATCH_VALUES:
            yield _joined(parts)
            parts, values = [], 0
    if parts:
        yield _joined(parts)


def _joined(parts: Sequence[Mapping[str, NDArray[Any]]]) -> Mapping[str, NDArray[Any]]:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
