"""Datasets of v2.1: one file of rows and one clip per camera for each episode."""

from __future__ import annotations

from array import array
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ....core.errors import Damaged, in_utf8
from ....media.remux.clip import Clip, rate_text
from .. import paths_v21, paths_v30
from ..dataset_files import (
    EPISODE_BATCH_ROWS,
    ArrowColumn,
    arrow_values,
    check_templates,
    count_in,
    other_episode,
    parse_object,
)
from ..features.feature_kind import single_values
from ..stats.feature_stats import Shape
from ..stats.stored_stats import StatColumns, stat_columns
from .dataset import Dataset, selected
from .episode_location import DataFile, EpisodeLocation, Rows, Track, VideoFile, own_columns

if TYPE_CHECKING:
    from ....media.remux.video_index import VideoIndex


class DatasetV21(Dataset):
    """One v2.1 dataset; the lines of its metadata are read as LeRobot does: sorted by episode_index."""

    version = paths_v21.CODEBASE_VERSION
    episodes_path = paths_v21.EPISODES
    tasks_path = paths_v21.TASKS
    provenance_path = paths_v21.PROVENANCE
    _counted = ("frame_index",)

    def data_file(self, episode: int) -> str:
        """Return the path of an episode's rows."""
        return self.expand("data_path", episode_chunk=episode // self._chunks_size, episode_index=episode)

    def video_file(self, key: str, episode: int) -> str:
        """Return the path of an episode's frames."""
        chunk = episode // self._chunks_size
        return self.expand("video_path", episode_chunk=chunk, video_key=key, episode_index=episode)

    @property
    def _chunks_size(self) -> int:
        size = self.count("chunks_size")
        if not size:
            raise Damaged(paths_v30.INFO, "chunks_size is 0")
        return size

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """episode_index of each line of episodes.jsonl in the order of the file, as GR00T reads them."""
        return self.episode_column("episode_index", as_stored=True)

    def data_files(self) -> Iterator[DataFile]:
        """See the base class."""
        for number, first, length in zip(self.episode_numbers, self.starts, self.lengths, strict=False):
            yield DataFile(self.data_file(int(number)), int(first), int(length))

    def data_references(self) -> Iterator[str]:
        """See the base class."""
        return map(self.data_file, np.unique(self.episode_numbers).tolist())

    def video_files(self, key: str) -> Iterator[VideoFile]:
        """See the base class."""
        for episode, number in enumerate(self.episode_numbers.tolist()):
            episodes, firsts = np.array([episode]), np.array([0])
            yield VideoFile(key, self.video_file(key, number), episodes, firsts, self.lengths[episode : episode + 1])

    def entries(self, columns: Sequence[str], *, as_stored: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
        """See the base class; the lines as they are stored come in the order of the file."""
        read = self.json_lines if as_stored else self.ordered_lines
        for where, line in read(self.episodes_path):
            if missing := [name for name in columns if name not in line]:
                raise Damaged(where, f"has no {', '.join(missing)}")
            yield where, {name: line[name] for name in columns}

    def episode_column(self, name: str, *, as_stored: bool = False) -> NDArray[np.int64]:
        """See the base class."""
        values = array("q")
        for where, row in self.entries((name,), as_stored=as_stored):
            values.append(count_in(row, name, where))
        if not values:
            raise Damaged(self.episodes_path, "holds no episode")
        return np.array(values, np.int64)

    def _located(self) -> Iterator[EpisodeLocation]:
        """See the base class; no file of rows or frames is opened."""
        for _, number, length, tasks, _ in self._described():
            rows = Rows(self.root / self.data_file(number), 0, length)
            clips = {key: Clip(self.root / self.video_file(key, number), 0, length) for key in self.video_keys}
            yield EpisodeLocation(number, length, tasks, rows, None, {key: Track(clip) for key, clip in clips.items()})

    def episode_stats(
        self, keys: Sequence[str], names: Sequence[str]
    ) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
        """See the base class."""
        for where, line in self.ordered_lines(paths_v21.EPISODES_STATS):
            if not isinstance(line.get("stats"), dict):
                raise Damaged(where, "has no stats")
            yield where, selected(line["stats"], keys, names)

    def episode_extras(self) -> Iterator[pa.Table]:
        """See the base class."""
        own = own_columns(self.features)
        lines = (line for _, line in self.ordered_lines(self.episodes_path))
        while batch := list(islice(lines, EPISODE_BATCH_ROWS)):
            names = [name for name in dict.fromkeys(chain.from_iterable(batch)) if name not in own]
            columns = {name: arrow_values([line.get(name) for line in batch]) for name in ("episode_index", *names)}
            yield pa.table(columns)

    def unknown_stats(self) -> list[str]:
        """See the base class."""
        found = dict.fromkeys(super().unknown_stats())
        for _, line in self.json_lines(paths_v21.EPISODES_STATS) if self._has_episode_stats else ():
            found |= dict.fromkeys(key for key in line if key not in ("episode_index", "stats"))
            found |= dict.fromkeys(self._unknown_in(line["stats"]) if isinstance(line.get("stats"), dict) else ())
        return list(found)

    @property
    def _has_episode_stats(self) -> bool:
        return (self.root / paths_v21.EPISODES_STATS).exists()

    @property
    def task_extras(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """See the base class."""
        for where, line in self.json_lines(self.tasks_path):
            extras = {key: value for key, value in line.items() if key not in ("task", "task_index")}
            yield task_in(line, where), extras

    @cached_property
    def task_texts(self) -> list[str]:
        """Task texts in the order of tasks.jsonl."""
        texts = []
        for where, line in self.json_lines(self.tasks_path):
            texts.append(task_in(line, where))
        return texts

    def row_batches(
        self, path: str, names: Sequence[str], first: int = 0
    ) -> Iterator[tuple[int, dict[str, ArrowColumn]]]:
        """See the base class; lists of one value come as the values: LeRobot 0.3.3 reads both.

        GR00T's datasets have no frame_index: it is the number of the row.
        """
        is_counted = "frame_index" in names
        for row, batch in super().row_batches(path, [*names, *["episode_index"] * is_counted], first):
            if is_counted and "frame_index" not in batch:
                batch["frame_index"] = pa.array(np.arange(row, row + len(batch["episode_index"])))
            yield row, {name: single_values(batch[name], self.features.get(name)) for name in names}

    def ordered_lines(self, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the lines of episodes.jsonl or episodes_stats.jsonl as `json_lines` does, sorted by episode_index.

        LeRobot does so (lerobot 0.3.3, datasets/utils.py: load_episodes and load_episodes_stats). Memory grows by some
        bytes per episode, and only where lines are not in order. A number that is missing, repeated or no number is
        left to the reader to find.
        """
        episode = 0
        for where, line in self.json_lines(path):
            if line.get("episode_index") != episode:
                break
            yield where, line
            episode += 1
        else:
            return
        yield from self._sorted(path, episode)

    def _sorted(self, path: str, skip: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the lines after the first `skip` in the order of their episodes."""
        episodes, offsets, numbers = array("q"), array("q"), array("q")
        with open(self.root / path, "rb") as file:
            offset = 0
            for number, line in enumerate(file, 1):
                if line.strip() and (skip := skip - 1) < 0:
                    where = f"{path}, line {number}"
                    content = parse_object(line, where)
                    index = content.get("episode_index")
                    if type(index) is not int or not 0 <= index < 1 << 62:
                        yield where, content
                        index = -1
                    episodes.append(index)
                    offsets.append(offset)
                    numbers.append(number)
                offset += len(line)
            for at in np.argsort(episodes, kind="stable").tolist():
                file.seek(offsets[at])
                where = f"{path}, line {numbers[at]}"
                yield where, parse_object(file.readline(), where)

    def numbered_tasks(self) -> Iterator[tuple[str, int, str]]:
        """See the base class."""
        for where, line in self.json_lines(self.tasks_path):
            with self._reporting():
                yield where, count_in(line, "task_index", where), task_in(line, where)

    def track(self, key: str, at: EpisodeLocation) -> Track:
        """See the base class."""
        return self._track(key, at)[0]

    def _track(self, key: str, at: EpisodeLocation) -> tuple[Track, VideoIndex]:
        """Return the frames of a camera in an episode, and all that its file has."""
        path = self.video_file(key, at.index)
        file, index = self.indexed(path, at.index)
        first = _first_frame(index, at.length, path, at.index)
        return self.clip_track(key, file, index, first, at.length), index

    def _measured(self, skipped: Container[int], dropped: Container[str]) -> Iterator[EpisodeLocation]:
        """See the base class."""
        check_templates(self.data_file(episode) for episode in (0, 1))
        check_templates(self.video_file(key, episode) for key in self.video_keys for episode in (0, 1))
        late: list[str] = []
        long: list[str] = []
        for position, at in enumerate(self._located()):
            if position in skipped:
                yield at
                continue
            row_bytes = self._row_bytes(at)
            tracks = dict(at.tracks)
            for key in (key for key in at.tracks if key not in dropped):
                tracks[key], index = self._track(key, at)
                if index.start > 0 and not index.rate:
                    late.append(self.video_file(key, at.index))
                elif tracks[key].clip.first + at.length < index.frames:
                    long.append(self.video_file(key, at.index))
            yield replace(at, row_bytes=row_bytes, tracks=tracks)
        if late:
            begin = "1 video file begins" if len(late) == 1 else f"{len(late)} video files begin"
            begin += f" later than at 0 s (first: {late[0]})"
            self.note(f"{begin}: LeRobot does not find all frames; the output is right")
        if long:
            go_on = (
                "1 video file continues after its"
                if len(long) == 1
                else f"{len(long)} video files continue after their"
            )
            self.note(f"{go_on} episode (first: {long[0]}); the frames after it are dropped")

    def _row_bytes(self, at: EpisodeLocation) -> int:
        path = self.data_file(at.index)
        size = self.existing(path, at.index).stat().st_size
        with self.parquet(path) as file:
            found = file.metadata.num_rows
            self.row_columns.update(file.schema_arrow.names)
            if "frame_index" not in file.schema_arrow.names:
                self.note("data files without frame_index: it is the number of the row in its episode")
        if found != at.length:
            text = f"has {found} rows, but episode {at.index} has {at.length} frames by {paths_v21.EPISODES}"
            raise Damaged(path, text)
        return size

    def stat_batches(self, shapes: Mapping[str, Shape]) -> Iterator[tuple[NDArray[np.int64], StatColumns]]:
        """See the base class; there are none if there is no file of them."""
        has_stats = shapes and self._has_episode_stats
        entries = self._stat_entries() if has_stats else repeat(None)
        for first in range(0, len(self.lengths), EPISODE_BATCH_ROWS):
            lengths = self.lengths[first : first + EPISODE_BATCH_ROWS]
            yield lengths, stat_columns(list(islice(entries, len(lengths))), shapes if has_stats else {})
        next(entries, None)  # refuses what is left over

    def _stat_entries(self) -> Iterator[Any]:
        for episode, (where, line) in enumerate(self.stat_lines()):
            if line is None:
                raise Damaged(where, f"ends before episode {episode}")
            yield line.get("stats")

    def stat_lines(self) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Yield (place, line) of episodes_stats.jsonl for each episode; None as the line where the file ends before it.

        Raises:
            Damaged: If a line cannot be read, or is about another episode.
        """
        path = paths_v21.EPISODES_STATS
        lines = self.ordered_lines(path) if self._has_episode_stats else iter(())
        for number in self.episode_numbers.tolist() if self.has_gaps else range(len(self.lengths)):
            where, line = next(lines, (path, None))
            if line is not None and line.get("episode_index") != number:
                raise Damaged(where, other_episode(line.get("episode_index"), number))
            yield where, line
        for where, _ in lines:
            raise Damaged(where, f"is about an episode that is not in {paths_v21.EPISODES}")


class DatasetV20(DatasetV21):
    """One v2.0 dataset: as v2.1, without statistics of episodes; info.json may name cameras that have no files."""

    version = "v2.0"

    @cached_property
    def absent(self) -> dict[str, str]:
        """See the base class."""
        self.note("v2.0 has no statistics of episodes: those of numbers are computed from the rows")
        entries = {key: entry for key, entry in self.info["features"].items() if isinstance(entry, dict)}
        cameras = [key for key, entry in entries.items() if entry.get("dtype") == "video" and not self._is_filmed(key)]
        return super().absent | dict.fromkeys(cameras, "a camera without files")

    def _is_filmed(self, key: str) -> bool:
        with suppress(Damaged):
            return any((self.root / self.video_file(key, number)).exists() for number in self.episode_numbers.tolist())
        return False


def task_in(line: Mapping[str, Any], where: str) -> str:
    """Return the task of a line of tasks.jsonl; Damaged at `where` if it is no text."""
    task = line.get("task")
    if not isinstance(task, str) or in_utf8(task) != task:
        raise Damaged(where, f"task is {task!r} instead of a text")
    return task


def _first_frame(index: VideoIndex, length: int, path: str, episode: int) -> int:
    """Return the number in its file of the first frame of an episode.

    Frame i of an episode is the one at i/fps: LeRobot looks frames up by their times, and does not see those
    after the episode. `ffmpeg -ss -c copy`, which tools cut episodes of v3.0 with, moves times where frames are not
    stored in the order in which they are shown: the file then begins late, and more often than not with a frame too
    many, at its end or (where the episode began at no keyframe) at its beginning. With the right number of frames it
    is clear which is which; otherwise nothing in the file tells.

    Raises:
        Damaged: If there are too few frames, or it cannot be told which are the episode's.
    """
    if index.rate:
        if index.frames == length:
            return 0
        rate = rate_text(index.rate)
        raise Damaged(path, f"has {index.frames} frames at {rate} per second, but episode {episode} has {length} rows")
    if index.start <= 0 and length - index.start <= index.frames:
        return -index.start
    if index.start > 0 and index.frames == length:
        return 0
    begins = f", the first shown at the time of frame {index.start}" if index.start else ""
    doubt = ", and which of them cannot be told; take the v3.0 dataset that it was cut from"
    doubt = doubt if index.frames > length else ""
    raise Damaged(path, f"has {index.frames} frames{begins}, but episode {episode} has {length}{doubt}")
