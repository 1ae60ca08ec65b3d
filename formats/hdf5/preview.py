"""A glance at the values of a dataset, for `robotrove inspect --preview`."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import h5py
import numpy as np

from .source import DAMAGE
from .tree import plain

MAX_BYTES = 16 << 20
MAX_ROW = 32  # values shown of one row


@dataclass(frozen=True, slots=True)
class Preview:
    """Values of a numeric dataset.

    Attributes:
        first: First row, None if it has more than 32 values; the value itself for a single one.
        last: Last row, likewise.
        minimum: Smallest finite value, None if there is none.
        maximum: Largest finite value.
        not_finite: Number of NaN and infinite values.
    """

    first: Any
    last: Any
    minimum: Any
    maximum: Any
    not_finite: int


def preview(file: h5py.File, path: str) -> Preview | None:
    """Return the preview of a dataset; None if it is empty, not numeric, larger than 16 MB, or unreadable."""
    try:
        dataset = file[path]
        if dataset.shape is None or dataset.dtype.kind not in "biuf":
            return None
        if not 0 < prod(dataset.shape) * dataset.dtype.itemsize <= MAX_BYTES:
            return None
        values = np.asarray(dataset[()])
    except DAMAGE:
        return None
    is_shown = prod(values.shape[1:]) <= MAX_ROW
    rows = values if values.ndim else values.reshape(1)
    finite = rows[np.isfinite(rows)]
    return Preview(
        first=plain(rows[0]) if is_shown else None,
        last=plain(rows[-1]) if is_shown else None,
        minimum=plain(finite.min()) if finite.size else None,
        maximum=plain(finite.max()) if finite.size else None,
        not_finite=rows.size - finite.size,
    )
