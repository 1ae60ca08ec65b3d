"""Datasets that earlier versions wrote: checked, traced, merged, converted and appended to by this one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.core.version import __version__
from robotrove.tests.compatibility.conftest import FIRST, GOLDEN, VERSIONS

pytestmark = pytest.mark.slow


Command = Callable[..., Any]
Unpack = Callable[[str], Path]

KEPT = ("data/demo_0", "data/demo_2", "data/demo_3")
TASK = "reach the cube"
COUNTS = {"episodes": 3, "frames": 21, "tasks": 1, "cameras": 2, "errors": 0, "warnings": 0, "notes": 0}
FEATURES = {"action": "actions", "observation.state": "obs/joint_pos"}
EVERY_DATASET = pytest.mark.parametrize(
    ("version", "dataset"),
    [(version, dataset) for version in VERSIONS for dataset in ("v30", "v21") if (version, dataset) != (FIRST, "v21")],
)
# The first has no dataset of v2.1.
OF_BOTH_FORMATS = pytest.mark.parametrize("version", [version for version in VERSIONS if version != FIRST])


def stored(dataset: Path) -> dict[str, np.ndarray]:
    """Return the rows of a dataset, episode after episode."""
    tables = [pq.read_table(path) for path in sorted(dataset.glob("data/*/*.parquet"))]
    names = ("episode_index", "frame_index", "task_index", *FEATURES)
    return {name: np.concatenate([np.stack(table[name].to_numpy()) for table in tables]) for name in names}


def recorded(file: Path, keys: Sequence[str] = KEPT) -> dict[str, np.ndarray]:
    """Return the rows of recordings without the first of each, which the pipeline cuts off."""
    with h5py.File(file) as episodes:
        return {
            name: np.concatenate([episodes[f"{key}/{place}"][1:] for key in keys]) for name, place in FEATURES.items()
        }


def provenance(dataset: Path) -> list[dict[str, Any]]:
    """Return the lines of a dataset's provenance."""
    folder = dataset / "meta/robotrove"
    if (folder / "episodes.parquet").exists():
        return pq.read_table(folder / "episodes.parquet").to_pylist()
    return [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]


def windows(dataset: str, number: int) -> dict[str, dict[str, Any]]:
    """Return the video of each camera and the times of an episode in it, of 7 frames at 30 fps."""
    first, name = (number * 7, "{0}/chunk-000/file-000") if dataset == "v30" else (0, "chunk-000/{0}/episode_{1:06}")
    times = {"start": pytest.approx(first / 30), "end": pytest.approx((first + 7) / 30)}
    cameras = ("observation.images.front", "observation.images.wrist")
    return {camera: {"path": f"videos/{name}.mp4".format(camera, number), **times} for camera in cameras}


def tasks(dataset: Path) -> list[str]:
    """Return the tasks of a dataset by number."""
    folder = dataset / "meta"
    if (folder / "tasks.parquet").exists():
        rows = pq.read_table(folder / "tasks.parquet").to_pylist()
        return [row["task"] for row in sorted(rows, key=lambda row: row["task_index"])]
    return [json.loads(line)["task"] for line in (folder / "tasks.jsonl").read_text().splitlines()]


def numbered(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return lines of provenance as those of episodes 0, 1, 2 …."""
    return [{**line, "episode_index": number} for number, line in enumerate(lines)]


# Columns of the provenance since 0.2.2 and 0.2.3; rows that follow each other need no runs.
ADDED = {"row_runs": None, "content_digest": None, "code_digest": None, "input_datasets": None}


def with_added(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return lines of provenance with the columns that later versions added."""
    return [{**ADDED, **line} for line in lines]


def taken_from(dataset: Path) -> list[dict[str, Any]]:
    """Return lines of provenance as those of episodes that are taken from a dataset."""
    lines = with_added(provenance(dataset))
    return [{**line, "input_datasets": [{"dataset": dataset.name, "episode": at}]} for at, line in enumerate(lines)]


def assert_holds(dataset: Path, *recordings: dict[str, np.ndarray]) -> None:
    """Its rows are those of the recordings, in episodes of 7."""
    rows = stored(dataset)
    for name in FEATURES:
        np.testing.assert_array_equal(rows[name], np.concatenate([recording[name] for recording in recordings]))
    episodes = len(rows["action"]) // 7
    np.testing.assert_array_equal(rows["episode_index"], np.repeat(np.arange(episodes), 7))
    np.testing.assert_array_equal(rows["frame_index"], np.tile(np.arange(7), episodes))


def test_golden_files_are_small() -> None:
    assert max(path.stat().st_size for path in GOLDEN.iterdir()) < 200_000


@EVERY_DATASET
def test_verify(robotrove: Command, unpacked: Unpack, version: str, dataset: str) -> None:
    folder = unpacked(version)
    done = robotrove("verify", dataset, "--deep", "--json")
    assert (done.code, done.json["ok"]) == (0, True), done.out
    assert (done.json["counts"], done.json["findings"]) == (COUNTS, [])
    assert_holds(folder / dataset, recorded(folder / "recordings/isaaclab.hdf5"))


@EVERY_DATASET
def test_trace(robotrove: Command, unpacked: Unpack, version: str, dataset: str) -> None:
    lines = provenance(unpacked(version) / dataset)
    for number, key in enumerate(KEPT):
        done = robotrove("trace", dataset, number, "--json")
        source = Path(f"/tmp/robotrove-golden/{version}/recordings/isaaclab.hdf5")
        place = {"source_path": str(source), "source_is_there": source.exists(), "input_datasets": []}
        assert (done.code, done.json) == (0, ADDED | lines[number] | place | {"videos": windows(dataset, number)})
        expected = {
            "source_key": key,
            "source_length": 8,
            "first_row": 1,
            "last_row": 7,
            "success": True,
            "robotrove_version": version.partition("-")[0],
        }
        assert expected.items() <= done.json.items()
    assert robotrove("trace", dataset, 3).code == 2


@OF_BOTH_FORMATS
def test_aggregate(robotrove: Command, unpacked: Unpack, version: str) -> None:
    folder = unpacked(version)
    refused = robotrove("aggregate", "v30", "v21", "--output", "both", "--workers", 1)
    assert (refused.code, "a dataset before has too: 3" in refused.err) == (2, True)
    done = robotrove("aggregate", "v30", "v21", "--output", "both", "--workers", 1, "--on-duplicate", "keep")
    assert done.code == 0, done.err
    assert done.out.startswith(f"{folder}/both: 6 episodes, 42 frames ")
    recordings = recorded(folder / "recordings/isaaclab.hdf5")
    assert_holds(folder / "both", recordings, recordings)
    assert tasks(folder / "both") == [TASK]
    assert provenance(folder / "both") == numbered(taken_from(folder / "v30") + taken_from(folder / "v21"))
    checked = robotrove("verify", "both", "--deep", "--json")
    assert (checked.code, checked.json["counts"]) == (0, COUNTS | {"episodes": 6, "frames": 42})


@OF_BOTH_FORMATS
@pytest.mark.parametrize(("dataset", "to"), [("v30", "v2.1"), ("v21", "v3.0")])
def test_convert(robotrove: Command, unpacked: Unpack, version: str, dataset: str, to: str) -> None:
    folder = unpacked(version)
    done = robotrove("convert", dataset, "--to", to, "--output", "other", "--workers", 1)
    assert done.code == 0, done.err
    info = json.loads((folder / "other/meta/info.json").read_text())
    assert (info["codebase_version"], info["total_episodes"], info["total_frames"]) == (to, 3, 21)
    assert_holds(folder / "other", recorded(folder / "recordings/isaaclab.hdf5"))
    assert tasks(folder / "other") == [TASK]
    assert provenance(folder / "other") == taken_from(folder / dataset)
    checked = robotrove("verify", "other", "--deep", "--json")
    assert (checked.code, checked.json["counts"], checked.json["findings"]) == (0, COUNTS, [])


@EVERY_DATASET
def test_nothing_is_appended_twice(robotrove: Command, unpacked: Unpack, version: str, dataset: str) -> None:
    folder = unpacked(version)
    made = {"v30": "v3.0", "v21": "v2.1"}[dataset]
    more = ("source.files=[recordings,more]", f"append_to={folder / dataset}", f"formats=[{made}]")
    done = robotrove("run", "pipeline.yaml", *more, "--output", "new", "--workers", 1, "--json")
    assert (done.json["kept"], done.json["rejected"]["already_in_dataset"]) == (2, 3), done.err
    assert [line["source_key"] for line in provenance(folder / "new")] == [*KEPT, "data/demo_0", "data/demo_1"]
    named = ", ".join(f"recordings/isaaclab.hdf5:{key} (episode {number})" for number, key in enumerate(KEPT))
    assert [note.partition("agree: ")[2] for note in done.json["notes"] if "no content digest" in note] == [named]


@OF_BOTH_FORMATS
@pytest.mark.parametrize(("dataset", "made"), [("v30", "v3.0"), ("v21", "v2.1")])
@pytest.mark.parametrize("output", ["new", "in its place"])
def test_append(robotrove: Command, unpacked: Unpack, version: str, dataset: str, made: str, output: str) -> None:
    folder = unpacked(version)
    before = provenance(folder / dataset)
    longer = folder / (dataset if output == "in its place" else output)
    more = ("source.files=[more]", f"append_to={folder / dataset}", f"formats=[{made}]", "source.task=open the drawer")
    done = robotrove("run", "pipeline.yaml", *more, "--output", longer, "--workers", 1, "--json")
    assert done.code == 0, done.err
    report = done.json
    assert (report["listed"], report["kept"], report["frames"]) == (3, 2, 14)
    assert (report["base"]["episodes"], report["base"]["frames"]) == (3, 21)
    added = recorded(folder / "more/isaaclab.hdf5", ("data/demo_0", "data/demo_1"))
    assert_holds(longer, recorded(folder / "recordings/isaaclab.hdf5"), added)
    assert tasks(longer) == [TASK, "open the drawer"]
    np.testing.assert_array_equal(stored(longer)["task_index"], np.repeat([0, 1], [21, 14]))
    lines = provenance(longer)
    assert lines[:3] == with_added(before)
    assert [(line["source_key"], line["robotrove_version"]) for line in lines[3:]] == [
        ("data/demo_0", __version__),
        ("data/demo_1", __version__),
    ]
    checked = robotrove("verify", longer, "--source", report["run_dir"], "--json")
    assert (checked.code, checked.json["findings"]) == (0, []), checked.out
    assert checked.json["counts"] == COUNTS | {"episodes": 5, "frames": 35, "tasks": 2}
    source = checked.json["source"]
    assert (source["episodes"], source["foreign"], source["n_problems"]) == (2, 3, 0)
    assert robotrove("trace", longer, 4, "--json").json["source_path"] == str(folder / "more/isaaclab.hdf5")
