"""What a dataset must hold of recordings, computed from these by numpy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from robotrove.tests.support.datasets.numbered import FPS, Recorded
from robotrove.tests.support.datasets.on_disk import OnDisk, video

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


def truth(episodes: Sequence[Recorded], fps: int = FPS) -> list[dict[str, Any]]:
    """Return every column of each episode, the default five included, as a dataset of these must have them."""
    tasks = list(dict.fromkeys(episode.task for episode in episodes))
    columns, index = [], 0
    for number, episode in enumerate(episodes):
        frames = np.arange(episode.length)
        columns.append(
            {
                **episode.rows,
                "timestamp": (frames / fps).astype(np.float32)[:, None],
                "frame_index": frames[:, None],
                "episode_index": np.full((episode.length, 1), number),
                "index": (index + frames)[:, None],
                "task_index": np.full((episode.length, 1), tasks.index(episode.task)),
            }
        )
        index += episode.length
    return columns


def assert_holds(dataset: OnDisk, episodes: Sequence[Recorded], fps: int = FPS) -> None:
    """Every row, instruction, index, time and frame is that of the recordings, in order."""
    columns = truth(episodes, fps)
    lengths = [episode.length for episode in episodes]
    assert dataset.tasks == list(dict.fromkeys(episode.task for episode in episodes))
    assert [row["length"] for row in dataset.meta] == lengths
    for name in ("index", "episode_index"):  # of all files, one after the other
        expected = np.concatenate([column[name][:, 0] for column in columns])
        np.testing.assert_array_equal(dataset.rows[name].to_numpy(), expected)
    for number, (stored, episode, expected) in enumerate(zip(dataset.episodes, episodes, columns, strict=True)):
        where = f"episode {number}"
        assert stored.tasks == [episode.task], where
        assert stored.row_tasks == [episode.task] * episode.length, where
        assert set(stored.rows.column_names) == set(expected), where
        for key, values in expected.items():
            found = stored.rows[key].to_pylist()
            assert found == values.reshape(len(values), *values.shape[1:] if values.shape[1:] != (1,) else ()).tolist()
        for camera, key in enumerate(episode.frames):
            assert stored.numbers[key] == [(frame, camera) for frame in episode.numbers], f"{where}, {key}"
            assert stored.times[key] == [Fraction(frame, fps) for frame in range(episode.length)], f"{where}, {key}"
    info = dataset.info
    found = [info[name] for name in ("total_episodes", "total_frames", "total_tasks")]
    assert found == [len(episodes), sum(lengths), len(dataset.tasks)]
    assert info["splits"] == {"train": f"0:{len(episodes)}"}
    if not dataset.is_v21:
        bounds = [(row["dataset_from_index"], row["dataset_to_index"]) for row in dataset.meta]
        starts = np.concatenate([[0], np.cumsum(lengths)]).tolist()
        assert bounds == list(pairwise(starts))
        # No file holds anything but the episodes.
        for key in dataset.cameras:
            total = sum(len(video(path).numbers) for path in dataset.files(f"videos/{key}", "mp4"))
            assert total == sum(lengths)


def direct_stats(values: np.ndarray, axes: int = 1, *, keep: bool = False) -> dict[str, np.ndarray]:
    """Return statistics by numpy alone: of (T, …, D) over all but the last axis; those of frames are in [0, 1].

    `keep` keeps all axes but the first, as v2.1 does.
    """
    table = (values if keep else values.reshape(-1, values.shape[-1])).astype(np.float64)
    found = {name: getattr(table, name)(axis=0) for name in ("min", "max", "mean", "std")}
    found |= {name: np.quantile(table, level, axis=0) for name, level in QUANTILES.items()}
    if axes == 3:
        found = {name: (stat / 255).reshape(3, 1, 1) for name, stat in found.items()}
    return found | {"count": np.array([len(values)])}


def assert_stats(
    found: Mapping[str, Mapping[str, np.ndarray]], columns: Mapping[str, Any], frames: Any, *, keep: bool = False
) -> None:
    """Statistics are those of columns and frames, to 1e-9."""
    expected = {key: direct_stats(values, keep=keep) for key, values in columns.items() if values.dtype != object}
    expected |= {key: direct_stats(values, 3) for key, values in frames.items()}
    assert found.keys() == expected.keys()
    for key, stats in expected.items():
        assert found[key].keys() == stats.keys()
        for name, value in stats.items():
            assert np.shape(found[key][name]) == value.shape, f"{key}/{name}"
            np.testing.assert_allclose(found[key][name], value, rtol=1e-9, atol=1e-12, err_msg=f"{key}/{name}")


def assert_statistics(dataset: OnDisk, episodes: Sequence[Recorded], fps: int = FPS) -> None:
    """Statistics of every episode, and of the whole where there are some, are those of the recordings."""
    columns = truth(episodes, fps)
    for stored, episode, values in zip(dataset.episodes, episodes, columns, strict=True):
        assert_stats(stored.stats, values, episode.frames, keep=dataset.is_v21)
    if not dataset.is_v21:
        whole = {key: np.concatenate([values[key] for values in columns]) for key in columns[0]}
        frames = {key: np.concatenate([e.frames[key] for e in episodes]) for key in episodes[0].frames}
        assert_stats(dataset.stats, whole, frames)
