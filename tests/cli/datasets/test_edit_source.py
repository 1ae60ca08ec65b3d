"""Edited datasets against the recordings behind them: renamed, dropped and relabelled, also twice and converted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.formats.hdf5.samples import write_sample
from robotrove.pipelines.run.reopen import finished_run
from robotrove.tests.support.command import Outcome
from robotrove.tests.support.pipelines.runs import run_here, write_pipeline
from robotrove.verification.source.source_check import SourceReport, check_source

Command = Callable[..., Outcome]
FRAMES, SIZE = 9, 64
FRONT, WRIST, HEAD = "observation.images.front", "observation.images.wrist", "observation.images.head"
DESCRIPTION, VALIDITY = "annotation.human.action.task_description", "annotation.human.validity"
CHANGES = ["--drop", "1", "--task", "0,3=push", "--drop-feature", WRIST]
CHANGES += ["--rename-feature", f"{FRONT}={HEAD}", "--rename-feature", "observation.state=proprio"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four episodes with two cameras, columns of task numbers, state and action."""
    folder = tmp_path_factory.mktemp("run")
    (path,) = write_sample("isaaclab", folder, episodes=4, frames=FRAMES, height=SIZE, width=SIZE)
    columns = {"action": "actions", "observation.state": "obs/joint_pos", FRONT: "obs/front", WRIST: "obs/wrist"}
    steps = [{"annotator": {"columns": [DESCRIPTION]}}, {"annotator": {"columns": {VALIDITY: "valid"}}}]
    run_here(
        write_pipeline(folder, [path], source={"columns": columns, "task": "reach"}, steps=steps), folder / "dataset"
    )
    return folder


def check(dataset: Path, run: Path) -> SourceReport:
    return check_source(dataset, finished_run(run / "dataset.run"), deep=True)


def change(dataset: Path, column: str, row: int, value: object) -> None:
    """Write another value into the only data file of a dataset."""
    (path,) = dataset.glob("data/*/*.parquet")
    table = pq.read_table(path)
    values = table[column].to_pylist()
    values[row] = value
    at = table.schema.get_field_index(column)
    pq.write_table(table.set_column(at, table.field(at), pa.array(values, table.field(at).type)), path)


def test_all_that_an_edit_changes(robotrove: Command, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert robotrove("edit", run / "dataset", "-o", out, *CHANGES, "--workers", 1).code == 0
    done = robotrove("verify", out, "--source", run / "dataset.run", "--replay", "--deep")
    assert done.code == 0, done.out
    assert done.out.splitlines()[1:3] == [
        "source: 3 episodes and 27 video frames compared",
        "second opinion: 3 episodes, 9 datasets read by pyfive, 0 by h5py",
    ]
    assert "  1 episode of the run not in the dataset: an edit dropped episodes" in done.out
    assert f"  not compared, not in the recordings: proprio, {DESCRIPTION}, {VALIDITY}" in done.out

    state = pq.read_table(next(out.glob("data/*/*.parquet")))["proprio"].to_pylist()[10]
    change(out, "proprio", 10, [state[0] + 1, *state[1:]])
    (problem,) = check(out, run).problems
    assert (problem.episode, problem.feature, problem.row) == (1, "proprio", 1)
    tasks = [line["task"] for line in pq.read_table(out / "meta/tasks.parquet").to_pylist()]
    assert sorted(tasks) == ["push", "reach", "valid"]
    change(out, "proprio", 10, state)
    change(out, "task_index", 2, tasks.index("reach"))
    (problem,) = check(out, run).problems
    assert (problem.episode, problem.feature) == (0, "task_index")
    assert problem.message == "'reach' in the dataset, 'push' from the source"


def test_edits_of_edits_and_their_conversion(robotrove: Command, run: Path, tmp_path: Path) -> None:
    """Numbers are those of the dataset that each edit had; names are swapped, and swapped back in part."""
    swap = ["--rename-feature", "observation.state=action", "--rename-feature", "action=observation.state"]
    steps = [
        ("edit", run / "dataset", "-o", tmp_path / "a", "--drop", "0", *swap, "--task", "3=lift"),
        ("convert", tmp_path / "a", "--to", "v2.1", "-o", tmp_path / "b"),
        ("edit", tmp_path / "b", "-o", tmp_path / "c", "--keep", "1-2", "--task", "1=drop", "--drop-feature", "action"),
        ("convert", tmp_path / "c", "--to", "v3.0", "-o", tmp_path / "d"),
    ]
    for step in steps:
        done = robotrove(*step, "--workers", 1)
        assert done.code == 0, done.err
    for name, episodes in (("a", 3), ("b", 3), ("c", 2), ("d", 2)):
        report = check(tmp_path / name, run)
        assert (report.problems, report.episodes, report.dropped) == ((), episodes, 4 - episodes), name
    found = pq.read_table(tmp_path / "d/meta/episodes").to_pylist()
    assert [row["tasks"] for row in found] == [["drop", "valid"], ["lift", "valid"]]
    with h5py.File(next(run.glob("*.hdf5"))) as file:
        recorded = np.concatenate([file[f"data/demo_{number}/actions"][()] for number in (2, 3)])
    (path,) = (tmp_path / "d").glob("data/*/*.parquet")
    assert np.array_equal(np.array(pq.read_table(path)["observation.state"].to_pylist(), np.float32), recorded)

    for command in (("verify", tmp_path / "a", "--replay"), ("export-actions", tmp_path / "a", "-o", tmp_path / "f")):
        refused = robotrove(*command, "--source", run / "dataset.run")
        assert refused.code == 2
        assert "action" in refused.err
    change(tmp_path / "d", "observation.state", 0, np.add(recorded[0], 1).tolist())
    (problem,) = check(tmp_path / "d", run).problems
    assert (problem.episode, problem.feature, problem.row) == (0, "observation.state", 0)


def test_recordings_appended_to_an_edited_dataset(robotrove: Command, run: Path, tmp_path: Path) -> None:
    """Neither its edits nor the episode that it dropped are theirs; what was dropped may be appended again."""
    edited, out = tmp_path / "edited", tmp_path / "out"
    changes = ["--drop", "1", "--task", "0-3=push"]
    assert robotrove("edit", run / "dataset", "-o", edited, *changes, "--workers", 1).code == 0
    (path,) = write_sample("isaaclab", tmp_path / "more", episodes=1, frames=5, height=SIZE, width=SIZE, seed=9)
    pipeline = tmp_path / "pipeline.yaml"
    files = f"['{next(run.glob('*.hdf5'))}', '{path}']"
    pipeline.write_text((run / "pipeline.yaml").read_text() + f"append_to: {edited}\n")
    done = robotrove("run", pipeline, f"source.files={files}", "--output", out, "--workers", 1)
    assert done.code == 0, done.err
    assert "listed 5 = kept 2 + rejected 3" in done.out  # the dropped one, and the new one
    rows = pq.read_table(out / "meta/episodes").to_pylist()
    assert [(row["length"], row["tasks"][0]) for row in rows] == [
        *[(FRAMES, "push")] * 3,
        (FRAMES, "reach"),
        (5, "reach"),
    ]
    for name, compared, foreign, dropped in (("dataset", 3, 2, 1), ("out", 2, 3, 0)):
        folder = run / "dataset.run" if name == "dataset" else tmp_path / "out.run"
        report = check_source(out, finished_run(folder), deep=True)
        assert report.problems == ()
        assert (report.episodes, report.foreign, report.dropped) == (compared, foreign, dropped)
    assert robotrove("verify", out, "--deep").code == 0


def test_actions_of_an_edited_dataset_are_those_of_the_recording(robotrove: Command, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert robotrove("edit", run / "dataset", "-o", out, *CHANGES, "--workers", 1).code == 0
    done = robotrove("export-actions", out, "-o", tmp_path / "a.hdf5", "--source", run / "dataset.run")
    assert done.code == 0, done.err
    with h5py.File(tmp_path / "a.hdf5") as made, h5py.File(next(run.glob("*.hdf5"))) as file:
        for number, key in enumerate(("demo_0", "demo_2", "demo_3")):
            assert np.array_equal(made[f"data/demo_{number}/actions"][()], file[f"data/{key}/actions"][()])


def test_an_episode_that_no_edit_dropped_is_missing(robotrove: Command, run: Path, tmp_path: Path) -> None:
    """An edit of names does not excuse it, nor does the edit of a dataset that other recordings were appended to."""
    out = tmp_path / "out"
    names = ["--rename-feature", f"{FRONT}={HEAD}", "--keep", "0-3", "--robot-type", "arm"]
    assert robotrove("edit", run / "dataset", "-o", out, *names, "--workers", 1).code == 0
    path = out / "meta/robotrove/run.json"
    content = json.loads(path.read_text())
    assert content["edits"] == [{"keep": ["0-3"], "rename_features": {FRONT: HEAD}, "robot_type": "arm"}]
    recordings = finished_run(run / "dataset.run")
    assert check_source(out, recordings).dropped == 0
    content["edits"][0].pop("keep")
    path.write_text(json.dumps(content))
    origins = out / "meta/robotrove/episodes.parquet"
    shutil.copyfile(origins, tmp_path / "kept")
    change_origin(origins, 3)
    report = check_source(out, recordings)
    assert [problem.message for problem in report.problems] == ["the run kept it, but the dataset does not have it"]
    assert (report.episodes, report.foreign, report.dropped) == (3, 1, 0)


def change_origin(path: Path, row: int) -> None:
    table = pq.read_table(path)
    values = table["run_digest"].to_pylist()
    values[row] = "0" * 64
    at = table.schema.get_field_index("run_digest")
    pq.write_table(table.set_column(at, table.field(at), pa.array(values, table.field(at).type)), path)
