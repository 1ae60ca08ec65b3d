"""meta/stats.json of a LeRobot v2.1 dataset as GR00T (NVIDIA Isaac-GR00T, N1 to N1.7) writes it, in every digit.

Each value of a column is cast to float32; mean, std, min and max are those of numpy 1.26.4 in
float32 over all rows, the quantiles its float64 interpolation between float32 values
(gr00t/data/stats.py in N1.6 and N1.7, gr00t/data/dataset.py in N1 and N1.5). Under numpy 2 GR00T
itself writes quantiles that are rounded to float32.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.commit import write_file
from ...core.errors import Damaged, UsageError
from .float32_stats import Table, finite_float32, float32_stats
from .number_columns import column_batches, number_columns
from .paths import STATS

GR00T_KEYS = ("mean", "std", "min", "max", "q01", "q99")


def gr00t_stats(files: Sequence[Path], columns: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """Return the statistics of columns over all rows of parquet files, as GR00T computes them.

    Memory does not grow with the number of rows; the files are read some five times.

    Args:
        files: In the order of their rows; GR00T sorts by path.
        columns: Columns of numbers or of lists of numbers.

    Returns:
        Column to GR00T_KEYS, in this order, to D values; D is 1 for numbers that are no list.

    Raises:
        Damaged: If a file cannot be read, lacks a column, or has rows that are empty, no numbers,
            not finite as float32, or of different lengths.
        UsageError: If there are no rows.
    """

    def batches() -> Iterator[dict[str, Table]]:
        widths: dict[str, int] = {}
        for file in files:
            for batch in column_batches(file, columns):
                for name, rows in batch.items():
                    if rows.shape[1] != widths.setdefault(name, rows.shape[1]):
                        where = f"{file.name}, column {name}"
                        raise Damaged(where, f"rows have {rows.shape[1]} values, those before {widths[name]}")
                yield {name: _as_float32(rows, f"{file.name}, column {name}") for name, rows in batch.items()}

    found = float32_stats(batches, columns)
    if len(found) < len(columns):
        raise UsageError(f"{len(files)} data files", "there are no rows in them", "the rows of at least one episode")
    return {name: {key: stats[key].tolist() for key in GR00T_KEYS} for name, stats in found.items()}


def gr00t_columns(root: Path) -> list[str]:
    """Return the columns of a v2.1 dataset that get statistics: all numbers and lists of numbers, in parquet order.

    These are the columns that N1.5 takes where it computes statistics itself (N1 takes all, and
    fails on text), and more than N1.6 and N1.7 ask for: features whose dtype in info.json contains
    "float". Texts and pictures get none, nor do lists of lists, on which GR00T fails.

    Raises:
        UsageError: If there is no data file.
        Damaged: If the first one cannot be read.
    """
    return number_columns(data_files(root)[0])


def write_gr00t_stats(root: Path, out: Path | None = None) -> None:
    """Write meta/stats.json of a v2.1 dataset, whole or not at all.

    Args:
        root: The dataset.
        out: Folder that gets the file instead, which has a folder meta.

    Raises:
        UsageError: If there is no data file, or no row.
        Damaged: See `gr00t_stats`.
    """
    stats = gr00t_stats(data_files(root), gr00t_columns(root))
    write_file((out or root) / STATS, (json.dumps(stats, indent=4) + "\n").encode())


def data_files(root: Path) -> list[Path]:
    """Return the data files of a v2.1 dataset, sorted by path as GR00T reads them.

    Raises:
        UsageError: If there is none.
    """
    files = sorted(root.glob("data/*/*.parquet"))
    if not files:
        raise UsageError(str(root / "data"), "there is no parquet file", "a LeRobot v2.1 dataset with its episodes")
    return files


def _as_float32(rows: NDArray[Any], where: str) -> Table:
    if rows.dtype.kind in "iu" and rows.shape[1] == 1:
        rows = rows.astype(np.float64)  # pandas gives plain integers as Python's, which numpy takes for float64 first
    return finite_float32(rows, where)
