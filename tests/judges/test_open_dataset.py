"""`open_dataset` gives the tasks, rows, frames and statistics that the loaders of LeRobot give, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from robotrove import Dataset as OurDataset
from robotrove import open_dataset
from robotrove.tests.judges.releases import BACKENDS, Seen
from robotrove.tests.judges.scenarios import Dataset

Views = dict[str, dict[str, Seen]]

# Written by LeRobot 0.3.3, 0.4.4 and 0.6.1, merged, converted and shortened by it, and written by us.
READ_BY = {
    "0.3.3": ("old", "old_rich", "many_21", "rich_21", "stills_21", "many_21_more"),
    "0.4.4": ("many", "h264", "rich", "stills", "merged", "deleted", "official", "three", "rich_round", "one_more"),
    "0.6.1": ("new", "new_h264", "releases", "old_30", "old_rich_30", "old_30_less", "many_official"),
}


@pytest.fixture(params=[(release, name) for release, names in READ_BY.items() for name in names], ids="-".join)
def pair(
    request: pytest.FixtureRequest, recorded: dict[str, Dataset], made: dict[str, Dataset], views: Views
) -> tuple[OurDataset, Seen]:
    """A dataset as we read it, and what a release of LeRobot saw of it."""
    release, name = request.param
    seen = views[release][name]
    assert not seen.error
    return open_dataset(str((recorded | made)[name].root)), seen


def test_tasks_and_episodes(pair: tuple[OurDataset, Seen]) -> None:
    dataset, seen = pair
    assert dataset.tasks == seen.facts["tasks"]
    assert (dataset.fps, len(list(dataset.episodes()))) == (seen.facts["fps"], seen.facts["episodes"])
    texts = np.array(dataset.tasks)[seen["pyav/task_index"].ravel()].tolist()
    assert texts == seen["pyav/task"].tolist()
    owners = seen["pyav/episode_index"].ravel()
    for at in dataset.episodes():
        assert np.count_nonzero(owners == at.index) == at.length
        assert set(at.tasks) == set(seen["pyav/task"][owners == at.index].tolist())


def test_rows_of_the_dataset_and_of_each_episode(pair: tuple[OurDataset, Seen]) -> None:
    dataset, seen = pair
    names = list(dataset.row_features.keys() - set(seen.facts["cameras"]))
    whole = concatenated(dataset.rows(names), names)
    parts = concatenated((rows for at in dataset.episodes() for rows in dataset.rows(names, at)), names)
    backwards = [concatenated(dataset.rows(names, at), names) for at in reversed(list(dataset.episodes()))]
    for name in names:
        expected = seen[f"pyav/{name}"]
        found = whole[name].astype(np.float32) if whole[name].dtype == np.float64 else whole[name]  # as in a tensor
        assert found.dtype == (object if expected.dtype.kind == "U" else expected.dtype)
        assert found.tolist() == expected.reshape(found.shape).tolist(), name
        assert parts[name].tolist() == whole[name].tolist(), name
        assert np.concatenate([rows[name] for rows in reversed(backwards)]).tolist() == whole[name].tolist(), name


@pytest.mark.parametrize("backend", BACKENDS)
def test_frames_of_videos_and_pictures(pair: tuple[OurDataset, Seen], backend: str) -> None:
    dataset, seen = pair
    assert seen.facts["cameras"]
    for key in seen.facts["cameras"]:
        expected, first = seen[f"{backend}/{key}"], 0
        for at in dataset.episodes():
            frames = np.concatenate(list(dataset.frames(key, at)))
            assert (frames.dtype, len(frames)) == (np.uint8, at.length)
            np.testing.assert_array_equal(frames, expected[first : first + at.length], err_msg=f"{key}, {at.index}")
            first += at.length
        assert first == len(expected)


def test_statistics(pair: tuple[OurDataset, Seen]) -> None:
    dataset, seen = pair
    batches = list(dataset.stats(["action"]))
    least = np.concatenate([batch["stats/action/min"] for batch in batches])
    most = np.concatenate([batch["stats/action/max"] for batch in batches])
    assert least.shape == (seen.facts["episodes"], *dataset.features["action"].shape)
    np.testing.assert_array_equal(least.min(axis=0).astype(np.float32), seen["meta/action/min"].astype(np.float32))
    np.testing.assert_array_equal(most.max(axis=0).astype(np.float32), seen["meta/action/max"].astype(np.float32))


def concatenated(batches: Iterator[dict[str, np.ndarray]], names: list[str]) -> dict[str, np.ndarray]:
    """Return the rows of all batches, by feature."""
    held = list(batches)
    return {name: np.concatenate([batch[name] for batch in held]) for name in names}
