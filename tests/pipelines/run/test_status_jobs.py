"""The status of a run while the cluster says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from robotrove.core.errors import RobotroveError
from robotrove.core.workspace import Workspace
from robotrove.executors.slurm import slurm_queue
from robotrove.executors.slurm.submission import Submission
from robotrove.pipelines.run import status
from robotrove.pipelines.run.status import status_reader
from robotrove.tests.support.pipelines.runs import AtStart, run_here, sample, write_pipeline


def test_a_controller_that_is_down_is_asked_once_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time it is waited for 10 s, and there are a dozen stages: a status would take minutes."""

    def stop() -> None:
        raise KeyboardInterrupt

    pipeline = write_pipeline(tmp_path, [sample(tmp_path, "demos.hdf5", 1, 5)])
    with pytest.raises(KeyboardInterrupt):
        run_here(pipeline, tmp_path / "out", watcher=AtStart(stop))
    workspace = Workspace.for_output(tmp_path / "out")
    workspace.jobs.mkdir()
    Submission("robotrove-x", "slurm", "somebody", "somewhere").write(workspace.jobs)

    now, asked = 0.0, 0

    def silence(name: str) -> None:
        nonlocal now, asked
        now, asked = now + 10, asked + 1
        raise RobotroveError("squeue", "Unable to contact slurm controller")

    monkeypatch.setattr(slurm_queue, "is_here", lambda: True)
    monkeypatch.setattr(slurm_queue, "live_jobs", silence)
    monkeypatch.setattr(status.time, "monotonic", lambda: now)
    reader = status_reader(workspace)
    for minute in range(1, 4):
        found = reader.read()
        assert (found.state, found.jobs) == ("planned", [])
        assert reader.failures() == []
        assert asked == minute
        now += 61
