"""The record that flows between blocks: a datatrove Document with lazy columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from datatrove.data import Document

from .columns import Array, Column
from .errors import EpisodeRejected, RobotroveError, nearest
from .features import Features


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an episode is not in the dataset.

    Attributes:
        reason: Name under which it is counted.
        detail: One sentence.
        error: True if the data are bad, False if a filter chose so.
    """

    reason: str
    detail: str
    error: bool

    @classmethod
    def of(cls, exc: EpisodeRejected) -> Rejection:
        """Return the rejection that an exception about bad data stands for."""
        return cls(exc.reason, exc.detail, error=True)


class Episode(Document):
    """One demonstration: text is the task, metadata the facts about it, columns its data on demand.

    Attributes:
        length: Number of frames.
        fps: Frames per second.
        columns: Feature name to column; read through `ep[key]` and `ep.frames(key)`.
        success: The recorder's label, None where there is none.
        rows: First row used and the one after the last, counted in the source.
        guard: Called before the episode is committed; raises EpisodeRejected if its source changed.
        rejection: Set when a block has rejected it; later blocks pass it through untouched.
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
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(text=text, id=id, metadata=metadata if metadata is not None else {})
        self.length = length
        self.fps = fps
        self.columns = dict(columns)
        self.success = success
        self.rows = (0, length)
        self.guard: Callable[[], None] | None = None
        self.rejection: Rejection | None = None
        self._open = True

    @property
    def features(self) -> Features:
        """What each column holds."""
        return {key: column.feature for key, column in self.columns.items()}

    def __getitem__(self, key: str) -> Array:
        """Load a column whole: (length, *shape)."""
        return self._column(key).read()

    def frames(self, key: str) -> Iterator[Array]:
        """Stream a camera's frames in order as batches (n, height, width, 3), uint8 RGB."""
        return self._column(key).batches(0, self.length)

    def reject(self, reason: str, detail: str, *, error: bool) -> None:
        """Mark the episode as not to be written."""
        self.rejection = Rejection(reason, detail, error)

    def close(self) -> None:
        """Called by the reader when the next episode is due: its file may be gone from here on."""
        self._open = False

    def _column(self, key: str) -> Column:
        if not self._open:
            raise RobotroveError(
                f"episode {self.id}",
                f"its column {key!r} was read after the reader had moved on",
                "an episode is valid only while it is the current item of the pipeline",
                "read what you need inside the block, or keep ep[...] arrays instead of the episode",
            )
        if key not in self.columns:
            raise EpisodeRejected("missing_column", f"there is no column {key!r}{nearest(key, self.columns)}")
        return self.columns[key]
