"""Where the rows of each episode of a v3.0 dataset are, by their order alone."""

from __future__ import annotations

import numpy as np

from ...core.errors import Damaged
from .folder_source import FolderSource
from .record import Rows
from .view_v30 import DatasetViewV30


class RowPlaces:
    """Deals out the rows of all data files, in the order in which LeRobot reads them, to episodes in order.

    data/chunk_index and data/file_index are not relied on: LeRobot's own converter gets them wrong.
    Opens each file once, for its number of rows.

    Args:
        source: The dataset.
    """

    def __init__(self, source: FolderSource[DatasetViewV30]) -> None:
        self._source = source
        self._files = iter(source.view.files("data"))
        self._path, self._full = "", source.root
        self._first = self._rows = self._bytes = 0
        self._wrong: list[tuple[int, str]] = []  # episodes and the files that they are said to be in

    def take(self, episode: int, length: int, said: str) -> tuple[Rows, int]:
        """Return the rows of the next episode, and the share of the file's bytes that they take.

        Args:
            episode: Its number.
            length: Its frames.
            said: File that it is in according to meta/episodes.

        Raises:
            Damaged: If they are not there.
        """
        while self._first == self._rows:
            if (path := next(self._files, None)) is None:
                self._wrong.append((episode, said))
                self._check_present()
                raise Damaged(
                    self._path or "data", f"ends before the {length} rows of episode {episode}{self._culprit()}"
                )
            self._open(path, episode)
        if said != self._path:
            self._wrong.append((episode, said))
        stop = self._first + length
        if stop > self._rows:
            self._check_present()
            raise Damaged(
                self._path,
                f"has {self._rows} rows, but episode {episode} should be rows {self._first} to {stop - 1} by the "
                f"lengths in meta/episodes, in this file as a whole{self._culprit()}",
            )
        rows = Rows(self._full, self._first, length)
        self._first = stop
        return rows, self._bytes * length // self._rows

    def finish(self) -> str:
        """Say what is wrong in meta/episodes after the last episode; raise Damaged if there are more rows."""
        for path in self._files:
            if self._first == self._rows:
                self._open(path, -1)
        if self._first < self._rows:
            raise Damaged(
                self._path, f"has {self._rows} rows, but by meta/episodes the last episode ends after {self._first}"
            )
        if not self._wrong:
            return ""
        count, first = len(self._wrong), self._wrong[0][0]
        episodes = f"{count} episode{'s' if count > 1 else ''} was wrong (first: episode {first})"
        return f"data/file_index of {episodes}, as left by older LeRobot converters; the output has it right"

    def _check_present(self) -> None:
        """Name the first file that an episode is said to be in and that is not there, now that rows are missing."""
        for episode, said in self._wrong:
            self._source.place(said, episode)

    def _culprit(self) -> str:
        """Name the first episode with another number of rows than meta/episodes says, by the rows themselves."""
        lengths = self._source.view.lengths
        counts = np.zeros(len(lengths), np.int64)
        try:
            for path in self._source.view.files("data"):
                for batch in self._source.view.batches(path, ["episode_index"]):
                    found = batch["episode_index"].to_numpy(zero_copy_only=False)
                    known = found[(found >= 0) & (found < len(lengths))]
                    counts += np.bincount(known.astype(np.int64), minlength=len(lengths))
        except (Damaged, TypeError):
            return ""
        differing = np.flatnonzero(counts != lengths)[:1].tolist()
        texts = [f"; episode {e} has {counts[e]} rows in all instead of {lengths[e]}" for e in differing]
        return "".join(texts)

    def _open(self, path: str, episode: int) -> None:
        self._full = self._source.place(path, episode)
        with self._source.view.parquet(path) as file:
            self._rows = file.metadata.num_rows
        self._path, self._first, self._bytes = path, 0, self._full.stat().st_size
