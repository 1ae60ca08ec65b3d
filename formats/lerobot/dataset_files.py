"""Reading the files of a dataset that may be damaged: every fault has a place, none is a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...core.errors import Damaged
from .arrow_rows import ArrowColumn, open_parquet

BATCH_ROWS = 16_384

# Errors that pyarrow raises on missing, truncated or foreign files.
_READ_ERRORS = (pa.ArrowException, OSError, ValueError)


def read_object(root: Path, path: str) -> dict[str, Any]:
    """Return a JSON file that holds an object; Damaged where it is not that."""
    try:
        content = json.loads((root / path).read_bytes())
    except FileNotFoundError:
        raise Damaged(path, "does not exist") from None
    except (OSError, ValueError, RecursionError) as exc:
        raise Damaged(path, f"cannot be read as JSON: {exc}") from None
    if not isinstance(content, dict):
        raise Damaged(path, f"holds a {type(content).__name__} instead of an object")
    return content


class DatasetFiles:
    """The files below one folder, each read in bounded memory; what cannot be read is Damaged.

    Args:
        root: The folder.
        on_file: Called with the relative path of each parquet, JSON lines or video file when it is opened.
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
        return read_object(self.root, path)

    def json_lines(self, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (place, object) of each line of a file of JSON objects; lines are counted from 1, empty ones left out.

        LeRobot reads these files with `jsonlines`, which skips empty lines (lerobot 0.3.3, datasets/utils.py).
        """
        try:
            with open(self.opened(path), "rb") as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield f"{path}, line {number}", self._object(line, f"{path}, line {number}")
        except FileNotFoundError:
            raise Damaged(path, "does not exist") from None
        except OSError as exc:
            raise Damaged(path, f"cannot be read: {exc.strerror}") from None

    @staticmethod
    def _object(line: bytes, where: str) -> dict[str, Any]:
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise Damaged(where, f"cannot be read as JSON: {exc}") from None
        if not isinstance(content, dict):
            raise Damaged(where, f"holds a {type(content).__name__} instead of an object")
        return content

    @contextmanager
    def parquet(self, path: str) -> Iterator[pq.ParquetFile]:
        """Open a parquet file; read errors inside the block become Damaged too."""
        try:
            with open_parquet(self.opened(path)) as file:
                yield file
        except FileNotFoundError:
            raise Damaged(path, "does not exist") from None
        except _READ_ERRORS as exc:
            raise Damaged(path, f"cannot be read as parquet: {exc}") from None

    def batches(
        self, path: str, columns: Sequence[str], rows: int = BATCH_ROWS, *, optional: Sequence[str] = ()
    ) -> Iterator[dict[str, ArrowColumn]]:
        """Yield batches of a parquet file as column name to array; optional columns are there if the file has them."""
        with self.parquet(path) as file:
            names = set(file.schema_arrow.names)  # made anew each time that it is asked for
            if missing := [name for name in columns if name not in names]:
                raise Damaged(path, f"has no column {', '.join(missing)}")
            found = [*columns, *(name for name in optional if name in names)]
            is_small = file.metadata.num_rows <= rows  # for which threads cost more than they save
            for batch in file.iter_batches(batch_size=rows, columns=found, use_threads=not is_small):
                arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
                yield {name: arrays[name] for name in found}
