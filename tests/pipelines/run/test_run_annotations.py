"""Annotations repeat the number of the instruction in whichever dataset their episode is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.core.workspace import Workspace
from robotrove.formats.hdf5.samples import write_sample
from robotrove.pipelines.run.reopen import finished_run
from robotrove.pipelines.run.runner import execute
from robotrove.pipelines.run.status import Silent
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.pipelines.runs import (
    Here,
    quick_disk,  # noqa: F401 - autouse
    run_here,
    write_pipeline,
)
from robotrove.tests.support.pipelines.shipped_runs import column, lines, rows
from robotrove.verification.dataset.runner import verify
from robotrove.verification.source.source_check import check_source

pytestmark = pytest.mark.slow


FRAMES = 6
KEY = "annotation.human.task_description"


def converted(folder: Path, task: str, episodes: int, seed: int) -> Path:
    """A dataset of version 3.0 with one instruction."""
    paths = write_sample("isaaclab", folder / task, episodes=episodes, frames=FRAMES, cameras=(), seed=seed)
    pipeline = write_pipeline(folder / task, paths, source={"task": task}, steps=[{"annotator": {"columns": [KEY]}}])
    run_here(pipeline, folder / f"{task}.out")
    return folder / f"{task}.out"


def run(folder: Path, dataset: list[object]) -> Path:
    pipeline = folder / "pipeline.yaml"
    pipeline.write_text(json.dumps({"dataset": dataset}))
    execute(load_pipeline(pipeline), Workspace.for_output(folder / "out"), Here(), watcher=Silent())
    return folder / "out"


@pytest.fixture
def datasets(tmp_path: Path) -> list[str]:
    return [str(converted(tmp_path, task, 2, seed)) for seed, task in enumerate(("push", "lift"))]


def assert_numbered(dataset: Path, numbers: list[int]) -> None:
    expected = np.repeat(numbers, FRAMES)
    np.testing.assert_array_equal(column(rows(dataset), "task_index"), expected)
    np.testing.assert_array_equal(column(rows(dataset), KEY), expected)
    assert [finding for finding in verify(dataset).findings if finding.severity == "error"] == []


def test_joined_datasets_number_their_instructions_anew(datasets: list[str], tmp_path: Path) -> None:
    (tmp_path / "joined").mkdir()
    joined = run(tmp_path / "joined", [{"aggregator": {"datasets": datasets[::-1]}}, "dataset_stats"])
    assert pq.read_table(joined / "meta/tasks.parquet")["task"].to_pylist() == ["lift", "push"]
    assert_numbered(joined, [0, 0, 1, 1])
    [stats] = [pq.read_table(path) for path in sorted(joined.glob("meta/episodes/*/*.parquet"))]
    assert stats[f"stats/{KEY}/mean"].to_pylist() == [[0.0], [0.0], [1.0], [1.0]]


@pytest.mark.parametrize("reference_exact", [False, True])
def test_in_version_21_and_back(datasets: list[str], tmp_path: Path, reference_exact: bool) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    block = {"downgrader": {"datasets": datasets[::-1], "reference_exact": reference_exact}}
    old = run(tmp_path / "old", [block])
    assert lines(old, "tasks.jsonl") == [{"task_index": 0, "task": "lift"}, {"task_index": 1, "task": "push"}]
    assert_numbered(old, [0, 0, 1, 1])
    means = [line["stats"][KEY]["mean"] for line in lines(old, "episodes_stats.jsonl")]
    assert means == [[0.0], [0.0], [1.0], [1.0]]
    both = {"datasets": [datasets[0], str(old)], "on_duplicate": "keep"}
    new = run(tmp_path / "new", [{"aggregator": both}, "dataset_stats"])
    assert pq.read_table(new / "meta/tasks.parquet")["task"].to_pylist() == ["push", "lift"]
    assert_numbered(new, [0, 0, 1, 1, 0, 0])


def test_the_source_check_sees_a_wrong_number(datasets: list[str]) -> None:
    dataset = Path(datasets[0])
    run_dir = Workspace.for_output(dataset).run_dir
    assert check_source(dataset, finished_run(run_dir)).ok
    [path] = dataset.glob("data/*/*.parquet")
    table = pq.read_table(path)
    at = table.column_names.index(KEY)
    wrong = np.zeros(len(table), np.int64)
    wrong[3] = 7
    pq.write_table(table.set_column(at, table.schema.field(at), [wrong]), path)
    [problem] = check_source(dataset, finished_run(run_dir)).problems
    assert (problem.feature, problem.row) == (KEY, 3)
    assert "7 in the dataset, 0" in problem.message
