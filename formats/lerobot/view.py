"""Reading a LeRobot v3.0 dataset that may be damaged: every fault has a place, none is a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...core.features import Feature, Features
from . import paths
from .arrow_rows import ArrowColumn, Damaged, kind_of

BATCH_ROWS = 16_384
_BATCH_VALUES = 1 << 22
EPISODE_BATCH_ROWS = 1024  # rows with all statistics take some kilobytes each

# Errors that pyarrow raises on missing, truncated or foreign files.
_READ_ERRORS = (pa.ArrowException, OSError, ValueError)


class DatasetView:
    """One dataset on disk, read on demand and in bounded memory.

    Properties and methods raise Damaged where the dataset is not what it should be.

    Args:
        root: The dataset's folder.
        on_file: Called with the relative path of each data, episodes or video file when it is opened.
    """

    def __init__(self, root: Path, on_file: Callable[[str], None] = lambda path: None) -> None:
        self.root = root
        self._on_file = on_file

    def opened(self, path: str) -> Path:
        """Say that a file is about to be read; return its full path."""
        self._on_file(path)
        return self.root / path

    def json(self, path: str) -> dict[str, Any]:
        """Return a JSON file that holds an object."""
        try:
            content = json.loads((self.root / path).read_bytes())
        except FileNotFoundError:
            raise Damaged(path, "does not exist") from None
        except (OSError, ValueError) as exc:
            raise Damaged(path, f"cannot be read as JSON: {exc}") from None
        if not isinstance(content, dict):
            raise Damaged(path, f"holds a {type(content).__name__} instead of an object")
        return content

    @cached_property
    def info(self) -> dict[str, Any]:
        """info.json of a v3.0 dataset, as it is."""
        info = self.json(paths.INFO)
        version = info.get("codebase_version")
        if version != paths.CODEBASE_VERSION:
            raise Damaged(paths.INFO, f"codebase_version is {version!r} instead of {paths.CODEBASE_VERSION!r}")
        return info

    def count(self, key: str) -> int:
        """Return a non-negative integer of info.json."""
        value = self.info.get(key)
        if type(value) is not int or value < 0:
            raise Damaged(paths.INFO, f"{key} is {value!r} instead of a count")
        return value

    @property
    def fps(self) -> int:
        """Frames per second."""
        value = self.count("fps")
        if value == 0:
            raise Damaged(paths.INFO, "fps is 0")
        return value

    @cached_property
    def features(self) -> Features:
        """All features of info.json, in its order."""
        entries = self.info.get("features")
        if not isinstance(entries, dict):
            raise Damaged(paths.INFO, "features is no object")
        return {key: self._feature(key, entry) for key, entry in entries.items()}

    @staticmethod
    def _feature(key: str, entry: Any) -> Feature:
        where = f"{paths.INFO}, feature {key}"
        if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
            raise Damaged(where, "has no dtype")
        shape = entry.get("shape")
        if not isinstance(shape, list) or not shape or not all(type(size) is int and size > 0 for size in shape):
            raise Damaged(where, f"shape is {shape!r} instead of a list of sizes")
        if kind_of(entry["dtype"]) == "":
            raise Damaged(where, f"has the unknown dtype {entry['dtype']!r}")
        return Feature.from_json(entry)

    @property
    def video_keys(self) -> list[str]:
        """Cameras stored as video."""
        return [key for key, feature in self.features.items() if feature.is_video]

    @property
    def row_features(self) -> Features:
        """Features that are columns of the data files."""
        return {key: feature for key, feature in self.features.items() if not feature.is_video}

    @property
    def numeric_features(self) -> Features:
        """Features that are numbers in the data files: no camera, no text."""
        return {key: f for key, f in self.features.items() if not f.is_visual and f.dtype != "string"}

    def files(self, folder: str) -> list[str]:
        """Return the parquet files of `data` or `meta/episodes` in the order in which LeRobot reads them."""
        return [path.relative_to(self.root).as_posix() for path in sorted((self.root / folder).glob("*/*.parquet"))]

    def data_file(self, chunk: int, file: int) -> str:
        """Return the path of a data file."""
        return self._expand("data_path", chunk_index=chunk, file_index=file)

    def video_file(self, key: str, chunk: int, file: int) -> str:
        """Return the path of a video file."""
        return self._expand("video_path", video_key=key, chunk_index=chunk, file_index=file)

    def _expand(self, name: str, **values: Any) -> str:
        template = self.info.get(name)
        try:
            if isinstance(template, str):
                return template.format(**values)
        except (KeyError, IndexError, ValueError):
            pass
        raise Damaged(paths.INFO, f"{name} is {template!r} instead of a path with {', '.join(values)}")

    @contextmanager
    def parquet(self, path: str) -> Iterator[pq.ParquetFile]:
        """Open a parquet file; read errors inside the block become Damaged too."""
        try:
            with pq.ParquetFile(self.opened(path)) as file:
                yield file
        except FileNotFoundError:
            raise Damaged(path, "does not exist") from None
        except _READ_ERRORS as exc:
            raise Damaged(path, f"cannot be read as parquet: {exc}") from None

    def batches(self, path: str, columns: Sequence[str], rows: int = BATCH_ROWS) -> Iterator[dict[str, ArrowColumn]]:
        """Yield batches of a parquet file as column name to array."""
        with self.parquet(path) as file:
            if missing := [name for name in columns if name not in file.schema_arrow.names]:
                raise Damaged(path, f"has no column {', '.join(missing)}")
            for batch in file.iter_batches(batch_size=rows, columns=list(columns)):
                yield {name: batch.column(name) for name in columns}

    def row_batches(self, path: str, names: Sequence[str]) -> Iterator[tuple[int, dict[str, ArrowColumn]]]:
        """Yield (first row, columns) of a data file; wide rows come in smaller batches."""
        values = sum(prod(feature.shape) for name, feature in self.features.items() if name in names)
        first = 0
        for batch in self.batches(path, names, max(1, min(BATCH_ROWS, _BATCH_VALUES // max(values, 1)))):
            yield first, batch
            first += len(next(iter(batch.values())))

    def episodes(self, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (place, values) of each row of meta/episodes in order."""
        files = self.files("meta/episodes")
        if not files:
            raise Damaged("meta/episodes", "holds no parquet file")
        for path in files:
            row = 0
            for batch in self.batches(path, columns, EPISODE_BATCH_ROWS):
                for values in zip(*(batch[name].to_pylist() for name in columns), strict=True):
                    yield f"{path}, row {row}", dict(zip(columns, values, strict=True))
                    row += 1

    def episode_column(self, name: str) -> NDArray[np.int64]:
        """Return a column of whole numbers of meta/episodes: (episodes,)."""
        parts = []
        for path in self.files("meta/episodes"):
            for batch in self.batches(path, [name], BATCH_ROWS):
                column = batch[name]
                if column.null_count or not pa.types.is_integer(column.type):
                    raise Damaged(path, f"column {name} is {column.type} with {column.null_count} empty values")
                parts.append(column.to_numpy(zero_copy_only=False).astype(np.int64))
        if not parts:
            raise Damaged("meta/episodes", "holds no rows")
        return np.concatenate(parts)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Frames of each episode, as meta/episodes has them."""
        lengths = self.episode_column("length")
        if lengths.min() < 1:
            raise Damaged("meta/episodes", f"episode {int(lengths.argmin())} has length {lengths.min()}")
        return lengths

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """First global frame of each episode, and the number of all frames: (episodes + 1,)."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @cached_property
    def tasks(self) -> list[str]:
        """Task texts in the order of tasks.parquet."""
        with self.parquet(paths.TASKS) as file:
            table = file.read()
        texts = [name for name in ("task", "__index_level_0__") if name in table.column_names]
        if not texts:
            raise Damaged(paths.TASKS, "has no column task")
        return [str(text) for text in table.column(texts[0]).to_pylist()]
