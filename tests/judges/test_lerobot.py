"""LeRobot 0.4.4 and 0.6.1 open what robotrove writes, from its own folder and without a network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.formats.hdf5.samples.pictures import PATCHES, patch, read_marker
from robotrove.formats.lerobot import paths_v30
from robotrove.formats.lerobot.stats.image_stats import pixel_step, sample_indices
from robotrove.tests.judges.expectations import FRAME_ERROR, HISTOGRAM_BINS, QUANTILES, windows
from robotrove.tests.judges.releases import BACKENDS, Seen

if TYPE_CHECKING:
    from .conftest import Sample

STATS = ("min", "max", "mean", "std", *QUANTILES)

# Levels of 255: mean over a patch of one colour away from its edges.
PATCH_ERROR = 6
LEVEL = 1 / 255


def test_the_dataset_opens_without_a_network(sample: Sample, seen: Seen) -> None:
    facts = seen.facts
    assert facts["connections"] == []
    assert (facts["frames"], facts["episodes"], facts["fps"]) == (sum(sample.lengths), len(sample.lengths), sample.fps)
    assert facts["tasks"] == list(dict.fromkeys(sample.tasks))
    kinds = {key: facts["features"][key][0] for key in facts["cameras"]}
    assert kinds == {key: "video" if key in sample.encoded else "image" for key in sample.cameras}


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_row_is_that_of_the_source(sample: Sample, seen: Seen, backend: str) -> None:
    for key in sample.episodes[0].keys() - set(sample.cameras):
        found, expected = seen[f"{backend}/{key}"], sample.rows(key)
        if expected.dtype == object:
            assert found.tolist() == expected.tolist(), key
            continue
        if expected.dtype == np.float64:  # LeRobot makes float32 tensors of them
            expected = expected.astype(np.float32)
        assert found.dtype == expected.dtype, key
        assert np.array_equal(found.reshape(expected.shape), expected), key


@pytest.mark.parametrize("backend", BACKENDS)
def test_tasks_times_and_indices_are_exact(sample: Sample, seen: Seen, backend: str) -> None:
    for key, expected in sample.index.items():
        assert seen[f"{backend}/{key}"].tolist() == expected.tolist(), key
    assert seen[f"{backend}/timestamp"].dtype == np.float32


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_frame_is_the_right_one_in_the_right_colours(sample: Sample, seen: Seen, backend: str) -> None:
    for key in sample.cameras:
        check_frames(sample, key, seen[f"{backend}/{key}"], np.arange(sum(sample.lengths)))


def test_shuffled_batches_of_a_worker_are_right(sample: Sample, seen: Seen) -> None:
    order = seen["batch/index"]
    assert len(set(order.tolist())) == min(32, sum(sample.lengths))
    assert np.array_equal(seen["batch/action"], sample.rows("action")[order])
    assert seen["batch/task"].tolist() == sample.index["task"][order].tolist()
    for key in sample.cameras:
        check_frames(sample, key, seen[f"batch/{key}"], order)


def test_windows_stop_at_the_ends_of_episodes(sample: Sample, seen: Seen) -> None:
    edges, wanted, inside = windows(sample.lengths)
    assert seen["window/index"].tolist() == edges.tolist()
    for key in ("action", "observation.state", *sample.cameras):
        assert np.array_equal(seen[f"window/{key}_is_pad"], wanted != inside), key
    for key in ("action", "observation.state"):
        assert np.array_equal(seen[f"window/{key}"], sample.rows(key)[inside]), key
    for key in sample.cameras:
        found = seen[f"window/{key}"]
        check_frames(sample, key, found.reshape(-1, *found.shape[2:]), inside.reshape(-1))


def test_an_episode_can_be_opened_alone(sample: Sample, seen: Seen) -> None:
    rows = np.arange(sum(sample.lengths[:-1]), sum(sample.lengths))
    assert np.array_equal(seen["alone/index"], rows)
    assert np.array_equal(seen["alone/action"], sample.episodes[-1]["action"])
    for key in sample.cameras:
        check_frames(sample, key, seen[f"alone/{key}"], rows)


def test_statistics_of_episodes_agree_with_theirs(sample: Sample, seen: Seen) -> None:
    ours = pq.read_table(sample.root / paths_v30.EPISODES).to_pylist()
    for number, episode in enumerate(sample.episodes):
        for key, rows in episode.items():
            # LeRobot folds the leading axes of a row, but not those of an only row.
            if rows.dtype == object or (len(rows) == 1 and rows.ndim == 3):
                continue
            mine = {name: np.array(ours[number][f"stats/{key}/{name}"]) for name in ("count", *STATS)}
            theirs = {name: seen[f"stats/{number}/{key}/{name}"] for name in ("count", *STATS)}
            assert {name: s.shape for name, s in mine.items()} == {name: s.shape for name, s in theirs.items()}
            assert mine["count"] == theirs["count"]
            if key in sample.cameras:
                compare_camera(mine, theirs, rows, seen.facts["lerobot"])
            else:
                compare_vector(mine, theirs, rows)


def test_quantiles_of_the_dataset_are_those_of_all_rows(sample: Sample, seen: Seen) -> None:
    stats = json.loads((sample.root / paths_v30.STATS).read_text())
    assert set(seen.facts["stats"]) == set(stats)
    for key in stats.keys() & sample.episodes[0].keys() - set(sample.cameras):
        rows = sample.rows(key)
        table = rows.astype(np.float64).reshape(-1, rows.shape[-1])
        for name, level in QUANTILES.items():
            np.testing.assert_allclose(stats[key][name], np.quantile(table, level, axis=0), rtol=1e-12, atol=1e-12)


def check_frames(sample: Sample, key: str, found: np.ndarray, index: np.ndarray) -> None:
    """Compare frames (N, H, W, 3) with those of the source at `index`: marker, colours, without video every pixel."""
    expected = sample.rows(key)[index]
    numbers, camera = sample.markers[key]
    assert found.shape == expected.shape
    assert [read_marker(frame) for frame in found] == [(number, camera) for number in numbers[index]]
    if key not in sample.encoded:
        assert np.array_equal(found, expected)
        return
    assert np.abs(found.astype(np.int16) - expected).mean(axis=(1, 2, 3)).max() <= FRAME_ERROR
    height, width = expected.shape[1:3]
    for name, colour in PATCHES.items():
        rows, columns = patch(name, height, width)
        inside = found[:, rows.start + 4 : rows.stop - 4, columns.start + 4 : columns.stop - 4]
        assert np.abs(inside.mean(axis=(1, 2)) - colour).max() <= PATCH_ERROR, name


def compare_camera(mine: dict[str, np.ndarray], theirs: dict[str, np.ndarray], rows: np.ndarray, release: str) -> None:
    """Compare statistics of pixels; 0.4 squares them as uint8, which overflows, so its std says nothing."""
    mine, theirs = ({name: s.reshape(-1) for name, s in stats.items()} for stats in (mine, theirs))
    step = pixel_step(*rows.shape[1:3])
    table = rows[sample_indices(len(rows)), ::step, ::step].reshape(-1, 3) / 255
    for name in ("min", "max"):
        np.testing.assert_allclose(mine[name], theirs[name], atol=1e-9)
    np.testing.assert_allclose(mine["mean"], theirs["mean"], atol=LEVEL)  # 0.6 adds up millions of float32
    if not release.startswith("0.4"):
        np.testing.assert_allclose(mine["std"], theirs["std"], atol=LEVEL)
    compare_quantiles(mine, theirs, table)


def compare_vector(mine: dict[str, np.ndarray], theirs: dict[str, np.ndarray], rows: np.ndarray) -> None:
    """Compare statistics of numbers, whose sums and squares LeRobot forms in their own dtype, float32 mostly."""
    table = rows.astype(np.float64).reshape(-1, rows.shape[-1])
    largest = np.abs(table).max(axis=0)
    for name in ("min", "max"):
        assert np.array_equal(mine[name], theirs[name].astype(np.float64)), name
    assert np.all(np.abs(mine["mean"] - theirs["mean"]) <= 1e-5 * largest)
    assert np.all(np.abs(mine["std"] ** 2 - theirs["std"].astype(np.float64) ** 2) <= 1e-5 * largest**2)
    compare_quantiles(mine, theirs, table)


def compare_quantiles(mine: dict[str, np.ndarray], theirs: dict[str, np.ndarray], table: np.ndarray) -> None:
    """Compare quantiles of the rows of a table (N, D).

    np.quantile interpolates between two neighbours of the sorted rows, LeRobot takes one of them:
    its value lies within a bin of its histogram of that stretch.
    """
    table = np.sort(table, axis=0)
    edges = 1e-9 + 1e-6 * np.abs(table).max(axis=0)  # of the bins: float32, and moved outwards by 1e-10
    margin = (table[-1] - table[0]) / HISTOGRAM_BINS + edges
    for name, level in QUANTILES.items():
        position = level * (len(table) - 1)
        low, high = table[int(np.floor(position))], table[int(np.ceil(position))]
        np.testing.assert_allclose(mine[name], low + (high - low) * (position % 1), rtol=1e-12, atol=1e-12)
        assert np.all((theirs[name] >= low - margin) & (theirs[name] <= high + margin)), name
