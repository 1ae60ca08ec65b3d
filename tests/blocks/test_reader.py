"""Sources from outside work wherever ours does."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from robotrove.core.errors import RunChanged
from robotrove.core.workspace import Workspace
from robotrove.pipelines.plan.planner import make_plan
from robotrove.pipelines.replay.replay_check import check_replay
from robotrove.pipelines.run.reopen import finished_run
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.pipelines.runs import (
    quick_disk,  # noqa: F401 - autouse
    run_here,
)
from robotrove.tests.support.pipelines.shipped_runs import rows
from robotrove.verification.source.source_check import check_source

READER = "robotrove.tests.support.blocks.outside:NpyReader"


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A pipeline of three files: two recordings, and a copy of the first."""
    for number in range(2):
        np.save(tmp_path / f"{number}.npy", np.random.default_rng(number).random((5 + number, 2), np.float32))
    shutil.copy(tmp_path / "0.npy", tmp_path / "copy.npy")
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump({"source": {"use": READER, "folder": str(tmp_path)}}))
    return path


def test_a_source_from_outside(pipeline: Path, tmp_path: Path) -> None:
    plan = make_plan(load_pipeline(pipeline))
    assert [(row.source, row.length, row.reason) for row in plan.manifest.rows] == [
        ("0.npy", 5, ""),
        ("1.npy", 6, ""),
        ("copy.npy", 5, "duplicate_episode"),
    ]
    report = run_here(pipeline, tmp_path / "out")
    assert (report.kept, report.frames, report.rejected) == (2, 11, {"duplicate_episode": 1})
    expected = np.concatenate([np.load(tmp_path / f"{number}.npy") for number in range(2)])
    np.testing.assert_array_equal(np.stack(rows(tmp_path / "out")["action"].to_pylist()), expected)
    recordings = finished_run(tmp_path / "out.run")
    compared, replayed = check_source(tmp_path / "out", recordings), check_replay(tmp_path / "out", recordings)
    assert (compared.ok, compared.episodes, replayed.ok, replayed.rows) == (True, 2, True, 11)
    assert (compared.audited.episodes, compared.audited.without) == (0, 2)  # it says not where its columns are


def test_its_recordings_are_compared_when_the_run_goes_on(pipeline: Path, tmp_path: Path) -> None:
    run_here(pipeline, tmp_path / "out")
    np.save(tmp_path / "1.npy", np.zeros((6, 2), np.float32))
    with pytest.raises(RunChanged, match=r"source .*/1\.npy was changed"):
        run_here(pipeline, tmp_path / "out")
    [problem] = check_source(tmp_path / "out", finished_run(tmp_path / "out.run")).problems
    assert problem.message == f"{tmp_path / '1.npy'} was changed since: 1 episode(s) cannot be compared"
    assert Workspace.for_output(tmp_path / "out").is_finished
