"""Files of a dataset: parquet and JSON, read in bounded batches, and files that other tools added."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from ...core.errors import Damaged
from . import paths_v21, paths_v30

# One column of a batch, a pyarrow.Array; its methods depend on its type, which is known only at run time.
ArrowColumn: TypeAlias = Any

_BUFFER_BYTES = 1 << 20

EPISODE_BATCH_ROWS = 1024  # rows with all statistics take some kilobytes each
BATCH_ROWS = 16_384
# Errors that pyarrow raises on missing, truncated or foreign files.
_READ_ERRORS = (pa.ArrowException, OSError, ValueError)
# Files and folders of meta/ that a writer makes itself, of both versions: one that was left behind must not travel.
_OWN = {
    Path(path) for path in (paths_v30.INFO, paths_v30.STATS, paths_v30.TASKS, "meta/episodes", "meta/robotrove")
} | {Path(path) for path in (paths_v21.TASKS, paths_v21.EPISODES, paths_v21.EPISODES_STATS, "meta/relative_stats.json")}
_TEMPORARY = (".tmp", ".temp", ".part", ".partial", ".incomplete", ".lock", ".swp", "~")


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a parquet file to be read part by part; raises what pyarrow and the file system raise."""
    # Newer pyarrow otherwise fetches everything that is asked for before it gives the first batch, and without a
    # buffer each column of a row group at once.
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES)


def read_small(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a small parquet file; `pq.read_table` and threads would take three times as long."""
    with open_parquet(path) as file:
        return file.read(columns, use_threads=False)


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


class Inside:
    """Paths that do not lead out of a dataset, neither by themselves nor by links.

    Args:
        root: The dataset's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        home = os.path.realpath(root)
        self._homes = [home]
        parent = os.path.dirname(home)
        if os.path.basename(parent) == "snapshots":
            # The Hub's cache: snapshots/<commit>/ holds links to ../../blobs.
            self._homes.append(os.path.join(os.path.dirname(parent), "blobs"))

    def __contains__(self, path: str | Path) -> bool:
        try:
            target = os.path.realpath(self._root / path)
        except ValueError:  # a zero byte
            return False
        return any(target.startswith(home + os.sep) for home in self._homes)


def extra_files(root: Path, inside: Inside) -> list[Path]:
    """Return the files of meta/ that no writer of either version makes, relative to the dataset, sorted.

    Args:
        root: The dataset's folder.
        inside: What is inside of it; links that lead out are left out, as are hidden and temporary files.
    """
    found = []
    for folder, folders, names in os.walk(root / "meta"):
        here = Path(folder).relative_to(root)
        folders[:] = [name for name in folders if here / name not in _OWN and not _is_passing(name)]
        for path in (here / name for name in names):
            if path not in _OWN and not _is_passing(path.name) and (root / path).is_file() and path in inside:
                found.append(path)
    return sorted(found)


def _is_passing(name: str) -> bool:
    return name.startswith(".") or name.lower().endswith(_TEMPORARY)
