"""LeRobot 0.4.4 and 0.6.1 open what robotrove writes, from its own folder and without a network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest
from robotrove.formats.hdf5.samples.pictures import PATCHES, patch
from robotrove.formats.lerobot import paths
from robotrove.media import barcode

if TYPE_CHECKING:
    from .conftest import Sample, Seen

BACKENDS = ("torchcodec", "pyav")
QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
HISTOGRAM_BINS = 5000  # of LeRobot's running quantiles

# Levels of 255: mean over a frame, and over a patch of one colour away from its edges.
FRAME_ERROR, PATCH_ERROR = 8, 8


def test_the_dataset_is_open_without_a_network(sample: Sample, seen: Seen) -> None:
    facts = seen.facts
    assert facts["connections"] == []
    assert (facts["frames"], facts["episodes"], facts["fps"]) == (sum(sample.lengths), len(sample.lengths), sample.fps)
    assert facts["tasks"] == list(dict.fromkeys(sample.tasks))
    assert sorted(facts["cameras"]) == sorted(sample.cameras)
    kinds = {key: dtype for key, (dtype, _) in facts["features"].items() if key in sample.cameras}
    assert kinds == {key: "video" if key in sample.encoded else "image" for key in sample.cameras}


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_row_is_that_of_the_source(sample: Sample, seen: Seen, backend: str) -> None:
    for key in sample.episodes[0].keys() - set(sample.cameras):
        found, expected = seen[f"{backend}/{key}"], sample.rows(key)
        if expected.dtype == object:
            assert found.tolist() == expected.tolist()
        else:
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
        numbers, camera = sample.markers[key]
        check_frames(seen[f"{backend}/{key}"], sample.rows(key), numbers, camera, exact=key not in sample.encoded)


def test_shuffled_batches_of_a_worker_are_right(sample: Sample, seen: Seen) -> None:
    order = seen["batch/index"]
    assert len(set(order.tolist())) == min(32, sum(sample.lengths))
    assert np.array_equal(seen["batch/action"], sample.rows("action")[order])
    assert seen["batch/task"].tolist() == sample.index["task"][order].tolist()
    for key in sample.cameras:
        numbers, camera = sample.markers[key]
        check_frames(
            seen[f"batch/{key}"],
            sample.rows(key)[order],
            numbers[order],
            camera,
            exact=key not in sample.encoded,
        )


def test_windows_stop_at_the_ends_of_episodes(sample: Sample, seen: Seen) -> None:
    ends = np.cumsum(sample.lengths)
    edges = sorted({*ends - sample.lengths, *ends - 1})
    assert seen["window/index"].tolist() == edges
    episode = sample.index["episode_index"][edges]
    wanted = np.array(edges)[:, None] + [-1, 0, 1]
    first, last = (ends - sample.lengths)[episode][:, None], ends[episode][:, None] - 1
    is_pad = (wanted < first) | (wanted > last)
    inside = np.clip(wanted, first, last)
    for key in ("action", "observation.state"):
        assert np.array_equal(seen[f"window/{key}"], sample.rows(key)[inside])
    for key in ("action", "observation.state", *sample.cameras):
        assert np.array_equal(seen[f"window/{key}_is_pad"], is_pad)
    for key in sample.cameras:
        numbers, camera = sample.markers[key]
        found = seen[f"window/{key}"]
        flat = inside.reshape(-1)
        check_frames(
            found.reshape(-1, *found.shape[2:]),
            sample.rows(key)[flat],
            numbers[flat],
            camera,
            exact=key not in sample.encoded,
        )


def test_an_episode_can_be_opened_alone(sample: Sample, seen: Seen) -> None:
    first = sum(sample.lengths[:-1])
    assert seen["alone/index"].tolist() == list(range(first, sum(sample.lengths)))
    assert np.array_equal(seen["alone/action"], sample.episodes[-1]["action"])
    for key in sample.cameras:
        numbers, camera = sample.markers[key]
        check_frames(
            seen[f"alone/{key}"], sample.episodes[-1][key], numbers[first:], camera, exact=key not in sample.encoded
        )


def test_statistics_of_episodes_agree_with_theirs(sample: Sample, seen: Seen) -> None:
    ours = pq.read_table(sample.root / paths.EPISODES).to_pylist()
    compared = 0
    for number, episode in enumerate(sample.episodes):
        for key, rows in episode.items():
            if rows.dtype == object or (len(rows) == 1 and rows.ndim == 3):
                continue  # LeRobot folds the leading axes of a row, but not in an episode of one frame
            mine = {name: np.array(ours[number][f"stats/{key}/{name}"]) for name in ("count", *STATS)}
            theirs = {name: seen[f"stats/{number}/{key}/{name}"] for name in ("count", *STATS)}
            compare(mine, theirs, rows, is_camera=key in sample.cameras, release=seen.facts["lerobot"])
            compared += 1
    assert compared == sum(f"/{'count'}" in name for name in seen.names)


def test_quantiles_of_the_dataset_are_those_of_all_rows(sample: Sample, seen: Seen) -> None:
    stats = json.loads((sample.root / paths.STATS).read_text())
    assert set(seen.facts["stats"]) == set(stats)
    for key in stats.keys() & sample.episodes[0].keys() - set(sample.cameras):
        rows = sample.rows(key)
        table = rows.astype(np.float64).reshape(-1, rows.shape[-1])
        for name, level in QUANTILES.items():
            np.testing.assert_allclose(stats[key][name], np.quantile(table, level, axis=0), rtol=1e-12, atol=1e-12)


STATS = ("min", "max", "mean", "std", *QUANTILES)


def check_frames(
    found: np.ndarray, expected: np.ndarray, numbers: np.ndarray, camera: int, *, exact: bool
) -> None:
    """Compare frames (N, H, W, 3) with their source: marker, colours and, without video, every pixel."""
    assert found.shape == expected.shape
    assert [barcode.read(frame) for frame in found] == [(number, camera) for number in numbers]
    if exact:
        assert np.array_equal(found, expected)
        return
    error = np.abs(found.astype(np.int16) - expected)
    print("frame", error.mean(axis=(1, 2, 3)).max(), end=" ")
    assert error.mean(axis=(1, 2, 3)).max() <= FRAME_ERROR
    height, width = expected.shape[1:3]
    for name, colour in PATCHES.items():
        rows, columns = patch(name, height, width)
        inside = found[:, rows.start + 4 : rows.stop - 4, columns.start + 4 : columns.stop - 4]
        print(name, np.abs(inside.mean(axis=(1, 2)) - colour).max())
        assert np.abs(inside.mean(axis=(1, 2)) - colour).max() <= PATCH_ERROR, name


def compare(
    mine: dict[str, np.ndarray], theirs: dict[str, np.ndarray], rows: np.ndarray, *, is_camera: bool, release: str
) -> None:
    """Compare the statistics of one feature of one episode."""
    assert {name: value.shape for name, value in mine.items()} == {name: value.shape for name, value in theirs.items()}
    assert mine["count"] == theirs["count"]
    np.testing.assert_allclose(mine["min"], theirs["min"], rtol=1e-7)
    np.testing.assert_allclose(mine["max"], theirs["max"], rtol=1e-7)
    spread = mine["max"] - mine["min"]
    print("mean", np.max(np.abs(mine["mean"]-theirs["mean"])/(spread+1e-300)), "std", np.max(np.abs(mine["std"]-theirs["std"])/(spread+1e-300)), rows.shape, rows.dtype)
