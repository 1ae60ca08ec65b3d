"""Episode: the record that flows between blocks, a datatrove Document with lazy columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from datatrove.data import Document
from numpy.typing import NDArray

from .columns import Array, ArrayColumn, Column, MappedColumn, RowMap, checked_rows
from .errors import EpisodeRejected, RobotroveError, UsageError, nearest, printable
from .features import Feature, Features, cameras

EXAMPLE = ", for example: "
MOST_DIGITS = 19  # no number of an episode, which is an int64, has as many

_COLUMN_METHODS = "ep.with_column(key, column), ep.without_column(key), ep.map_column(key, function)"
_CHANGED_BY = {
    "length": "ep = ep.take(rows)",
    "rows": "ep = ep.take(rows)",
    "row_map": "ep = ep.take(rows)",
    "columns": f"ep = ep.take(rows) or {_COLUMN_METHODS}",
    "features": f"ep = {_COLUMN_METHODS}",
    "fps": "ep = ep.with_facts(fps=...)",
    "tasks": "ep.text = ... or ep = ep.with_task(text)",
    "success": "ep = ep.with_facts(success=...)",
    "rejection": "ep.reject(reason, detail, error=...)",
}


@dataclass(frozen=True, slots=True)
class Rejection:
    """Reason why an episode is not in the dataset.

    Attributes:
        reason: Name under which it is counted.
        detail: One sentence.
        error: True if the data are bad, False if a filter chose so.
    """

    reason: str
    detail: str
    error: bool

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"

    @classmethod
    def of(cls, exc: EpisodeRejected) -> Rejection:
        """Return the rejection that an exception about bad data stands for."""
        return cls(exc.reason, exc.detail, error=True)


@dataclass(frozen=True, slots=True)
class EpisodeOrigin:
    """The recording of an episode.

    Attributes:
        file: Path of its file.
        key: Its name in the file.
        row: Its row in the manifest, -1 before it is planned.
        digest: sha256 of its structure and of the ends of its numeric datasets; empty before it is planned.
        fps_source: Where the frame rate comes from: file, pipeline or default (assumed).
        task_source: Where the instruction comes from: file, pipeline, env_name, env_task, file_name or none.
        unused: Paths of its datasets that no column reads.
        start: First of its rows in the columns of its group; above 0 where a file has its episodes end to end.
        mapping: JSON of where each column is and of `unused`, as planning decided it; the run and the audit read by it.
        notes: Sentences about it that a user should know, each the same for all such episodes. After EXAMPLE may stand
            what is true of this one.
        lacking: Options of the source that name a place which it does not have, each with what it has instead.
        files: Other files that it takes data from, as planning found them (`files_text`).
    """

    file: str = ""
    key: str = ""
    row: int = -1
    digest: str = ""
    fps_source: str = ""
    task_source: str = ""
    unused: tuple[str, ...] = ()
    start: int = 0
    mapping: str = ""
    notes: tuple[str, ...] = ()
    lacking: tuple[tuple[str, str], ...] = ()
    files: str = ""


class Columns(Mapping[str, Column]):
    """Columns of an episode by feature name, read-only: they change through the episode."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = dict(columns)

    def __getitem__(self, key: str) -> Column:
        return self._columns[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise _read_only("columns")

    __setitem__ = __delitem__ = update = pop = popitem = setdefault = clear = _refuse


class _Passage:
    is_open = True
    reached_writer = False


class Episode(Document):
    """One demonstration: text is its instruction, columns its data on demand.

    `text` and `metadata` are datatrove's and may be assigned. Everything else changes through methods, which
    return another episode with the rest unchanged.
    """

    def __init__(
        self,
        *,
        id: str,
        text: str,
        length: int,
        fps: int,
        columns: Mapping[str, Column],
        success: bool | None = None,
        origin: EpisodeOrigin = EpisodeOrigin(),
        metadata: dict[str, Any] | None = None,
        content: Callable[[], str] | None = None,
    ) -> None:
        super().__init__(text=text, id=id, metadata=metadata if metadata is not None else {})
        self._columns = Columns(columns)
        self._row_map = RowMap.all(length)
        self._fps = fps
        self._success = success
        self._origin = origin
        self._content = content
        self._guard: Callable[[], None] | None = None
        self._rejection: Rejection | None = None
        self._more_tasks: tuple[str, ...] = ()
        self._passage = _Passage()  # shared by all episodes that were made from this one

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _CHANGED_BY:
            raise _read_only(name)
        super().__setattr__(name, value)

    @property
    def length(self) -> int:
        """Number of frames."""
        return len(self._row_map)

    @property
    def row_map(self) -> RowMap:
        """Rows of the recording that its rows are."""
        return self._row_map

    @property
    def columns(self) -> Columns:
        """Columns by feature name; read through `ep[key]` and `ep.frames(key)`."""
        return self._columns

    @property
    def features(self) -> Features:
        """Dtype, shape and names of each column."""
        return {key: column.feature for key, column in self._columns.items()}

    @property
    def tasks(self) -> tuple[str, ...]:
        """Its instruction, and the other texts that its columns of task numbers point to, by their number there."""
        return (self.text, *self._more_tasks)

    @property
    def fps(self) -> int:
        """Frames per second."""
        return self._fps

    @property
    def success(self) -> bool | None:
        """The recorder's label, None where there is none."""
        return self._success

    @property
    def origin(self) -> EpisodeOrigin:
        """The recording that it comes from."""
        return self._origin

    @property
    def rejection(self) -> Rejection | None:
        """Set when a block has rejected it; later blocks pass it through untouched."""
        return self._rejection

    def __getitem__(self, key: str) -> Array:
        """Load a column whole: (length, *shape)."""
        return self._column(key).read()

    def frames(self, key: str) -> Iterator[Array]:
        """Stream a camera's frames in order as batches (n, height, width, 3), uint8 RGB."""
        return self._column(key).batches(0, self.length)

    def camera(self, key: str) -> Feature:
        """Return the feature of a camera: shape (height, width, 3).

        Raises:
            EpisodeRejected: `missing_column` if it has no such camera.
        """
        found = cameras(self.features)
        if key not in found:
            raise EpisodeRejected("missing_column", f"has no camera {key!r}{nearest(key, found)}")
        return found[key]

    def take(self, rows: NDArray[np.int64]) -> Episode:
        """Return the episode with some of its rows: drop, repeat or reorder frames.

        A column that has another value in the last frame, such as `next.success`, has it in the last of these rows.

        Args:
            rows: (n,) int64, rows of this episode in the order wanted, each within 0 and length - 1.

        Raises:
            EpisodeRejected: `nothing_left` if there are no rows.
            TypeError: If they are not whole numbers.
            IndexError: If the episode has no such row.
        """
        rows = checked_rows(rows, self.length)
        if not len(rows):
            raise EpisodeRejected("nothing_left", f"{self.length} frames, none of them is taken")
        taken = self._with({key: column.take(rows) for key, column in self._columns.items()})
        taken._row_map = RowMap.of(self._row_map.rows[rows])
        return taken

    def with_column(self, key: str, column: Column | Array) -> Episode:
        """Return the episode with a column added at the end, or replaced where it stands.

        Args:
            key: The feature.
            column: A column, or an array (length, …): numbers, bools or texts; (length,) is one value per row.

        Raises:
            ValueError: If it has another number of rows than the episode.
        """
        if isinstance(column, np.ndarray):
            column = ArrayColumn.of(column)
        if column.length != self.length:
            raise ValueError(f"column {key!r} has {column.length} rows, expected {self.length}, those of the episode")
        return self._with({**self._columns, key: column})

    def without_column(self, key: str) -> Episode:
        """Return the episode without a column.

        Raises:
            EpisodeRejected: `missing_column` if it has no such column.
        """
        self._column(key)
        return self._with({name: column for name, column in self._columns.items() if name != key})

    def map_column(self, key: str, function: Callable[[Array], Array], feature: Feature | None = None) -> Episode:
        """Return the episode with a function applied to a column, in batches and when they are read.

        Args:
            key: The column.
            function: Takes a batch (n, *shape) and returns (n, *shape) of `feature`, row for row.
            feature: Dtype, shape and names of a changed row; those of the column by default.

        Raises:
            EpisodeRejected: `missing_column` if it has no such column.
        """
        column, name = self._column(key), f"column {key} of episode {self.id}"
        return self._with({**self._columns, key: MappedColumn(column, feature or column.feature, function, name)})

    def map_frames(
        self, key: str, function: Callable[[Array], Array], *, height: int | None = None, width: int | None = None
    ) -> Episode:
        """Return the episode with a function applied to a camera's frames, in batches and when they are read.

        Args:
            key: The camera.
            function: Takes (n, h, w, 3) uint8 RGB and returns (n, height, width, 3) uint8 RGB.
            height: Height of a changed frame in pixels; that of the camera by default.
            width: Width of a changed frame in pixels; that of the camera by default.

        Raises:
            EpisodeRejected: `missing_column` if it has no such camera.
        """
        feature = self.camera(key)
        size = (height or feature.shape[0], width or feature.shape[1])
        return self.map_column(key, function, Feature(feature.dtype, (*size, 3), feature.names))

    def with_task(self, text: str) -> Episode:
        """Return the episode with one more text in `tasks`; its instruction stays."""
        changed = self._with(self._columns)
        changed._more_tasks = (*self._more_tasks, text)
        return changed

    def with_facts(self, *, fps: int | None = None, success: bool | None = None) -> Episode:
        """Return the episode with another frame rate, or another label; None leaves it as it is.

        Raises:
            ValueError: If the frame rate is not a whole number of at least 1.
        """
        if fps is not None and (not isinstance(fps, int | np.integer) or fps < 1):
            raise ValueError(f"fps is {fps!r}, expected a whole number of at least 1")
        if not isinstance(success, bool | np.bool_ | None):
            raise TypeError(f"success is {success!r}, expected True or False")
        changed = self._with(self._columns)
        changed._fps = self._fps if fps is None else int(fps)
        changed._success = self._success if success is None else bool(success)
        return changed

    def planned(self, origin: EpisodeOrigin, guard: Callable[[], None]) -> Episode:
        """Return the episode as the manifest lists it.

        Args:
            origin: With its row.
            guard: See `check_source`.
        """
        changed = self._with(self._columns)
        changed._origin, changed._guard = origin, guard
        return changed

    def check_source(self) -> None:
        """Refuse an episode before it is committed, if its recording changed since it was planned.

        Raises:
            EpisodeRejected: `source_changed`.
        """
        if self._guard is not None:
            self._guard()

    def content_digest(self) -> str:
        """Return the digest that tells its recording apart from others with the same digest.

        It reads the recording, and is cheaper once the columns have been read. Without a function for it the digest
        itself does; it is empty if data are damaged.
        """
        return self._content() if self._content is not None else self._origin.digest

    def reject(self, reason: str, detail: str, *, error: bool) -> None:
        """Mark the episode as not to be written."""
        self._rejection = Rejection(printable(reason), printable(detail), error)

    @property
    def reached_writer(self) -> bool:
        """True if the writer had it, or one that was made from it."""
        return self._passage.reached_writer

    def note_writer(self) -> None:
        """Note that the writer has it; the reader asks later."""
        self._passage.reached_writer = True

    def close(self) -> None:
        """End the time in which columns can be read; the reader calls it when the next episode is due."""
        self._passage.is_open = False

    def _with(self, columns: Mapping[str, Column]) -> Episode:
        """Return the episode with other columns of the same length: valid as long as this one."""
        changed = copy(self)
        changed._columns = Columns(columns)
        changed.metadata = dict(self.metadata)
        return changed

    def _column(self, key: str) -> Column:
        if not self._passage.is_open:
            raise RobotroveError(
                f"episode {self.id}",
                f"column {key!r} was read after the reader moved on",
                "an episode is valid only while it is the current item of the pipeline",
                "read what you need inside the block, or keep ep[...] arrays instead of the episode",
            )
        if key not in self._columns:
            raise EpisodeRejected("missing_column", f"has no column {key!r}{nearest(key, self._columns)}")
        return self._columns[key]


def number_ranges(entries: Iterable[int | str], where: str) -> list[range]:
    """Return numbers, and ranges such as 7-9 (with both ends), as ranges.

    Raises:
        UsageError: If an entry is something else.
    """
    found = []
    for entry in entries:
        first, dash, last = (part.strip() for part in str(entry).partition("-"))
        is_number = all(part.isdecimal() and len(part) < MOST_DIGITS for part in ((first, last) if dash else (first,)))
        if not is_number or int(last or first) < int(first):
            told = f"{entry!r} is neither a number nor a range"
            raise UsageError(where, told, "numbers and ranges, for example 0,3,7-9")
        found.append(range(int(first), int(last or first) + 1))
    return found


@dataclass(frozen=True, slots=True)
class Scanned:
    """One episode of a file, or the file itself where it cannot be listed (then `key` is empty).

    Attributes:
        key: Name of the episode in the file.
        digest: Digest of its content; empty if the episode could not be read so far.
        episode: The episode, None if it cannot be opened; valid until the next one is taken.
        rejection: Why it cannot.
        earlier_digest: Digest by the rule of 0.2.2, which is another one if the episode contains links.
    """

    key: str
    digest: str
    episode: Episode | None
    rejection: Rejection | None
    earlier_digest: str = ""


def _read_only(name: str) -> AttributeError:
    return AttributeError(f"Episode.{name} is read-only; use {_CHANGED_BY[name]}")
