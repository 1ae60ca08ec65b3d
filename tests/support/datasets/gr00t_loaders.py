"""The rules by which GR00T's loaders read a dataset, written down since they cannot be installed here.

`N15` is LeRobotSingleDataset (gr00t/data/dataset.py of Isaac-GR00T 1259d62), `N16` is LeRobotEpisodeLoader
(gr00t/data/dataset/lerobot_episode_loader.py of 4e62473). Nothing of robotrove is used.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HORIZON = 16
Values = np.ndarray[Any, Any]
_DEFAULTS = {"state": "observation.state", "action": "action"}


class Loader:
    """Files that both releases read alike: by episodes.jsonl and `chunks_size`, never by listing folders."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.info, self.modality = (
            json.loads((root / f"meta/{name}.json").read_text()) for name in ("info", "modality")
        )
        self.episodes = [json.loads(line) for line in (root / "meta/episodes.jsonl").read_text().splitlines()]
        tasks = map(json.loads, (root / "meta/tasks.jsonl").read_text().splitlines())
        self.tasks = {task["task_index"]: task["task"] for task in tasks}

    def path(self, pattern: str, episode: int, **names: str) -> Path:
        chunk = episode // self.info["chunks_size"]
        return self.root / self.info[pattern].format(episode_chunk=chunk, episode_index=episode, **names)

    def column(self, episode: int, key: str) -> Values:
        """Return rows as pandas has them: (n, entries) of a column of lists, (n,) of numbers."""
        column = pq.read_table(self.path("data_path", episode))[key].combine_chunks()
        kind = column.type.value_type if pa.types.is_nested(column.type) else column.type
        return np.array(column.to_pylist(), kind.to_pandas_dtype())

    def frames(self, episode: int, video_key: str) -> tuple[Values, list[Values]]:
        """Return (times in seconds, RGB frames) of a video."""
        with av.open(str(self.path("video_path", episode, video_key=video_key))) as container:
            found = [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
        return np.array([time for time, _ in found]), [picture for _, picture in found]


class N15(Loader):
    """Steps: an action is HORIZON rows from its step on, the last one repeated; frames by their times."""

    backend = "decord"

    def vector(self, episode: int, section: str, key: str) -> Values:
        entry = self.modality[section][key]
        rows = np.stack(self.column(episode, entry.get("original_key") or _DEFAULTS[section]))
        assert rows.ndim == 2, "a number instead of a list is refused"
        rows = rows[:, np.arange(entry["start"], entry["end"])]
        length = self.episodes[episode]["length"]
        steps = np.arange(length)[:, None] + np.arange(HORIZON if section == "action" else 1)
        return rows[np.minimum(steps, length - 1)]

    def texts(self, episode: int, key: str) -> list[str]:
        column = self.column(episode, self.modality["annotation"][key].get("original_key") or f"annotation.{key}")
        return [self.tasks[number.item()] for number in column]

    def video(self, episode: int, key: str) -> list[Values]:
        name = self.modality["video"][key].get("original_key") or key
        feature = self.info["features"][name]
        assert {"height", "width"} <= set(feature["names"])
        times, frames = self.frames(episode, name)
        asked = self.column(episode, "timestamp")
        if self.backend == "decord":  # the nearest
            return [frames[int(np.abs(times - time).argmin())] for time in asked]
        return [frames[int(np.searchsorted(times, time, "right")) - 1] for time in asked]  # torchcodec: the one shown


class N15Torchcodec(N15):
    """The default of N1.5, which needs times that are not too low by a rounding."""

    backend = "torchcodec"


class N16(Loader):
    """Episodes: each row as it is; frames by their numbers, as many as rows."""

    def vector(self, episode: int, section: str, key: str) -> Values:
        entry = self.modality[section][key]
        rows = self.column(episode, entry.get("original_key", _DEFAULTS[section]))
        rows = rows[:, entry["start"] : entry["end"]] if rows.ndim == 2 else rows
        rows = rows[: self.episodes[episode]["length"]]
        if section == "state":
            return rows[:, None]
        # Steps without a whole horizon give no sample (sharded_single_step_dataset.py).
        return np.stack([rows[step : step + HORIZON] for step in range(len(rows) - HORIZON + 1)])

    def texts(self, episode: int, key: str) -> list[str]:
        column = self.column(episode, self.modality["annotation"][key].get("original_key", f"annotation.{key}"))
        assert column.ndim == 1, "a list has no entry in the dictionary of tasks"
        return [self.tasks[number] for number in column.tolist()]

    def video(self, episode: int, key: str) -> list[Values]:
        name = self.modality["video"][key].get("original_key", f"observation.images.{key}")
        assert name in self.info["features"]
        _, frames = self.frames(episode, name)
        assert len(frames) == self.episodes[episode]["length"]
        return frames


RELEASES: dict[str, type[N15] | type[N16]] = {"n1.5": N15, "n1.5, torchcodec": N15Torchcodec, "n1.6": N16}
