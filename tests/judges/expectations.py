"""What a release must see in a dataset whose truth is known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from robotrove.formats.hdf5.samples.pictures import read_marker
from robotrove.tests.judges.recordings import Truth, camera_number
from robotrove.tests.judges.releases import BACKENDS, Seen

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
HISTOGRAM_BINS = 5000  # of LeRobot's running quantiles, from the smallest to the largest value
FRAME_ERROR = 5  # levels of 255, mean over a frame: what compression costs


def check_facts(seen: Seen, truth: Truth) -> None:
    """The dataset opens from its own folder, has the right totals, and each task once."""
    assert not seen.error, seen.error
    facts = seen.facts
    assert facts["connections"] == []
    assert (facts["frames"], facts["episodes"], facts["fps"]) == (sum(truth.lengths), len(truth.lengths), truth.fps)
    assert sorted(facts["tasks"]) == sorted(set(truth.rows["task"].tolist()))
    assert sorted(facts["cameras"]) == sorted(truth.cameras)


def check_episodes(root: Path, truth: Truth) -> None:
    """What meta says of every episode of a dataset of either version: its length and its tasks."""
    lines = root / "meta" / "episodes.jsonl"
    if lines.exists():
        episodes = [json.loads(line) for line in lines.read_text().splitlines()]
    else:
        episodes = pq.read_table(root / "meta" / "episodes", columns=["episode_index", "length", "tasks"]).to_pylist()
    assert [episode["episode_index"] for episode in episodes] == list(range(len(truth.lengths)))
    assert [episode["length"] for episode in episodes] == truth.lengths
    assert [sorted(episode["tasks"]) for episode in episodes] == [sorted(tasks) for tasks in truth.episode_tasks]


def check_rows(seen: Seen, truth: Truth, backend: str) -> None:
    """Every row has the values that were recorded, its place, its time and its task."""
    assert not seen.error, seen.error
    for key, expected in truth.rows.items():
        if key in truth.cameras:
            continue
        found = seen[f"{backend}/{key}"]
        assert found.dtype == expected.dtype or expected.dtype.kind == "U", key
        assert np.array_equal(found.reshape(expected.shape), expected), key
    for key, expected in truth.index.items():
        assert seen[f"{backend}/{key}"].tolist() == expected.tolist(), key
    tasks = np.array(seen.facts["tasks"])
    assert tasks[seen[f"{backend}/task_index"]].tolist() == truth.rows["task"].tolist()


def check_frames(seen: Seen, truth: Truth, backend: str) -> None:
    """Every frame is that of its row and its camera, and looks like what was recorded."""
    assert not seen.error, seen.error
    for key in truth.cameras:
        found, expected = seen[f"{backend}/{key}"], truth.rows[key]
        numbers = [(number, camera_number(key)) for number in truth.markers.tolist()]
        assert [read_marker(frame) for frame in found] == numbers, key
        if seen.facts["features"][key][0] == "image":
            assert np.array_equal(found, expected), key
        else:
            errors = [np.abs(a.astype(np.int16) - b).mean() for a, b in zip(found, expected, strict=True)]
            assert max(errors) <= FRAME_ERROR, key


def check_access(seen: Seen, truth: Truth) -> None:
    """Batches of a worker, windows at the ends of episodes and an episode alone hold the same rows and frames."""
    assert not seen.error, seen.error
    lengths = truth.lengths
    total = sum(lengths)
    edges, wanted, inside = windows(lengths)
    order = seen["batch/index"]
    assert len(set(order.tolist())) == min(32, total)
    assert seen["batch/task"].tolist() == truth.rows["task"][order].tolist()
    assert seen["window/index"].tolist() == edges.tolist()
    last = np.arange(total - lengths[-1], total)
    assert np.array_equal(seen["alone/index"], last)
    for key in ("action", "observation.state", *truth.cameras):
        if key not in truth.rows:
            continue
        all_rows = seen[f"{BACKENDS[0]}/{key}"]
        assert np.array_equal(seen[f"batch/{key}"], all_rows[order]), key
        assert np.array_equal(seen[f"window/{key}"], all_rows[inside]), key
        assert np.array_equal(seen[f"window/{key}_is_pad"], wanted != inside), key
        assert np.array_equal(seen[f"alone/{key}"], all_rows[last]), key


def check_same_pixels(seen: Seen, sources: list[Seen], backend: str) -> None:
    """Video frames are bit for bit those of the sources, as the same release decodes them."""
    for key in seen.facts["cameras"]:
        expected = np.concatenate([source[f"{backend}/{key}"] for source in sources])
        assert np.array_equal(seen[f"{backend}/{key}"], expected), key


def check_statistics(stats: Mapping[str, np.ndarray], rows: np.ndarray) -> None:
    """Statistics are those of rows (N, *shape), whether we or LeRobot computed them.

    LeRobot forms sums and squares in the dtype of the rows, float32 mostly, and takes quantiles from a histogram.
    """
    table = np.sort(rows.astype(np.float64), axis=0)
    largest = np.abs(table).max(axis=0)
    assert {name: value.shape for name, value in stats.items()} == {
        name: (1,) if name == "count" else rows.shape[1:] for name in stats
    }
    assert stats["count"] == len(rows)
    assert np.array_equal(stats["min"], table[0])
    assert np.array_equal(stats["max"], table[-1])
    assert np.all(np.abs(stats["mean"] - table.mean(axis=0)) <= 1e-5 * largest)
    assert np.all(np.abs(stats["std"] ** 2 - table.var(axis=0)) <= 1e-5 * largest**2)
    margin = (table[-1] - table[0]) / HISTOGRAM_BINS + 1e-9 + 1e-6 * largest
    for name in stats.keys() & QUANTILES.keys():
        position = QUANTILES[name] * (len(table) - 1)
        low, high = table[int(np.floor(position))], table[int(np.ceil(position))]
        assert np.all((stats[name] >= low - margin) & (stats[name] <= high + margin)), name


def windows(lengths: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows at the ends of episodes (W,), theirs with both neighbours (W, 3), and that within the episode."""
    ends = np.cumsum(lengths)
    starts = ends - lengths
    edges = np.array(sorted({*starts.tolist(), *(ends - 1).tolist()}))
    episode = np.repeat(np.arange(len(lengths)), lengths)[edges][:, None]
    wanted = edges[:, None] + [-1, 0, 1]
    return edges, wanted, np.clip(wanted, starts[episode], ends[episode] - 1)
