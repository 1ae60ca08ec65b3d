"""What is in the files of a dataset, read with pyarrow, json, numpy and PyAV alone.

So a mistake of our readers hides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from robotrove.formats.hdf5.samples.pictures import read_marker


@dataclass(frozen=True)
class Video:
    """All of one video file.

    Attributes:
        times: When each frame is shown, exactly.
        numbers: What is drawn into each, in that order, and the camera's number.
        packets: What is stored for each.
    """

    times: list[Fraction]
    numbers: list[tuple[int, int]]
    packets: list[bytes]


@lru_cache(maxsize=256)
def video(path: Path) -> Video:
    """Read a video file with plain PyAV."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [(packet.pts, bytes(packet)) for packet in container.demux(stream) if packet.size]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        frames = [(f.pts * stream.time_base, read_marker(f.to_ndarray(format="rgb24"))) for f in container.decode(0)]
    assert [pts for pts, _ in packets] == sorted(pts for pts, _ in packets)
    assert len(packets) == len(frames)
    return Video([time for time, _ in frames], [found for _, found in frames], [data for _, data in packets])


@dataclass(frozen=True)
class Stored:
    """One episode as a dataset has it.

    Attributes:
        rows: Its rows, all columns.
        tasks: Its instructions by meta.
        row_tasks: The instruction of each row by its task_index.
        times: Camera to when each frame is shown after the episode's beginning, by its file.
        numbers: Camera to what is drawn into its frames.
        packets: Camera to what is stored for them.
        stats: Feature to statistic to values.
    """

    rows: pa.Table
    tasks: list[str]
    row_tasks: list[str]
    times: Mapping[str, list[Fraction]]
    numbers: Mapping[str, list[tuple[int, int]]]
    packets: Mapping[str, list[bytes]]
    stats: Mapping[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class OnDisk:
    """A dataset as its files have it.

    Attributes:
        root: Its folder.
    """

    root: Path

    @cached_property
    def info(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / "meta/info.json").read_text())
        return found

    @cached_property
    def fps(self) -> int:
        return int(self.info["fps"])

    @cached_property
    def cameras(self) -> list[str]:
        return [key for key, feature in self.info["features"].items() if feature["dtype"] == "video"]

    @cached_property
    def is_v21(self) -> bool:
        return bool(self.info["codebase_version"] == "v2.1")

    @cached_property
    def tasks(self) -> list[str]:
        if self.is_v21:
            lines = self.lines("meta/tasks.jsonl")
        else:
            lines = pq.read_table(self.root / "meta/tasks.parquet").to_pylist()
        assert [line["task_index"] for line in lines] == list(range(len(lines)))
        return [line["task"] for line in lines]

    def lines(self, path: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.root / path).read_text(encoding="utf-8").splitlines()]

    @cached_property
    def meta(self) -> list[dict[str, Any]]:
        """What meta says of each episode."""
        if self.is_v21:
            return self.lines("meta/episodes.jsonl")
        files = sorted((self.root / "meta/episodes").glob("*/*.parquet"))
        return [row for path in files for row in pq.read_table(path).to_pylist()]

    @cached_property
    def origins(self) -> list[dict[str, Any]]:
        """The provenance table."""
        if self.is_v21:
            return self.lines("meta/robotrove/episodes.jsonl")
        rows: list[dict[str, Any]] = pq.read_table(self.root / "meta/robotrove/episodes.parquet").to_pylist()
        return rows

    @cached_property
    def histograms(self) -> dict[str, np.ndarray]:
        content = json.loads((self.root / "meta/robotrove/histograms.json").read_text())
        return {key: np.array(counts) for key, counts in content.items()}

    @cached_property
    def stats(self) -> dict[str, dict[str, np.ndarray]]:
        """Statistics of the whole."""
        return _arrays(json.loads((self.root / "meta/stats.json").read_text()))

    @cached_property
    def rows(self) -> pa.Table:
        """All rows, in the order in which LeRobot reads the files."""
        return pa.concat_tables([pq.read_table(path) for path in self.files("data", "parquet")])

    def files(self, kind: str, suffix: str) -> list[Path]:
        return sorted((self.root / kind).rglob(f"*.{suffix}"))

    @cached_property
    def episodes(self) -> list[Stored]:
        """Every episode, found as LeRobot finds it."""
        return [self._stored(number, row) for number, row in enumerate(self.meta)]

    def _stored(self, number: int, row: dict[str, Any]) -> Stored:
        assert row["episode_index"] == number
        rows = _table(self.root / self._place("data_path", number, "data"))
        rows = rows.filter(pc.equal(rows["episode_index"], number))
        times, numbers, packets = {}, {}, {}
        for key in self.cameras:
            found = video(self.root / self._place("video_path", number, f"videos/{key}", video_key=key))
            start = 0.0 if self.is_v21 else row[f"videos/{key}/from_timestamp"]
            first = round(start * self.fps)
            assert start == first / self.fps
            stop = first + row["length"]
            if self.is_v21:
                assert len(found.numbers) == row["length"]
            else:
                assert row[f"videos/{key}/to_timestamp"] == stop / self.fps
            times[key] = [time - Fraction(first, self.fps) for time in found.times[first:stop]]
            numbers[key], packets[key] = found.numbers[first:stop], found.packets[first:stop]
        row_tasks = [self.tasks[index] for index in rows["task_index"].to_pylist()]
        return Stored(rows, row["tasks"], row_tasks, times, numbers, packets, self._stats(number, row))

    def _place(self, template: str, number: int, kind: str, **more: str) -> str:
        if self.is_v21:
            more |= {"episode_chunk": number // self.info["chunks_size"], "episode_index": number}
        else:
            more |= {name: self.meta[number][f"{kind}/{name}"] for name in ("chunk_index", "file_index")}
        return str(self.info[template].format(**more))

    @cached_property
    def _stats_lines(self) -> list[dict[str, Any]]:
        return self.lines("meta/episodes_stats.jsonl")

    def _stats(self, number: int, row: dict[str, Any]) -> dict[str, dict[str, np.ndarray]]:
        if self.is_v21:
            assert self._stats_lines[number]["episode_index"] == number
            return _arrays(self._stats_lines[number]["stats"])
        nested: dict[str, dict[str, Any]] = {}
        for column, values in row.items():
            if column.startswith("stats/"):
                key, _, name = column.removeprefix("stats/").rpartition("/")
                nested.setdefault(key, {})[name] = values
        return _arrays(nested)


@lru_cache(maxsize=64)
def _table(path: Path) -> pa.Table:
    return pq.read_table(path)


def forget() -> None:
    """Forget what was read of files: others will have their names."""
    video.cache_clear()
    _table.cache_clear()


def _arrays(stats: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, np.ndarray]]:
    return {key: {name: np.array(values) for name, values in entry.items()} for key, entry in stats.items()}
