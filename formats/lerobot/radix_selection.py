"""Exact quantiles of columns that do not fit in memory, by radix selection.

Each value gets an unsigned key that sorts like the value. One pass over the data counts the top 16
bits of all keys; every further pass counts the next 16 bits, only of keys that share their upper
bits with a value that is needed. Counts are integers: those of parts can be summed in any order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .quantiles import QUANTILES, Bounds, Counts, Floats, interpolate, neighbours

DIGIT_BITS = 16
DIGITS = 1 << DIGIT_BITS


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
        if self._count == 0:
            raise ValueError("quantiles of no rows are not defined")
        lower, upper, _ = neighbours(self._quantiles, self._count)
        self._rank = np.tile(np.concatenate([lower, upper]), (len(self._prefixes), 1))
        self._prefix = np.zeros(self._rank.shape, np.uint64)

    def bounds(self) -> Bounds:
        """Return the values around each quantile, for an interpolation of one's own."""
        _, _, weight = neighbours(self._quantiles, self._count)
        values = _values(self._prefix, self._carrier).T
        half = len(self._quantiles)
        return values[:half], values[half:], weight[:, None]

    def result(self) -> Floats:
        """Return (quantiles, D), equal to np.quantile(rows.astype(float64), quantiles, axis=0)."""
        return interpolate(*self.bounds())
