"""Files of a dataset: parquet and JSON, read in bounded batches, and files that other tools added."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from ...core.commit import is_attempt
from ...core.errors import Damaged, RobotroveError, printable
from ...core.version import CARD, MARK
from ...core.workspace import dataset_homes
from . import paths_v21, paths_v30

# One column of a batch, a pyarrow.Array; its methods depend on its type, which is known only at run time.
ArrowColumn: TypeAlias = Any

_BUFFER_BYTES = 1 << 20

MOST = 1 << 53  # of frames, episodes and what else is counted
EPISODE_BATCH_ROWS = 1024  # rows with all statistics take some kilobytes each
BATCH_ROWS = 16_384
# Files and folders of meta/ that a writer makes itself, of both versions: one that was left behind must not travel.
OWN = {
    paths_v30.CODEBASE_VERSION: (paths_v30.TASKS, "meta/episodes"),
    paths_v21.CODEBASE_VERSION: (paths_v21.TASKS, paths_v21.EPISODES, paths_v21.EPISODES_STATS),
}
_OWN = {Path(path) for paths in OWN.values() for path in paths} | {
    Path(path) for path in (paths_v30.INFO, paths_v30.STATS, "meta/relative_stats.json", "meta/robotrove")
}
ANNOTATIONS = "annotations"  # rows name files in it
_COMMIT = re.compile(r"[0-9a-f]{40}")  # the folder of a dataset in the cache of what was fetched
_LONGEST_NAME = 200  # bytes; a feature's name becomes a folder
_MOST_LINKS = 40  # to one file, as in Linux
_MOST_NESTED = 32  # levels of a column; pyarrow writes parquet of up to 100, and a list takes two
_TEMPORARY = (".tmp", ".temp", ".part", ".partial", ".incomplete", ".lock", ".swp", "~")


def leads_inside(path: str) -> bool:
    """Return True if a path, links aside, is one below a folder: neither absolute nor with `..`."""
    return not os.path.isabs(path) and os.pardir not in Path(path).parts and "\0" not in path


def _is_trusted(folder: str, path: str) -> bool:
    """Return True if all links that lead to a path below a real folder belong to the user or root."""
    links, rest = 0, [*reversed(Path(path).parts)]
    while rest:
        step = os.path.normpath(os.path.join(folder, rest.pop()))
        if os.path.islink(step):
            links += 1
            if links > _MOST_LINKS or os.lstat(step).st_uid not in (0, os.geteuid()):
                return False
            rest += reversed(Path(os.readlink(step)).parts)
        else:
            folder = step
    return True


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a parquet file to be read part by part; raises what pyarrow and the file system raise."""
    # Newer pyarrow otherwise fetches everything that is asked for before it gives the first batch, and without a
    # buffer each column of a row group at once.
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES)


def read_object(root: Path, path: str) -> dict[str, Any]:
    """Return a JSON file that holds an object; Damaged where it is not that."""
    with _reading(path):
        return parse_object((root / path).read_bytes(), path)


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise Damaged(path, "does not exist") from None
    except OSError as exc:
        raise Damaged(path, f"cannot be read: {exc.strerror}") from None


def parse_object(text: bytes, where: str) -> dict[str, Any]:
    """Return the object that a JSON text is; Damaged at `where` if it is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise Damaged(where, f"cannot be read as JSON: {exc}") from None
    if not isinstance(content, dict):
        raise Damaged(where, f"holds a {type(content).__name__} instead of an object")
    return content


def count_in(entry: Mapping[str, Any], name: str, where: str) -> int:
    """Return a value of a JSON object that counts something, below MOST; Damaged at `where` if it is no such."""
    value = entry.get(name)
    if type(value) is not int or not 0 <= value < MOST:
        raise Damaged(where, f"{name} is {value!r} instead of a count")
    return value


def other_episode(found: Any, expected: int) -> str:
    """Say that an entry is about another episode than its place says."""
    return f"is about episode {found!r} instead of {expected}"


@contextmanager
def reading_parquet(where: str, error: type[RobotroveError] = Damaged) -> Iterator[None]:
    """Turn the errors of pyarrow on missing, truncated or foreign files into `error` at `where`."""
    try:
        yield
    except FileNotFoundError:
        raise error(where, "does not exist") from None
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise error(where, f"cannot be read as parquet: {exc}") from None


class DatasetFiles:
    """Files below one folder, each read in bounded memory; what cannot be read is Damaged.

    Args:
        root: The folder.
        on_file: Called with the relative path of each parquet, JSON lines or video file when it is opened.
    """

    def __init__(self, root: Path, on_file: Callable[[str], None] = lambda path: None) -> None:
        self.root = root
        self._on_file = on_file

    @cached_property
    def _homes(self) -> list[str]:
        return dataset_homes(self.root)

    def is_inside(self, path: str | Path) -> bool:
        """Return True if a path does not lead out of the dataset, neither by itself nor by links."""
        try:
            target = os.path.realpath(self.root / path)
        except ValueError:  # a zero byte
            return False
        return any(target.startswith(home + os.sep) for home in self._homes)

    def is_followed(self, path: str) -> bool:
        """Return True if a file of rows or frames may be read: it is inside, or links of the user or root lead to it.

        What was fetched can hold links that others made: they are not followed.
        """
        if self.is_inside(path):
            return True
        return leads_inside(path) and not self._is_fetched and _is_trusted(self._homes[0], path)

    @property
    def _is_fetched(self) -> bool:
        home = Path(self._homes[0])
        is_cached = len(self._homes) > 1 or bool(_COMMIT.fullmatch(home.name))
        return is_cached or any((home / name).exists() for name in (".git", ".cache/huggingface"))

    def opened(self, path: str) -> Path:
        """Say that a file is about to be read, and return its full path; Damaged if it is not followed."""
        if not self.is_followed(path):
            raise Damaged(path, "is behind a link that leads out of the dataset")
        self._on_file(path)
        return self.root / path

    def json(self, path: str) -> dict[str, Any]:
        """Return a JSON file that holds an object."""
        return read_object(self.root, path)

    def json_lines(self, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (place, object) of each line of a file of JSON objects; lines are counted from 1, empty ones left out.

        LeRobot reads these files with `jsonlines`, which skips empty lines (lerobot 0.3.3, datasets/utils.py).
        """
        with _reading(path), open(self.opened(path), "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path}, line {number}", parse_object(line, f"{path}, line {number}")

    def objects(self, path: str) -> list[dict[str, Any]]:
        """Return what a small file holds: the objects of JSON lines, or the rows of a parquet file."""
        if path.endswith(".jsonl"):
            return [line for _, line in self.json_lines(path)]
        with self.parquet(path) as file:
            rows: list[dict[str, Any]] = file.read(use_threads=False).to_pylist()
            return rows

    @contextmanager
    def parquet(self, path: str) -> Iterator[pq.ParquetFile]:
        """Open a parquet file; read errors inside the block become Damaged too."""
        with reading_parquet(path), open_parquet(self.opened(path)) as file:
            yield file

    def batches(
        self, path: str, columns: Sequence[str], rows: int = BATCH_ROWS, *, optional: Sequence[str] = (), first: int = 0
    ) -> Iterator[tuple[int, dict[str, ArrowColumn]]]:
        """Yield (row in the file, column name to array) of each batch of a parquet file.

        Args:
            path: The file, relative to the dataset.
            columns: Columns that it must have.
            rows: Most rows of a batch.
            optional: Columns that are read if the file has them.
            first: Row from which on rows are wanted; reading begins with its row group.
        """
        with self.parquet(path) as file:
            names = set(file.schema_arrow.names)  # computed each time that it is asked for
            if missing := [name for name in columns if name not in names]:
                raise Damaged(path, f"has no column {', '.join(missing)}")
            found = [*columns, *(name for name in optional if name in names)]
            is_small = file.metadata.num_rows <= rows  # for which threads cost more than they save
            row = group = 0
            while group < file.num_row_groups and row + (size := file.metadata.row_group(group).num_rows) <= first:
                row, group = row + size, group + 1
            groups = list(range(group, file.num_row_groups))
            for batch in file.iter_batches(rows, groups, found, use_threads=not is_small):
                batch.validate(full=True)  # pyarrow reads texts that are not in UTF-8, and fails when they are used
                arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
                yield row, {name: arrays[name] for name in found}
                row += batch.num_rows


def other_files(files: DatasetFiles, within: Collection[str] | None = None) -> list[Path]:
    """Return all files but those of meta/ that writers make, by relative path, sorted; no hidden or temporary ones.

    Also links to folders, which are not entered; those in data/ and videos/ lead to files that metadata names.

    Args:
        files: The dataset.
        within: Look only into these folders of it, and not below others.
    """
    found: list[Path] = []
    for folder, folders, names in os.walk(files.root):
        here = Path(folder).relative_to(files.root)
        folders[:] = [name for name in folders if here / name not in _OWN and not _is_passing(name)]
        if within is not None and not here.parts:
            folders[:] = [name for name in folders if name in within]
        links = (here / name for name in folders if os.path.islink(os.path.join(folder, name)))
        found += (path for path in links if path.parts[0] not in ("data", "videos"))
        found += (here / name for name in names if here / name not in _OWN and not _is_passing(name))
    return sorted(path for path in found if path != Path(CARD) or not _is_made_card(files.root / path))


def extra_files(files: DatasetFiles) -> list[Path]:
    """Return those of `other_files` that new datasets keep: in the folder itself, in meta/ and in annotations/.

    Links that lead out of it are no such files.
    """
    return [
        path
        for path in other_files(files, ("meta", ANNOTATIONS))
        if (files.root / path).is_file() and files.is_inside(path)
    ]


def arrow_values(values: Sequence[Any]) -> ArrowColumn:
    """Return values of JSON as a column that parquet can hold; if they are of several types, as texts of JSON."""
    with suppress(pa.ArrowException, OverflowError, ValueError, TypeError):
        column = pa.array(values)
        if _is_storable(column.type, _MOST_NESTED) and _has_keys_of(column.to_pylist(), list(values)):
            return column
    return pa.array([None if value is None else json.dumps(value) for value in values], pa.string())


def _is_storable(kind: pa.DataType, levels: int) -> bool:
    """Return True for a type without empty structs, nested no more than so many levels."""
    children = [kind.field(at).type for at in range(kind.num_fields)]
    if not children:
        return not pa.types.is_struct(kind)
    return levels > 0 and all(_is_storable(child, levels - 1) for child in children)


def _has_keys_of(stored: Any, value: Any) -> bool:
    """Return False if objects got keys of others, as the rows of a column have them."""
    if isinstance(value, dict):
        return stored.keys() == value.keys() and all(_has_keys_of(stored[key], value[key]) for key in value)
    return not isinstance(value, list) or all(map(_has_keys_of, stored, value))


def _is_made_card(path: Path) -> bool:
    """Return True for a card that `robotrove push` wrote: it has the numbers of that dataset, and is written again."""
    with suppress(OSError):
        return MARK in path.read_text(encoding="utf-8", errors="replace")
    return False


def _is_passing(name: str) -> bool:
    return name.startswith(".") or name.lower().endswith(_TEMPORARY)


def check_templates(files: Iterable[str]) -> None:
    """Raise Damaged if templates of info.json give the same path for different files."""
    seen = set()
    for path in files:
        if path in seen:
            raise Damaged(paths_v30.INFO, f"data_path or video_path give {path} for more than one file")
        seen.add(path)


def check_names(keys: Iterable[str]) -> None:
    """Raise Damaged if the name of a feature cannot be that of a folder."""
    for key in keys:
        where = f"{paths_v30.INFO}, feature {printable(key)}"
        if not key.isprintable() or key in ("", ".", "..") or "/" in key or "\\" in key:
            raise Damaged(where, "its name cannot be that of a folder")
        if len(key.encode()) > _LONGEST_NAME:
            raise Damaged(f"{paths_v30.INFO}, feature {key[:40]}…", f"its name has more than {_LONGEST_NAME} bytes")
        if is_attempt(key):
            raise Damaged(where, "has the name of an unfinished folder, which would be removed; give it another")
